/* tests/test_decode.c: attention of one token at a time, of chunks of queries, and over keys in
 * pieces or in several calls gives the bits that it gives at once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/attn_case.h"
#include "tests/testing.h"

/* Rows [first, first + count) of each of n groups of `per` rows. */
static void *take_rows(const void *array, size_t n, size_t per, size_t first, size_t count,
                       size_t row_bytes)
{
    uint8_t *out = gen_alloc(n * count, row_bytes);
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * count * row_bytes,
               (const uint8_t *)array + (i * per + first) * row_bytes, count * row_bytes);
    return out;
}

/* Queries [i, i + n) of the whole, with the keys that exist by then, against the whole's rows. */
static void check_chunk(struct anl_device *device, const struct attn_case *whole,
                        const struct attn_data *data, const struct run_result *expected, int64_t i,
                        int64_t n, const char *what)
{
    struct attn_case c = *whole;
    size_t size = gen_dtype_size(c.kv), heads = (size_t)(c.b * c.h), kv = (size_t)(c.b * c.hkv);
    struct run_result result = { 0 };
    struct attn_data part;
    c.sq = n;
    if (c.causal) /* later keys are not there yet */
        c.sk = attn_case_offset(whole) + i + n;
    c.has_offset = !c.causal;
    c.offset = attn_case_offset(whole) + i;
    part.q = take_rows(data->q, heads, (size_t)whole->sq, (size_t)i, (size_t)n,
                       (size_t)c.d * sizeof(float));
    part.k = take_rows(data->k, kv, (size_t)whole->sk, 0, (size_t)c.sk, (size_t)c.d * size);
    part.v = take_rows(data->v, kv, (size_t)whole->sk, 0, (size_t)c.sk, (size_t)c.dv * size);
    attn_run(device, &c, &part, NULL, &result);
    ck_assert_msg(result.status == ANL_OK, "%s: %s", what, result.message);
    for (int a = 0; a < result.arrays; a++) {
        size_t bytes = result.array[a].count / heads / (size_t)n *
                       gen_dtype_size(result.array[a].dtype);
        void *rows = take_rows(expected->array[a].data, heads, (size_t)whole->sq, (size_t)i,
                               (size_t)n, bytes);
        ck_assert_msg(memcmp(rows, result.array[a].data, heads * (size_t)n * bytes) == 0,
                      "%s: %s of queries %d to %d", what, result.array[a].name, (int)i,
                      (int)(i + n - 1));
        free(rows);
    }
    run_free(&result);
    attn_data_free(&part);
}

/* The keys in pieces, and the pieces in calls of several or one. */
static void check_cuts(struct anl_device *device, const struct attn_case *c,
                       const struct attn_data *data, const struct run_result *whole, const char *what)
{
    static const int cuts[][3] = { { 1, 0, 0 }, { 2, 0, 0 },  { -1, 0, 0 }, { 1, 1, 0 },
                                   { 1, 2, 0 }, { 2, 1, 0 },  { -1, 1, 0 }, { -1, 2, 0 },
                                   { 0, 0, 1 }, { -1, 1, 1 }, { 1, 2, 1 } };
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
        struct attn_case cut = *c;
        struct run_result result = { 0 };
        char at[200];
        cut.piece = cuts[k][0];
        cut.cut = cuts[k][1];
        cut.states = cuts[k][2];
        snprintf(at, sizeof at, "%s, pieces %d, cut %d%s", what, cut.piece, cut.cut,
                 cut.states ? ", merged" : "");
        attn_run(device, &cut, data, NULL, &result);
        testing_same(&result, whole, at);
        run_free(&result);
    }
}

/* Values and scores that are not finite, or tiny, go through the states that are handed on too. */
static void spoil(const struct attn_case *c, struct attn_data *data)
{
    const float odd[] = { NAN, INFINITY, -INFINITY, -0.0f, -NAN, 3e38f, -3e38f };
    size_t size = gen_dtype_size(c->kv), n = (size_t)(c->b * c->hkv * c->sk);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        size_t key = (i * 419 + 37) % n;
        gen_store(c->kv, &odd[i], 1,
                  (uint8_t *)data->v + (key * (size_t)c->dv + i % (size_t)c->dv) * size);
        gen_store(c->kv, &odd[i], 1, (uint8_t *)data->k + ((key + 61) % n * (size_t)c->d) * size);
    }
}

