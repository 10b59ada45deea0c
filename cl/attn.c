/* cl/attn.c: attention: picks the kernels and their tiles, cuts the work into launches.
 *
 * The running states of all queries of a launch lie in the scratch arena: rows of DVP floats, and
 * (m, l) pairs. Spans reach them in ring order: over the pieces downwards with phase 1 (each query's
 * own span and those below), then downwards again with phase 2 (those above). */
#include <stdio.h>

#include "cl/cl.h"
#include "law/scalar.h"

#include "law/num.h"

#define SPAN LAW_SPAN
#define STATE_BYTES (128 << 20) /* of the states of one launch */
#define ROW_QUERIES 15          /* up to this many queries a head go by attn_row */

struct tiles {
    int dp, dvp, bq, threads, cpu;
    char options[160];
};

struct job {
    struct anl_cl_device *d;
    const struct anl_attn_params *p;
    int64_t sq, sk, offset, heads, group, dim, dv;
    float c;
    struct tiles t;
    cl_mem scratch_o, scratch_ml;
};

/* What one launch covers: heads of batch * H, tiles of a head. */
struct part {
    int64_t head0, n_heads, tile0, n_tiles; /* tile0: position of the first tile's first row */
    int first;
};

static int round_up(int64_t x, int to)
{
    return (int)(anl_cl_ceil_div(x, to) * to);
}

static anl_dtype kv_type(const struct anl_attn_params *p)
{
    return p->n_pieces ? p->pieces[0].k.dtype : ANL_F32;
}

/* Queries, keys and values may be read 16 bytes at a time. */
static int aligned(const struct anl_attn_params *p)
{
    int yes = anl_cl_aligned(&p->q);

    for (int i = 0; i < p->n_pieces; i++)
        yes = yes && anl_cl_aligned(&p->pieces[i].k) && anl_cl_aligned(&p->pieces[i].v);
    return yes;
}

static void pick_cpu_tiles(struct job *j)
{
    struct tiles *t = &j->t;

    t->cpu = 1;
    t->dp = round_up(j->dim, 16);
    t->dvp = round_up(j->dv, 16);
    t->bq = j->sq > 16 ? 64 : 16;
    t->threads = 1;
    snprintf(t->options, sizeof t->options, "-DVW=16 -DDP=%d -DDVP=%d -DKVT=%d -DBQ=%d -DRS=4 -DKV4=%d",
             t->dp, t->dvp, (int)kv_type(j->p), t->bq, j->d->wide ? 4 : 1);
}

/* Does local memory hold all of Q beside the weights and a part of K or V? */
static int q_fits(const struct job *j)
{
    const struct tiles *t = &j->t;
    uint64_t floats = (uint64_t)(64 * t->bq + t->dp * t->bq + 2048);

    return j->d->registers == 2 && floats * 4 + 64 <= j->d->local_bytes;
}

/* Tiles that keep local memory within 32 KiB, or what there is; what tools/compile_kernels.sh shows of registers and
 * spills decides on the rest. */
static void pick_gpu_tiles(struct job *j)
{
    struct tiles *t = &j->t;
    int rq = 4, rk = 4;

    t->cpu = 0;
    t->dp = j->dim <= 64 ? 64 : round_up(j->dim, 32);
    t->dvp = round_up(j->dv, 64);
    t->bq = 64;
    /* twice the queries share what is staged, where that still gives every compute unit a few */
    if (j->d->registers == 2 && t->dvp <= 64 &&
        j->p->q.dim[0] * j->heads * (j->sq / 128) >= 4 * (int64_t)j->d->base.info.threads)
        t->bq = 128;
    if (j->d->max_group < 256 || (j->d->registers == 2 && t->dvp <= 64))
        rq = rk = 8;
    else if (j->d->registers == 2 && t->dvp <= 128)
        rq = 8;
    t->threads = t->bq / rq * (64 / rk);
    snprintf(t->options, sizeof t->options,
             "-DDP=%d -DDVP=%d -DKVT=%d -DBQ=%d -DRQ=%d -DRK=%d -DDC=32 -DVC=%d -DQRES=%d "
             "-DALIGNED=%d -DNEXTK=%d",
             t->dp,
             t->dvp, (int)kv_type(j->p), t->bq, rq, rk, 2048 / t->dvp / 8 * 8, q_fits(j), aligned(j->p), j->d->registers > 0);
}

