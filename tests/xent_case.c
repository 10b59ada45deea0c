/* tests/xent_case.c: xent's table of cases, their data, and how they run. */
#include "tests/xent_case.h"

#include <stdio.h>
#include <stdlib.h>

#define QUICK .head.flags = CASE_QUICK

static const struct xent_case table[] = {
    { QUICK, .t = 1, .n = 1 },
    { .t = 0, .n = 5 },
    { .t = 3, .n = 2 },
    { QUICK, .t = 5, .n = 63 },
    { .t = 5, .n = 64 },
    { .t = 5, .n = 65 },
    { .t = 2, .n = 511 },
    { .t = 2, .n = 512 },
    { QUICK, .t = 3, .n = 513 },
    { QUICK, .t = 3, .n = 1700 },
    { .t = 513, .n = 7 },
    { .t = 2, .n = 49152, .head.flags = CASE_BIG },
    { .t = 7, .n = 1100, .head.kind = GEN_LARGE },
    { .t = 3, .n = 1100, .head.kind = GEN_CONSTANT },
    { .t = 3, .n = 1101, .head.kind = GEN_ALTERNATING },
    { QUICK, .t = 9, .n = 1700, .head.kind = GEN_ADVERSARIAL },
    { .t = 5, .n = 700, .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct xent_case *xent_case_at(int index)
{
    return &table[index];
}

static void describe(int index, char *name, size_t size)
{
    const struct xent_case *c = &table[index];
    snprintf(name, size, "T%d N%d %s", (int)c->t, (int)c->n, gen_kind_name(c->head.kind));
}

void xent_data_make(const struct xent_case *c, struct xent_data *data)
{
    static const float levels[8] = { -60, -43.5f, -43.5f, -30, -17.25f, -17.25f, 0, 20 };
    struct gen g = gen_seed(c->head.seed, 600);
    size_t n = (size_t)(c->t * c->n);
    data->logits = gen_alloc(n, sizeof(float));
    data->targets = gen_alloc((size_t)c->t, sizeof(int32_t));
    gen_floats(&g, c->head.kind, c->head.kind == GEN_LARGE ? 6 : 3, data->logits, n);
    if (c->head.kind == GEN_ADVERSARIAL) {
        for (size_t i = 0; i < n; i++) { /* high levels are rare, so that the maximum rises late */
            uint32_t top = gen_below(&g, 60) == 0 ? 8 : 4;
            data->logits[i] = levels[gen_below(&g, top)];
        }
    }
    for (int64_t i = 0; i < c->t; i++)
        data->targets[i] = (int32_t)gen_below(&g, (uint32_t)c->n);
    if (c->t > 1) {
        data->targets[0] = 0;
        data->targets[c->t - 1] = (int32_t)(c->n - 1);
    }
}

void xent_data_free(struct xent_data *data)
{
    free(data->logits);
    free(data->targets);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_xent(device, params);
}

void xent_run(struct anl_device *device, const struct xent_case *c, const struct xent_data *data,
              const struct place_options *options, struct run_result *result)
{
    struct place p;
    const int64_t dim[2] = { c->t, c->n };
    struct anl_xent_params params = { .size = sizeof params, .targets = data->targets };
    place_begin(&p, device, options);
    params.logits = place_tensor(&p, data->logits, ANL_F32, 2, dim);
    params.out = place_tensor(&p, NULL, ANL_F32, 1, &c->t);
    place_run(&p, call, &params, &params.out);
    place_fetch(&p, &params.out, run_add(result, "out", ANL_F32, (size_t)c->t)->data);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct xent_data *data = gen_alloc(1, sizeof *data);
    xent_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    xent_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    xent_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct xent_case, t), .low = 1, .high = 1 << 26 },
    { "n", SHAPE_NUMBER, offsetof(struct xent_case, n), .low = 1, .high = 1 << 24 },
};

static const struct case_bench bench[] = {
    { "t512 n49152", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct xent_case *c = at;
    return case_missing("t", c->t, error, error_size) || case_missing("n", c->n, error, error_size)
               ? -1
               : 0;
}

static const struct case_form form = { sizeof(struct xent_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op xent_cases = { "xent", sizeof table / sizeof *table, head, describe, make,
                                    drop, run, &form };
