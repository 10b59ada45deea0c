/* law/attn.c: attention, one query after another: docs/numerics.md, sections 3 and 4, word for word; and
 * its spans' states, each on its own or merged. */
#include "law/law.h"

/* One softmax state. "Empty" is a flag of its own: m may be -inf with a visible NaN. */
struct state {
    int empty;
    float m, l;
    float o[ANL_ATTN_MAX_D];
};

/* One query's view of the problem. */
struct query {
    const struct anl_attn_params *p;
    int64_t b, hkv;   /* batch, key/value head */
    int64_t position; /* of the query */
    int64_t sk;
    int64_t first, end; /* keys [first, end) are in the pieces */
    int64_t d, dv;
    float q[ANL_ATTN_MAX_D]; /* times scale and log2 e */
};

/* Key j and its value; f32. */
static void load_key(const struct query *q, int64_t j, float *k, float *v)
{
    const struct anl_kv_piece *piece = &q->p->pieces[0];

    while (j >= piece->start + piece->k.dim[2])
        piece++;
    j -= piece->start;
    for (int64_t i = 0; i < q->d; i++)
        k[i] = law_load(&piece->k, q->b * piece->k.stride[0] + q->hkv * piece->k.stride[1] +
                                       j * piece->k.stride[2] + i);
    for (int64_t i = 0; i < q->dv; i++)
        v[i] = law_load(&piece->v, q->b * piece->v.stride[0] + q->hkv * piece->v.stride[1] +
                                       j * piece->v.stride[2] + i);
}

/* Keys [j0, j1), inside one block of 64: their visible ones join the span's state. */
static void block(const struct query *q, int64_t j0, int64_t j1, struct state *s, float *lane)
{
    float score[LAW_BLOCK], v[LAW_BLOCK][ANL_ATTN_MAX_D], k[ANL_ATTN_MAX_D];
    int visible[LAW_BLOCK], any = 0;
    float b = -INFINITY;

    for (int64_t j = j0; j < j1; j++) {
        int64_t i = j - j0;
        visible[i] = !q->p->causal || j <= q->position;
        if (!visible[i])
            continue;
        load_key(q, j, k, v[i]);
        score[i] = law_contract(q->q, k, q->d);
        visible[i] = score[i] != -INFINITY;
        if (visible[i]) {
            any = 1;
            b = law_block_max(score[i], b);
        }
    }
    if (!any)
        return;
    b = v_ceil(b);
    if (s->empty) {
        s->m = b;
        s->empty = 0;
    } else if (b > s->m) {
        float a = law_pow2(s->m - b);
        for (int i = 0; i < LAW_LANES; i++)
            lane[i] = law_rescale(lane[i], a);
        for (int64_t i = 0; i < q->dv; i++)
            s->o[i] = law_rescale(s->o[i], a);
        s->m = b;
    }
    for (int64_t j = j0; j < j1; j++) {
        float p;
        if (!visible[j - j0])
            continue;
        p = law_p2(score[j - j0], s->m);
        lane[j % LAW_LANES] = lane[j % LAW_LANES] + p;
        for (int64_t i = 0; i < q->dv; i++)
            s->o[i] = v_fma(p, v[j - j0][i], s->o[i]);
    }
}

static void span(const struct query *q, int64_t g, struct state *s)
{
    int64_t end = (g + 1) * LAW_SPAN < q->sk ? (g + 1) * LAW_SPAN : q->sk;
    float lane[LAW_LANES] = { 0 };

    *s = (struct state){ .empty = 1 };
    for (int64_t j = g * LAW_SPAN; j < end; j += LAW_BLOCK)
        block(q, j, j + LAW_BLOCK < end ? j + LAW_BLOCK : end, s, lane);
    s->l = law_lane_tree(lane);
}

static void merge(struct state *run, const struct state *s, int64_t dv)
{
    if (s->empty)
        return;
    if (run->empty) {
        *run = *s;
    } else if (s->m > run->m) {
        float a = law_pow2(run->m - s->m);
        run->l = law_join(run->l, a, s->l);
        for (int64_t i = 0; i < dv; i++)
            run->o[i] = law_join(run->o[i], a, s->o[i]);
        run->m = s->m;
    } else {
        float b = law_pow2(s->m - run->m);
        run->l = law_join(s->l, b, run->l);
        for (int64_t i = 0; i < dv; i++)
            run->o[i] = law_join(s->o[i], b, run->o[i]);
    }
}

