/* cpu/attn.c: blockwise attention by tiles of queries.
 *
 * A tile is the query heads of one key/value head times a run of queries whose own span is the same.
 * For each span of 512 keys, in ring order, the tile packs the keys (transposed) and the values once;
 * then, a dozen rows at a time: scores by the matrix kernel, softmax row by row, values by the matrix
 * kernel as one chain over keys, and the span's state joins the rows' running state. Where there are
 * too few tiles for the threads (decoding), each (tile, span) is a task of its own and the states are
 * merged afterwards: the order of merging is the same, and so are the bits. */
#include <math.h>
#include <string.h>

#include "law/scalar.h"

#include "law/num.h"

#include "cpu/attn.h"

#define TILE_ROWS 512 /* at most, unless one query has more heads: enough to pay for packing a span */

static size_t states_size(const struct job *j)
{
    size_t rows = (size_t)j->rows;
    return 2 * anl_cpu_pad(rows * 4) + anl_cpu_pad(rows * (size_t)j->dvp * 4) + anl_cpu_pad(rows);
}

static struct states states_at(const struct job *j, char *base)
{
    size_t rows = (size_t)j->rows, row = anl_cpu_pad(rows * 4);
    size_t o = anl_cpu_pad(rows * (size_t)j->dvp * 4);
    return (struct states){ (float *)(void *)base, (float *)(void *)(base + row),
                            (float *)(void *)(base + 2 * row),
                            (unsigned char *)base + 2 * row + o };
}

struct work anl_cpu_attn_work(const struct job *j, char *base)
{
    size_t dk = (size_t)j->dk, dvp = (size_t)j->dvp, mr = (size_t)j->d->k->mr;
    size_t subs = ((size_t)j->rows + mr - 1) / mr, slabs = (subs + j->per_slab - 1) / j->per_slab;
    size_t sizes[] = { 512 * dk * 4, 512 * dvp * 4, slabs * mr * CPU_LDA * 4, mr * CPU_LDA * 4,
                       mr * dvp * 4 };
    size_t at[6] = { 0 };
    struct work w = { 0 };

    for (int i = 0; i < 5; i++)
        at[i + 1] = at[i] + anl_cpu_pad(sizes[i]);
    w.size = at[5] + states_size(j);
    if (!base)
        return w;
    w.k = (float *)(void *)(base + at[0]);
    w.v = (float *)(void *)(base + at[1]);
    w.q = (float *)(void *)(base + at[2]);
    w.s = (float *)(void *)(base + at[3]);
    w.o = (float *)(void *)(base + at[4]);
    w.run = states_at(j, base + at[5]);
    return w;
}

/* Row r's query. The matrix kernel wants the rows of a sub-tile CPU_LDA floats apart: the gap holds
 * other sub-tiles' rows, as many as fit. */
static float *query_at(const struct job *j, const struct work *w, int64_t r)
{
    int64_t mr = j->d->k->mr, sub = r / mr, per = (int64_t)j->per_slab;

    return w->q + (sub / per * mr + r % mr) * CPU_LDA + sub % per * j->dk;
}

struct tile anl_cpu_attn_tile(const struct job *j, int64_t index)
{
    int64_t block = index % j->blocks, pair = index / j->blocks, end;
    int64_t last = (j->sk - 1) / LAW_SPAN;
    struct tile t = { .b = pair / j->hkv, .hkv = pair % j->hkv };

    /* the last queries first: causal, they have the most to do */
    block = j->blocks - 1 - block;
    t.i0 = block * j->nq - j->phase;
    end = t.i0 + j->nq < j->sq ? t.i0 + j->nq : j->sq;
    t.i0 = t.i0 < 0 ? 0 : t.i0;
    t.n = end - t.i0;
    t.rows = t.n * j->group;
    t.own = *j->p->offset + t.i0 < 0 ? 0 : (*j->p->offset + t.i0) / LAW_SPAN;
    t.own = t.own > last ? last : t.own;
    return t;
}

static const char *kv_at(const struct anl_tensor *v, int64_t b, int64_t h, int64_t i)
{
    return (const char *)anl_host_ptr(v) + offset_of(v, b, h, i) * (v->dtype == ANL_F32 ? 4 : 2);
}

void anl_cpu_attn_queries(const struct job *j, const struct tile *t, struct work *w)
{
    float c = j->p->scale * LAW_LOG2E;

    for (int64_t r = 0; r < t->rows; r++) {
        const float *q = (const float *)anl_host_ptr(&j->p->q) +
                         offset_of(&j->p->q, t->b, t->hkv * j->group + r / t->n, t->i0 + r % t->n);
        float *to = query_at(j, w, r);
        for (int64_t d = 0; d < j->dk; d++)
            to[d] = q[d] * c;
    }
}

