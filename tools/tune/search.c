/* tools/tune/search.c: which of the tiles is the fastest one that is right, and the table made of the
 * winners. */
#include "tools/tune/tune.h"

#define GAIN 0.99 /* of the time of an earlier one; less is noise */

static void try_one(const struct tune_runner *r, struct tune_trial *trials, int i, int *best)
{
    struct tune_trial *t = &trials[i];
    const struct tune_tile *beside = *best < 0 ? NULL : &trials[*best].tile;
    double best_seconds = 0;
    t->verdict = r->check(r->user, beside, &t->tile, t->why, sizeof t->why);
    if (t->verdict == TUNE_GOOD)
        t->verdict = r->race(r->user, beside, &t->tile, &best_seconds, &t->seconds, t->why,
                             sizeof t->why);
    if (t->verdict != TUNE_GOOD)
        return;
    t->relative = beside == NULL ? 1 : trials[*best].relative * t->seconds / best_seconds;
    if (beside == NULL || t->relative < GAIN * trials[*best].relative)
        *best = i;
}

static int fastest(const struct tune_trial *trials, int count)
{
    int best = -1;
    for (int i = 0; i < count; i++) {
        if (trials[i].verdict == TUNE_GOOD &&
            (best < 0 || trials[i].relative < GAIN * trials[best].relative))
            best = i;
    }
    return best;
}

int tune_search(const struct tune_runner *r, struct tune_trial *trials, int count, int always)
{
    int best = -1;
    for (int i = 0; i < count && !r->stop(r->user, i >= always); i++)
        try_one(r, trials, i, &best);
    while ((best = fastest(trials, count)) >= 0) {
        struct tune_trial *t = &trials[best];
        t->verdict = r->confirm(r->user, &t->tile, t->why, sizeof t->why);
        if (t->verdict == TUNE_GOOD)
            break;
    }
    return best;
}

/* The library's own model of the time that a line takes (annulet/opencl.h). */
static double model(const struct tune_tile *t, const struct tune_linear *l)
{
    const int *n = t->n;
    int64_t groups = ((l->small_tokens + n[LINEAR_BM] - 1) / n[LINEAR_BM]) *
                     ((l->small_features + n[LINEAR_BN] - 1) / n[LINEAR_BN]);
    int64_t slots = (int64_t)l->compute_units * n[LINEAR_GROUPS];
    return (double)((groups + slots - 1) / slots) * n[LINEAR_BM] * n[LINEAR_BN] * n[LINEAR_GROUPS] /
           n[LINEAR_SPEED] * (double)(l->small_k + n[LINEAR_TAIL]);
}

static int has_size(const struct tune_tile *lines, int count, const struct tune_tile *t)
{
    for (int i = 0; i < count; i++) {
        if (lines[i].n[LINEAR_BM] == t->n[LINEAR_BM] && lines[i].n[LINEAR_BN] == t->n[LINEAR_BN])
            return 1;
    }
    return 0;
}

static struct tune_tile line(const struct tune_linear *l, int i)
{
    struct tune_tile t = l->large[i].tile;
    double speed = 100 * l->large[l->winner].relative / l->large[i].relative;
    t.n[LINEAR_SPEED] = speed < 1 ? 1 : speed > 1000 ? 1000 : (int)(speed + 0.5);
    return t;
}

/* Whether the small shape's line is the one that the model takes for it. */
static int is_taken(const struct tune_tile *lines, int count, int small, const struct tune_linear *l)
{
    for (int i = 0; i < count; i++) {
        if (i != small && model(&lines[i], l) <= model(&lines[small], l))
            return 0;
    }
    return 1;
}

int tune_linear_table(const struct tune_linear *l, struct tune_tile *out)
{
    int count = 0, small = 0;
    out[count++] = line(l, l->winner);
    if (l->small != l->winner) {
        small = count;
        out[count++] = line(l, l->small);
    }
    for (int i = 0; i < l->n_old && count < TUNE_LINES; i++) {
        if (l->large[i].verdict == TUNE_GOOD && !has_size(out, count, &l->large[i].tile))
            out[count++] = line(l, i);
    }
    while (out[small].n[LINEAR_GROUPS] > 1 && !is_taken(out, count, small, l))
        out[small].n[LINEAR_GROUPS]--;
    return count;
}
