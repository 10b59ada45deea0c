/* tests/test_poison.c: what is hidden, padding or not yet written changes no bit: NaN and infinity
 * in gaps, tails and results, in keys that a row may not see, and in keys of score -inf; and what is
 * NaN spreads to its own row (or feature) only. */
#include <math.h>
#include <stdio.h>

#include "tests/attn_case.h"
#include "tests/linear_case.h"
#include "tests/norm_case.h"
#include "tests/testing.h"
#include "tests/xent_case.h"

#define DEVICES 4

static const struct testing_cpu cpus[DEVICES - 1] = {
    { ANL_ISA_GENERIC, 1, 0 }, { ANL_ISA_AVX2, 2, 0 }, { ANL_ISA_AUTO, 2, 0 }
};

/* The law and a few CPU devices; those that are not here stay NULL. */
struct devices {
    struct anl_context *context;
    struct anl_device *device[DEVICES];
    char name[DEVICES][40];
};

static void devices_open(struct devices *d)
{
    d->context = testing_context();
    d->device[0] = testing_law(d->context);
    snprintf(d->name[0], sizeof d->name[0], "law");
    for (int i = 1; i < DEVICES; i++) {
        d->device[i] = testing_cpu_open(d->context, &cpus[i - 1]);
        testing_cpu_name(&cpus[i - 1], d->name[i], sizeof d->name[i]);
    }
}

static void devices_close(struct devices *d)
{
    for (int i = 0; i < DEVICES; i++)
        anl_device_destroy(d->device[i]);
    anl_context_destroy(d->context);
}

/* Every case of every table, its views full of gaps, and the gaps and results full of poison. */
START_TEST(gaps)
{
    static const struct place_options options[] = {
        { .layout = PLACE_TIGHT, .fill = 0x7fc0ffff },
        { .layout = PLACE_GAPS, .fill = 0x7f807c00 },
        { .layout = PLACE_GAPS, .fill = 0xffffffff },
        { .layout = PLACE_WRAPPED, .fill = 0xff80fc00 },
    };
    struct devices d;
    int ops, count = sizeof options / sizeof *options;
    const struct case_op *const *op = case_ops(&ops);
    devices_open(&d);
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++) {
            struct run_result expected = { 0 };
            char name[160], what[300];
            void *data = op[o]->make(i);
            op[o]->describe(i, name, sizeof name);
            op[o]->run(d.device[0], i, data, NULL, &expected);
            for (int k = 0; k < count * DEVICES; k++) {
                struct run_result result = { 0 };
                /* the large ones once per device: layouts differ in small ones as well */
                if (d.device[k / count] == NULL ||
                    (op[o]->head(i)->flags & CASE_BIG && k % count != 1))
                    continue;
                snprintf(what, sizeof what, "%s %s on %s, layout %d", op[o]->name, name,
                         d.name[k / count], k % count);
                op[o]->run(d.device[k / count], i, data, &options[k % count], &result);
                testing_same(&result, &expected, what);
                run_free(&result);
            }
            run_free(&expected);
            op[o]->drop(data);
        }
    }
    devices_close(&d);
}
END_TEST

/* Compares row `row` of `width` elements of an array; columns other than `except`. */
static int same_row(const struct run_array *a, const struct run_array *b, size_t row, size_t width,
                    int64_t except)
{
    for (size_t i = row * width; i < (row + 1) * width; i++) {
        if ((int64_t)(i - row * width) != except &&
            gen_bits(run_value(a, i)) != gen_bits(run_value(b, i)))
            return 0;
    }
    return 1;
}

static int row_is_nan(const struct run_array *a, size_t row, size_t width)
{
    for (size_t i = row * width; i < (row + 1) * width; i++) {
        if (gen_bits(run_value(a, i)) != 0x7fc00000)
            return 0;
    }
    return 1;
}

/* Sets element i of keys or values. */
static void poke(anl_dtype dtype, void *array, size_t i, float x)
{
    gen_store(dtype, &x, 1, (uint8_t *)array + i * gen_dtype_size(dtype));
}

