/* tests/embed_case.c: embed's table of cases, their data, and how they run. */
#include "tests/embed_case.h"

#include <stdio.h>
#include <stdlib.h>

#define QUICK .head.flags = CASE_QUICK

static const struct embed_case table[] = {
    { QUICK, .t = 1, .n = 1, .dm = 1 },
    { .t = 0, .n = 3, .dm = 5 },
    { .t = 17, .n = 67, .dm = 15 },
    { .t = 513, .n = 5, .dm = 3 },
    { .t = 9, .n = 100, .dm = 576 },
    { .t = 9, .n = 100, .dm = 1025 },
    { QUICK, .t = 9, .n = 33, .dm = 17, .w = ANL_F16 },
    { QUICK, .t = 9, .n = 33, .dm = 17, .w = ANL_BF16 },
    { .t = 1, .n = 1, .dm = 32, .w = ANL_Q8_0 },
    { QUICK, .t = 9, .n = 33, .dm = 96, .w = ANL_Q8_0 },
    { .t = 65, .n = 200, .dm = 576, .w = ANL_Q8_0 },
    { .t = 1, .n = 1, .dm = 32, .w = ANL_Q4_1 },
    { QUICK, .t = 9, .n = 33, .dm = 96, .w = ANL_Q4_1 },
    { .t = 65, .n = 200, .dm = 576, .w = ANL_Q4_1 },
    { .t = 1, .n = 1, .dm = 32, .w = ANL_Q4_0 },
    { QUICK, .t = 9, .n = 33, .dm = 96, .w = ANL_Q4_0 },
    { .t = 65, .n = 200, .dm = 576, .w = ANL_Q4_0 },
    { .t = 9, .n = 33, .dm = 96, .w = ANL_Q8_0, .head.kind = GEN_ADVERSARIAL },
    { .t = 9, .n = 33, .dm = 96, .w = ANL_Q4_1, .head.kind = GEN_ADVERSARIAL },
    { .t = 9, .n = 33, .dm = 96, .w = ANL_Q4_0, .head.kind = GEN_CONSTANT },
    { .t = 9, .n = 33, .dm = 50, .w = ANL_F16, .head.kind = GEN_ADVERSARIAL },
    { .t = 9, .n = 33, .dm = 50, .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 9, .n = 33, .dm = 50, .w = ANL_F16, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 9, .n = 33, .dm = 50, .w = ANL_BF16, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 9, .n = 33, .dm = 96, .w = ANL_Q4_1, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 } },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct embed_case *embed_case_at(int index)
{
    return &table[index];
}

static void describe(int index, char *name, size_t size)
{
    const struct embed_case *c = &table[index];
    snprintf(name, size, "T%d N%d M%d %s %s", (int)c->t, (int)c->n, (int)c->dm,
             anl_dtype_name(c->w), gen_kind_name(c->head.kind));
}

void embed_data_make(const struct embed_case *c, struct embed_data *data)
{
    struct gen g = gen_seed(c->head.seed, 500);
    data->ids = gen_alloc((size_t)c->t, sizeof(int32_t));
    for (int64_t i = 0; i < c->t; i++)
        data->ids[i] = (int32_t)gen_below(&g, (uint32_t)c->n);
    if (c->t > 1) { /* both ends */
        data->ids[0] = 0;
        data->ids[c->t - 1] = (int32_t)(c->n - 1);
    }
    data->w = gen_weights(&g, c->head.kind, 0, c->w, c->n, c->dm);
}

void embed_data_free(struct embed_data *data)
{
    free(data->ids);
    free(data->w);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_embed(device, params);
}

void embed_run(struct anl_device *device, const struct embed_case *c, const struct embed_data *data,
               const struct place_options *options, struct run_result *result)
{
    struct place p;
    const int64_t dim[2] = { c->t, c->dm };
    struct anl_embed_params params = { .size = sizeof params, .ids = data->ids };
    place_begin(&p, device, options);
    struct anl_weights *w = place_weights(&p, c->w, c->n, c->dm, data->w);
    params.table = w;
    params.out = place_tensor(&p, NULL, ANL_F32, 2, dim);
    place_run(&p, call, &params, &params.out);
    place_fetch(&p, &params.out, run_add(result, "out", ANL_F32, (size_t)(c->t * c->dm))->data);
    anl_weights_destroy(w);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct embed_data *data = gen_alloc(1, sizeof *data);
    embed_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    embed_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    embed_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct embed_case, t), .low = 1, .high = 1 << 26 },
    { "n", SHAPE_NUMBER, offsetof(struct embed_case, n), .low = 1, .high = 1 << 24 },
    { "dm", SHAPE_NUMBER, offsetof(struct embed_case, dm), .low = 1, .high = 1 << 24 },
    SHAPE_WEIGHTS(offsetof(struct embed_case, w)),
};

static const struct case_bench bench[] = {
    { "t32768 n49152 dm576 q8_0", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct embed_case *c = at;
    if (case_missing("t", c->t, error, error_size) || case_missing("n", c->n, error, error_size) ||
        case_missing("dm", c->dm, error, error_size))
        return -1;
    return case_blocks(c->w, "dm", c->dm, error, error_size);
}

static const struct case_form form = { sizeof(struct embed_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op embed_cases = { "embed", sizeof table / sizeof *table, head, describe, make,
                                     drop, run, &form };
