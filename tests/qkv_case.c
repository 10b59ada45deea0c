/* tests/qkv_case.c: qkv's table of cases, their data, and how they run: in one call, or by its parts. */
#include "tests/qkv_case.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/linear_case.h"

#define QUICK .head.flags = CASE_QUICK
#define TURNED .base = 10000, .positions = 1100, .position = 509
#define HALF .pairs = ANL_ROPE_HALF
#define SMALL .dm = 33, .h = 3, .hkv = 1, .d = 10, .dv = 10

static const struct qkv_case table[] = {
    { QUICK, .t = 1, .dm = 1, .h = 1, .hkv = 1, .d = 1, .dv = 1 },
    { .t = 0, .dm = 5, .h = 2, .hkv = 1, .d = 4, .dv = 4, .norm = 1, .dims = 4, TURNED },

    /* decoding a language model's token; the most that go together, and more; both kinds of pairs */
    { QUICK, .t = 1, .dm = 576, .h = 9, .hkv = 3, .d = 64, .dv = 64, .w = ANL_Q4_1, .norm = 1,
      .dims = 64, TURNED },
    { QUICK, .t = 1, .dm = 576, .h = 2, .hkv = 1, .d = 64, .dv = 64, .w = ANL_Q8_0, .norm = 1,
      .dims = 64, TURNED, HALF },
    { .t = 8, SMALL, .norm = 1, .bias = 1, .dims = 10, TURNED },
    { .t = 9, SMALL, .norm = 1, .bias = 1, .dims = 10, TURNED },
    { .t = 8, SMALL, .norm = 1, .bias = 1, .dims = 10, TURNED, HALF },
    { .t = 9, SMALL, .norm = 1, .bias = 1, .dims = 10, TURNED, HALF },
    { .t = 530, .dm = 9, .h = 2, .hkv = 2, .d = 4, .dv = 4, .norm = 1, .dims = 4, TURNED },

    /* a part of a head turned, or none; heads of odd width; v as wide as it likes; each thing absent */
    { .t = 3, SMALL, .dims = 6, TURNED },
    { .t = 3, SMALL, .dims = 6, TURNED, HALF },
    { .t = 3, SMALL, .norm = 1, .bias = 1 },
    { .t = 3, .dm = 33, .h = 4, .hkv = 2, .d = 17, .dv = 5, .norm = 1, .dims = 6, TURNED },
    { .t = 3, .dm = 33, .h = 4, .hkv = 2, .d = 17, .dv = 5, .norm = 1, .dims = 16, TURNED, HALF },
    { .t = 12, .dm = 33, .h = 4, .hkv = 2, .d = 17, .dv = 35, .bias = 1, .dims = 16, TURNED },
    { .t = 3, SMALL, .bias = 1, .dims = 10, TURNED },
    { .t = 2, .dm = 1700, .h = 1, .hkv = 1, .d = 40, .dv = 6, .norm = 1, .dims = 40, TURNED },

    /* weights, those of v of a type of their own; the cache's type */
    { .t = 2, .dm = 64, .h = 2, .hkv = 1, .d = 8, .dv = 8, .w = ANL_Q4_0, .norm = 1, .dims = 8,
      TURNED },
    { .t = 2, .dm = 64, .h = 2, .hkv = 1, .d = 8, .dv = 8, .w = ANL_BF16, .norm = 1, .dims = 8,
      TURNED },
    { .t = 2, .dm = 64, .h = 2, .hkv = 1, .d = 8, .dv = 8, .w = ANL_Q8_0, .v_f16 = 1, .norm = 1,
      .dims = 8, TURNED },
    { QUICK, .t = 5, SMALL, .norm = 1, .bias = 1, .dims = 10, TURNED, .kv = ANL_F16 },
    { .t = 5, SMALL, .norm = 1, .dims = 8, TURNED, HALF, .kv = ANL_BF16 },
    { .t = 40, SMALL, .norm = 1, .bias = 1, .dims = 8, TURNED, .kv = ANL_F16 },
    { .t = 40, SMALL, .norm = 1, .kv = ANL_BF16 },

    /* kinds of data */
    { .t = 5, SMALL, .dims = 10, TURNED, .head.kind = GEN_LARGE },
    { .t = 5, SMALL, .norm = 1, .dims = 10, TURNED, .head.kind = GEN_CONSTANT },
    { .t = 5, SMALL, .norm = 1, .dims = 10, TURNED, .head.kind = GEN_ALTERNATING },
    { .t = 5, SMALL, .norm = 1, .dims = 10, TURNED, .head.kind = GEN_ADVERSARIAL },
    { .t = 5, SMALL, .norm = 1, .bias = 1, .dims = 8, TURNED,
      .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 } },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct qkv_case *qkv_case_at(int index)
{
    return &table[index];
}