/* Poisons key j of every head: its key, its value, or both. */
static void poison_key(const struct attn_case *c, struct attn_data *data, int64_t j, float poison,
                       int parts)
{
    for (int64_t head = 0; head < c->b * c->hkv; head++) {
        size_t at = (size_t)(head * c->sk + j);
        for (size_t i = 0; parts & 1 && i < (size_t)c->d; i++)
            poke(c->kv, data->k, at * (size_t)c->d + i, poison);
        for (size_t i = 0; parts & 2 && i < (size_t)c->dv; i++)
            poke(c->kv, data->v, at * (size_t)c->dv + i, poison);
    }
}

static void check_hidden(const struct attn_case *c, const struct run_result *clean,
                         const struct run_result *result, int64_t j, float poison, const char *what)
{
    size_t rows = (size_t)(c->b * c->h * c->sq);
    ck_assert_msg(result->status == ANL_OK, "%s: %s", what, result->message);
    for (size_t row = 0; row < rows; row++) {
        int64_t position = attn_case_offset(c) + (int64_t)row % c->sq;
        if (j <= position) {
            ck_assert_msg(!isnan(poison) || row_is_nan(&result->array[0], row, (size_t)c->dv),
                          "%s: row %zu sees key %d and is not NaN", what, row, (int)j);
            continue;
        }
        for (int a = 0; a < result->arrays; a++) {
            size_t width = result->array[a].count / rows;
            ck_assert_msg(same_row(&clean->array[a], &result->array[a], row, width, -1),
                          "%s: key %d changes %s of row %zu, which does not see it", what, (int)j,
                          result->array[a].name, row);
        }
    }
}

static void poison_case(struct anl_device *device, const char *name, const struct attn_case *c)
{
    const float poisons[] = { NAN, INFINITY, -INFINITY };
    const int64_t keys[] = { c->sk - 1, c->sk - 2, c->sk / 2, 63, 64, c->sk - c->sq + 1, 511, 512 };
    struct attn_data data;
    struct run_result clean = { 0 };
    attn_data_make(c, &data);
    attn_run(device, c, &data, NULL, &clean);
    attn_data_free(&data);
    ck_assert_msg(clean.status == ANL_OK, "%s", clean.message);
    for (size_t k = 0; k < sizeof keys / sizeof *keys * 9; k++) {
        int64_t j = keys[k / 9];
        float poison = poisons[k / 3 % 3];
        struct run_result result = { 0 };
        char what[200];
        if (j < 0 || j >= c->sk)
            continue;
        snprintf(what, sizeof what, "Q%d K%d on %s, poison %g in part %d", (int)c->sq, (int)c->sk,
                 name, (double)poison, (int)(k % 3) + 1);
        attn_data_make(c, &data);
        poison_key(c, &data, j, poison, (int)(k % 3) + 1);
        attn_run(device, c, &data, NULL, &result);
        check_hidden(c, &clean, &result, j, poison, what);
        run_free(&result);
        attn_data_free(&data);
    }
    run_free(&clean);
}

START_TEST(hidden_keys)
{
    static const struct attn_case cases[] = {
        { .b = 1, .h = 1, .hkv = 1, .sq = 70, .sk = 70, .d = 8, .dv = 8, .causal = 1 },
        { .b = 2, .h = 2, .hkv = 1, .sq = 33, .sk = 150, .d = 5, .dv = 3, .causal = 1,
          .has_offset = 1, .offset = 40, .state = ATTN_OUT_AND_STATE },
        { .b = 1, .h = 1, .hkv = 1, .sq = 100, .sk = 600, .d = 16, .dv = 16, .causal = 1,
          .has_offset = 1, .offset = 460, .kv = ANL_F16 },
        { .b = 1, .h = 2, .hkv = 2, .sq = 9, .sk = 1100, .d = 8, .dv = 17, .causal = 1,
          .has_offset = 1, .offset = 506, .piece = 1, .kv = ANL_BF16 },
        { .b = 1, .h = 2, .hkv = 1, .sq = 1, .sk = 1100, .d = 16, .dv = 16, .causal = 1,
          .has_offset = 1, .offset = 509 },
        { .b = 1, .h = 1, .hkv = 1, .sq = 70, .sk = 70, .d = 8, .dv = 8, .causal = 1,
          .has_offset = 1, .offset = -30, .state = ATTN_OUT_AND_STATE },
    };
    struct devices d;
    devices_open(&d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int k = 0; k < DEVICES; k++) {
            if (d.device[k] != NULL)
                poison_case(d.device[k], d.name[k], &cases[i]);
        }
    }
    devices_close(&d);
}
END_TEST

