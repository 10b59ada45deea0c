/* tests/test_random.c: cases nobody thought of: shapes, options and devices drawn at random from a
 * fixed seed; the CPU backend against the law, and attention cut in pieces and calls against the whole.
 * `test_random [COUNT [SEED]]` runs more of them. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/attn_case.h"
#include "tests/ffn_case.h"
#include "tests/linear_case.h"
#include "tests/qkv_case.h"
#include "tests/testing.h"

#define MAX_CPUS 16

static int count = 400;
static uint64_t seed = 1;

/* A size up to `most`: often tiny, often beside a multiple of 16, 64 or 512. */
static int64_t draw_size(struct gen *g, uint32_t most)
{
    static const uint32_t steps[] = { 1, 16, 64, 512 };
    uint32_t step = steps[gen_below(g, 4)], n = 1 + gen_below(g, most);
    if (step > 1)
        n = n / step * step + gen_below(g, 3) - 1;
    return n < 1 || n > most ? 1 + gen_below(g, 20 < most ? 20 : most) : n;
}

static struct case_head draw_head(struct gen *g)
{
    struct case_head head = { 0, (enum gen_kind)gen_below(g, GEN_KINDS), 0 };
    if (gen_below(g, 2) == 0)
        head.kind = GEN_RANDOM;
    head.seed = gen_below(g, 1000);
    return head;
}

static anl_dtype draw_float(struct gen *g)
{
    return (anl_dtype)gen_below(g, 3); /* f32, f16, bf16 */
}

static struct attn_case draw_attn(struct gen *g)
{
    struct attn_case c = { .head = draw_head(g), .b = 1 + gen_below(g, 2) };
    c.hkv = 1 + gen_below(g, 3);
    c.h = c.hkv * (1 + gen_below(g, 4));
    c.d = draw_size(g, 70);
    c.dv = draw_size(g, 70);
    c.sk = draw_size(g, gen_below(g, 3) == 0 ? 2300 : 200);
    c.sq = draw_size(g, c.sk > 200 ? 40 : 150);
    c.causal = gen_below(g, 2) == 0;
    c.has_offset = gen_below(g, 2) == 0;
    c.offset = (int64_t)gen_below(g, (uint32_t)(c.sk + 200)) - 100;
    c.kv = draw_float(g);
    c.out = draw_float(g);
    c.state = (enum attn_state)gen_below(g, 3);
    c.piece = (int)gen_below(g, 4) - 1;
    if (c.head.kind == GEN_ADVERSARIAL)
        c.scale = 1;
    c.cut = c.piece == 0 ? 0 : (int)gen_below(g, 4);
    c.states = gen_below(g, 4) == 0;
    return c;
}

static struct linear_case draw_linear(struct gen *g)
{
    struct linear_case c = { .head = draw_head(g), .t = draw_size(g, 80), .n = draw_size(g, 150) };
    c.w = (anl_dtype)gen_below(g, 6);
    c.k = draw_size(g, 700);
    if (c.w >= ANL_Q8_0)
        c.k = (c.k + 31) / 32 * 32;
    c.norm = gen_below(g, 3) == 0;
    c.bias = gen_below(g, 2) == 0;
    c.act = (anl_act)gen_below(g, 5);
    c.gate = (int)gen_below(g, 3);
    c.residual = (int)gen_below(g, c.gate == 2 ? 2 : 3);
    c.out = c.gate == 2 || c.residual == 2 ? ANL_F32 : draw_float(g);
    return c;
}

static struct ffn_case draw_ffn(struct gen *g)
{
    struct ffn_case c = { .head = draw_head(g), .t = draw_size(g, 80), .w = draw_float(g) };
    c.dm = draw_size(g, 80);
    c.dff = draw_size(g, 600);
    c.gated = gen_below(g, 2) == 0;
    c.bias = gen_below(g, 2) == 0;
    c.act = (anl_act)gen_below(g, 5);
    c.residual = (int)gen_below(g, 4);
    c.norm = gen_below(g, 3) == 0;
    c.gate_f16 = gen_below(g, 4) == 0;
    c.out = c.residual >= 2 ? ANL_F32 : draw_float(g);
    c.scratch_limit = gen_below(g, 20000);
    return c;
}

static struct qkv_case draw_qkv(struct gen *g)
{
    struct qkv_case c = { .head = draw_head(g), .t = draw_size(g, 80), .w = draw_float(g) };
    c.dm = draw_size(g, 600);
    c.hkv = 1 + gen_below(g, 3);
    c.h = c.hkv * (1 + gen_below(g, 3));
    c.d = 2 + gen_below(g, 40);
    c.dv = 1 + gen_below(g, 40);
    c.v_f16 = gen_below(g, 4) == 0;
    c.norm = gen_below(g, 3) > 0;
    c.bias = gen_below(g, 2) == 0;
    c.dims = (int)gen_below(g, (uint32_t)c.d / 2 + 1) * 2;
    c.base = 10000;
    c.positions = 1200;
    c.position = gen_below(g, 1100);
    c.pairs = gen_below(g, 2) ? ANL_ROPE_HALF : ANL_ROPE_ADJACENT;
    c.kv = draw_float(g);
    return c;
}

