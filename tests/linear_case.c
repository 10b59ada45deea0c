/* tests/linear_case.c: linear's table of cases, their data, and how they run. */
#include "tests/linear_case.h"

#include <stdio.h>
#include <stdlib.h>

#define QUICK .head.flags = CASE_QUICK

static const struct linear_case table[] = {
    /* shapes: 1, odd, prime, around 16, 64 and 512, several spans, none */
    { QUICK, .t = 1, .k = 1, .n = 1 },
    { .t = 0, .k = 5, .n = 3 },
    { .t = 3, .k = 2, .n = 5 },
    { .t = 7, .k = 15, .n = 17 },
    { .t = 15, .k = 16, .n = 16 },
    { .t = 16, .k = 17, .n = 15 },
    { .t = 17, .k = 63, .n = 65 },
    { QUICK, .t = 13, .k = 64, .n = 67 },
    { .t = 5, .k = 65, .n = 63 },
    { .t = 63, .k = 31, .n = 64 },
    { .t = 64, .k = 33, .n = 31 },
    { .t = 65, .k = 29, .n = 33 },
    { .t = 2, .k = 511, .n = 19 },
    { .t = 3, .k = 512, .n = 23 },
    { QUICK, .t = 5, .k = 513, .n = 37 },
    { .t = 1, .k = 1024, .n = 41 },
    { .t = 1, .k = 1025, .n = 513 },
    { .t = 2, .k = 1024, .n = 512 },
    { QUICK, .t = 3, .k = 1699, .n = 11 },
    { .t = 4, .k = 2048, .n = 511 },
    { .t = 511, .k = 7, .n = 3 },
    { .t = 512, .k = 5, .n = 9 },
    { .t = 513, .k = 3, .n = 2 },
    { .t = 1, .k = 9, .n = 5003 },
    { .t = 31, .k = 576, .n = 97, .head.flags = CASE_BIG },
    { .t = 97, .k = 1537, .n = 130, .head.flags = CASE_BIG },

    /* weight formats; quantised rows in 1, 2, 16, 17 and more blocks; decode's single row */
    { .t = 5, .k = 37, .n = 29, .w = ANL_F16 },
    { QUICK, .t = 3, .k = 515, .n = 33, .w = ANL_F16 },
    { .t = 1, .k = 1040, .n = 70, .w = ANL_F16 },
    { .t = 5, .k = 37, .n = 29, .w = ANL_BF16 },
    { QUICK, .t = 3, .k = 515, .n = 33, .w = ANL_BF16 },
    { .t = 1, .k = 1040, .n = 70, .w = ANL_BF16 },
    { .t = 1, .k = 32, .n = 1, .w = ANL_Q8_0 },
    { .t = 9, .k = 64, .n = 17, .w = ANL_Q8_0 },
    { QUICK, .t = 3, .k = 544, .n = 33, .w = ANL_Q8_0 },
    { .t = 1, .k = 1600, .n = 65, .w = ANL_Q8_0 },
    { .t = 1, .k = 32, .n = 1, .w = ANL_Q4_1 },
    { .t = 9, .k = 64, .n = 17, .w = ANL_Q4_1 },
    { QUICK, .t = 3, .k = 544, .n = 33, .w = ANL_Q4_1 },
    { .t = 1, .k = 1600, .n = 65, .w = ANL_Q4_1 },
    { .t = 33, .k = 512, .n = 31, .w = ANL_Q4_1, .head.flags = CASE_BIG },
    { .t = 1, .k = 32, .n = 1, .w = ANL_Q4_0 },
    { .t = 9, .k = 64, .n = 17, .w = ANL_Q4_0 },
    { QUICK, .t = 3, .k = 544, .n = 33, .w = ANL_Q4_0 },
    { .t = 1, .k = 1600, .n = 65, .w = ANL_Q4_0 },

    /* every activation, alone and between bias and gate; large arguments */
    { QUICK, .t = 5, .k = 19, .n = 71, .act = ANL_ACT_RELU },
    { QUICK, .t = 5, .k = 19, .n = 71, .act = ANL_ACT_SILU },
    { QUICK, .t = 5, .k = 19, .n = 71, .act = ANL_ACT_GELU },
    { QUICK, .t = 5, .k = 19, .n = 71, .act = ANL_ACT_GELU_TANH },
    { .t = 7, .k = 23, .n = 131, .act = ANL_ACT_RELU, .head.kind = GEN_LARGE, .bias = 1 },
    { .t = 7, .k = 23, .n = 131, .act = ANL_ACT_SILU, .head.kind = GEN_LARGE, .bias = 1 },
    { .t = 7, .k = 23, .n = 131, .act = ANL_ACT_GELU, .head.kind = GEN_LARGE, .bias = 1 },
    { .t = 7, .k = 23, .n = 131, .act = ANL_ACT_GELU_TANH, .head.kind = GEN_LARGE, .bias = 1 },

    /* bias, gate, residual: each, both, in place; results narrowed */
    { .t = 5, .k = 33, .n = 21, .bias = 1 },
    { .t = 5, .k = 33, .n = 21, .gate = 1 },
    { .t = 5, .k = 33, .n = 21, .residual = 1 },
    { .t = 5, .k = 33, .n = 21, .gate = 1, .residual = 1 },
    { .t = 5, .k = 33, .n = 21, .gate = 2 },
    { .t = 5, .k = 33, .n = 21, .gate = 2, .residual = 1 },
    { .t = 5, .k = 33, .n = 21, .residual = 2 },
    { .t = 5, .k = 33, .n = 21, .gate = 1, .residual = 2 },
    { QUICK, .t = 4, .k = 600, .n = 21, .bias = 1, .act = ANL_ACT_SILU, .gate = 1, .residual = 2 },
    { .t = 6, .k = 45, .n = 35, .bias = 1, .act = ANL_ACT_GELU, .gate = 1, .residual = 1,
      .out = ANL_F16 },
    { .t = 6, .k = 45, .n = 35, .bias = 1, .act = ANL_ACT_GELU_TANH, .residual = 1,
      .out = ANL_BF16 },
    { QUICK, .t = 6, .k = 45, .n = 35, .out = ANL_F16 },
    { QUICK, .t = 6, .k = 45, .n = 35, .out = ANL_BF16 },
    { .t = 3, .k = 544, .n = 18, .w = ANL_Q4_1, .bias = 1, .act = ANL_ACT_SILU, .gate = 1,
      .residual = 1, .out = ANL_F16 },

    /* a norm first: one span and several, few tokens and many */
    { .t = 1, .k = 1, .n = 1, .norm = 1 },
    { .t = 0, .k = 5, .n = 3, .norm = 1 },
    { QUICK, .t = 1, .k = 576, .n = 97, .w = ANL_Q4_1, .norm = 1 },
    { .t = 8, .k = 513, .n = 33, .norm = 1, .bias = 1, .act = ANL_ACT_SILU, .gate = 1,
      .residual = 2 },
    { .t = 9, .k = 513, .n = 33, .norm = 1, .residual = 1, .out = ANL_F16 },
    { .t = 5, .k = 1536, .n = 40, .w = ANL_Q8_0, .norm = 1 },
    { .t = 2, .k = 5001, .n = 35, .w = ANL_F16, .norm = 1 },
    { .t = 530, .k = 33, .n = 5, .norm = 1 },
    { .t = 5, .k = 1100, .n = 33, .norm = 1, .head.kind = GEN_ADVERSARIAL },
    { .t = 5, .k = 600, .n = 33, .norm = 1, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 } },

    /* kinds of data */
    { .t = 3, .k = 1100, .n = 9, .head.kind = GEN_CONSTANT },
    { .t = 3, .k = 1101, .n = 9, .head.kind = GEN_ALTERNATING },
    { QUICK, .t = 9, .k = 1537, .n = 17, .head.kind = GEN_ADVERSARIAL },
    { .t = 9, .k = 512, .n = 17, .head.kind = GEN_ADVERSARIAL, .residual = 1, .gate = 1 },
    { .t = 5, .k = 544, .n = 17, .head.kind = GEN_ADVERSARIAL, .w = ANL_F16 },
    { .t = 5, .k = 544, .n = 17, .head.kind = GEN_ADVERSARIAL, .w = ANL_Q8_0 },
    { .t = 5, .k = 544, .n = 17, .head.kind = GEN_ADVERSARIAL, .w = ANL_Q4_1 },
    { .t = 5, .k = 544, .n = 17, .head.kind = GEN_CONSTANT, .w = ANL_Q4_0 },
    { .t = 5, .k = 70, .n = 17, .head.kind = GEN_LARGE, .out = ANL_F16 },
    { .t = 5, .k = 70, .n = 33, .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 5, .k = 530, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .bias = 1,
      .act = ANL_ACT_SILU, .gate = 1, .residual = 1 },
    { .t = 5, .k = 70, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .act = ANL_ACT_GELU },
    { .t = 5, .k = 70, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 },
      .act = ANL_ACT_GELU_TANH },
    { .t = 5, .k = 70, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .w = ANL_F16,
      .out = ANL_BF16 },
    { .t = 5, .k = 64, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .w = ANL_Q8_0 },
    { .t = 5, .k = 64, .n = 33, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .w = ANL_Q4_1 },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct linear_case *linear_case_at(int index)
{
    return &table[index];
}

