/* src/embed.c: anl_embed(): checks, then the backend. */
#include "src/internal.h"

anl_status anl_embed(struct anl_device *device, const struct anl_embed_params *params)
{
    const char *op = "anl_embed";
    anl_status s = anl_enter(device, op, params, sizeof *params);
    int64_t t;

    if (s)
        return s;
    if (!params->table || params->table->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: table is NULL or of another device", op);
    t = params->out.dim[0];
    {
        const struct anl_expect e[] = {
            { "out", &params->out, 2, { -1, params->table->k }, 0, ANL_T_F32, 1 },
        };
        s = anl_check(device, op, e, 1);
    }
    if (s || t == 0)
        return s;
    if (!params->ids)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: ids is NULL", op);
    for (int64_t i = 0; i < t; i++)
        if (params->ids[i] < 0 || params->ids[i] >= params->table->n)
            return anl_fail(device, ANL_E_ARGUMENT, "%s: ids[%lld] is %d, the table has %lld rows",
                            op, (long long)i, params->ids[i], (long long)params->table->n);
    return device->backend->embed(device, params);
}
