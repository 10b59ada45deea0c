/* cl/attn_rows.c: attention of few queries: a work-group for each query and span, and then what the
 * states of a query's spans are for: merged in ring order, or handed to the caller. */
#include <stdio.h>

#include "cl/attn.h"

#define ROW_QUERIES 15 /* up to this many queries a head */

/* The options of attn_row, and its work-items: one for each 8 elements of a tile, or as many as the
 * kernel can have. */
static anl_status pick_row_group(struct anl_cl_attn_job *j)
{
    const struct anl_attn_params *p = j->p;
    struct anl_cl_attn_tiles *t = &j->t;

    for (t->threads = 512;; t->threads /= 2) {
        struct anl_cl_call c;
        if ((size_t)t->threads > j->d->max_group)
            continue;
        snprintf(t->options, sizeof t->options, "-DKVT=%d -DNT=%d -DD=%d -DDV=%d -DALIGNED=%d",
                 (int)anl_cl_attn_kv_type(p), t->threads, (int)j->dim, (int)j->dv,
                 anl_cl_attn_aligned(p));
        anl_cl_begin(&c, j->d, ANL_CL_ATTN_ROW, t->options, "attn_row");
        if (t->threads == ANL_CL_LEAST_GROUP || anl_cl_fits(&c, (size_t)t->threads))
            return c.status;
    }
}

/* The states of spans g to g + n - 1, in piece k, of rows / sq heads; span base would be column 0. */
static anl_status row_some(struct anl_cl_attn_job *j, const struct anl_kv_piece *k, int64_t base,
                           int64_t head0, int64_t rows, int64_t g, int64_t n)
{
    const struct anl_attn_params *p = j->p;
    size_t groups[2] = { (size_t)n, (size_t)rows }, group[2] = { (size_t)j->t.threads, 1 };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_ROW, j->t.options, "attn_row");
    anl_cl_arg_tensor(&c, &p->q, &p->q);
    anl_cl_arg_tensor(&c, &k->k, &p->q);
    anl_cl_arg_tensor(&c, &k->v, &p->q);
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_int(&c, (int32_t)j->group);
    anl_cl_arg_long(&c, head0);
    anl_cl_arg_long(&c, j->offset);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_long(&c, base);
    anl_cl_arg_int(&c, (int32_t)j->spans);
    anl_cl_arg_long(&c, k->start);
    anl_cl_arg_long(&c, k->k.dim[2]);
    anl_cl_arg_long(&c, g);
    anl_cl_arg_int(&c, p->causal != 0);
    anl_cl_arg_float(&c, j->c);
    return anl_cl_launch(&c, 2, groups, group);
}

/* A span's states of all queries of rows / sq heads, by piece: of the spans that a query visits. */
static anl_status row_spans(struct anl_cl_attn_job *j, int64_t head0, int64_t rows)
{
    int64_t step = anl_cl_attn_launch_spans(j, rows), last = (j->sk - 1) / SPAN;
    int64_t own0 = j->offset < 0 ? 0 : j->offset / SPAN;
    int64_t own1 = j->offset + j->sq - 1 < 0 ? 0 : (j->offset + j->sq - 1) / SPAN;
    int64_t lo = j->phases & 1 ? 0 : own0 + 1, hi = j->phases & 2 ? last + 1 : own1 + 1, column = 0;
    anl_status s = ANL_OK;

    for (int i = 0; i < j->p->n_pieces; i++) {
        const struct anl_kv_piece *k = &j->p->pieces[i];
        int64_t span0 = k->start / SPAN, spans = anl_cl_ceil_div(k->k.dim[2], SPAN);
        int64_t end = span0 + spans < hi ? span0 + spans : hi;
        for (int64_t g = span0 > lo ? span0 : lo; !s && g < end; g += step)
            s = row_some(j, k, span0 - column, head0, rows, g, end - g < step ? end - g : step);
        column += spans;
    }
    return s;
}

