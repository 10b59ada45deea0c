/* cl/attn.c: attention: picks the kernels and their tiles, cuts the work into launches.
 *
 * The running states of all queries of a launch lie in the scratch arena: rows of DVP floats, and
 * (m, l) pairs. Spans reach them in ring order: over the pieces downwards with phase 1 (each query's
 * own span and those below), then downwards again with phase 2 (those above). They begin fresh, or with
 * the caller's states. */
#include <stdio.h>

#include "cl/attn.h"

#define STATE_BYTES (128 << 20) /* of the states of one launch, at least: */
#define STATE_SHARE 128         /* or such a part of the device's memory */
#define READ_FMA 8              /* a value that is only read takes as long as so many fma */

/* What one launch covers: heads of batch * H, tiles of a head. */
struct part {
    int64_t head0, n_heads, tile0, n_tiles; /* tile0: position of the first tile's first row */
    int first;
};

int64_t anl_cl_attn_state_bytes(const struct anl_cl_device *d)
{
    int64_t share = (int64_t)(d->base.info.memory / STATE_SHARE);

    return share > STATE_BYTES ? share : STATE_BYTES;
}

static int round_up(int64_t x, int to)
{
    return (int)(anl_cl_ceil_div(x, to) * to);
}

anl_dtype anl_cl_attn_kv_type(const struct anl_attn_params *p)
{
    return p->n_pieces ? p->pieces[0].k.dtype : ANL_F32;
}

/* Queries, keys and values may be read 16 bytes at a time. */
int anl_cl_attn_aligned(const struct anl_attn_params *p)
{
    int yes = anl_cl_aligned(&p->q);

    for (int i = 0; i < p->n_pieces; i++)
        yes = yes && anl_cl_aligned(&p->pieces[i].k) && anl_cl_aligned(&p->pieces[i].v);
    return yes;
}

static void pick_cpu_tiles(struct anl_cl_attn_job *j)
{
    struct anl_cl_attn_tiles *t = &j->t;

    t->bq = j->sq > 16 ? 64 : j->sq > 1 ? 16 : 1;
    t->threads = 1;
    snprintf(t->options, sizeof t->options,
             "-DVW=16 -DDP=%d -DDVP=%d -DKVT=%d -DBQ=%d -DRS=%d -DKV4=%d", t->dp, t->dvp,
             (int)anl_cl_attn_kv_type(j->p), t->bq, t->bq > 1 ? 4 : 1, j->d->wide ? 4 : 1);
}

/* attn_flow counts keys, and bytes from row to row, by int. */
static int can_flow(const struct anl_cl_attn_job *j)
{
    const struct anl_attn_params *p = j->p;
    const int64_t most = INT64_C(1) << 28;
    int yes = p->q.stride[2] < most && p->q.dim[0] * j->heads < most;

    for (int i = 0; i < p->n_pieces; i++) {
        const struct anl_kv_piece *k = &p->pieces[i];
        yes = yes && k->k.stride[2] < most && k->v.stride[2] < most && k->k.dim[2] < most;
    }
    return yes;
}

static void set_flow_tile(struct anl_cl_attn_job *j, const struct anl_cl_attn_tile *a)
{
    struct anl_cl_attn_tiles *t = &j->t;

    t->flow = 1;
    t->bq = a->bq;
    t->dp = t->dvp;
    t->part_o = 0;
    t->threads = t->dvp;
    snprintf(t->options, sizeof t->options,
             "-DDP=%d -DDVP=%d -DKVT=%d -DBQ=%d -DNTX=%d -DSTAGE=%d -DQRES=%d -DUQ=%d -DUV=%d "
             "-DALIGNED=%d -DWHOLE=%d -DHALF=1",
             t->dp, t->dvp, (int)anl_cl_attn_kv_type(j->p), a->bq, t->dvp / 8, a->dc, a->qres, a->uq,
             a->uv, anl_cl_attn_aligned(j->p), j->dim == t->dp && j->dv == t->dvp);
}

