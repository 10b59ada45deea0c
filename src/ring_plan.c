/* src/ring_plan.c: how a sequence is cut over the devices, and in what order its chunks travel. */
#include <assert.h>
#include <limits.h>
#include <math.h>

#include "src/ring.h"

int anl_ring_pieces(const struct anl_ring *ring, int causal)
{
    return causal ? 2 * ring->n : ring->n;
}

int anl_ring_slots(const struct anl_ring *ring)
{
    return (int)ring->slots;
}

int anl_ring_device(const struct anl_ring *ring, int piece, int causal)
{
    return causal && piece >= ring->n ? 2 * ring->n - 1 - piece : piece;
}

static double weight(const double *weights, int i)
{
    return weights ? weights[i] : 1;
}

/* The sum of the weights; NaN if there cannot be such. */
static double sum_of(const double *weights, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        if (!(weight(weights, i) >= 0))
            return NAN;
        sum += weight(weights, i);
    }
    return sum > 0 && !isinf(sum) ? sum : NAN;
}

/* Spans of each device, as its piece's length. */
static void share_spans(const double *weights, int n, int64_t spans, struct anl_ring_piece *pieces)
{
    double all = sum_of(weights, n);
    int64_t left = spans;

    for (int i = 0; i < n; i++) {
        int64_t width = (int64_t)((double)spans * (weight(weights, i) / all));
        pieces[i].length = width < left ? width : left;
        left -= pieces[i].length;
    }
    for (; left > 0; left--) {
        int best = -1;
        double least = 0;
        for (int i = 0; i < n; i++) {
            double w = weight(weights, i), done = w > 0 ? (double)(pieces[i].length + 1) / w : 0;
            if (w > 0 && (best < 0 || done < least)) {
                best = i;
                least = done;
            }
        }
        pieces[best].length++;
    }
}

/* Causal, the piece that lies s spans into the sequence and is w long costs w s + w^2 / 2; a device's
 * two, as far from the beginning as from the end, cost w times the sequence: so equal parts are equal
 * work, and an odd span goes to the low piece of every second device. */
anl_status anl_ring_cut(const double *weights, int n, int64_t tokens, int causal,
                        struct anl_ring_piece *pieces)
{
    int64_t at = 0;
    int count;

    if (n < 1 || n > INT_MAX / 2 || tokens < 0 || tokens > INT64_C(1) << 40 || !pieces ||
        isnan(sum_of(weights, n)))
        return ANL_E_ARGUMENT;
    count = causal ? 2 * n : n;
    share_spans(weights, n, (tokens + RING_SPAN - 1) / RING_SPAN, pieces);
    for (int i = 0; causal && i < n; i++) {
        int64_t width = pieces[i].length;
        pieces[i].length = n > 1 ? (width + (i & 1)) / 2 : 0;
        pieces[count - 1 - i].length = width - pieces[i].length;
    }
    for (int i = 0; i < count; i++) {
        int64_t end = at + pieces[i].length * RING_SPAN;
        end = end < tokens ? end : tokens;
        pieces[i] = (struct anl_ring_piece){ at, end - at, i < n ? i : count - 1 - i };
        at = end;
    }
    return ANL_OK;
}

int anl_ring_carried(const struct anl_ring_job *job, int rank)
{
    int ahead = 0; /* ranks from this one to the next with queries */

    if (job->p.causal) {
        for (int r = rank; r < job->n; r++)
            if (job->rank[r].queries)
                return rank;
        return 0;
    }
    while (ahead < job->n && !job->rank[(rank + ahead) % job->n].queries)
        ahead++;
    return ahead < job->n ? job->n - 1 - ahead : 0;
}

static int64_t chunks_of(const struct anl_ring_job *job, int rank)
{
    return (job->rank[rank].length + job->chunk - 1) / job->chunk;
}

static int before(const struct anl_ring_job *job, int rank)
{
    return rank ? rank - 1 : job->n - 1;
}

uint64_t anl_ring_chunks(const struct anl_ring_job *job, int first, int pieces)
{
    uint64_t n = 0;

    for (; pieces > 0; pieces--, first = before(job, first))
        n += (uint64_t)chunks_of(job, first);
    return n;
}

void anl_ring_walk_begin(struct anl_ring_walk *walk, const struct anl_ring_job *job, int first, int pieces)
{
    *walk = (struct anl_ring_walk){ job, first, pieces, pieces ? chunks_of(job, first) : 0 };
}

int anl_ring_walk_next(struct anl_ring_walk *walk, int64_t *start, int64_t *keys)
{
    const struct anl_ring_job *job = walk->job;
    const struct anl_ring_rank *r;
    int64_t end;

    assert(walk->pieces > 0); /* I1 */
    if (!walk->left) {
        walk->rank = before(job, walk->rank);
        walk->left = chunks_of(job, walk->rank);
        walk->pieces--;
    }
    r = &job->rank[walk->rank];
    end = walk->left * job->chunk < r->length ? walk->left * job->chunk : r->length;
    walk->left--;
    *start = r->start + walk->left * job->chunk;
    *keys = r->start + end - *start;
    return walk->rank;
}
