/* tests/rope_case.c: rope's table of cases, their data, and how they run. */
#include "tests/rope_case.h"

#include <stdio.h>
#include <stdlib.h>

#define QUICK .head.flags = CASE_QUICK
#define HALF .pairs = ANL_ROPE_HALF

static const struct rope_case table[] = {
    { QUICK, .t = 1, .h = 1, .d = 2, .dims = 2, .base = 10000, .positions = 1 },
    { .t = 0, .h = 3, .d = 4, .dims = 4, .base = 10000, .positions = 8 },
    { .t = 5, .h = 1, .d = 3, .dims = 2, .base = 10000, .positions = 5 },
    { QUICK, .t = 7, .h = 3, .d = 64, .dims = 64, .base = 100000, .positions = 2048 },
    { QUICK, .t = 7, .h = 3, .d = 64, .dims = 64, .base = 100000, .positions = 2048, HALF },
    { QUICK, .t = 5, .h = 2, .d = 64, .dims = 64, .base = 100000, .positions = 2048,
      .position = 510 },
    { QUICK, .t = 5, .h = 2, .d = 64, .dims = 64, .base = 10000, .positions = 131072,
      .position = 131067, HALF },
    { .t = 513, .h = 1, .d = 8, .dims = 8, .base = 500000, .positions = 1600, .position = 1023 },
    { .t = 3, .h = 2, .d = 17, .dims = 6, .base = 10000, .positions = 100, .position = 31 },
    { .t = 3, .h = 2, .d = 17, .dims = 6, .base = 10000, .positions = 100, .position = 31, HALF },
    { .t = 3, .h = 2, .d = 130, .dims = 128, .base = 1.5, .positions = 1000, .position = 900 },
    { .t = 2, .h = 1, .d = 1024, .dims = 1024, .base = 1e12, .positions = 600, .position = 511 },
    { .t = 2, .h = 5, .d = 96, .dims = 32, .base = 1e6, .positions = 2097152,
      .position = 2097150, HALF },
    { .t = 67, .h = 9, .d = 64, .dims = 64, .base = 100000, .positions = 700, .position = 633 },
    { QUICK, .t = 6, .h = 2, .d = 10, .dims = 8, .base = 10000, .positions = 600, .position = 508,
      .in_place = 1 },
    { .t = 6, .h = 2, .d = 10, .dims = 8, .base = 10000, .positions = 600, .position = 508,
      .in_place = 1, HALF },
    { QUICK, .t = 6, .h = 2, .d = 10, .dims = 8, .base = 10000, .positions = 600, .position = 508,
      .out = ANL_F16 },
    { .t = 6, .h = 2, .d = 10, .dims = 8, .base = 10000, .positions = 600, .position = 508,
      .out = ANL_BF16, HALF },
    { .t = 6, .h = 2, .d = 16, .dims = 16, .base = 10000, .positions = 600,
      .head.kind = GEN_LARGE },
    { .t = 6, .h = 2, .d = 16, .dims = 16, .base = 10000, .positions = 600,
      .head.kind = GEN_CONSTANT },
    { .t = 6, .h = 2, .d = 16, .dims = 16, .base = 10000, .positions = 600,
      .head.kind = GEN_ALTERNATING },
    { .t = 6, .h = 2, .d = 16, .dims = 16, .base = 10000, .positions = 600,
      .head.kind = GEN_ADVERSARIAL },
    { .t = 6, .h = 2, .d = 16, .dims = 16, .base = 10000, .positions = 600,
      .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct rope_case *rope_case_at(int index)
{
    return &table[index];
}

static void describe(int index, char *name, size_t size)
{
    const struct rope_case *c = &table[index];
    snprintf(name, size, "T%d H%d D%d dims %d base %.3g of %d at %d%s%s > %s %s", (int)c->t,
             (int)c->h, (int)c->d, c->dims, c->base, (int)c->positions, (int)c->position,
             c->pairs == ANL_ROPE_HALF ? " half" : "", c->in_place ? " in place" : "",
             anl_dtype_name(c->out), gen_kind_name(c->head.kind));
}

void rope_data_make(const struct rope_case *c, struct rope_data *data)
{
    struct gen g = gen_seed(c->head.seed, 400);
    size_t n = (size_t)(c->t * c->h * c->d);
    data->x = gen_alloc(n, sizeof(float));
    gen_floats(&g, c->head.kind, c->head.kind == GEN_LARGE ? 7 : 1, data->x, n);
}

void rope_data_free(struct rope_data *data)
{
    free(data->x);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_rope(device, params);
}

void rope_run(struct anl_device *device, const struct rope_case *c, const struct rope_data *data,
              const struct place_options *options, struct run_result *result)
{
    struct place p;
    const int64_t dim[3] = { c->t, c->h, c->d };
    struct anl_rope_table *rope_table = NULL;
    struct anl_rope_table_params table_params = { .size = sizeof table_params, .dims = c->dims,
                                                  .base = c->base, .positions = c->positions };
    struct anl_rope_params params = { .size = sizeof params, .pairs = c->pairs,
                                      .position = c->position };
    place_begin(&p, device, options);
    place_note(&p, anl_rope_table_create(device, &table_params, &rope_table));
    params.table = rope_table;
    params.x = place_tensor(&p, data->x, ANL_F32, 3, dim);
    params.out = c->in_place ? params.x : place_tensor(&p, NULL, c->out, 3, dim);
    place_run(&p, call, &params, &params.out);
    size_t count = (size_t)(c->t * c->h * c->d);
    place_fetch(&p, &params.out, run_add(result, "out", c->out, count)->data);
    anl_rope_table_destroy(rope_table);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct rope_data *data = gen_alloc(1, sizeof *data);
    rope_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    rope_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    rope_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct rope_case, t), .low = 1, .high = 1 << 26 },
    { "h", SHAPE_NUMBER, offsetof(struct rope_case, h), .low = 1, .high = 1 << 16 },
    { "d", SHAPE_NUMBER, offsetof(struct rope_case, d), .low = 2, .high = 1024 },
    { "half", SHAPE_WORD, offsetof(struct rope_case, pairs), .value = ANL_ROPE_HALF },
};

static const struct case_bench bench[] = {
    { "t8192 h32 d64", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct rope_case *c = at;
    if (case_missing("t", c->t, error, error_size) || case_missing("d", c->d, error, error_size))
        return -1;
    if (c->d % 2 != 0) {
        snprintf(error, error_size, "d%lld: give an even number", (long long)c->d);
        return -1;
    }
    c->h = c->h > 0 ? c->h : 1;
    c->dims = (int)c->d;
    c->base = 100000;
    c->positions = c->t;
    return 0;
}

static const struct case_form form = { sizeof(struct rope_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op rope_cases = { "rope", sizeof table / sizeof *table, head, describe, make,
                                    drop, run, &form };