/* Where span g's keys and values lie. */
struct span {
    const char *k, *v;
    int64_t k_row, v_row; /* elements from one to the next */
    anl_dtype k_type, v_type;
};

static struct span span_at(const struct job *j, const struct tile *t, int64_t g)
{
    const struct anl_kv_piece *piece = &j->p->pieces[0];
    int64_t first = g * LAW_SPAN;

    while (first >= piece->start + piece->k.dim[2])
        piece++;
    first -= piece->start;
    return (struct span){ kv_at(&piece->k, t->b, t->hkv, first), kv_at(&piece->v, t->b, t->hkv, first),
                          piece->k.stride[2], piece->v.stride[2], piece->k.dtype, piece->v.dtype };
}

/* How many keys of span g the tile's query i sees by the mask. */
static int visible_keys(const struct job *j, const struct tile *t, int64_t i, int64_t g)
{
    int64_t end = (g + 1) * LAW_SPAN < j->sk ? (g + 1) * LAW_SPAN : j->sk;
    int64_t seen = *j->p->offset + t->i0 + i + 1;

    if (j->p->causal && seen < end)
        end = seen;
    return end > g * LAW_SPAN ? (int)(end - g * LAW_SPAN) : 0;
}

/* Keys and values of span g, as far as the tile can see: its last query sees most. */
static void pack_span(const struct job *j, const struct tile *t, int64_t g, struct work *w)
{
    const struct cpu_kernels *k = j->d->k;
    int keys = visible_keys(j, t, t->n - 1, g);
    struct span s = span_at(j, t, g);

    w->odd = 0;
    if (!keys)
        return;
    k->pack_keys(s.k_type, s.k, s.k_row, keys, (int)j->dk, w->k);
    w->odd = k->pack_values(s.v_type, s.v, s.v_row, keys, (int)j->dv, w->v);
}

/* A block with values that are not finite: only keys that the row sees may touch it. */
static void values_one_by_one(const struct job *j, struct work *w, const struct cpu_softmax *row,
                              int rows, int block)
{
    const struct cpu_kernels *k = j->d->k;

    for (int r = 0; r < rows; r++)
        for (int i = 0; i < LAW_BLOCK; i++) {
            int key = block * LAW_BLOCK + i;
            if (!(row[r].visible[block] >> i & 1))
                continue;
            for (int64_t c = 0; c < j->dvp; c += k->nr) {
                float *o = w->o + r * j->dvp + c;
                k->join(w->v + c * LAW_SPAN + key * k->nr, row[r].score[key], o, o, k->nr);
            }
        }
}

/* w->o = sum of p v over the span's first keys, rescaled as the maxima rose. */
static void values(const struct job *j, struct work *w, const struct cpu_softmax *row, int rows,
                   int keys)
{
    const struct cpu_kernels *k = j->d->k;

    for (int64_t c = 0; !w->odd && c < j->dvp; c += k->nr)
        k->values(rows, w->s, w->v + c * LAW_SPAN, keys, row, w->o + c, j->dvp);
    if (!w->odd)
        return;
    memset(w->o, 0, (size_t)(rows * j->dvp) * sizeof(float));
    for (int b = 0; b * LAW_BLOCK < keys; b++) {
        for (int r = 0; r < rows; r++)
            if (row[r].rescale[b] != 1)
                k->scale(w->o + r * j->dvp, row[r].rescale[b], w->o + r * j->dvp, (int)j->dvp);
        if (w->odd >> b & 1) {
            values_one_by_one(j, w, row, rows, b);
            continue;
        }
        for (int64_t c = 0; c < j->dvp; c += k->nr)
            k->gemm(rows, w->s + b * LAW_BLOCK,
                    w->v + c * LAW_SPAN + (int64_t)b * LAW_BLOCK * k->nr, LAW_BLOCK, w->o + c,
                    j->dvp, CPU_GEMM_CHAIN, NULL);
    }
}

/* State (m, l, o) joins row r of run. */
void anl_cpu_attn_join(const struct job *j, struct states *run, int64_t r, float m, float l,
                  const float *o)
{
    const struct cpu_kernels *k = j->d->k;
    float *ro = run->o + r * j->dvp;

    if (run->empty[r]) {
        run->empty[r] = 0;
        run->m[r] = m;
        run->l[r] = l;
        memcpy(ro, o, (size_t)j->dvp * sizeof(float));
    } else {
        k->merge(m, l, o, (int)j->dvp, &run->m[r], &run->l[r], ro);
    }
}