/* Span g joins the running state, if the pieces hold it. */
static void visit(const struct query *q, int64_t g, struct state *run)
{
    struct state s;

    if (g * LAW_SPAN < q->first || g * LAW_SPAN >= q->end)
        return;
    span(q, g, &s);
    merge(run, &s, q->dv);
}

/* Spans in ring order: own, downwards to 0, then, unless causal, from the last down to own + 1. */
static void ring(const struct query *q, struct state *run)
{
    int64_t last = (q->sk - 1) / LAW_SPAN;
    int64_t own = q->position < 0 ? 0 : q->position / LAW_SPAN;

    if (own > last)
        own = last;
    if (q->p->spans != ANL_SPANS_ABOVE)
        for (int64_t g = own; g >= 0; g--)
            visit(q, g, run);
    if (q->p->spans != ANL_SPANS_TO_OWN && !q->p->causal)
        for (int64_t g = last; g > own; g--)
            visit(q, g, run);
}

static int64_t at(const struct anl_tensor *t, int64_t b, int64_t h, int64_t i)
{
    return b * t->stride[0] + h * t->stride[1] + i * t->stride[2];
}

/* What the query's spans join: nothing, or the state that the caller hands in. */
static void begin(const struct anl_attn_params *p, int64_t b, int64_t h, int64_t i, int64_t dv,
                  struct state *s)
{
    *s = (struct state){ .empty = 1 };
    if (!p->resume)
        return;
    s->l = law_load(&p->l, at(&p->l, b, h, i));
    s->empty = s->l == 0;
    if (s->empty)
        return;
    s->m = law_load(&p->m, at(&p->m, b, h, i));
    for (int64_t d = 0; d < dv; d++)
        s->o[d] = law_load(&p->o, at(&p->o, b, h, i) + d);
}

static void store(const struct anl_attn_params *p, int64_t b, int64_t h, int64_t i, int64_t dv,
                  const struct state *s)
{
    float r = s->empty ? 0 : law_recip(s->l);

    if (p->m.buffer) {
        law_store(&p->m, at(&p->m, b, h, i), s->empty ? -INFINITY : s->m);
        law_store(&p->l, at(&p->l, b, h, i), s->l);
        for (int64_t d = 0; d < dv; d++)
            law_store(&p->o, at(&p->o, b, h, i) + d, s->o[d]);
    }
    for (int64_t d = 0; p->out.buffer && d < dv; d++) /* last: out may be o */
        law_store(&p->out, at(&p->out, b, h, i) + d, s->empty ? 0 : s->o[d] * r);
}

__attribute__((noinline)) static void run_all(const struct anl_attn_params *p)
{
    const struct anl_kv_piece *end = p->n_pieces ? &p->pieces[p->n_pieces - 1] : NULL;
    int64_t hkv = end ? end->k.dim[1] : 1, group = p->q.dim[1] / hkv;
    float c = p->scale * LAW_LOG2E;
    struct query q = { .p = p, .sk = p->keys, .d = p->q.dim[3] };
    struct state s;

    q.first = end ? p->pieces[0].start : 0;
    q.end = end ? end->start + end->k.dim[2] : 0;
    q.dv = p->out.buffer ? p->out.dim[3] : p->o.dim[3];
    for (q.b = 0; q.b < p->q.dim[0]; q.b++)
        for (int64_t h = 0; h < p->q.dim[1]; h++)
            for (int64_t i = 0; i < p->q.dim[2]; i++) {
                q.hkv = h / group;
                q.position = *p->offset + i;
                for (int64_t d = 0; d < q.d; d++)
                    q.q[d] = law_load(&p->q, at(&p->q, q.b, h, i) + d) * c;
                begin(p, q.b, h, i, q.dv, &s);
                ring(&q, &s);
                store(p, q.b, h, i, q.dv, &s);
            }
}

anl_status LAW(attn)(struct anl_device *device, const struct anl_attn_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run_all(params);
    law_fpenv_leave(env);
    return ANL_OK;
}

