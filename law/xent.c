/* law/xent.c: cross-entropy: the softmax state of section 3, without o, over the words. */
#include "law/law.h"

struct lse {
    int empty;
    float m, l;
};

/* Words [j0, j1), inside one block of 64, whose scores are in log2 units. */
static void block(const float *score, int64_t j0, int64_t j1, struct lse *s, float *lane)
{
    float b = -INFINITY;
    int any = 0;

    for (int64_t j = j0; j < j1; j++)
        if (score[j - j0] != -INFINITY) {
            any = 1;
            b = law_block_max(score[j - j0], b);
        }
    if (!any)
        return;
    b = v_ceil(b);
    if (s->empty) {
        s->m = b;
        s->empty = 0;
    } else if (b > s->m) {
        for (int i = 0; i < LAW_LANES; i++)
            lane[i] = law_rescale(lane[i], law_pow2(s->m - b));
        s->m = b;
    }
    for (int64_t j = j0; j < j1; j++)
        if (score[j - j0] != -INFINITY)
            lane[j % LAW_LANES] = lane[j % LAW_LANES] + law_p2(score[j - j0], s->m);
}

/* Words [n0, n1) of one span. */
static struct lse span(const float *logit, int64_t n0, int64_t n1)
{
    struct lse s = { 1, 0, 0 };
    float lane[LAW_LANES] = { 0 }, score[LAW_BLOCK];

    for (int64_t j0 = n0; j0 < n1; j0 += LAW_BLOCK) {
        int64_t j1 = j0 + LAW_BLOCK < n1 ? j0 + LAW_BLOCK : n1;
        for (int64_t j = j0; j < j1; j++)
            score[j - j0] = v_fma(logit[j], LAW_LOG2E, 0.0f);
        block(score, j0, j1, &s, lane);
    }
    s.l = law_lane_tree(lane);
    return s;
}

static struct lse merge(struct lse run, struct lse s)
{
    if (s.empty)
        return run;
    if (run.empty)
        return s;
    if (s.m > run.m)
        return (struct lse){ 0, s.m, law_join(run.l, law_pow2(run.m - s.m), s.l) };
    return (struct lse){ 0, run.m, law_join(s.l, law_pow2(s.m - run.m), run.l) };
}

__attribute__((noinline)) static void run_all(const struct anl_xent_params *p)
{
    int64_t n = p->logits.dim[1];

    for (int64_t t = 0; t < p->logits.dim[0]; t++) {
        const float *logit = (const float *)anl_host_ptr(&p->logits) + t * p->logits.stride[0];
        struct lse run = { 1, 0, 0 };
        float v;

        for (int64_t n0 = 0; n0 < n; n0 += LAW_SPAN)
            run = merge(run, span(logit, n0, n0 + LAW_SPAN < n ? n0 + LAW_SPAN : n));
        /* all words -inf: there is no distribution */
        v = run.empty ? NAN : law_lse_minus(run.m, law_log2(run.l), logit[p->targets[t]]);
        law_store(&p->out, t, v);
    }
}

anl_status LAW(xent)(struct anl_device *device, const struct anl_xent_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run_all(params);
    law_fpenv_leave(env);
    return ANL_OK;
}
