/* tests/test_ffn.c: a fused feedforward is its parts, bit for bit, for any scratch limit; its
 * scratch keeps the limit and does not grow with the tokens. */
#include <stdio.h>

#include "tests/ffn_case.h"
#include "tests/linear_case.h"
#include "tests/testing.h"

static struct anl_weights *pack(struct place *p, const struct ffn_case *c, anl_dtype dtype,
                                const void *data, int down)
{
    return place_weights(p, dtype, down ? c->dm : c->dff, down ? c->dff : c->dm, data);
}

static void linear(struct anl_device *device, struct anl_linear_params *params)
{
    params->size = sizeof *params;
    ck_ok(anl_linear(device, params), device);
}

/* norm, and up, gate and down as three calls of anl_linear() over whole hidden layers. */
static void run_parts(struct anl_device *device, const struct ffn_case *c,
                      const struct ffn_data *data, struct run_result *result)
{
    struct place p;
    const int64_t x_dim[2] = { c->t, c->dm }, h_dim[2] = { c->t, c->dff };
    struct anl_linear_params up = { 0 }, gate = { 0 }, down = { 0 };
    struct anl_weights *w[3] = { NULL, NULL, NULL };
    place_begin(&p, device, NULL);
    up.x = place_tensor(&p, data->x, ANL_F32, 2, x_dim);
    if (c->norm) {
        struct anl_norm_params norm = { .size = sizeof norm, .x = up.x, .eps = CASE_EPS };
        norm.w = place_tensor(&p, data->norm, ANL_F32, 1, &c->dm);
        norm.out = up.x = place_tensor(&p, NULL, ANL_F32, 2, x_dim);
        ck_ok(anl_norm(device, &norm), device);
    }
    up.w = w[0] = pack(&p, c, c->w, data->up, 0);
    if (data->up_bias != NULL)
        up.bias = place_tensor(&p, data->up_bias, ANL_F32, 1, &c->dff);
    up.act = c->gated ? ANL_ACT_NONE : c->act;
    up.out = place_tensor(&p, NULL, ANL_F32, 2, h_dim);
    linear(device, &up);
    down.x = up.out;
    if (c->gated) {
        gate.x = up.x;
        gate.w = w[1] = pack(&p, c, ffn_gate_dtype(c), data->gate, 0);
        if (data->gate_bias != NULL)
            gate.bias = place_tensor(&p, data->gate_bias, ANL_F32, 1, &c->dff);
        gate.act = c->act;
        gate.gate = up.out;
        gate.out = place_tensor(&p, NULL, ANL_F32, 2, h_dim);
        linear(device, &gate);
        down.x = gate.out;
    }
    down.w = w[2] = pack(&p, c, c->w, data->down, 1);
    if (data->down_bias != NULL)
        down.bias = place_tensor(&p, data->down_bias, ANL_F32, 1, &c->dm);
    if (data->residual != NULL)
        down.residual = place_tensor(&p, data->residual, ANL_F32, 2, x_dim);
    down.out = place_tensor(&p, NULL, c->out, 2, x_dim);
    linear(device, &down);
    place_fetch(&p, &down.out, run_add(result, "out", c->out, (size_t)(c->t * c->dm))->data);
    for (int i = 0; i < 3; i++)
        anl_weights_destroy(w[i]);
    run_finish(result, &p);
}

static void check_limits(struct anl_device *device, const struct ffn_case *c,
                         const struct ffn_data *data, const struct run_result *parts,
                         const char *what)
{
    uint64_t row = (uint64_t)(c->dff + (c->norm ? c->dm : 0)) * sizeof(float);
    const uint64_t limits[] = { 0, 1, row, row * 2 + 3, row * 5, row * 64, UINT64_MAX };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct run_result result = { 0 };
        struct ffn_case with = *c;
        struct anl_memory before, after;
        uint64_t scratch = 0;
        with.scratch_limit = limits[i];
        anl_device_get_memory(device, &before);
        anl_device_memory_reset_peak(device);
        ffn_run(device, &with, data, NULL, &result, &scratch);
        testing_same(&result, parts, what);
        anl_device_get_memory(device, &after);
        ck_assert_uint_eq(after.tensors, before.tensors);
        ck_assert_uint_eq(after.weights, before.weights);
        ck_assert_msg(scratch > 0 || c->t == 0, "%s: scratch 0", what);
        if (limits[i] != 0)
            ck_assert_msg(scratch <= (limits[i] > row ? limits[i] : row),
                          "%s: limit %llu, scratch %llu", what, (unsigned long long)limits[i],
                          (unsigned long long)scratch);
        run_free(&result);
    }
}

static void parts_of(struct anl_device *device, const char *where)
{
    for (int i = 0; i < ffn_cases.count; i++) {
        const struct ffn_case *c = ffn_case_at(i);
        struct ffn_data data;
        struct run_result parts = { 0 };
        char name[160], what[220];
        ffn_cases.describe(i, name, sizeof name);
        snprintf(what, sizeof what, "%s on %s", name, where);
        ffn_data_make(c, &data);
        run_parts(device, c, &data, &parts);
        check_limits(device, c, &data, &parts, what);
        run_free(&parts);
        ffn_data_free(&data);
    }
}

START_TEST(parts_on_law)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    parts_of(law, "law");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

START_TEST(parts_on_cpu)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    parts_of(device, "cpu");
    anl_device_destroy(device);
    anl_context_destroy(context);
}
END_TEST

/* Scratch for a given limit, at two numbers of tokens, on a fresh device each. */
static uint64_t peak_scratch(const struct ffn_case *c)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    struct ffn_data data;
    struct run_result result = { 0 };
    struct anl_memory memory;
    ffn_data_make(c, &data);
    ffn_run(device, c, &data, NULL, &result, NULL);
    ck_assert_msg(result.status == ANL_OK, "%s", result.message);
    anl_device_get_memory(device, &memory);
    run_free(&result);
    ffn_data_free(&data);
    anl_device_destroy(device);
    anl_context_destroy(context);
    return memory.peak_scratch;
}

START_TEST(scratch_does_not_grow_with_tokens)
{
    struct ffn_case c = { .t = 200, .dm = 8, .dff = 100, .gated = 1, .act = ANL_ACT_SILU,
                          .scratch_limit = 100 * 4 * 64 };
    uint64_t few = peak_scratch(&c), many;
    c.t = 5000;
    many = peak_scratch(&c);
    printf("peak scratch: %llu bytes at 200 tokens, %llu at 5000\n", (unsigned long long)few,
           (unsigned long long)many);
    ck_assert_uint_gt(few, 0);
    ck_assert_uint_eq(few, many);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { parts_on_law, parts_on_cpu, scratch_does_not_grow_with_tokens };
    return testing_main("ffn", tests, sizeof tests / sizeof *tests);
}
