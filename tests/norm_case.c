/* tests/norm_case.c: norm's table of cases, their data, and how they run. */
#include "tests/norm_case.h"

#include <stdio.h>
#include <stdlib.h>

#define QUICK .head.flags = CASE_QUICK

static const struct norm_case table[] = {
    { QUICK, .t = 1, .dm = 1 },
    { .t = 0, .dm = 7 },
    { .t = 5, .dm = 2 },
    { .t = 3, .dm = 15 },
    { QUICK, .t = 3, .dm = 16 },
    { .t = 3, .dm = 17 },
    { .t = 2, .dm = 63 },
    { .t = 2, .dm = 64 },
    { .t = 2, .dm = 65 },
    { .t = 4, .dm = 511 },
    { .t = 4, .dm = 512 },
    { QUICK, .t = 4, .dm = 513 },
    { QUICK, .t = 5, .dm = 576 },
    { QUICK, .t = 3, .dm = 1699 },
    { .t = 65, .dm = 2048 },
    { .t = 513, .dm = 31 },
    { .t = 1, .dm = 5003 },
    { QUICK, .t = 7, .dm = 600, .in_place = 1 },
    { .t = 7, .dm = 600, .eps = 1e-6f },
    { .t = 7, .dm = 600, .eps = 3.0f },
    { .t = 7, .dm = 33, .eps = 0x1p-100f },
    { .t = 7, .dm = 600, .head.kind = GEN_LARGE },
    { .t = 7, .dm = 600, .head.kind = GEN_CONSTANT },
    { .t = 7, .dm = 600, .head.kind = GEN_ALTERNATING },
    { QUICK, .t = 7, .dm = 1100, .head.kind = GEN_ADVERSARIAL },
    { .t = 7, .dm = 600, .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
    { .t = 7, .dm = 600, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 }, .eps = 0x1p-100f },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct norm_case *norm_case_at(int index)
{
    return &table[index];
}

float norm_case_eps(const struct norm_case *c)
{
    return c->eps > 0 ? c->eps : 1e-5f;
}

static void describe(int index, char *name, size_t size)
{
    const struct norm_case *c = &table[index];
    snprintf(name, size, "T%d M%d eps %.3g%s %s", (int)c->t, (int)c->dm, (double)norm_case_eps(c),
             c->in_place ? " in place" : "", gen_kind_name(c->head.kind));
}

void norm_data_make(const struct norm_case *c, struct norm_data *data)
{
    struct gen g = gen_seed(c->head.seed, 300);
    size_t n = (size_t)(c->t * c->dm);
    data->x = gen_alloc(n, sizeof(float));
    data->w = gen_alloc((size_t)c->dm, sizeof(float));
    gen_floats(&g, c->head.kind, c->head.kind == GEN_LARGE ? 7 : 1, data->x, n);
    gen_floats(&g, GEN_RANDOM, 0, data->w, (size_t)c->dm);
}

void norm_data_free(struct norm_data *data)
{
    free(data->x);
    free(data->w);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_norm(device, params);
}

void norm_run(struct anl_device *device, const struct norm_case *c, const struct norm_data *data,
              const struct place_options *options, struct run_result *result)
{
    struct place p;
    const int64_t dim[2] = { c->t, c->dm };
    struct anl_norm_params params = { .size = sizeof params, .eps = norm_case_eps(c) };
    place_begin(&p, device, options);
    params.x = place_tensor(&p, data->x, ANL_F32, 2, dim);
    params.w = place_tensor(&p, data->w, ANL_F32, 1, &c->dm);
    params.out = c->in_place ? params.x : place_tensor(&p, NULL, ANL_F32, 2, dim);
    place_run(&p, call, &params, &params.out);
    place_fetch(&p, &params.out, run_add(result, "out", ANL_F32, (size_t)(c->t * c->dm))->data);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct norm_data *data = gen_alloc(1, sizeof *data);
    norm_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    norm_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    norm_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct norm_case, t), .low = 1, .high = 1 << 26 },
    { "dm", SHAPE_NUMBER, offsetof(struct norm_case, dm), .low = 1, .high = 1 << 24 },
};

static const struct case_bench bench[] = {
    { "t8192 dm4096", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct norm_case *c = at;
    return case_missing("t", c->t, error, error_size) ||
                   case_missing("dm", c->dm, error, error_size)
               ? -1
               : 0;
}

static const struct case_form form = { sizeof(struct norm_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op norm_cases = { "norm", sizeof table / sizeof *table, head, describe, make,
                                    drop, run, &form };
