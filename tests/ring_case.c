/* tests/ring_case.c: see ring_case.h. */
#include "tests/ring_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ring_expect(struct anl_device *device, const struct ring_case *rc, struct ring_expected *expected)
{
    struct attn_case c = rc->c;
    memset(expected, 0, sizeof *expected);
    c.state = ATTN_OUT_AND_STATE;
    attn_data_make(&c, &expected->data);
    attn_run(device, &c, &expected->data, NULL, &expected->result);
    ck_assert_msg(expected->result.status == ANL_OK, "%s", expected->result.message);
}

void ring_expected_free(struct ring_expected *expected)
{
    run_free(&expected->result);
    attn_data_free(&expected->data);
}

/* Rows [first, first + count) of each of n groups of `per` rows. */
static void *take_rows(const void *array, size_t n, int64_t per, int64_t first, int64_t count,
                       size_t row_bytes)
{
    uint8_t *out = gen_alloc(n * (size_t)count, row_bytes);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * (size_t)count * row_bytes,
               (const uint8_t *)array + (i * (size_t)per + (size_t)first) * row_bytes,
               (size_t)count * row_bytes);
    return out;
}

static struct anl_tensor place_rows(struct place *p, const void *array, anl_dtype dtype, int64_t b,
                                    int64_t heads, int64_t per, int64_t first, int64_t count, int64_t width)
{
    const int64_t dim[4] = { b, heads, count, width };
    void *rows = take_rows(array, (size_t)(b * heads), per, first, count,
                           (size_t)width * gen_dtype_size(dtype));
    struct anl_tensor t = place_tensor(p, rows, dtype, 4, dim);
    free(rows);
    return t;
}

/* Queries [first, first + *count) of a piece of length keys that ends the sequence or not. */
static int64_t pick_queries(struct gen *g, const struct ring_case *rc, int64_t length, int last,
                            int64_t *count)
{
    int64_t first = 0;
    *count = length;
    if (rc->queries == RING_LAST_QUERY) {
        *count = last ? 1 : 0;
        return last ? length - 1 : 0;
    }
    if (rc->queries == RING_SOME_QUERIES) {
        switch (gen_below(g, 4)) {
        case 0:
            *count = 0;
            return 0;
        case 1:
            *count = 1;
            return gen_below(g, (uint32_t)length);
        case 2:
            first = gen_below(g, (uint32_t)length);
            *count = 1 + gen_below(g, (uint32_t)(length - first));
        }
    }
    return first;
}

static void place_shard(struct ring_placed *pl, struct place *p, const struct ring_case *rc,
                        const struct attn_data *data, int i, struct anl_ring_piece piece, struct gen *g)
{
    const struct attn_case *c = &rc->c;
    struct anl_ring_shard *s = &pl->shard[i];
    int64_t count, at;
    pl->start[i] = piece.start;
    if (piece.length == 0)
        return;
    s->k = place_rows(p, data->k, c->kv, c->b, c->hkv, c->sk, piece.start, piece.length, c->d);
    s->v = place_rows(p, data->v, c->kv, c->b, c->hkv, c->sk, piece.start, piece.length, c->dv);
    s->first = pick_queries(g, rc, piece.length, piece.start + piece.length == c->sk, &count);
    if (count == 0)
        return;
    at = piece.start + s->first;
    s->q = place_rows(p, data->q, ANL_F32, c->b, c->h, c->sk, at, count, c->d);
    const int64_t rows[4] = { c->b, c->h, count, 1 }, values[4] = { c->b, c->h, count, c->dv };
    if (c->state != ATTN_STATE)
        s->out = place_tensor(p, NULL, c->out, 4, values);
    if (c->state == ATTN_OUT)
        return;
    s->m = place_tensor(p, NULL, ANL_F32, 4, rows);
    s->l = place_tensor(p, NULL, ANL_F32, 4, rows);
    s->o = place_tensor(p, NULL, ANL_F32, 4, values);
}

/* Lengths anywhere at spans, many of them 0. */
static void cut_anywhere(struct gen *g, int64_t tokens, int n, struct anl_ring_piece *pieces)
{
    int64_t spans = (tokens + 511) / 512, *cut = gen_alloc((size_t)n + 1, sizeof *cut);
    cut[n] = spans;
    for (int i = 1; i < n; i++)
        cut[i] = gen_below(g, (uint32_t)spans + 1);
    for (int i = 1; i < n; i++)
        for (int k = i; k > 1 && cut[k - 1] > cut[k]; k--) {
            int64_t t = cut[k];
            cut[k] = cut[k - 1];
            cut[k - 1] = t;
        }
    for (int i = 0; i < n; i++) {
        int64_t end = cut[i + 1] * 512 < tokens ? cut[i + 1] * 512 : tokens;
        int64_t start = cut[i] * 512 < tokens ? cut[i] * 512 : tokens;
        pieces[i].start = start;
        pieces[i].length = end - start;
    }
    free(cut);
}

