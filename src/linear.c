/* src/linear.c: anl_linear(): checks, then the backend. */
#include "src/internal.h"

anl_status anl_linear(struct anl_device *device, const struct anl_linear_params *params)
{
    const char *op = "anl_linear";
    anl_status s = anl_enter(device, op, params, sizeof *params);
    int64_t t, n;

    if (s)
        return s;
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
    if (s || t == 0)
        return s;
    return device->backend->linear(device, params);
}