/* The device to try, and the law; one case on both. */
struct bench {
    struct anl_context *context;
    struct anl_device *law, *device[MAX_CPUS];
    int devices;
};

static void bench_open(struct bench *b)
{
    int n;
    const struct testing_cpu *cpu = testing_cpus(&n);
    b->context = testing_context();
    b->law = testing_law(b->context);
    b->devices = 0;
    for (int i = 0; i < n; i++) {
        struct anl_device *device = testing_cpu_open(b->context, &cpu[i]);
        if (device != NULL)
            b->device[b->devices++] = device;
    }
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < b->devices; i++)
        anl_device_destroy(b->device[i]);
    anl_device_destroy(b->law);
    anl_context_destroy(b->context);
}

static struct place_options draw_options(struct gen *g)
{
    struct place_options options = { .layout = (enum place_layout)gen_below(g, 3),
                                     .fill = 0xffc1ffc1 };
    return options;
}

/* NaN is allowed here (data of any kind may overflow): both must say it at the same places. */
static void same(struct run_result *result, struct run_result *law, const char *op, int i)
{
    char what[80];
    snprintf(what, sizeof what, "%s, random case %d of seed %llu", op, i, (unsigned long long)seed);
    testing_same(result, law, what);
    run_free(result);
    run_free(law);
}

START_TEST(attn)
{
    struct bench b;
    bench_open(&b);
    for (int i = 0; i < count; i++) {
        struct gen g = gen_seed(seed, (uint32_t)i + 10000);
        struct attn_case c = draw_attn(&g), whole = c;
        struct place_options options = draw_options(&g);
        struct run_result result = { 0 }, law = { 0 };
        struct attn_data data;
        whole.piece = whole.cut = whole.states = 0;
        attn_data_make(&c, &data);
        attn_run(b.law, &whole, &data, NULL, &law);
        attn_run(b.device[gen_below(&g, (uint32_t)b.devices)], &c, &data, &options, &result);
        same(&result, &law, "attn", i);
        attn_data_free(&data);
    }
    bench_close(&b);
}
END_TEST

START_TEST(linear)
{
    struct bench b;
    bench_open(&b);
    for (int i = 0; i < count; i++) {
        struct gen g = gen_seed(seed, (uint32_t)i + 20000);
        struct linear_case c = draw_linear(&g);
        struct place_options options = draw_options(&g);
        struct run_result result = { 0 }, law = { 0 };
        struct linear_data data;
        linear_data_make(&c, &data);
        linear_run(b.law, &c, &data, NULL, &law);
        linear_run(b.device[gen_below(&g, (uint32_t)b.devices)], &c, &data, &options, &result);
        same(&result, &law, "linear", i);
        linear_data_free(&data);
    }
    bench_close(&b);
}
END_TEST

START_TEST(ffn)
{
    struct bench b;
    bench_open(&b);
    for (int i = 0; i < count / 2; i++) {
        struct gen g = gen_seed(seed, (uint32_t)i + 30000);
        struct ffn_case c = draw_ffn(&g);
        struct place_options options = draw_options(&g);
        struct run_result result = { 0 }, law = { 0 };
        struct ffn_data data;
        ffn_data_make(&c, &data);
        ffn_run(b.law, &c, &data, NULL, &law, NULL);
        ffn_run(b.device[gen_below(&g, (uint32_t)b.devices)], &c, &data, &options, &result, NULL);
        same(&result, &law, "ffn", i);
        ffn_data_free(&data);
    }
    bench_close(&b);
}
END_TEST

START_TEST(qkv)
{
    struct bench b;
    bench_open(&b);
    for (int i = 0; i < count / 2; i++) {
        struct gen g = gen_seed(seed, (uint32_t)i + 40000);
        struct qkv_case c = draw_qkv(&g);
        struct place_options options = draw_options(&g);
        struct run_result result = { 0 }, law = { 0 };
        struct qkv_data data;
        qkv_data_make(&c, &data);
        qkv_run(b.law, &c, &data, NULL, 0, &law);
        qkv_run(b.device[gen_below(&g, (uint32_t)b.devices)], &c, &data, &options, 0, &result);
        same(&result, &law, "qkv", i);
        qkv_data_free(&data);
    }
    bench_close(&b);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = { attn, linear, ffn, qkv };
    if (argc > 1)
        count = atoi(argv[1]);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    return testing_main("random", tests, sizeof tests / sizeof *tests);
}
