/* src/norm.c: anl_norm(): checks, then the backend. */
#include <math.h>

#include "src/internal.h"

anl_status anl_norm(struct anl_device *device, const struct anl_norm_params *params)
{
    const char *op = "anl_norm";
    anl_status s = anl_enter(device, op, params, sizeof *params);
    int64_t t, dm;

    if (s)
        return s;
    t = params->x.dim[0];
    dm = params->x.dim[1];
    {
        const struct anl_expect e[] = {
            { "x", &params->x, 2, { -1, -1 }, 0, ANL_T_F32, 0 },
            { "w", &params->w, 1, { dm }, 0, ANL_T_F32, 0 },
            { "out", &params->out, 2, { t, dm }, 0, ANL_T_F32, 1 },
        };
        s = anl_check(device, op, e, sizeof e / sizeof *e);
    }
    if (s)
        return s;
    if (!(params->eps >= 0x1p-100f) || isinf(params->eps))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: eps is %g: 2^-100 or more is needed", op,
                        (double)params->eps);
    if (dm > INT64_C(1) << 24)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: x.dim[1] is %lld: at most 2^24", op,
                        (long long)dm);
    if (t == 0 || dm == 0)
        return ANL_OK;
    return device->backend->norm(device, params);
}