/* A score of -inf hides a key, and its value may be anything. */
START_TEST(score_of_minus_infinity)
{
    const struct attn_case c = { .b = 1, .h = 2, .hkv = 1, .sq = 20, .sk = 600, .d = 6, .dv = 5,
                                 .causal = 1, .state = ATTN_OUT_AND_STATE };
    struct devices d;
    devices_open(&d);
    for (int k = 0; k < DEVICES; k++) {
        struct run_result zero = { 0 }, poisoned = { 0 };
        for (int pass = 0; pass < 2 && d.device[k] != NULL; pass++) {
            struct attn_data data;
            attn_data_make(&c, &data);
            for (int64_t i = 0; i < c.b * c.h * c.sq * c.d; i += c.d)
                data.q[i] = 1 + fabsf(data.q[i]);
            for (int64_t j = 0; j < c.sk; j += j < 128 ? 1 : 3) { /* two whole blocks among them */
                poison_key(&c, &data, j, pass ? NAN : 0, 2);
                poke(c.kv, data.k, (size_t)(j * c.d), -INFINITY);
            }
            attn_run(d.device[k], &c, &data, NULL, pass ? &poisoned : &zero);
            attn_data_free(&data);
        }
        if (d.device[k] != NULL)
            testing_same(&poisoned, &zero, d.name[k]);
        run_free(&zero);
        run_free(&poisoned);
    }
    devices_close(&d);
}
END_TEST

/* No key with a score: +0, m = -inf, l = 0, as when there are no keys. */
START_TEST(every_score_minus_infinity)
{
    const struct attn_case c = { .b = 1, .h = 1, .hkv = 1, .sq = 5, .sk = 70, .d = 3, .dv = 4,
                                 .state = ATTN_OUT_AND_STATE };
    struct devices d;
    devices_open(&d);
    for (int k = 0; k < DEVICES; k++) {
        struct run_result result = { 0 };
        struct attn_data data;
        if (d.device[k] == NULL)
            continue;
        attn_data_make(&c, &data);
        for (int64_t i = 0; i < c.sq * c.d; i++)
            data.q[i] = 1;
        for (int64_t j = 0; j < c.sk; j++)
            poison_key(&c, &data, j, -INFINITY, 1);
        attn_run(d.device[k], &c, &data, NULL, &result);
        ck_assert_msg(result.status == ANL_OK, "%s", result.message);
        for (size_t i = 0; i < result.array[0].count; i++)
            ck_assert_uint_eq(gen_bits(run_value(&result.array[0], i)), 0);
        for (size_t i = 0; i < result.array[1].count; i++) {
            ck_assert_uint_eq(gen_bits(run_value(&result.array[1], i)), 0xff800000);
            ck_assert_uint_eq(gen_bits(run_value(&result.array[2], i)), 0);
        }
        run_free(&result);
        attn_data_free(&data);
    }
    devices_close(&d);
}
END_TEST

/* Checks that of `rows` only `bad` differs from the clean result, and is NaN throughout. */
static void only_row(const struct run_result *clean, const struct run_result *result, size_t rows,
                     size_t bad, const char *what)
{
    size_t width = clean->array[0].count / rows;
    ck_assert_msg(result->status == ANL_OK, "%s: %s", what, result->message);
    for (size_t row = 0; row < rows; row++) {
        if (row == bad)
            ck_assert_msg(row_is_nan(&result->array[0], row, width), "%s: row %zu is not NaN", what,
                          row);
        else
            ck_assert_msg(same_row(&clean->array[0], &result->array[0], row, width, -1),
                          "%s: NaN of row %zu reaches row %zu", what, bad, row);
    }
}

