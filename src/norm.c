/* src/norm.c: anl_norm(): checks, then the backend. */
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
    if (!s)
        s = anl_check_norm(device, op, &params->w, params->eps, dm);
    if (s)
        return s;
    if (t == 0 || dm == 0)
        return ANL_OK;
    return device->backend->norm(device, params);
}