static void check_spoilt(struct anl_device *device, const struct attn_case *c, const char *what)
{
    struct attn_data data;
    struct run_result whole = { 0 };
    attn_data_make(c, &data);
    spoil(c, &data);
    attn_run(device, c, &data, NULL, &whole);
    ck_assert_msg(whole.status == ANL_OK, "%s: %s", what, whole.message);
    check_cuts(device, c, &data, &whole, what);
    run_free(&whole);
    attn_data_free(&data);
}

static void check_case(struct anl_device *device, const struct attn_case *c, const char *where)
{
    static const int64_t chunks[] = { 1, 7, 64 };
    struct attn_data data;
    struct run_result whole = { 0 };
    char what[160];
    snprintf(what, sizeof what, "Q%d K%d D%d%s on %s", (int)c->sq, (int)c->sk, (int)c->d,
             c->causal ? " causal" : "", where);
    attn_data_make(c, &data);
    attn_run(device, c, &data, NULL, &whole);
    ck_assert_msg(whole.status == ANL_OK, "%s: %s", what, whole.message);
    for (size_t k = 0; k < sizeof chunks / sizeof *chunks; k++) {
        /* single tokens: a sample with every place in a block of 64 */
        int64_t n = chunks[k], step = n == 1 && c->sq > 100 ? 13 : n;
        for (int64_t i = 0; i < c->sq; i += step)
            check_chunk(device, c, &data, &whole, i, i + n < c->sq ? n : c->sq - i, what);
    }
    check_cuts(device, c, &data, &whole, what);
    check_spoilt(device, c, what);
    run_free(&whole);
    attn_data_free(&data);
}

static const struct attn_case cases[] = {
    { .b = 1, .h = 1, .hkv = 1, .sq = 150, .sk = 150, .d = 16, .dv = 16, .causal = 1 },
    { .b = 2, .h = 6, .hkv = 2, .sq = 40, .sk = 540, .d = 9, .dv = 7, .causal = 1,
      .state = ATTN_OUT_AND_STATE },
    { .b = 1, .h = 2, .hkv = 1, .sq = 300, .sk = 1700, .d = 4, .dv = 4, .causal = 1,
      .kv = ANL_F16 },
    { .b = 1, .h = 3, .hkv = 1, .sq = 70, .sk = 1600, .d = 8, .dv = 8, .has_offset = 1,
      .offset = 470 },
    { .b = 1, .h = 1, .hkv = 1, .sq = 60, .sk = 2100, .d = 2, .dv = 3, .causal = 1,
      .head.kind = GEN_ADVERSARIAL, .scale = 1, .kv = ANL_BF16 },
    { .b = 1, .h = 4, .hkv = 2, .sq = 3, .sk = 2600, .d = 8, .dv = 16, .has_offset = 1, .offset = 1535,
      .state = ATTN_OUT_AND_STATE, .out = ANL_F16 },
};

START_TEST(decode_on_law)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    check_case(law, &cases[1], "law");
    check_case(law, &cases[4], "law");
    check_case(law, &cases[5], "law");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

START_TEST(decode_on_cpu)
{
    static const struct testing_cpu cpus[] = { { ANL_ISA_GENERIC, 1, 0 }, { ANL_ISA_AVX2, 2, 0 },
                                               { ANL_ISA_AUTO, 3, 0 } };
    struct anl_context *context = testing_context();
    for (size_t k = 0; k < sizeof cpus / sizeof *cpus; k++) {
        struct anl_device *device = testing_cpu_open(context, &cpus[k]);
        char name[40];
        if (device == NULL)
            continue;
        testing_cpu_name(&cpus[k], name, sizeof name);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_case(device, &cases[i], name);
        anl_device_destroy(device);
    }
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { decode_on_law, decode_on_cpu };
    return testing_main("decode", tests, sizeof tests / sizeof *tests);
}