static void set_gpu_tile(struct anl_cl_attn_job *j, const struct anl_cl_attn_tile *a)
{
    struct anl_cl_attn_tiles *t = &j->t;

    t->flow = 0;
    t->dp = j->dim <= 64 ? 64 : round_up(j->dim, 32);
    t->bq = a->bq;
    t->part_o = anl_cl_part_of_o(j->d, t->dvp);
    t->threads = a->bq / a->rq * (64 / a->rk);
    snprintf(t->options, sizeof t->options,
             "-DDP=%d -DDVP=%d -DKVT=%d -DBQ=%d -DRQ=%d -DRK=%d -DDC=%d -DVC=%d -DQRES=%d -DUQ=%d "
             "-DUV=%d -DALIGNED=%d -DOC=%d",
             t->dp, t->dvp, (int)anl_cl_attn_kv_type(j->p), a->bq, a->rq, a->rk, a->dc, a->vc, a->qres,
             a->uq, a->uv, anl_cl_attn_aligned(j->p), t->part_o);
}

static enum anl_cl_unit tile_unit(const struct anl_cl_attn_job *j)
{
    return j->t.cpu ? ANL_CL_ATTN_CPU : j->t.flow ? ANL_CL_ATTN_FLOW : ANL_CL_ATTN_TILE;
}

static const char *tile_kernel(const struct anl_cl_attn_job *j)
{
    return j->t.cpu ? "attn_cpu" : j->t.flow ? "attn_flow" : "attn_tile";
}

/* The first whose kernel can have its work-items: the one that suits the heads, then the safe ones. */
static anl_status pick_gpu_tiles(struct anl_cl_attn_job *j)
{
    const struct anl_cl_attn_tile tiles[3] = { anl_cl_pick_attn_tile(j->d, j->t.dp, j->t.dvp),
                                               anl_cl_safe_attn_tile(j->d, j->d->max_group, j->t.dvp),
                                               anl_cl_safe_attn_tile(j->d, ANL_CL_LEAST_GROUP,
                                                                     j->t.dvp) };

    for (int i = tiles[0].flow && !can_flow(j) ? 1 : 0;; i++) {
        struct anl_cl_call c;
        if (tiles[i].flow)
            set_flow_tile(j, &tiles[i]);
        else
            set_gpu_tile(j, &tiles[i]);
        anl_cl_begin(&c, j->d, tile_unit(j), j->t.options, tile_kernel(j));
        if (i == 2 || anl_cl_fits(&c, (size_t)j->t.threads))
            return c.status;
    }
}

/* Where registers hold a part of o only, a span's o lies behind the running ones. */
anl_status anl_cl_attn_scratch(struct anl_cl_attn_job *j, int64_t rows)
{
    uint64_t o = (uint64_t)rows * (uint64_t)j->t.dvp * 4 * (j->t.part_o ? 2 : 1);
    anl_status s = anl_cl_scratch(j->d, 0, o, &j->scratch_o);

    return s ? s : anl_cl_scratch(j->d, 1, (uint64_t)rows * 8, &j->scratch_ml);
}

/* Queries of a part are rows [lo, hi) of each head. */
static void part_queries(const struct anl_cl_attn_job *j, const struct part *a, int64_t *lo,
                         int64_t *hi)
{
    *lo = a->tile0 - j->offset;
    *hi = *lo + a->n_tiles * j->t.bq;
    *lo = *lo < 0 ? 0 : *lo;
    *hi = *hi > j->sq ? j->sq : *hi;
}

void anl_cl_arg_result(struct anl_cl_call *c, const struct anl_tensor *any,
                       const struct anl_tensor *out, const struct anl_tensor *m,
                       const struct anl_tensor *l, const struct anl_tensor *o)
{
    anl_cl_arg_tensor(c, out, any);
    anl_cl_arg_int(c, (int32_t)out->dtype);
    anl_cl_arg_tensor(c, m, any);
    anl_cl_arg_tensor(c, l, any);
    anl_cl_arg_tensor(c, o, any);
    anl_cl_arg_int(c, (out->buffer ? 1 : 0) | (m->buffer ? 2 : 0));
}

void anl_cl_attn_result_args(struct anl_cl_call *c, const struct anl_attn_params *p)
{
    anl_cl_arg_result(c, &p->q, &p->out, &p->m, &p->l, &p->o);
}

static anl_status end(struct anl_cl_attn_job *j, int64_t head0, int64_t n_heads, int64_t head_rows,
                      int64_t shift, int64_t i0, int64_t n)
{
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
    anl_cl_attn_result_args(&c, j->p);
    return anl_cl_launch(&c, 2, groups, group);
}