static anl_status states(struct job *j, int64_t rows)
{
    anl_status s = anl_cl_scratch(j->d, 0, (uint64_t)rows * (uint64_t)j->t.dvp * 4, &j->scratch_o);

    return s ? s : anl_cl_scratch(j->d, 1, (uint64_t)rows * 8, &j->scratch_ml);
}

/* Queries of a part are rows [lo, hi) of each head. */
static void part_queries(const struct job *j, const struct part *a, int64_t *lo, int64_t *hi)
{
    *lo = a->tile0 - j->offset;
    *hi = *lo + a->n_tiles * j->t.bq;
    *lo = *lo < 0 ? 0 : *lo;
    *hi = *hi > j->sq ? j->sq : *hi;
}

static anl_status end(struct job *j, int64_t head0, int64_t n_heads, int64_t head_rows, int64_t shift,
                      int64_t i0, int64_t n)
{
    const struct anl_attn_params *p = j->p;
    size_t group[2] = { 64, 1 };
    size_t groups[2] = { (size_t)anl_cl_ceil_div(n * j->dv, 64), (size_t)n_heads };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_END, "", "attn_end");
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_long(&c, head0);
    anl_cl_arg_long(&c, head_rows);
    anl_cl_arg_long(&c, shift);
    anl_cl_arg_long(&c, i0);
    anl_cl_arg_long(&c, n);
    anl_cl_arg_tensor(&c, &p->out, &p->q);
    anl_cl_arg_int(&c, (int32_t)p->out.dtype);
    anl_cl_arg_tensor(&c, &p->m, &p->q);
    anl_cl_arg_tensor(&c, &p->l, &p->q);
    anl_cl_arg_tensor(&c, &p->o, &p->q);
    anl_cl_arg_int(&c, (p->out.buffer ? 1 : 0) | (p->m.buffer ? 2 : 0));
    return anl_cl_launch(&c, 2, groups, group);
}

/* Spans [lo, hi) of a piece (NULL: no keys at all) meet the part's queries. */
static anl_status meet(struct job *j, struct part *a, const struct anl_kv_piece *piece, int64_t lo,
                       int64_t hi, int phases)
{
    const struct anl_attn_params *p = j->p;
    size_t groups[2] = { (size_t)a->n_tiles, (size_t)a->n_heads };
    size_t group[2] = { (size_t)j->t.threads, 1 };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, j->t.cpu ? ANL_CL_ATTN_CPU : ANL_CL_ATTN_TILE, j->t.options,
                 j->t.cpu ? "attn_cpu" : "attn_tile");
    anl_cl_arg_tensor(&c, &p->q, &p->q);
    anl_cl_arg_tensor(&c, piece ? &piece->k : &p->q, &p->q);
    anl_cl_arg_tensor(&c, piece ? &piece->v : &p->q, &p->q);
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_int(&c, (int32_t)j->group);
    anl_cl_arg_long(&c, a->head0);
    anl_cl_arg_long(&c, a->tile0);
    anl_cl_arg_long(&c, j->offset);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_int(&c, (int32_t)j->dim);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_long(&c, j->sk > 0 ? j->sk : 1);
    anl_cl_arg_long(&c, piece ? piece->start : 0);
    anl_cl_arg_long(&c, piece ? piece->k.dim[2] : 0);
    anl_cl_arg_long(&c, lo);
    anl_cl_arg_long(&c, hi);
    anl_cl_arg_int(&c, p->causal != 0);
    anl_cl_arg_int(&c, phases);
    anl_cl_arg_int(&c, a->first);
    anl_cl_arg_float(&c, j->c);
    a->first = 0;
    return anl_cl_launch(&c, 2, groups, group);
}

/* Spans that a launch of so many rows may go through. */
static int64_t launch_spans(const struct job *j, int64_t rows)
{
    double fit = j->d->launch_fma / ((double)rows * SPAN * (double)(j->t.dp + j->t.dvp));

    return fit < 1 ? 1 : fit > 1e12 ? (int64_t)1000000000000 : (int64_t)fit;
}

