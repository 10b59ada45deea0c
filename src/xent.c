/* src/xent.c: anl_xent(): checks, then the backend. */
#include "src/internal.h"

anl_status anl_xent(struct anl_device *device, const struct anl_xent_params *params)
{
    const char *op = "anl_xent";
    anl_status s = anl_enter(device, op, params, sizeof *params);
    int64_t t, n;

    if (s)
        return s;
    t = params->logits.dim[0];
    n = params->logits.dim[1];
    {
        const struct anl_expect e[] = {
            { "logits", &params->logits, 2, { -1, -1 }, 0, ANL_T_F32, 0 },
            { "out", &params->out, 1, { t }, 0, ANL_T_F32, 1 },
        };
        s = anl_check(device, op, e, 2);
    }
    if (s || t == 0)
        return s;
    if (!params->targets)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: targets is NULL", op);
    for (int64_t i = 0; i < t; i++)
        if (params->targets[i] < 0 || params->targets[i] >= n)
            return anl_fail(device, ANL_E_ARGUMENT, "%s: targets[%lld] is %d of %lld words", op,
                            (long long)i, params->targets[i], (long long)n);
    return device->backend->xent(device, params);
}