/* The rows that a sub-tile begins with: their scores' places, and how many keys each sees by the mask.
 * Returns the most. */
static int begin_rows(const struct job *j, const struct tile *t, int64_t r0, int rows, int64_t g,
                      const struct work *w, struct cpu_softmax *row)
{
    int64_t i = r0 % t->n;
    int most = 0;

    for (int r = 0; r < rows; r++, i = i + 1 < t->n ? i + 1 : 0) {
        row[r].score = w->s + r * CPU_LDA;
        row[r].n = visible_keys(j, t, i, g);
        row[r].want_visible = w->odd != 0;
        most = row[r].n > most ? row[r].n : most;
    }
    for (int r = 0; r < rows; r++)
        row[r].blocks = (most + LAW_BLOCK - 1) / LAW_BLOCK;
    return most;
}

static void end_rows(const struct job *j, int64_t r0, int rows, const struct cpu_softmax *row,
                     const struct work *w, struct states *run)
{
    for (int r = 0; r < rows; r++)
        if (!row[r].empty)
            anl_cpu_attn_join(j, run, r0 + r, row[r].m, row[r].l, w->o + r * j->dvp);
}

/* Rows [r0, r0 + rows) against span g, which is packed. */
static void sub_tile(const struct job *j, const struct tile *t, int64_t r0, int rows, int64_t g,
                     struct work *w, struct states *run)
{
    const struct cpu_kernels *k = j->d->k;
    const float *q = query_at(j, w, r0);
    struct cpu_softmax row[CPU_MAX_MR];
    int most = begin_rows(j, t, r0, rows, g, w, row);

    if (!most)
        return;
    for (int c = 0; c < most; c += k->nr)
        k->gemm(rows, q, w->k + c * j->dk, (int)j->dk, w->s + c, CPU_LDA, CPU_GEMM_STORE, NULL);
    k->softmax(row, rows);
    values(j, w, row, rows, most);
    end_rows(j, r0, rows, row, w, run);
}

/* A tile of few rows against span g without packing it. Returns 0 if that is not to be: values that are
 * not f32, not whole panels, or not finite. */
static int few_rows(const struct job *j, const struct tile *t, int64_t g, struct work *w,
                    struct states *run)
{
    const struct cpu_kernels *k = j->d->k;
    struct cpu_softmax row[CPU_FEW];
    struct span s = span_at(j, t, g);
    int rows = (int)t->rows, most;

    if (rows > CPU_FEW || s.v_type != ANL_F32 || j->dvp != j->dv)
        return 0;
    w->odd = 0;
    most = begin_rows(j, t, 0, rows, g, w, row);
    if (!most)
        return 1;
    k->few_scores(s.k_type, s.k, s.k_row, most, (int)j->dk, rows, query_at(j, w, 0), w->s);
    k->softmax(row, rows);
    if (k->few_values((const float *)(const void *)s.v, s.v_row, most, (int)j->dv, rows, w->s, row,
                      w->o, j->dvp))
        return 0;
    end_rows(j, 0, rows, row, w, run);
    return 1;
}

void anl_cpu_attn_span(const struct job *j, const struct tile *t, int64_t g, struct work *w,
                     struct states *run)
{
    int mr = j->d->k->mr;

    if (few_rows(j, t, g, w, run))
        return;
    pack_span(j, t, g, w);
    for (int64_t r = 0; r < t->rows; r += mr)
        sub_tile(j, t, r, (int)(t->rows - r < mr ? t->rows - r : mr), g, w, run);
}

void anl_cpu_attn_clear(const struct job *j, const struct tile *t, struct states *s)
{
    memset(s->empty, 1, (size_t)t->rows);
    memset(s->l, 0, (size_t)t->rows * sizeof(float));
    memset(s->o, 0, (size_t)(t->rows * j->dvp) * sizeof(float));
    for (int64_t r = 0; r < t->rows; r++)
        s->m[r] = -INFINITY;
}

