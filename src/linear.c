/* src/linear.c: anl_linear(): checks, then the backend; a norm that the backend does not take as a part
 * of it comes first, for a tile of tokens at a time. */
#include "src/internal.h"

static anl_status check(struct anl_device *device, const struct anl_linear_params *params)
{
    const char *op = "anl_linear";
    anl_status s;
    int64_t t, n;

    if (!params->w)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: w is NULL", op);
    if (params->w->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: w lies on another device", op);
    if ((unsigned)params->act > ANL_ACT_GELU_TANH)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: act is %d", op, (int)params->act);
    t = params->x.dim[0];
    n = params->w->n;
    {
        const struct anl_expect e[] = {
            { "x", &params->x, 2, { -1, params->w->k }, 0, ANL_T_F32, 0 },
            { "bias", &params->bias, 1, { n }, 1, ANL_T_F32, 0 },
            { "gate", &params->gate, 2, { t, n }, 1, ANL_T_F32, 0 },
            { "residual", &params->residual, 2, { t, n }, 1, ANL_T_F32, 0 },
            { "out", &params->out, 2, { t, n }, 0, ANL_T_FLOATS, 1 },
        };
        s = anl_check(device, op, e, sizeof e / sizeof *e);
    }
    return s ? s : anl_check_norm(device, op, &params->norm, params->eps, params->w->k);
}

/* Tokens [t, t + n), normed into scratch. */
static anl_status one_tile(struct anl_device *device, const struct anl_linear_params *params, int64_t t,
                           int64_t n, struct anl_buffer *scratch)
{
    struct anl_linear_params p = *params;
    anl_status s;

    p.x = anl_rows(p.x, t, n);
    p.gate = anl_rows(p.gate, t, n);
    p.residual = anl_rows(p.residual, t, n);
    p.out = anl_rows(p.out, t, n);
    s = anl_norm_x(device, &p.x, &p.norm, p.eps, scratch, 0);
    return s ? s : device->backend->linear(device, &p);
}

anl_status anl_linear(struct anl_device *device, const struct anl_linear_params *params)
{
    anl_status s = anl_enter(device, "anl_linear", params, sizeof *params);
    struct anl_buffer *scratch;
    uint64_t row_bytes;
    int64_t t, rows;

    if (!s)
        s = check(device, params);
    if (s || params->x.dim[0] == 0)
        return s;
    t = params->x.dim[0];
    if (!params->norm.buffer || t <= device->fused_tokens)
        return device->backend->linear(device, params);
    row_bytes = (uint64_t)params->w->k * sizeof(float);
    rows = anl_tile_rows(device, row_bytes, 0, t);
    s = anl_scratch(device, (uint64_t)rows * row_bytes, &scratch);
    for (int64_t i = 0; !s && i < t; i += rows)
        s = one_tile(device, params, i, rows < t - i ? rows : t - i, scratch);
    return s;
}