const char *act_name(anl_act act)
{
    static const char *const names[] = { "", " relu", " silu", " gelu", " gelu_tanh" };
    return names[act];
}

static void describe(int index, char *name, size_t size)
{
    static const char *const tensor[3] = { "", "", " in place" };
    const struct linear_case *c = &table[index];
    snprintf(name, size, "T%d K%d N%d %s%s%s%s%s%s%s%s > %s %s", (int)c->t, (int)c->k, (int)c->n,
             anl_dtype_name(c->w), c->norm ? " norm" : "", c->bias ? " bias" : "", act_name(c->act),
             c->gate ? " gate" : "", tensor[c->gate], c->residual ? " residual" : "",
             tensor[c->residual], anl_dtype_name(c->out), gen_kind_name(c->head.kind));
}

void linear_data_make(const struct linear_case *c, struct linear_data *data)
{
    struct gen g = gen_seed(c->head.seed, 100);
    size_t x = (size_t)(c->t * c->k), out = (size_t)(c->t * c->n);
    /* sums near 80: a few dozen products of values near 0.6 and 16 */
    int shift = c->head.kind == GEN_LARGE ? 5 : 0;
    *data = (struct linear_data){ 0 };
    data->x = gen_alloc(x, sizeof(float));
    gen_floats(&g, c->head.kind, shift, data->x, x);
    data->w = gen_weights(&g, c->head.kind, shift == 0 ? 0 : 1, c->w, c->n, c->k);
    if (c->bias) {
        data->bias = gen_alloc((size_t)c->n, sizeof(float));
        gen_floats(&g, c->head.kind, 0, data->bias, (size_t)c->n);
    }
    if (c->gate) {
        data->gate = gen_alloc(out, sizeof(float));
        gen_floats(&g, c->head.kind, 1, data->gate, out);
    }
    if (c->residual) {
        data->residual = gen_alloc(out, sizeof(float));
        gen_floats(&g, c->head.kind, 1, data->residual, out);
    }
    if (c->norm) {
        data->norm = gen_alloc((size_t)c->k, sizeof(float));
        gen_floats(&g, c->head.kind, 0, data->norm, (size_t)c->k);
    }
}

