/* src/qkv.c: anl_qkv(). Where the backend does not take it whole it is composed here of norm, linear
 * and rope, a tile of tokens at a time: what passes between them is f32, so the bits are the same. */
#include "src/internal.h"

static anl_status check_weights(struct anl_device *device, const char *name,
                                const struct anl_weights *w, int64_t dm, const struct anl_tensor *out)
{
    if (!w)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: w%s is NULL", name);
    if (w->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: w%s lies on another device", name);
    if (w->k != dm)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: w%s has rows of %lld, x.dim[1] is %lld", name,
                        (long long)w->k, (long long)dm);
    if (out->dim[2] < 1 || w->n % out->dim[2] || w->n / out->dim[2] != out->dim[1])
        return anl_fail(device, ANL_E_ARGUMENT,
                        "anl_qkv: w%s has %lld rows, %s has %lld heads of %lld", name, (long long)w->n,
                        name, (long long)out->dim[1], (long long)out->dim[2]);
    if (out->stride[1] != out->dim[2])
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: %s.stride[1] is %lld: heads of %lld must "
                        "follow each other", name, (long long)out->stride[1], (long long)out->dim[2]);
    return ANL_OK;
}

static anl_status check_rope(struct anl_device *device, const struct anl_qkv_params *p)
{
    const struct anl_rope_table *table = p->table;
    int64_t t = p->x.dim[0];

    if (!table)
        return ANL_OK;
    if (table->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: table is of another device");
    if ((unsigned)p->pairs > ANL_ROPE_HALF)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: pairs is %d", (int)p->pairs);
    if (p->q.dim[2] < table->dims)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_qkv: q.dim[2] is %lld, the table turns %d",
                        (long long)p->q.dim[2], table->dims);
    if (p->position < 0 || t > table->positions || p->position > table->positions - t)
        return anl_fail(device, ANL_E_ARGUMENT,
                        "anl_qkv: position is %lld with %lld tokens, the table has %lld",
                        (long long)p->position, (long long)t, (long long)table->positions);
    return ANL_OK;
}

static anl_status check(struct anl_device *device, const struct anl_qkv_params *p)
{
    int64_t t = p->x.dim[0], dm = p->x.dim[1], d = p->q.dim[2], hkv = p->k.dim[1];
    const struct anl_expect views[] = {
        { "x", &p->x, 2, { -1, -1 }, 0, ANL_T_F32, 0 },
        { "q", &p->q, 3, { t, -1, -1 }, 0, ANL_T_F32, 1 },
        { "k", &p->k, 3, { t, -1, d }, 0, ANL_T_FLOATS, 1 },
        { "v", &p->v, 3, { t, hkv, -1 }, 0, ANL_T_FLOATS, 1 },
    };
    anl_status s = anl_check(device, "anl_qkv", views, sizeof views / sizeof *views);

    if (!s)
        s = check_weights(device, "q", p->wq, dm, &p->q);
    if (!s)
        s = check_weights(device, "k", p->wk, dm, &p->k);
    if (!s)
        s = check_weights(device, "v", p->wv, dm, &p->v);
    if (!s) {
        const struct anl_expect biases[] = {
            { "q_bias", &p->q_bias, 1, { p->wq->n }, 1, ANL_T_F32, 0 },
            { "k_bias", &p->k_bias, 1, { p->wk->n }, 1, ANL_T_F32, 0 },
            { "v_bias", &p->v_bias, 1, { p->wv->n }, 1, ANL_T_F32, 0 },
        };
        s = anl_check(device, "anl_qkv", biases, 3);
    }
    if (!s)
        s = anl_check_norm(device, "anl_qkv", &p->norm, p->eps, dm);
    return s ? s : check_rope(device, p);
}

/* Is k turned as f32 before it is narrowed? */
static int k_goes_by_scratch(const struct anl_qkv_params *p)
{
    return p->table && p->k.dtype != ANL_F32;
}