/* The running states of n_heads times head_rows rows from row state0 of scratch on, the first of a head
 * being query i0: the caller's, or fresh. */
anl_status anl_cl_attn_begin(struct anl_cl_attn_job *j, int64_t state0, int64_t head0, int64_t n_heads,
                             int64_t head_rows, int64_t i0)
{
    const struct anl_attn_params *p = j->p;
    size_t group[2] = { 64, 1 };
    size_t groups[2] = { (size_t)anl_cl_ceil_div(head_rows * j->t.dvp, 64), (size_t)n_heads };
    struct anl_cl_call c;

    anl_cl_begin(&c, j->d, ANL_CL_ATTN_END, "", "attn_begin");
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    anl_cl_arg_long(&c, state0);
    anl_cl_arg_int(&c, j->t.dvp);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_long(&c, head0);
    anl_cl_arg_long(&c, head_rows);
    anl_cl_arg_long(&c, i0);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_tensor(&c, &p->m, &p->q);
    anl_cl_arg_tensor(&c, &p->l, &p->q);
    anl_cl_arg_tensor(&c, &p->o, &p->q);
    anl_cl_arg_int(&c, p->resume != 0);
    return anl_cl_launch(&c, 2, groups, group);
}

/* Spans [lo, hi) of a piece meet the part's queries. */
static anl_status meet(struct anl_cl_attn_job *j, struct part *a, const struct anl_kv_piece *piece,
                       int64_t lo, int64_t hi, int phases)
{
    const struct anl_attn_params *p = j->p;
    size_t groups[2] = { (size_t)a->n_tiles, (size_t)a->n_heads };
    size_t group[2] = { (size_t)j->t.threads, 1 };
    struct anl_cl_call c;

    if (p->causal && !j->t.cpu) { /* see attn_tile */
        groups[0] = (size_t)a->n_heads;
        groups[1] = (size_t)a->n_tiles;
    }
    anl_cl_begin(&c, j->d, tile_unit(j), j->t.options, tile_kernel(j));
    anl_cl_arg_tensor(&c, &p->q, &p->q);
    anl_cl_arg_tensor(&c, &piece->k, &p->q);
    anl_cl_arg_tensor(&c, &piece->v, &p->q);
    anl_cl_arg_mem(&c, j->scratch_o);
    anl_cl_arg_mem(&c, j->scratch_ml);
    if (!j->t.cpu)
        anl_cl_arg_mem(&c, j->odd);
    anl_cl_arg_int(&c, (int32_t)j->heads);
    anl_cl_arg_int(&c, (int32_t)j->group);
    anl_cl_arg_long(&c, a->head0);
    anl_cl_arg_long(&c, a->tile0);
    anl_cl_arg_long(&c, j->offset);
    anl_cl_arg_long(&c, j->sq);
    anl_cl_arg_int(&c, (int32_t)j->dim);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_long(&c, j->sk);
    anl_cl_arg_long(&c, piece->start);
    anl_cl_arg_long(&c, piece->k.dim[2]);
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
int64_t anl_cl_attn_launch_spans(const struct anl_cl_attn_job *j, int64_t rows)
{
    double fit = j->d->launch_fma / ((double)rows * SPAN * (double)(j->t.dp + j->t.dvp));

    return fit < 1 ? 1 : fit > 1e12 ? (int64_t)1000000000000 : (int64_t)fit;
}

/* The pieces' spans meet the part, from the last downwards; queries [.., hi). */
static anl_status sweep(struct anl_cl_attn_job *j, struct part *a, int64_t hi, int64_t step, int phases)
{
    /* no query's own span lies above */
    int64_t own_top = j->offset + hi - 1 < 0 ? 0 : (j->offset + hi - 1) / SPAN;
    anl_status s = ANL_OK;

    for (int i = j->p->n_pieces - 1; !s && i >= 0; i--) {
        const struct anl_kv_piece *k = &j->p->pieces[i];
        int64_t first = k->start / SPAN, top = first + anl_cl_ceil_div(k->k.dim[2], SPAN);
        for (int64_t h = top; !s && h > first; h -= step) {
            int64_t l = h - step > first ? h - step : first;
            if (phases == 1 && l > own_top)
                continue;
            s = meet(j, a, k, l, h, phases);
        }
    }
    return s;
}

static anl_status run_part(struct anl_cl_attn_job *j, struct part *a)
{
    int64_t rows = a->n_tiles * j->t.bq, lo, hi, step = anl_cl_attn_launch_spans(j, rows * a->n_heads);
    int64_t query0 = a->tile0 - j->offset; /* of the first row, there or not */
    anl_status s = ANL_OK;

    part_queries(j, a, &lo, &hi);
    if (j->p->resume) {
        s = anl_cl_attn_begin(j, 0, a->head0, a->n_heads, rows, query0);
        a->first = 0;
    }
    if (j->p->n_pieces == 1 && j->spans <= step) {
        if (!s && j->phases)
            s = sweep(j, a, hi, step, j->phases);
    } else {
        if (!s && j->phases & 1)
            s = sweep(j, a, hi, step, 1);
        if (!s && j->phases & 2)
            s = sweep(j, a, hi, step, 2);
    }
    if (!s && a->first) /* no span at all */
        s = anl_cl_attn_begin(j, 0, a->head0, a->n_heads, rows, query0);
    return s ? s : end(j, a->head0, a->n_heads, rows, lo - query0, lo, hi - lo);
}

/* Blocks of a piece from its block first on, as many as a launch may read. */
static anl_status scan_some(struct anl_cl_attn_job *j, const struct anl_kv_piece *k, int64_t first,
                            int64_t blocks)
{
    int64_t heads = j->heads / j->group;
    size_t groups[2] = { (size_t)blocks, (size_t)(j->p->q.dim[0] * heads) }, group[2] = { 64, 1 };
    struct anl_tensor v = k->v;
    struct anl_cl_call c;

    v.offset += (uint64_t)(first * LAW_BLOCK * v.stride[2]) * (v.dtype == ANL_F32 ? 4u : 2u);
    anl_cl_begin(&c, j->d, ANL_CL_ATTN_SCAN, "", "attn_scan");
    anl_cl_arg_tensor(&c, &v, &j->p->q);
    anl_cl_arg_int(&c, (int32_t)v.dtype);
    anl_cl_arg_int(&c, (int32_t)heads);
    anl_cl_arg_long(&c, v.dim[2] - first * LAW_BLOCK);
    anl_cl_arg_int(&c, (int32_t)j->dv);
    anl_cl_arg_long(&c, k->start / LAW_BLOCK + first);
    anl_cl_arg_long(&c, anl_cl_ceil_div(j->sk, LAW_BLOCK));
    anl_cl_arg_mem(&c, j->odd);
    return anl_cl_launch(&c, 2, groups, group);
}

/* Which blocks have values that are not finite. */
static anl_status scan(struct anl_cl_attn_job *j)
{
    const struct anl_attn_params *p = j->p;
    double heads = (double)p->q.dim[0] * (double)(j->heads / j->group);
    double fit = j->d->launch_fma / (heads * LAW_BLOCK * (double)j->dv * READ_FMA);
    int64_t step = fit < 1 ? 1 : fit > 1e9 ? (int64_t)1000000000 : (int64_t)fit;
    anl_status s = ANL_OK;

    for (int i = 0; i < p->n_pieces; i++) {
        const struct anl_kv_piece *k = &p->pieces[i];
        int64_t blocks = anl_cl_ceil_div(k->v.dim[2], LAW_BLOCK);
        for (int64_t b = 0; !s && b < blocks; b += step)
            s = scan_some(j, k, b, blocks - b < step ? blocks - b : step);
    }
    return s;
}

/* The other programs, and scratch for so many rows of states: what may fail does so before the first
 * launch. */
static anl_status tiles_ready(struct anl_cl_attn_job *j, int64_t rows)
{
    struct anl_cl_device *d = j->d;
    int64_t blocks = anl_cl_ceil_div(j->sk, LAW_BLOCK), heads = j->heads / j->group;
    anl_status s = anl_cl_attn_scratch(j, rows);

    if (!s)
        s = anl_cl_ready(d, ANL_CL_ATTN_END, "", "attn_end");
    if (!j->spans)
        return s;
    if (j->t.cpu)
        return s ? s : anl_cl_ready(d, ANL_CL_ATTN_CPU, j->t.options, "attn_cpu");
    if (!s)
        s = anl_cl_ready(d, ANL_CL_ATTN_SCAN, "", "attn_scan");
    return s ? s : anl_cl_scratch(d, 2, (uint64_t)(j->p->q.dim[0] * heads * blocks + 1) * 4, &j->odd);
}

static anl_status run_tiles(struct anl_cl_attn_job *j)
{
    int64_t bq = j->t.bq, n_heads = j->p->q.dim[0] * j->heads;
    int64_t tile0 = j->offset / bq * bq, tiles, max_rows, tiles_each, heads_each;
    double fit = j->d->launch_fma / (SPAN * (double)(j->t.dp + j->t.dvp));
    anl_status s;

    if (tile0 > j->offset)
        tile0 -= bq;
    tiles = anl_cl_ceil_div(j->offset + j->sq - tile0, bq);
    max_rows = anl_cl_attn_state_bytes(j->d) / (j->t.dvp * 4 + 8);
    if (fit < (double)max_rows)
        max_rows = (int64_t)fit;
    tiles_each = max_rows / bq < tiles ? max_rows / bq : tiles;
    tiles_each = tiles_each < 1 ? 1 : tiles_each;
    heads_each = tiles_each < tiles ? 1 : max_rows / (tiles * bq);
    heads_each = heads_each < 1 ? 1 : heads_each < n_heads ? heads_each : n_heads;
    /* launches alike: a small last one would leave the device half empty */
    heads_each = anl_cl_ceil_div(n_heads, anl_cl_ceil_div(n_heads, heads_each));
    tiles_each = anl_cl_ceil_div(tiles, anl_cl_ceil_div(tiles, tiles_each));
    s = tiles_ready(j, heads_each * tiles_each * bq);
    if (!s && !j->t.cpu && j->spans)
        s = scan(j);
    for (int64_t h = 0; !s && h < n_heads; h += heads_each)
        for (int64_t t = 0; !s && t < tiles; t += tiles_each) {
            struct part a = { h, n_heads - h < heads_each ? n_heads - h : heads_each, tile0 + t * bq,
                              tiles - t < tiles_each ? tiles - t : tiles_each, 1 };
            s = run_part(j, &a);
        }
    return s;
}

/* All but the tiles. */
struct anl_cl_attn_job anl_cl_attn_job(struct anl_cl_device *d, const struct anl_attn_params *p)
{
    struct anl_cl_attn_job j = {
        .d = d, .p = p, .sq = p->q.dim[2], .sk = p->keys, .offset = *p->offset
    };

    for (int i = 0; i < p->n_pieces; i++)
        j.spans += anl_cl_ceil_div(p->pieces[i].k.dim[2], SPAN);
    j.span0 = p->n_pieces ? p->pieces[0].start / SPAN : 0;
    j.phases = p->spans == ANL_SPANS_ABOVE ? 2 : p->spans == ANL_SPANS_TO_OWN ? 1 : 3;
    if (p->causal)
        j.phases &= 1;
    j.heads = p->q.dim[1];
    j.group = p->n_pieces ? j.heads / p->pieces[0].k.dim[1] : j.heads;
    j.dim = p->q.dim[3];
    j.dv = p->out.buffer ? p->out.dim[3] : p->o.dim[3];
    j.c = p->scale * LAW_LOG2E;
    j.t.cpu = d->cpu_shaped;
    j.t.dp = j.t.cpu ? round_up(j.dim, 16) : j.dim <= 64 ? 64 : round_up(j.dim, 32);
    j.t.dvp = round_up(j.dv, j.t.cpu ? 16 : 64);
    return j;
}

anl_status anl_cl_attn(struct anl_device *device, const struct anl_attn_params *p)
{
    struct anl_cl_attn_job j = anl_cl_attn_job(anl_cl(device), p);
    anl_status s = ANL_OK;

    if (j.spans && anl_cl_attn_by_rows(j.d, j.sq))
        return anl_cl_attn_rows(&j);
    if (!j.spans)
        j.t.bq = 64; /* states only: no kernel goes through spans */
    else if (j.t.cpu)
        pick_cpu_tiles(&j);
    else
        s = pick_gpu_tiles(&j);
    return s ? s : run_tiles(&j);
}