static anl_status run_part(struct job *j, struct part *a)
{
    const struct anl_attn_params *p = j->p;
    int64_t rows = a->n_tiles * j->t.bq, lo, hi, step = launch_spans(j, rows * a->n_heads);
    int64_t own_top, all = anl_cl_ceil_div(j->sk, SPAN);
    int one = p->n_pieces == 1 && all <= step;
    anl_status s = ANL_OK;

    part_queries(j, a, &lo, &hi);
    own_top = (j->offset + hi - 1) / SPAN; /* no query's own span lies above */
    if (j->offset + hi - 1 < 0)
        own_top = 0;
    if (!p->n_pieces)
        s = meet(j, a, NULL, 0, 0, 0);
    for (int phase = 1; phase <= (p->causal || one ? 1 : 2); phase++)
        for (int i = p->n_pieces - 1; !s && i >= 0; i--) {
            const struct anl_kv_piece *k = &p->pieces[i];
            int64_t first = k->start / SPAN, top = first + anl_cl_ceil_div(k->k.dim[2], SPAN);
            for (int64_t h = top; !s && h > first; h -= step) {
                int64_t l = h - step > first ? h - step : first;
                if (phase == 1 && l > own_top)
                    continue;
                s = meet(j, a, k, l, h, one ? 3 : phase);
            }
        }
    if (s)
        return s;
    return end(j, a->head0, a->n_heads, rows, lo + j->offset - a->tile0, lo, hi - lo);
}

static anl_status run_tiles(struct job *j)
{
    int64_t bq = j->t.bq, n_heads = j->p->q.dim[0] * j->heads;
    int64_t tile0 = j->offset / bq * bq, tiles, max_rows, tiles_each, heads_each;
    double fit = j->d->launch_fma / (SPAN * (double)(j->t.dp + j->t.dvp));
    anl_status s;

    if (tile0 > j->offset)
        tile0 -= bq;
    tiles = anl_cl_ceil_div(j->offset + j->sq - tile0, bq);
    max_rows = STATE_BYTES / (j->t.dvp * 4 + 8);
    if (fit < (double)max_rows)
        max_rows = (int64_t)fit;
    tiles_each = max_rows / bq < tiles ? max_rows / bq : tiles;
    tiles_each = tiles_each < 1 ? 1 : tiles_each;
    heads_each = tiles_each < tiles ? 1 : max_rows / (tiles * bq);
    heads_each = heads_each < 1 ? 1 : heads_each < n_heads ? heads_each : n_heads;
    s = states(j, heads_each * tiles_each * bq);
    for (int64_t h = 0; !s && h < n_heads; h += heads_each)
        for (int64_t t = 0; !s && t < tiles; t += tiles_each) {
            struct part a = { h, n_heads - h < heads_each ? n_heads - h : heads_each, tile0 + t * bq,
                              tiles - t < tiles_each ? tiles - t : tiles_each, 1 };
            s = run_part(j, &a);
        }
    return s;
}

/* A span's states of rows queries, by piece. */
static anl_status row_spans(struct job *j, int64_t head0, int64_t i0, int64_t rows_per_head,
                            int64_t rows, cl_mem span_o, cl_mem span_ml)
{
    const struct anl_attn_params *p = j->p;
    size_t threads = j->d->max_group >= 128 ? 128 : 64;
    char options[64];
    anl_status s = ANL_OK;

    snprintf(options, sizeof options, "-DKVT=%d -DNT=%d -DALIGNED=%d", (int)kv_type(p),
             (int)threads, aligned(p));
    for (int i = 0; !s && i < p->n_pieces; i++) {
        const struct anl_kv_piece *k = &p->pieces[i];
        size_t groups[2] = { (size_t)anl_cl_ceil_div(k->k.dim[2], SPAN), (size_t)rows };
        size_t group[2] = { threads, 1 };
        struct anl_cl_call c;

        anl_cl_begin(&c, j->d, ANL_CL_ATTN_ROW, options, "attn_row");
        anl_cl_arg_tensor(&c, &p->q, &p->q);
        anl_cl_arg_tensor(&c, &k->k, &p->q);
        anl_cl_arg_tensor(&c, &k->v, &p->q);
        anl_cl_arg_mem(&c, span_o);
        anl_cl_arg_mem(&c, span_ml);
        anl_cl_arg_int(&c, (int32_t)j->heads);
        anl_cl_arg_int(&c, (int32_t)j->group);
        anl_cl_arg_long(&c, head0);
        anl_cl_arg_long(&c, j->offset);
        anl_cl_arg_long(&c, i0);
        anl_cl_arg_long(&c, rows_per_head);
        anl_cl_arg_int(&c, (int32_t)j->dim);
        anl_cl_arg_int(&c, (int32_t)j->dv);
        anl_cl_arg_int(&c, j->t.dvp);
        anl_cl_arg_int(&c, (int32_t)anl_cl_ceil_div(j->sk, SPAN));
        anl_cl_arg_long(&c, k->start);
        anl_cl_arg_long(&c, k->k.dim[2]);
        anl_cl_arg_long(&c, k->start / SPAN);
        anl_cl_arg_int(&c, p->causal != 0);
        anl_cl_arg_float(&c, j->c);
        s = anl_cl_launch(&c, 2, groups, group);
    }
    return s;
}