/* What the tile's spans join: nothing, or the states that the caller hands in. */
static void begin(const struct job *j, const struct tile *t, struct states *s)
{
    const struct anl_attn_params *p = j->p;

    anl_cpu_attn_clear(j, t, s);
    for (int64_t r = 0; p->resume && r < t->rows; r++) {
        int64_t h = t->hkv * j->group + r / t->n, i = t->i0 + r % t->n;
        float l = ((const float *)anl_host_ptr(&p->l))[offset_of(&p->l, t->b, h, i)];
        if (l == 0)
            continue;
        s->empty[r] = 0;
        s->l[r] = l;
        s->m[r] = ((const float *)anl_host_ptr(&p->m))[offset_of(&p->m, t->b, h, i)];
        memcpy(s->o + r * j->dvp,
               (const float *)anl_host_ptr(&p->o) + offset_of(&p->o, t->b, h, i),
               (size_t)j->dv * sizeof(float));
    }
}

void anl_cpu_attn_store(const struct job *j, const struct tile *t, int64_t r, const struct states *s,
                      float *narrowed)
{
    const struct cpu_kernels *k = j->d->k;
    const struct anl_attn_params *p = j->p;
    const float *o = s->o + r * j->dvp;
    int64_t h = t->hkv * j->group + r / t->n, i = t->i0 + r % t->n;
    float f = s->empty[r] ? 0 : k->recip(s->l[r]);

    if (p->m.buffer) {
        k->scale_store(&s->m[r], 1, (float *)anl_host_ptr(&p->m) + offset_of(&p->m, t->b, h, i), 1);
        k->scale_store(&s->l[r], 1, (float *)anl_host_ptr(&p->l) + offset_of(&p->l, t->b, h, i), 1);
        k->scale_store(o, 1, (float *)anl_host_ptr(&p->o) + offset_of(&p->o, t->b, h, i),
                       (int)j->dv);
    }
    if (p->out.buffer && p->out.dtype == ANL_F32) { /* last: out may be o */
        k->scale_store(o, f, (float *)anl_host_ptr(&p->out) + offset_of(&p->out, t->b, h, i),
                       (int)j->dv);
    } else if (p->out.buffer) {
        k->scale_store(o, f, narrowed, (int)j->dv);
        k->narrow(p->out.dtype, narrowed,
                  (uint16_t *)anl_host_ptr(&p->out) + offset_of(&p->out, t->b, h, i), j->dv);
    }
}

/* Whether the tile visits span g, which the pieces hold. */
int anl_cpu_attn_visits(const struct job *j, const struct tile *t, int64_t g)
{
    return g <= t->own ? j->p->spans != ANL_SPANS_ABOVE
                       : j->p->spans != ANL_SPANS_TO_OWN && !j->p->causal;
}

/* The spans that a tile visits, in ring order: the n-th, or -1 after the last. */
static int64_t ring_span(const struct job *j, const struct tile *t, int64_t n)
{
    int64_t top = t->own < j->span1 ? t->own : j->span1 - 1; /* the first going down from its own */
    int64_t low = t->own < j->span0 ? j->span0 : t->own + 1; /* the last of those above */
    int64_t down = top >= j->span0 && anl_cpu_attn_visits(j, t, top) ? top - j->span0 + 1 : 0;
    int64_t above = low < j->span1 && anl_cpu_attn_visits(j, t, low) ? j->span1 - low : 0;

    if (n < down)
        return top - n;
    return n < down + above ? j->span1 - 1 - (n - down) : -1;
}

static void tile_task(void *arg, int64_t i, char *memory)
{
    const struct job *j = arg;
    struct tile t = anl_cpu_attn_tile(j, i);
    struct work w = anl_cpu_attn_work(j, memory);
    int64_t g;

    begin(j, &t, &w.run);
    anl_cpu_attn_queries(j, &t, &w);
    for (int64_t n = 0; (g = ring_span(j, &t, n)) >= 0; n++)
        anl_cpu_attn_span(j, &t, g, &w, &w.run);
    for (int64_t r = 0; r < t.rows; r++)
        anl_cpu_attn_store(j, &t, r, &w.run, w.s);
}

static struct states split_states(const struct job *j, int64_t tile, int64_t g)
{
    int64_t spans = j->span1 - j->span0;

    return states_at(j, j->split + (size_t)(tile * spans + g - j->span0) * states_size(j));
}

static void split_task(void *arg, int64_t i, char *memory)
{
    const struct job *j = arg;
    int64_t spans = j->span1 - j->span0, index = i / spans, g = j->span0 + i % spans;
    struct tile t = anl_cpu_attn_tile(j, index);
    struct work w = anl_cpu_attn_work(j, memory);
    struct states s = split_states(j, index, g);

    anl_cpu_attn_clear(j, &t, &s);
    if (!anl_cpu_attn_visits(j, &t, g))
        return;
    anl_cpu_attn_queries(j, &t, &w);
    anl_cpu_attn_span(j, &t, g, &w, &s);
}

