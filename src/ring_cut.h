/* src/ring_cut.h: how many spans of a sequence each device of a ring gets: arithmetic alone, which the
 * library and `annulet plan` share. */
#ifndef ANL_SRC_RING_CUT_H
#define ANL_SRC_RING_CUT_H

#include <stdint.h>

static inline double ring_weight(const double *weights, int i)
{
    return weights ? weights[i] : 1;
}

/* Such that the device that takes longest, by its width over its weight, is done as soon as can be: each has
 * its part of the weights, rounded down, and what is left goes where it is done first. */
static inline void ring_share_spans(const double *weights, int n, int64_t spans, int64_t *width)
{
    double all = 0;
    int64_t left = spans;

    for (int i = 0; i < n; i++)
        all += ring_weight(weights, i);
    for (int i = 0; i < n; i++) {
        width[i] = (int64_t)((double)spans * (ring_weight(weights, i) / all));
        width[i] = width[i] < left ? width[i] : left;
        left -= width[i];
    }
    for (; left > 0; left--) {
        int best = -1;
        double least = 0;
        for (int i = 0; i < n; i++) {
            double w = ring_weight(weights, i), done = w > 0 ? (double)(width[i] + 1) / w : 0;
            if (w > 0 && (best < 0 || done < least)) {
                best = i;
                least = done;
            }
        }
        width[best]++;
    }
}

/* Device i's two causal pieces, i and 2n - 1 - i. The piece that lies s spans into the sequence and is w
 * long costs w s + w^2 / 2; a device's two, as far from the beginning as from the end, cost w times the
 * sequence: so equal parts are equal work, and an odd span goes to the low piece of every second
 * device. */
static inline int64_t ring_low_piece(int n, int i, int64_t width)
{
    return n > 1 ? (width + (i & 1)) / 2 : 0;
}

#endif