static anl_status row_merge(struct job *j, int64_t i0, int64_t rows_per_head, int64_t rows,
                            cl_mem span_o, cl_mem span_ml)
{
    size_t group[1] = { 64 }, groups[1] = { (size_t)anl_cl_ceil_div(rows * j->dv, 64) };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_END, "", "attn_merge");
    anl_cl_arg_mem(&c, span_o);
    anl_cl_arg_mem(&c, span_ml);
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_int(&c, (int32_t)anl_cl_ceil_div(j->sk, SPAN));
    anl_cl_arg_long(&c, rows_per_head);
    anl_cl_arg_long(&c, j->offset + i0);
    anl_cl_arg_int(&c, j->p->causal != 0);
    anl_cl_arg_long(&c, rows);
    return anl_cl_launch(&c, 1, groups, group);
}

/* Few queries: one work-group per query and span. */
static anl_status run_rows(struct job *j)
{
    int64_t n_heads = j->p->q.dim[0] * j->heads, spans = anl_cl_ceil_div(j->sk, SPAN);
    int64_t each = STATE_BYTES / ((j->t.dvp * 4 + 8) * spans) / j->sq;
    cl_mem span_o = NULL, span_ml = NULL;
    uint64_t states_bytes;
    anl_status s;

    each = each < 1 ? 1 : each < n_heads ? each : n_heads;
    states_bytes = (uint64_t)(each * j->sq * spans) * 4;
    s = states(j, each * j->sq);
    if (!s)
        s = anl_cl_scratch(j->d, 2, states_bytes * (uint64_t)j->t.dvp, &span_o);
    if (!s)
        s = anl_cl_scratch(j->d, 3, states_bytes * 2, &span_ml);
    for (int64_t h = 0; !s && h < n_heads; h += each) {
        int64_t n = n_heads - h < each ? n_heads - h : each;
        s = row_spans(j, h, 0, j->sq, n * j->sq, span_o, span_ml);
        if (!s)
            s = row_merge(j, 0, j->sq, n * j->sq, span_o, span_ml);
        if (!s)
            s = end(j, h, n, j->sq, 0, 0, j->sq);
    }
    return s;
}

anl_status anl_cl_attn(struct anl_device *device, const struct anl_attn_params *p)
{
    const struct anl_kv_piece *last = p->n_pieces ? &p->pieces[p->n_pieces - 1] : NULL;
    struct job j = { .d = anl_cl(device), .p = p, .sq = p->q.dim[2], .offset = *p->offset };

    j.sk = last ? last->start + last->k.dim[2] : 0;
    j.heads = p->q.dim[1];
    j.group = last ? j.heads / last->k.dim[1] : j.heads;
    j.dim = p->q.dim[3];
    j.dv = p->out.buffer ? p->out.dim[3] : p->o.dim[3];
    j.c = p->scale * LAW_LOG2E;
    if (j.d->cpu_shaped)
        pick_cpu_tiles(&j);
    else
        pick_gpu_tiles(&j);
    if (!j.d->cpu_shaped && j.sq <= ROW_QUERIES && j.sk)
        return run_rows(&j);
    return run_tiles(&j);
}