/* The query's states of the spans of the pieces, column after column. */
static void store_spans(const struct anl_attn_states_params *p, const struct query *q, int64_t h,
                        int64_t i)
{
    int64_t n = 0, o = (q->b * p->q.dim[1] + h) * p->o.stride[0] + i * p->o.stride[1];
    struct state s;

    for (int k = 0; k < p->n_pieces; k++) {
        int64_t end = p->pieces[k].start + p->pieces[k].k.dim[2];
        for (int64_t g = p->pieces[k].start / LAW_SPAN; g * LAW_SPAN < end; g++, n++) {
            span(q, g, &s);
            law_store(&p->m, at(&p->m, q->b, h, i) + n, s.empty ? -INFINITY : s.m);
            law_store(&p->l, at(&p->l, q->b, h, i) + n, s.l);
            for (int64_t d = 0; d < q->dv; d++)
                law_store(&p->o, o + n * p->o.stride[2] + d, s.o[d]);
        }
    }
}

__attribute__((noinline)) static void run_states(const struct anl_attn_states_params *p)
{
    const struct anl_attn_params attn = { .q = p->q, .pieces = p->pieces, .n_pieces = p->n_pieces,
                                          .causal = p->causal };
    struct query q = { .p = &attn, .sk = p->keys, .d = p->q.dim[3], .dv = p->o.dim[3] };
    int64_t group = p->q.dim[1] / p->pieces[0].k.dim[1];
    float c = p->scale * LAW_LOG2E;

    for (q.b = 0; q.b < p->q.dim[0]; q.b++)
        for (int64_t h = 0; h < p->q.dim[1]; h++)
            for (int64_t i = 0; i < p->q.dim[2]; i++) {
                q.hkv = h / group;
                q.position = *p->offset + i;
                for (int64_t d = 0; d < q.d; d++)
                    q.q[d] = law_load(&p->q, at(&p->q, q.b, h, i) + d) * c;
                store_spans(p, &q, h, i);
            }
}

anl_status LAW(attn_states)(struct anl_device *device, const struct anl_attn_states_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run_states(params);
    law_fpenv_leave(env);
    return ANL_OK;
}

/* State n of a row joins the running one. */
static void join(const struct anl_attn_merge_params *p, int64_t b, int64_t h, int64_t i, int64_t n,
                 struct state *run)
{
    int64_t o = (b * p->span_m.dim[1] + h) * p->span_o.stride[0] + i * p->span_o.stride[1] +
                n * p->span_o.stride[2];
    struct state s = { .l = law_load(&p->span_l, at(&p->span_l, b, h, i) + n) };

    s.empty = s.l == 0;
    s.m = law_load(&p->span_m, at(&p->span_m, b, h, i) + n);
    for (int64_t d = 0; d < p->span_o.dim[3]; d++)
        s.o[d] = law_load(&p->span_o, o + d);
    merge(run, &s, p->span_o.dim[3]);
}

/* In ring order. */
__attribute__((noinline)) static void merge_row(const struct anl_attn_merge_params *p,
                                                int64_t b, int64_t h, int64_t i)
{
    const struct anl_attn_params result = { .out = p->out, .m = p->m, .l = p->l, .o = p->o };
    int64_t position = *p->offset + i, last = (p->keys - 1) / LAW_SPAN, ns = p->span_m.dim[3];
    int64_t own = position < 0 ? 0 : position / LAW_SPAN;
    struct state run = { .empty = 1 };

    if (own > last)
        own = last;
    for (int64_t n = ns - 1; n >= 0; n--)
        if (p->spans[n] <= own)
            join(p, b, h, i, n, &run);
    for (int64_t n = ns - 1; n >= 0; n--)
        if (p->spans[n] > own && !p->causal)
            join(p, b, h, i, n, &run);
    store(&result, b, h, i, p->span_o.dim[3], &run);
}

anl_status LAW(attn_merge)(struct anl_device *device, const struct anl_attn_merge_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    const int64_t *dim = params->span_m.dim;
    (void)device;
    for (int64_t b = 0; b < dim[0]; b++)
        for (int64_t h = 0; h < dim[1]; h++)
            for (int64_t i = 0; i < dim[2]; i++)
                merge_row(params, b, h, i);
    law_fpenv_leave(env);
    return ANL_OK;
}