anl_dtype qkv_dtype(const struct qkv_case *c, int i)
{
    return i == 2 && c->v_f16 ? ANL_F16 : c->w;
}

static void describe(int index, char *name, size_t size)
{
    const struct qkv_case *c = &table[index];
    char turned[60] = "";
    if (c->dims > 0)
        snprintf(turned, sizeof turned, " dims %d at %d%s", c->dims, (int)c->position,
                 c->pairs == ANL_ROPE_HALF ? " half" : "");
    snprintf(name, size, "T%d M%d H%d/%d D%d V%d %s%s%s%s%s > %s %s", (int)c->t, (int)c->dm, (int)c->h,
             (int)c->hkv, (int)c->d, (int)c->dv, anl_dtype_name(c->w), c->v_f16 ? " v f16" : "",
             c->norm ? " norm" : "", c->bias ? " bias" : "", turned, anl_dtype_name(c->kv),
             gen_kind_name(c->head.kind));
}

static int64_t width(const struct qkv_case *c, int i)
{
    return i == 0 ? c->h * c->d : c->hkv * (i == 1 ? c->d : c->dv);
}

static float *make_floats(struct gen *g, enum gen_kind kind, int shift, int64_t n)
{
    float *x = gen_alloc((size_t)n, sizeof *x);
    gen_floats(g, kind, shift, x, (size_t)n);
    return x;
}

void qkv_data_make(const struct qkv_case *c, struct qkv_data *data)
{
    struct gen g = gen_seed(c->head.seed, 800);
    enum gen_kind kind = c->head.kind;
    *data = (struct qkv_data){ 0 };
    data->x = make_floats(&g, kind, kind == GEN_LARGE ? 5 : 0, c->t * c->dm);
    for (int i = 0; i < 3; i++)
        data->w[i] = gen_weights(&g, kind, 0, qkv_dtype(c, i), width(c, i), c->dm);
    for (int i = 0; c->bias && i < 3; i++)
        data->bias[i] = make_floats(&g, kind, 0, width(c, i));
    if (c->norm)
        data->norm = make_floats(&g, kind, 0, c->dm);
}

void qkv_data_free(struct qkv_data *data)
{
    free(data->x);
    free(data->norm);
    for (int i = 0; i < 3; i++) {
        free(data->w[i]);
        free(data->bias[i]);
    }
}

/* [T, H D] of a type as [T, H, D]. */
static struct anl_tensor by_head(struct anl_tensor t, int64_t heads)
{
    int64_t d = t.dim[1] / heads, stride = t.stride[0];
    t = anl_tensor_3d(t.buffer, t.offset, t.dtype, t.dim[0], heads, d);
    t.stride[0] = stride;
    return t;
}

static struct anl_tensor flat(const struct anl_tensor *t)
{
    struct anl_tensor f = anl_tensor_2d(t->buffer, t->offset, t->dtype, t->dim[0],
                                        t->dim[1] * t->dim[2]);
    f.stride[0] = t->stride[0];
    return f;
}

/* One of the three by its parts: in f32, turned, and narrowed by the last of them. */
static void run_part(struct place *p, const struct anl_qkv_params *q, struct anl_tensor x,
                     const struct anl_weights *w, struct anl_tensor bias, struct anl_tensor out,
                     int turned)
{
    struct anl_linear_params linear = { .size = sizeof linear, .x = x, .w = w, .bias = bias };
    struct anl_rope_params rope = { .size = sizeof rope, .table = q->table, .pairs = q->pairs,
                                    .position = q->position, .out = out };
    const int64_t dim[2] = { out.dim[0], out.dim[1] * out.dim[2] };
    linear.out = turned ? place_tensor(p, NULL, ANL_F32, 2, dim) : flat(&out);
    if (p->status == ANL_OK)
        place_note(p, anl_linear(p->device, &linear));
    if (p->status != ANL_OK || !turned)
        return;
    rope.x = by_head(linear.out, out.dim[1]);
    place_note(p, anl_rope(p->device, &rope));
}

static void run_parts(struct place *p, const struct qkv_case *c, const struct anl_qkv_params *q)
{
    struct anl_norm_params norm = { .size = sizeof norm, .x = q->x, .w = q->norm, .eps = q->eps };
    struct anl_tensor x = q->x;
    if (c->norm) {
        norm.out = x = place_tensor(p, NULL, ANL_F32, 2, q->x.dim);
        if (p->status == ANL_OK)
            place_note(p, anl_norm(p->device, &norm));
    }
    run_part(p, q, x, q->wq, q->q_bias, q->q, c->dims > 0);
    run_part(p, q, x, q->wk, q->k_bias, q->k, c->dims > 0);
    run_part(p, q, x, q->wv, q->v_bias, q->v, 0);
}

