/* tests/ffn_case.c: ffn's table of cases, their data, and how they run. */
#include "tests/ffn_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear_case.h"

#define QUICK .head.flags = CASE_QUICK
#define SWIGLU .gated = 1, .act = ANL_ACT_SILU

static const struct ffn_case table[] = {
    { QUICK, .t = 1, .dm = 1, .dff = 1, SWIGLU },
    { .t = 0, .dm = 5, .dff = 9, SWIGLU },
    { .t = 3, .dm = 5, .dff = 7, .act = ANL_ACT_GELU },
    { .t = 15, .dm = 16, .dff = 17, SWIGLU },
    { .t = 16, .dm = 15, .dff = 64, .act = ANL_ACT_GELU_TANH, .bias = 1 },
    { .t = 17, .dm = 63, .dff = 65, SWIGLU, .residual = 1 },
    { QUICK, .t = 5, .dm = 33, .dff = 513, SWIGLU, .bias = 1, .residual = 1 },
    { QUICK, .t = 5, .dm = 33, .dff = 513, .act = ANL_ACT_GELU, .bias = 1, .residual = 1 },
    { .t = 4, .dm = 513, .dff = 65, SWIGLU },
    { .t = 65, .dm = 31, .dff = 127, SWIGLU, .residual = 2 },
    { .t = 5, .dm = 33, .dff = 43, .act = ANL_ACT_RELU },
    { .t = 5, .dm = 33, .dff = 43 },
    { .t = 5, .dm = 33, .dff = 43, .gated = 1, .act = ANL_ACT_GELU },
    { .t = 5, .dm = 33, .dff = 43, .gated = 1, .act = ANL_ACT_RELU, .bias = 1 },

    /* scratch: one token's hidden row, a few rows, more than all; the bits do not depend on it */
    { QUICK, .t = 9, .dm = 21, .dff = 70, SWIGLU, .residual = 2, .scratch_limit = 1 },
    { .t = 9, .dm = 21, .dff = 70, SWIGLU, .residual = 2, .scratch_limit = 3 * 70 * 4 },
    { .t = 9, .dm = 21, .dff = 70, SWIGLU, .residual = 2, .scratch_limit = 1 << 20 },
    { .t = 67, .dm = 21, .dff = 70, .act = ANL_ACT_GELU, .bias = 1, .scratch_limit = 17 * 70 * 4 },

    /* weights and results */
    { QUICK, .t = 5, .dm = 64, .dff = 96, SWIGLU, .w = ANL_Q4_1, .residual = 2 },
    { .t = 1, .dm = 64, .dff = 96, SWIGLU, .w = ANL_Q4_1, .residual = 2 },
    { .t = 5, .dm = 64, .dff = 96, SWIGLU, .w = ANL_Q4_0 },
    { .t = 5, .dm = 64, .dff = 96, SWIGLU, .w = ANL_Q8_0 },
    { .t = 5, .dm = 60, .dff = 90, SWIGLU, .w = ANL_F16, .out = ANL_F16 },
    { .t = 5, .dm = 60, .dff = 90, SWIGLU, .w = ANL_BF16, .out = ANL_BF16, .residual = 1 },
    { .t = 33, .dm = 192, .dff = 512, SWIGLU, .w = ANL_Q4_1, .head.flags = CASE_BIG },

    /* a norm first; the block of a language model: x is residual and result */
    { QUICK, .t = 1, .dm = 576, .dff = 96, SWIGLU, .w = ANL_Q4_1, .norm = 1, .residual = 3 },
    { .t = 0, .dm = 5, .dff = 9, SWIGLU, .norm = 1 },
    { .t = 5, .dm = 33, .dff = 513, .act = ANL_ACT_GELU, .norm = 1, .bias = 1 },
    { .t = 8, .dm = 1056, .dff = 65, SWIGLU, .w = ANL_F16, .norm = 1, .bias = 1, .residual = 3 },
    { .t = 9, .dm = 1056, .dff = 65, SWIGLU, .w = ANL_F16, .norm = 1, .bias = 1, .residual = 3 },
    { .t = 19, .dm = 21, .dff = 70, SWIGLU, .norm = 1, .residual = 3,
      .scratch_limit = 3 * (70 + 21) * 4 },
    { .t = 600, .dm = 7, .dff = 9, SWIGLU, .norm = 1, .residual = 3 },
    { .t = 3, .dm = 96, .dff = 64, SWIGLU, .w = ANL_Q8_0, .gate_f16 = 1, .norm = 1, .bias = 1 },
    { .t = 3, .dm = 96, .dff = 64, SWIGLU, .w = ANL_Q4_0, .residual = 3 },

    /* kinds of data */
    { .t = 5, .dm = 600, .dff = 90, SWIGLU, .norm = 1, .bias = 1, .residual = 3,
      .head = { CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 5, .dm = 33, .dff = 600, SWIGLU, .head.kind = GEN_LARGE },
    { .t = 5, .dm = 33, .dff = 600, SWIGLU, .head.kind = GEN_CONSTANT },
    { .t = 5, .dm = 33, .dff = 600, SWIGLU, .head.kind = GEN_ALTERNATING },
    { .t = 5, .dm = 33, .dff = 600, .act = ANL_ACT_GELU, .bias = 1,
      .head.kind = GEN_ADVERSARIAL },
    { .t = 5, .dm = 33, .dff = 90, SWIGLU, .bias = 1, .residual = 1,
      .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct ffn_case *ffn_case_at(int index)
{
    return &table[index];
}

static void describe(int index, char *name, size_t size)
{
    static const char *const residual[] = { "", " residual", " residual in place",
                                             " residual x in place" };
    const struct ffn_case *c = &table[index];
    char limit[40] = "";
    if (c->scratch_limit > 0)
        snprintf(limit, sizeof limit, " limit %llu", (unsigned long long)c->scratch_limit);
    snprintf(name, size, "T%d M%d F%d %s%s%s%s%s%s%s%s > %s %s", (int)c->t, (int)c->dm, (int)c->dff,
             anl_dtype_name(c->w), c->norm ? " norm" : "", c->gated ? " gated" : "",
             c->gate_f16 ? " by f16" : "", act_name(c->act),
             c->bias ? " bias" : "", residual[c->residual], limit, anl_dtype_name(c->out),
             gen_kind_name(c->head.kind));
}

static float *make_floats(struct gen *g, enum gen_kind kind, int shift, int64_t n)
{
    float *x = gen_alloc((size_t)n, sizeof *x);
    gen_floats(g, kind, shift, x, (size_t)n);
    return x;
}

anl_dtype ffn_gate_dtype(const struct ffn_case *c)
{
    return c->gate_f16 ? ANL_F16 : c->w;
}

void ffn_data_make(const struct ffn_case *c, struct ffn_data *data)
{
    struct gen g = gen_seed(c->head.seed, 700);
    enum gen_kind kind = c->head.kind;
    *data = (struct ffn_data){ 0 };
    data->x = make_floats(&g, kind, kind == GEN_LARGE ? 5 : 0, c->t * c->dm);
    data->up = gen_weights(&g, kind, 0, c->w, c->dff, c->dm);
    /* products of three adversarial magnitudes would overflow */
    enum gen_kind last = kind == GEN_ADVERSARIAL ? GEN_RANDOM : kind;
    data->down = gen_weights(&g, last, 0, c->w, c->dm, c->dff);
    if (c->gated)
        data->gate = gen_weights(&g, kind, 0, ffn_gate_dtype(c), c->dff, c->dm);
    if (c->bias) {
        data->up_bias = make_floats(&g, kind, 0, c->dff);
        data->down_bias = make_floats(&g, kind, 0, c->dm);
        if (c->gated)
            data->gate_bias = make_floats(&g, kind, 0, c->dff);
    }
    if (c->residual == 3) {
        data->residual = gen_alloc((size_t)(c->t * c->dm), sizeof(float));
        memcpy(data->residual, data->x, (size_t)(c->t * c->dm) * sizeof(float));
    } else if (c->residual)
        data->residual = make_floats(&g, kind, 1, c->t * c->dm);
    if (c->norm)
        data->norm = make_floats(&g, kind, 0, c->dm);
}

void ffn_data_free(struct ffn_data *data)
{
    free(data->x);
    free(data->norm);
    free(data->residual);
    free(data->gate_bias);
    free(data->up_bias);
    free(data->down_bias);
    free(data->gate);
    free(data->up);
    free(data->down);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_ffn(device, params);
}

void ffn_run(struct anl_device *device, const struct ffn_case *c, const struct ffn_data *data,
             const struct place_options *options, struct run_result *result, uint64_t *scratch)
{
    struct place p;
    const int64_t dim[2] = { c->t, c->dm };
    struct anl_ffn_params params = { .size = sizeof params, .act = c->act,
                                     .scratch_limit = c->scratch_limit };
    struct anl_weights *gate = NULL;
    place_begin(&p, device, options);
    struct anl_weights *up = place_weights(&p, c->w, c->dff, c->dm, data->up);
    struct anl_weights *down = place_weights(&p, c->w, c->dm, c->dff, data->down);
    if (c->gated)
        gate = place_weights(&p, ffn_gate_dtype(c), c->dff, c->dm, data->gate);
    params.gate = gate;
    params.up = up;
    params.down = down;
    params.x = place_tensor(&p, data->x, ANL_F32, 2, dim);
    if (c->norm) {
        params.norm = place_tensor(&p, data->norm, ANL_F32, 1, &c->dm);
        params.eps = CASE_EPS;
    }
    if (data->gate_bias != NULL)
        params.gate_bias = place_tensor(&p, data->gate_bias, ANL_F32, 1, &c->dff);
    if (c->bias) {
        params.up_bias = place_tensor(&p, data->up_bias, ANL_F32, 1, &c->dff);
        params.down_bias = place_tensor(&p, data->down_bias, ANL_F32, 1, &c->dm);
    }
    if (c->residual)
        params.residual = c->residual == 3 ? params.x
                                           : place_tensor(&p, data->residual, ANL_F32, 2, dim);
    params.out = c->residual >= 2 ? params.residual : place_tensor(&p, NULL, c->out, 2, dim);
    if (p.status == ANL_OK && scratch != NULL)
        *scratch = anl_ffn_scratch(device, &params);
    place_run(&p, call, &params, &params.out);
    place_fetch(&p, &params.out, run_add(result, "out", c->out, (size_t)(c->t * c->dm))->data);
    anl_weights_destroy(gate);
    anl_weights_destroy(up);
    anl_weights_destroy(down);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct ffn_data *data = gen_alloc(1, sizeof *data);
    ffn_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    ffn_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    ffn_run(device, c, data, options, result, NULL);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct ffn_case, t), .low = 1, .high = 1 << 24 },
    { "dm", SHAPE_NUMBER, offsetof(struct ffn_case, dm), .low = 1, .high = 1 << 20 },
    { "dff", SHAPE_NUMBER, offsetof(struct ffn_case, dff), .low = 1, .high = 1 << 20 },
    SHAPE_WEIGHTS(offsetof(struct ffn_case, w)),
    { "relu", SHAPE_WORD, offsetof(struct ffn_case, act), .value = ANL_ACT_RELU },
    { "gelu", SHAPE_WORD, offsetof(struct ffn_case, act), .value = ANL_ACT_GELU },
    { "swiglu", SHAPE_WORD, offsetof(struct ffn_case, act), .value = ANL_ACT_SILU,
      .also = offsetof(struct ffn_case, gated), .also_value = 1 },
};

static const struct case_bench bench[] = {
    { "t4096 dm768 dff3072 gelu", 0 },
    { "t4096 dm576 dff1536 swiglu", 0 },
    { "t2048 dm4096 dff11008 swiglu", 1 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct ffn_case *c = at;
    if (case_missing("t", c->t, error, error_size) ||
        case_missing("dm", c->dm, error, error_size) ||
        case_missing("dff", c->dff, error, error_size) ||
        case_blocks(c->w, "dm", c->dm, error, error_size) != 0)
        return -1;
    return case_blocks(c->w, "dff", c->dff, error, error_size);
}

static const struct case_form form = { sizeof(struct ffn_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op ffn_cases = { "ffn", sizeof table / sizeof *table, head, describe, make,
                                   drop, run, &form };