/* Scratch of a token: its normed x and, after those of the tile, its k. */
static uint64_t row_bytes(const struct anl_qkv_params *p)
{
    return (uint64_t)((p->norm.buffer ? p->x.dim[1] : 0) + (k_goes_by_scratch(p) ? p->wk->n : 0)) *
           sizeof(float);
}

/* A [T, H, D] view whose heads follow each other as [T, H D]. */
static struct anl_tensor flat(struct anl_tensor t)
{
    struct anl_tensor f = anl_tensor_2d(t.buffer, t.offset, t.dtype, t.dim[0], t.dim[1] * t.dim[2]);

    f.stride[0] = t.stride[0];
    return f;
}

/* linear, by w and its bias into out [T, H D]. */
static struct anl_linear_params by(const struct anl_linear_params *linear, const struct anl_weights *w,
                                   struct anl_tensor bias, struct anl_tensor out)
{
    struct anl_linear_params p = *linear;

    p.w = w;
    p.bias = bias;
    p.out = out;
    return p;
}

/* Turns x [T, H D] into out; the first token is number t of the call. */
static anl_status turn(struct anl_device *device, const struct anl_qkv_params *p, int64_t t,
                       struct anl_tensor x, struct anl_tensor out)
{
    struct anl_rope_params rope = { .size = sizeof rope, .table = p->table, .pairs = p->pairs,
                                    .position = p->position + t, .out = out };

    if (!p->table)
        return ANL_OK;
    rope.x = out;
    rope.x.buffer = x.buffer;
    rope.x.offset = x.offset;
    rope.x.dtype = x.dtype;
    rope.x.stride[0] = x.stride[0];
    return device->backend->rope(device, &rope);
}

/* Tokens [t, t + n). */
static anl_status one_tile(struct anl_device *device, const struct anl_qkv_params *p, int64_t t,
                           int64_t n, struct anl_buffer *scratch)
{
    struct anl_linear_params linear = { .size = sizeof linear, .x = anl_rows(p->x, t, n),
                                        .norm = p->norm, .eps = p->eps };
    struct anl_tensor q = anl_rows(p->q, t, n), k = anl_rows(p->k, t, n), k32 = flat(k);
    uint64_t normed = p->norm.buffer ? (uint64_t)(n * p->x.dim[1]) * sizeof(float) : 0;
    anl_status s = anl_norm_x(device, &linear.x, &linear.norm, p->eps, scratch, 0);

    if (k_goes_by_scratch(p))
        k32 = anl_tensor_2d(scratch, normed, ANL_F32, n, p->wk->n);
    {
        const struct anl_linear_params each[3] = {
            by(&linear, p->wq, p->q_bias, flat(q)), by(&linear, p->wk, p->k_bias, k32),
            by(&linear, p->wv, p->v_bias, flat(anl_rows(p->v, t, n)))
        };
        if (!s)
            s = anl_linears(device, each, 3);
    }
    if (!s)
        s = turn(device, p, t, flat(q), q);
    return s ? s : turn(device, p, t, k32, k);
}

anl_status anl_qkv(struct anl_device *device, const struct anl_qkv_params *params)
{
    anl_status s = anl_enter(device, "anl_qkv", params, sizeof *params);
    struct anl_buffer *scratch = NULL;
    int64_t t, rows;

    if (!s)
        s = check(device, params);
    if (s || params->x.dim[0] == 0)
        return s;
    t = rows = params->x.dim[0];
    if (device->backend->qkv && t <= device->fused_tokens)
        return device->backend->qkv(device, params);
    if (row_bytes(params)) {
        rows = anl_tile_rows(device, row_bytes(params), 0, t);
        s = anl_scratch(device, (uint64_t)rows * row_bytes(params), &scratch);
    }
    for (int64_t i = 0; !s && i < t; i += rows)
        s = one_tile(device, params, i, rows < t - i ? rows : t - i, scratch);
    return s;
}