START_TEST(a_query_of_nan)
{
    const struct attn_case c = { .b = 1, .h = 2, .hkv = 1, .sq = 20, .sk = 600, .d = 6, .dv = 5 };
    struct devices d;
    devices_open(&d);
    for (int k = 0; k < DEVICES; k++) {
        struct run_result clean = { 0 }, result = { 0 };
        struct attn_data data;
        if (d.device[k] == NULL)
            continue;
        attn_data_make(&c, &data);
        attn_run(d.device[k], &c, &data, NULL, &clean);
        data.q[7 * c.d + 2] = NAN;
        attn_run(d.device[k], &c, &data, NULL, &result);
        only_row(&clean, &result, (size_t)(c.h * c.sq), 7, d.name[k]);
        attn_data_free(&data);
        run_free(&clean);
        run_free(&result);
    }
    devices_close(&d);
}
END_TEST

START_TEST(a_token_of_nan)
{
    const struct linear_case lc = { .t = 19, .k = 530, .n = 37 };
    const struct norm_case nc = { .t = 19, .dm = 530 };
    const struct xent_case xc = { .t = 19, .n = 530 };
    struct devices d;
    devices_open(&d);
    for (int k = 0; k < DEVICES; k++) {
        struct run_result clean[3] = { { 0 } }, result[3] = { { 0 } };
        struct linear_data linear;
        struct norm_data norm;
        struct xent_data xent;
        if (d.device[k] == NULL)
            continue;
        linear_data_make(&lc, &linear);
        norm_data_make(&nc, &norm);
        xent_data_make(&xc, &xent);
        for (int pass = 0; pass < 2; pass++) {
            struct run_result *r = pass ? result : clean;
            linear_run(d.device[k], &lc, &linear, NULL, &r[0]);
            norm_run(d.device[k], &nc, &norm, NULL, &r[1]);
            xent_run(d.device[k], &xc, &xent, NULL, &r[2]);
            linear.x[5 * 530 + 529] = norm.x[5 * 530 + 529] = xent.logits[5 * 530 + 529] = NAN;
        }
        for (int i = 0; i < 3; i++) {
            only_row(&clean[i], &result[i], 19, 5, d.name[k]);
            run_free(&clean[i]);
            run_free(&result[i]);
        }
        linear_data_free(&linear);
        norm_data_free(&norm);
        xent_data_free(&xent);
    }
    devices_close(&d);
}
END_TEST

/* A weight row of NaN or infinity: that feature only, beside tails that packing pads. */
START_TEST(a_feature_of_nan)
{
    const struct linear_case c = { .t = 7, .k = 37, .n = 37 };
    const float poisons[2] = { NAN, INFINITY };
    struct devices d;
    devices_open(&d);
    for (int k = 0; k < DEVICES * 2; k++) {
        struct run_result clean = { 0 }, result = { 0 };
        struct linear_data data;
        struct anl_device *device = d.device[k / 2];
        if (device == NULL)
            continue;
        linear_data_make(&c, &data);
        linear_run(device, &c, &data, NULL, &clean);
        for (int64_t i = 0; i < c.k; i++)
            ((float *)data.w)[36 * c.k + i] = poisons[k % 2];
        linear_run(device, &c, &data, NULL, &result);
        for (size_t t = 0; t < 7; t++) {
            ck_assert(same_row(&clean.array[0], &result.array[0], t, 37, 36));
            ck_assert(!isfinite(run_value(&result.array[0], t * 37 + 36)));
        }
        linear_data_free(&data);
        run_free(&clean);
        run_free(&result);
    }
    devices_close(&d);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { gaps, hidden_keys, score_of_minus_infinity,
                             every_score_minus_infinity, a_query_of_nan, a_token_of_nan,
                             a_feature_of_nan };
    return testing_main("poison", tests, sizeof tests / sizeof *tests);
}