void linear_data_free(struct linear_data *data)
{
    free(data->x);
    free(data->w);
    free(data->norm);
    free(data->bias);
    free(data->gate);
    free(data->residual);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_linear(device, params);
}

void linear_run(struct anl_device *device, const struct linear_case *c,
                const struct linear_data *data, const struct place_options *options,
                struct run_result *result)
{
    struct place p;
    struct anl_linear_params params = { .size = sizeof params, .act = c->act };
    const int64_t x_dim[2] = { c->t, c->k }, out_dim[2] = { c->t, c->n };
    place_begin(&p, device, options);
    struct anl_weights *w = place_weights(&p, c->w, c->n, c->k, data->w);
    params.w = w;
    params.x = place_tensor(&p, data->x, ANL_F32, 2, x_dim);
    if (c->norm) {
        params.norm = place_tensor(&p, data->norm, ANL_F32, 1, &c->k);
        params.eps = CASE_EPS;
    }
    if (c->bias)
        params.bias = place_tensor(&p, data->bias, ANL_F32, 1, &c->n);
    if (c->gate)
        params.gate = place_tensor(&p, data->gate, ANL_F32, 2, out_dim);
    if (c->residual)
        params.residual = place_tensor(&p, data->residual, ANL_F32, 2, out_dim);
    if (c->gate == 2)
        params.out = params.gate;
    else if (c->residual == 2)
        params.out = params.residual;
    else
        params.out = place_tensor(&p, NULL, c->out, 2, out_dim);
    place_run(&p, call, &params, &params.out);
    struct run_array *out = run_add(result, "out", c->out, (size_t)(c->t * c->n));
    place_fetch(&p, &params.out, out->data);
    anl_weights_destroy(w);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct linear_data *data = gen_alloc(1, sizeof *data);
    linear_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    linear_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    linear_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct linear_case, t), .low = 1, .high = 1 << 24 },
    { "n", SHAPE_NUMBER, offsetof(struct linear_case, n), .low = 1, .high = 1 << 24 },
    { "k", SHAPE_NUMBER, offsetof(struct linear_case, k), .low = 1, .high = 1 << 24 },
    SHAPE_WEIGHTS(offsetof(struct linear_case, w)),
};

static const struct case_bench bench[] = {
    { "t2048 n4096 k4096 f32", 0 }, { "t8192 n1536 k576 q4_1", 0 }, { "t1 n1536 k576 q4_1", 0 },
    { "t1 n11008 k4096 q4_1", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct linear_case *c = at;
    if (case_missing("t", c->t, error, error_size) || case_missing("n", c->n, error, error_size) ||
        case_missing("k", c->k, error, error_size))
        return -1;
    return case_blocks(c->w, "k", c->k, error, error_size);
}

static const struct case_form form = { sizeof(struct linear_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op linear_cases = { "linear", sizeof table / sizeof *table, head, describe, make,
                                      drop, run, &form };
