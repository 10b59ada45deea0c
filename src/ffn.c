/* src/ffn.c: anl_ffn(). A backend without a feedforward of its own gets it composed here: linear
 * upon linear, for as many tokens at a time as the hidden tile has room for. The hidden is f32, so the
 * bits are those of the parts whatever the tile. */
#include "src/internal.h"

/* Enough rows to fill a matrix product, few enough to stay small beside the model. */
#define DEFAULT_ROWS_HOST 512
#define DEFAULT_ROWS_CL 1024

static anl_status check(struct anl_device *device, const struct anl_ffn_params *p)
{
    const char *op = "anl_ffn";
    int64_t t = p->x.dim[0], dm = p->x.dim[1];

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
        return anl_check(device, op, e, sizeof e / sizeof *e);
    }
}

static int64_t tile_rows(const struct anl_device *device, const struct anl_ffn_params *p)
{
    int64_t rows = device->info.backend == ANL_CL ? DEFAULT_ROWS_CL : DEFAULT_ROWS_HOST;
    uint64_t row_bytes = (uint64_t)p->up->n * sizeof(float);

    if (p->scratch_limit) {
        uint64_t fit = p->scratch_limit / row_bytes;
        rows = fit < 1 ? 1 : fit < (uint64_t)p->x.dim[0] ? (int64_t)fit : p->x.dim[0];
    }
    return rows < p->x.dim[0] ? rows : p->x.dim[0];
}

uint64_t anl_ffn_scratch(struct anl_device *device, const struct anl_ffn_params *params)
{
    if (anl_enter(device, "anl_ffn_scratch", params, sizeof *params) || check(device, params))
        return 0;
    return (uint64_t)tile_rows(device, params) * (uint64_t)params->up->n * sizeof(float);
}

/* n rows of a [T, X] view from row t on; absent stays absent. */
static struct anl_tensor rows_of(struct anl_tensor v, int64_t t, int64_t n)
{
    if (v.buffer) {
        v.offset += (uint64_t)(t * v.stride[0]) * (v.dtype == ANL_F32 ? 4u : 2u);
        v.dim[0] = n;
    }
    return v;
}

/* Tokens [t, t + n): up, gate onto it, down. hidden: [n, DFF]. */
static anl_status one_tile(struct anl_device *device, const struct anl_ffn_params *p, int64_t t,
                           int64_t n, struct anl_tensor hidden)
{
    const struct anl_backend *be = device->backend;
    struct anl_linear_params up = { .size = sizeof up, .x = rows_of(p->x, t, n), .w = p->up,
                                    .bias = p->up_bias, .out = hidden };
    struct anl_linear_params gate = { .size = sizeof gate, .x = up.x, .w = p->gate,
                                      .bias = p->gate_bias, .act = p->act, .gate = hidden,
                                      .out = hidden };
    struct anl_linear_params down = { .size = sizeof down, .x = hidden, .w = p->down,
                                      .bias = p->down_bias,
                                      .residual = rows_of(p->residual, t, n),
                                      .out = rows_of(p->out, t, n) };
    anl_status s;

    if (!p->gate)
        up.act = p->act;
    s = be->linear(device, &up);
    if (!s && p->gate)
        s = be->linear(device, &gate);
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
    rows = tile_rows(device, params);
    s = anl_scratch(device, (uint64_t)rows * (uint64_t)params->up->n * sizeof(float), &scratch);
    for (int64_t i = 0; !s && i < t; i += rows) {
        int64_t n = rows < t - i ? rows : t - i;
        s = one_tile(device, params, i, n,
                     anl_tensor_2d(scratch, 0, ANL_F32, n, params->up->n));
    }
    return s;
}