/* The states of their spans merged, and the result. */
static anl_status row_merge(struct anl_cl_attn_job *j, int64_t head0, int64_t rows)
{
    size_t group[1] = { 64 }, groups[1] = { (size_t)anl_cl_ceil_div(rows * j->dv, 64) };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_END, "", "attn_merge");
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_int(&c, (int32_t)j->span0);
    anl_cl_arg_int(&c, (int32_t)j->spans);
    anl_cl_arg_int(&c, (int32_t)((j->sk - 1) / SPAN));
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_long(&c, head0);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_long(&c, j->offset);
    anl_cl_arg_int(&c, j->phases);
    anl_cl_arg_long(&c, rows);
    anl_cl_arg_int(&c, j->p->resume != 0);
    anl_cl_attn_result_args(&c, j->p);
    return anl_cl_launch(&c, 1, groups, group);
}

/* Few queries: one work-group per query and span. What follows their states is finish(). */
static anl_status run_rows(struct anl_cl_attn_job *j, const char *kernel,
                           anl_status (*finish)(struct anl_cl_attn_job *j, int64_t head0, int64_t rows))
{
    int64_t n_heads = j->p->q.dim[0] * j->heads, states_each = j->spans + (j->p->resume ? 1 : 0);
    int64_t each = anl_cl_attn_state_bytes(j->d) / ((j->t.dvp * 4 + 8) * states_each) / j->sq;
    int64_t fit = anl_cl_attn_launch_spans(j, j->sq) / j->spans; /* heads that a launch may have */
    anl_status s;

    each = each < fit ? each : fit;
    each = each < 1 ? 1 : each < n_heads ? each : n_heads;
    s = pick_row_group(j);
    if (!s)
        s = anl_cl_ready(j->d, ANL_CL_ATTN_END, "", kernel);
    if (!s)
        s = anl_cl_attn_scratch(j, each * j->sq * states_each);
    for (int64_t h = 0; !s && h < n_heads; h += each) {
        int64_t n = n_heads - h < each ? n_heads - h : each;
        s = row_spans(j, h, n * j->sq);
        if (!s && j->p->resume)
            s = anl_cl_attn_begin(j, n * j->sq * j->spans, h, n, j->sq, 0);
        if (!s)
            s = finish(j, h, n * j->sq);
    }
    return s;
}

int anl_cl_attn_by_rows(const struct anl_cl_device *d, int64_t sq)
{
    return !d->cpu_shaped && sq <= ROW_QUERIES;
}

/* The states as they are, to where the caller wants them. */
static anl_status row_store(struct anl_cl_attn_job *j, int64_t head0, int64_t rows)
{
    size_t group[1] = { 64 }, groups[1] = { (size_t)anl_cl_ceil_div(rows * j->spans * j->dv, 64) };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_END, "", "attn_store");
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_int(&c, (int32_t)j->spans);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_long(&c, head0);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_long(&c, rows);
    anl_cl_arg_tensor(&c, &j->p->m, &j->p->q);
    anl_cl_arg_tensor(&c, &j->p->l, &j->p->q);
    anl_cl_arg_tensor(&c, &j->p->o, &j->p->q);
    return anl_cl_launch(&c, 1, groups, group);
}

anl_status anl_cl_attn_row_states(struct anl_cl_device *d, const struct anl_attn_states_params *p)
{
    const struct anl_attn_params attn = { .q = p->q,
                                          .pieces = p->pieces,
                                          .n_pieces = p->n_pieces,
                                          .scale = p->scale,
                                          .causal = p->causal,
                                          .offset = p->offset,
                                          .m = p->m,
                                          .l = p->l,
                                          .o = p->o,
                                          .keys = p->keys };
    struct anl_cl_attn_job j = anl_cl_attn_job(d, &attn);

    j.phases = 3; /* a span that is hidden has a state too */
    return run_rows(&j, "attn_store", row_store);
}

anl_status anl_cl_attn_rows(struct anl_cl_attn_job *j)
{
    return run_rows(j, "attn_merge", row_merge);
}