void ring_place(struct anl_ring *ring, struct anl_device *const *devices, int n,
                const struct ring_case *rc, const struct attn_data *data, struct ring_placed *pl)
{
    const struct place_options options = { .layout = rc->layout, .fill = 0xffffffffu };
    const struct place_options no_wrap = { .layout = PLACE_GAPS, .fill = 0xffffffffu };
    struct anl_ring_piece pieces[2 * RING_TEST_DEVICES];
    struct gen g = gen_seed(rc->seed, 900);
    memset(pl, 0, sizeof *pl);
    pl->n = anl_ring_pieces(ring, rc->c.causal);
    pl->n_devices = n;
    for (int i = 0; i < n; i++) {
        struct anl_device_info info;
        anl_device_get_info(devices[i], &info);
        place_begin(&pl->place[i], devices[i],
                    info.unified || rc->layout == PLACE_TIGHT ? &options : &no_wrap);
    }
    ck_assert_int_eq(anl_ring_plan(ring, rc->c.sk, rc->c.causal, pieces), ANL_OK);
    if (rc->cut_by_seed)
        cut_anywhere(&g, rc->c.sk, pl->n, pieces);
    for (int i = 0; i < pl->n; i++)
        place_shard(pl, &pl->place[anl_ring_device(ring, i, rc->c.causal)], rc, data, i, pieces[i], &g);
    for (int i = 0; i < n; i++)
        ck_assert_msg(pl->place[i].status == ANL_OK, "%s", pl->place[i].message);
}

void ring_placed_free(struct ring_placed *pl)
{
    for (int i = 0; i < pl->n_devices; i++)
        place_end(&pl->place[i]);
}

static void compare_view(const struct ring_case *rc, struct ring_placed *pl, const struct anl_tensor *t,
                         int64_t at, const struct run_array *a, const char *what)
{
    struct place *p = NULL;
    size_t heads = (size_t)(rc->c.b * rc->c.h), bytes, count;
    void *got, *want;
    if (t->buffer == NULL)
        return;
    for (int i = 0; i < pl->n_devices; i++)
        for (int k = 0; k < pl->place[i].count; k++)
            if (pl->place[i].buffer[k] == t->buffer)
                p = &pl->place[i];
    ck_assert(p != NULL);
    bytes = (size_t)t->dim[3] * gen_dtype_size(t->dtype);
    count = heads * (size_t)t->dim[2];
    got = gen_alloc(count, bytes);
    want = take_rows(a->data, heads, rc->c.sk, at, t->dim[2], bytes);
    place_fetch(p, t, got);
    ck_assert_msg(p->status == ANL_OK, "%s: %s", what, p->message);
    ck_assert_msg(!p->damaged, "%s: wrote outside of %s", what, a->name);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(memcmp((char *)got + i * bytes, (char *)want + i * bytes, bytes) == 0,
                      "%s: %s of head %d, query %d", what, a->name, (int)(i / (size_t)t->dim[2]),
                      (int)(at + (int64_t)(i % (size_t)t->dim[2])));
    free(got);
    free(want);
}

void ring_compare(const struct ring_case *rc, struct ring_placed *pl, const struct ring_expected *expected,
                  const char *what)
{
    for (int i = 0; i < pl->n; i++) {
        const struct anl_ring_shard *s = &pl->shard[i];
        const struct anl_tensor *t[4] = { &s->out, &s->m, &s->l, &s->o };
        ck_assert_int_eq(expected->result.arrays, 4);
        for (int k = 0; k < 4; k++)
            compare_view(rc, pl, t[k], pl->start[i] + s->first, &expected->result.array[k], what);
    }
}

struct anl_ring *ring_open(struct anl_context *context, struct anl_device *const *devices, int n,
                           const struct ring_case *rc, const double *weights)
{
    char error[200] = "";
    struct anl_ring *ring = NULL;
    double ones[RING_TEST_DEVICES];
    const struct anl_ring_params p = { .size = sizeof p, .devices = devices, .n_devices = n,
                                       .weights = weights ? weights : ones, .slots = rc->slots,
                                       .chunk_spans = rc->chunk_spans, .error = error,
                                       .error_size = sizeof error };
    for (int i = 0; i < n; i++)
        ones[i] = 1;
    anl_status status = anl_ring_create(context, &p, &ring);
    ck_assert_msg(status == ANL_OK, "%s: %s", anl_status_name(status), error);
    return ring;
}

void ring_check(struct anl_ring *ring, struct anl_device *const *devices, int n,
                const struct ring_case *rc, const struct ring_expected *expected, const char *what)
{
    struct ring_placed pl;
    ring_place(ring, devices, n, rc, &expected->data, &pl);
    const struct anl_ring_attn_params p = { .size = sizeof p, .shards = pl.shard, .n_shards = pl.n,
                                            .scale = rc->c.scale, .causal = rc->c.causal };
    anl_status status = anl_ring_attn(ring, &p);
    ck_assert_msg(status == ANL_OK, "%s: %s: %s", what, anl_status_name(status), anl_ring_message(ring));
    ring_compare(rc, &pl, expected, what);
    ring_placed_free(&pl);
}

void ring_describe(const struct ring_case *rc, int n, char *text, size_t size)
{
    static const char *const queries[] = { "", " last query", " some queries" };
    const struct attn_case *c = &rc->c;
    snprintf(text, size, "N%d B%d H%d/%d T%d D%d V%d %s%s%s slots %d chunk %d%s seed %llu", n, (int)c->b,
             (int)c->h, (int)c->hkv, (int)c->sk, (int)c->d, (int)c->dv, anl_dtype_name(c->kv),
             c->causal ? " causal" : "", queries[rc->queries], rc->slots, rc->chunk_spans,
             rc->cut_by_seed ? " cut" : "", (unsigned long long)rc->seed);
}