static anl_status call(struct anl_device *device, const void *params)
{
    return anl_qkv(device, params);
}

void qkv_run(struct anl_device *device, const struct qkv_case *c, const struct qkv_data *data,
             const struct place_options *options, int parts, struct run_result *result)
{
    static const char *const names[3] = { "q", "k", "v" };
    struct place p;
    const int64_t x_dim[2] = { c->t, c->dm }, heads[3] = { c->h, c->hkv, c->hkv };
    struct anl_rope_table *rope_table = NULL;
    struct anl_rope_table_params rope = { .size = sizeof rope, .dims = c->dims, .base = c->base,
                                          .positions = c->positions };
    struct anl_qkv_params params = { .size = sizeof params, .pairs = c->pairs,
                                     .position = c->position, .eps = CASE_EPS };
    struct anl_tensor *out[3] = { &params.q, &params.k, &params.v };
    struct anl_tensor *bias[3] = { &params.q_bias, &params.k_bias, &params.v_bias };
    struct anl_weights *w[3];
    place_begin(&p, device, options);
    if (c->dims > 0)
        place_note(&p, anl_rope_table_create(device, &rope, &rope_table));
    params.table = rope_table;
    params.x = place_tensor(&p, data->x, ANL_F32, 2, x_dim);
    if (c->norm)
        params.norm = place_tensor(&p, data->norm, ANL_F32, 1, &c->dm);
    for (int i = 0; i < 3; i++) {
        const int64_t n = width(c, i), dim[2] = { c->t, n };
        w[i] = place_weights(&p, qkv_dtype(c, i), n, c->dm, data->w[i]);
        if (c->bias)
            *bias[i] = place_tensor(&p, data->bias[i], ANL_F32, 1, &n);
        *out[i] = by_head(place_tensor(&p, NULL, i == 0 ? ANL_F32 : c->kv, 2, dim), heads[i]);
    }
    params.wq = w[0];
    params.wk = w[1];
    params.wv = w[2];
    if (parts)
        run_parts(&p, c, &params);
    else
        place_run_outs(&p, call, &params, out, 3);
    for (int i = 0; i < 3; i++) {
        struct anl_tensor t = flat(out[i]);
        place_fetch(&p, &t, run_add(result, names[i], t.dtype, (size_t)(c->t * t.dim[1]))->data);
        anl_weights_destroy(w[i]);
    }
    anl_rope_table_destroy(rope_table);
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct qkv_data *data = gen_alloc(1, sizeof *data);
    qkv_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    qkv_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    qkv_run(device, c, data, options, 0, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "t", SHAPE_NUMBER, offsetof(struct qkv_case, t), .low = 1, .high = 1 << 24 },
    { "dm", SHAPE_NUMBER, offsetof(struct qkv_case, dm), .low = 1, .high = 1 << 20 },
    { "h", SHAPE_NUMBER, offsetof(struct qkv_case, h), .low = 1, .high = 1 << 12 },
    { "hkv", SHAPE_NUMBER, offsetof(struct qkv_case, hkv), .low = 1, .high = 1 << 12 },
    { "d", SHAPE_NUMBER, offsetof(struct qkv_case, d), .low = 2, .high = 1024 },
    SHAPE_WEIGHTS(offsetof(struct qkv_case, w)),
};

static const struct case_bench bench[] = {
    { "t1 dm576 h9 hkv3 d64 q4_1", 0 },
    { "t2048 dm576 h9 hkv3 d64 q4_1", 0 },
};

/* Normed and wholly turned, as a language model's are. */
static int settle(void *at, char *error, size_t error_size)
{
    struct qkv_case *c = at;
    if (case_missing("t", c->t, error, error_size) || case_missing("dm", c->dm, error, error_size) ||
        case_missing("d", c->d, error, error_size) ||
        case_blocks(c->w, "dm", c->dm, error, error_size))
        return -1;
    if (c->d % 2 != 0) {
        snprintf(error, error_size, "d%lld: give an even number", (long long)c->d);
        return -1;
    }
    c->h = c->h > 0 ? c->h : 1;
    c->hkv = c->hkv > 0 ? c->hkv : c->h;
    c->dv = c->d;
    c->norm = 1;
    c->dims = (int)c->d;
    c->base = 100000;
    c->positions = c->t;
    return 0;
}

static const struct case_form form = { sizeof(struct qkv_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op qkv_cases = { "qkv", sizeof table / sizeof *table, head, describe, make, drop, run,
                                   &form };