static void merge_task(void *arg, int64_t i, char *memory)
{
    const struct job *j = arg;
    struct tile t = anl_cpu_attn_tile(j, i);
    struct work w = anl_cpu_attn_work(j, memory);
    int64_t g;

    begin(j, &t, &w.run);
    for (int64_t n = 0; (g = ring_span(j, &t, n)) >= 0; n++) {
        struct states s = split_states(j, i, g);
        for (int64_t r = 0; r < t.rows; r++)
            if (!s.empty[r])
                anl_cpu_attn_join(j, &w.run, r, s.m[r], s.l[r], s.o + r * j->dvp);
    }
    for (int64_t r = 0; r < t.rows; r++)
        anl_cpu_attn_store(j, &t, r, &w.run, w.s);
}

/* Contractions, and the packing that few queries do not make up for. */
double anl_cpu_attn_cost(const struct job *j)
{
    double rows = (double)(j->b * j->h * j->sq), pairs = (double)(j->b * j->hkv) * 8;
    return (rows + pairs) * (double)((j->span1 - j->span0) * LAW_SPAN) * (double)(j->dk + j->dvp);
}

static anl_status run_split(struct cpu_device *d, struct job *j, int64_t tiles, size_t work)
{
    int64_t spans = j->span1 - j->span0;
    size_t bytes = (size_t)(tiles * spans) * states_size(j);
    anl_status s;

    j->split = anl_context_alloc(d->base.context, bytes, 64);
    if (!j->split)
        return anl_fail(&d->base, ANL_E_MEMORY, "anl_attn: %zu bytes of states: out of memory",
                        bytes);
    anl_account(&d->base, ANL_FOR_SCRATCH, (int64_t)bytes);
    s = anl_cpu_run(d, tiles * spans, split_task, j, work, anl_cpu_attn_cost(j));
    if (!s)
        s = anl_cpu_run(d, tiles, merge_task, j, work,
                        (double)(j->b * j->h * j->sq * spans * j->dvp));
    anl_account(&d->base, ANL_FOR_SCRATCH, -(int64_t)bytes);
    anl_context_free(d->base.context, j->split);
    return s;
}

/* Large tiles pack less, but there should be several for each thread. */
static int64_t tile_queries(const struct cpu_device *d, const struct job *j)
{
    int64_t nq = 1;

    while (nq < LAW_SPAN && 2 * nq * j->group <= TILE_ROWS && nq < j->sq &&
           (nq * j->group < 64 || j->b * j->hkv * (j->sq / (2 * nq)) >= 8 * (int64_t)d->threads))
        nq *= 2;
    return nq;
}

struct job anl_cpu_attn_job(const struct cpu_device *d, const struct anl_attn_params *p)
{
    const struct anl_kv_piece *end = p->n_pieces ? &p->pieces[p->n_pieces - 1] : NULL;
    struct job j = { .d = d, .p = p, .b = p->q.dim[0], .h = p->q.dim[1], .sq = p->q.dim[2],
                     .sk = p->keys, .dk = p->q.dim[3], .hkv = 1 };

    if (end) {
        j.hkv = end->k.dim[1];
        j.span0 = p->pieces[0].start / LAW_SPAN;
        j.span1 = (end->start + end->k.dim[2] + LAW_SPAN - 1) / LAW_SPAN;
    }
    j.dv = p->out.buffer ? p->out.dim[3] : p->o.dim[3];
    j.dvp = (j.dv + d->k->nr - 1) / d->k->nr * d->k->nr;
    j.group = j.h / j.hkv;
    j.per_slab = CPU_LDA / (size_t)j.dk;
    j.nq = tile_queries(d, &j);
    j.phase = (*p->offset % j.nq + j.nq) % j.nq;
    j.blocks = (j.phase + j.sq + j.nq - 1) / j.nq;
    j.rows = (j.nq < j.sq ? j.nq : j.sq) * j.group;
    return j;
}

anl_status anl_cpu_attn(struct anl_device *device, const struct anl_attn_params *params)
{
    struct cpu_device *d = (struct cpu_device *)device;
    struct job j = anl_cpu_attn_job(d, params);
    int64_t tiles = j.b * j.hkv * j.blocks;
    size_t work = anl_cpu_attn_work(&j, NULL).size;

    if (tiles < 2 * (int64_t)d->threads && j.span1 - j.span0 > 1 && d->threads > 1)
        return run_split(d, &j, tiles, work);
    return anl_cpu_run(d, tiles, tile_task, &j, work, anl_cpu_attn_cost(&j));
}
