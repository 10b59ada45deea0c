/* src/ffn.c: anl_ffn(). A backend without a feedforward of its own gets it composed here: linear
 * upon linear, for as many tokens at a time as the hidden tile has room for. The hidden is f32, so the
 * bits are those of the parts whatever the tile. */
#include "src/internal.h"

static anl_status check(struct anl_device *device, const struct anl_ffn_params *p)
{
    const char *op = "anl_ffn";
    int64_t t = p->x.dim[0], dm = p->x.dim[1];
    anl_status s;

    if (!p->up || !p->down)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: %s is NULL", op, p->up ? "down" : "up");
    if (p->up->device != device || p->down->device != device ||
        (p->gate && p->gate->device != device))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: weights lie on another device", op);
    if (p->up->k != dm || p->down->k != p->up->n || p->down->n != dm ||
        (p->gate && (p->gate->k != dm || p->gate->n != p->up->n)))
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: weights of %lld x %lld and %lld x %lld do not fit x.dim[1] %lld", op,
                        (long long)p->up->n, (long long)p->up->k, (long long)p->down->n,
                        (long long)p->down->k, (long long)dm);
    if ((unsigned)p->act > ANL_ACT_GELU_TANH)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: act is %d", op, (int)p->act);
    {
        const struct anl_expect e[] = {
            { "x", &p->x, 2, { -1, -1 }, 0, ANL_T_F32, 0 },
            { "gate_bias", &p->gate_bias, 1, { p->up->n }, 1, ANL_T_F32, 0 },
            { "up_bias", &p->up_bias, 1, { p->up->n }, 1, ANL_T_F32, 0 },
            { "down_bias", &p->down_bias, 1, { dm }, 1, ANL_T_F32, 0 },
            { "residual", &p->residual, 2, { t, dm }, 1, ANL_T_F32, 0 },
            { "out", &p->out, 2, { t, dm }, 0, ANL_T_FLOATS, 1 },
        };
        s = anl_check(device, op, e, sizeof e / sizeof *e);
    }
    return s ? s : anl_check_norm(device, op, &p->norm, p->eps, dm);
}

/* Scratch of a token: its hidden and, after all hidden ones of the tile, its normed x. */
static uint64_t row_bytes(const struct anl_ffn_params *p)
{
    return (uint64_t)(p->up->n + (p->norm.buffer ? p->x.dim[1] : 0)) * sizeof(float);
}

uint64_t anl_ffn_scratch(struct anl_device *device, const struct anl_ffn_params *params)
{
    if (anl_enter(device, "anl_ffn_scratch", params, sizeof *params) || check(device, params))
        return 0;
    return (uint64_t)anl_tile_rows(device, row_bytes(params), params->scratch_limit,
                                   params->x.dim[0]) * row_bytes(params);
}

/* up, and gate onto it. */
static anl_status compose_hidden(struct anl_device *device, const struct anl_ffn_params *p,
                                 const struct anl_tensor *x, const struct anl_tensor *hidden)
{
    struct anl_linear_params each[2] = { { .size = sizeof *each, .x = *x, .norm = p->norm,
                                           .eps = p->eps, .w = p->up, .bias = p->up_bias,
                                           .act = p->gate ? ANL_ACT_NONE : p->act, .out = *hidden } };
    anl_status s = anl_norm_x(device, &each[0].x, &each[0].norm, p->eps, hidden->buffer,
                              (uint64_t)(hidden->dim[0] * hidden->dim[1]) * sizeof(float));

    if (s || !p->gate)
        return s ? s : device->backend->linear(device, &each[0]);
    each[1] = each[0];
    each[1].w = p->gate;
    each[1].bias = p->gate_bias;
    each[1].act = p->act;
    each[1].gate = *hidden;
    return anl_linears(device, each, 2);
}

/* Tokens [t, t + n): the hidden layer, then down. */
static anl_status one_tile(struct anl_device *device, const struct anl_ffn_params *p, int64_t t,
                           int64_t n, struct anl_buffer *scratch)
{
    const struct anl_backend *be = device->backend;
    struct anl_tensor x = anl_rows(p->x, t, n);
    struct anl_tensor hidden = anl_tensor_2d(scratch, 0, ANL_F32, n, p->up->n);
    struct anl_linear_params down = { .size = sizeof down, .x = hidden, .w = p->down,
                                      .bias = p->down_bias,
                                      .residual = anl_rows(p->residual, t, n),
                                      .out = anl_rows(p->out, t, n) };
    int fused = be->ffn_hidden && n <= device->fused_tokens;
    anl_status s = fused ? be->ffn_hidden(device, p, &x, &hidden)
                         : compose_hidden(device, p, &x, &hidden);

    return s ? s : be->linear(device, &down);
}

anl_status anl_ffn(struct anl_device *device, const struct anl_ffn_params *params)
{
    struct anl_buffer *scratch;
    int64_t rows, t = params ? params->x.dim[0] : 0;
    anl_status s = anl_enter(device, "anl_ffn", params, sizeof *params);

    if (!s)
        s = check(device, params);
    if (s || t == 0)
        return s;
    if (device->backend->ffn)
        return device->backend->ffn(device, params);
    rows = anl_tile_rows(device, row_bytes(params), params->scratch_limit, t);
    s = anl_scratch(device, (uint64_t)rows * row_bytes(params), &scratch);
    for (int64_t i = 0; !s && i < t; i += rows)
        s = one_tile(device, params, i, rows < t - i ? rows : t - i, scratch);
    return s;
}
