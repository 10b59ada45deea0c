/* src/weights.c: packed matrices: checks, then the backend packs. */
#include "src/internal.h"

anl_status anl_weights_create(struct anl_device *device, const struct anl_weights_params *params,
                              struct anl_weights **out)
{
    const char *op = "anl_weights_create";
    struct anl_weights_params p;
    anl_status s;

    if (out)
        *out = NULL;
    s = anl_enter(device, op, params, sizeof *params);
    if (s)
        return s;
    if (!out)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: out is NULL", op);
    p = *params;
    if ((unsigned)p.dtype > ANL_Q4_0)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: dtype is %d", op, (int)p.dtype);
    if (p.n < 1 || p.n > INT32_MAX || p.k < 1 || p.k > INT32_MAX)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: n is %lld and k is %lld: 1 to 2^31 - 1", op,
                        (long long)p.n, (long long)p.k);
    if (anl_dtype_is_quantised(p.dtype) && p.k % 32)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: k is %lld, not a multiple of 32 as %s needs",
                        op, (long long)p.k, anl_dtype_name(p.dtype));
    if (!p.data)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: data is NULL", op);
    if (!p.row_bytes)
        p.row_bytes = anl_row_bytes(p.dtype, p.k);
    if (p.row_bytes < anl_row_bytes(p.dtype, p.k))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: row_bytes is %llu, a row has %llu", op,
                        (unsigned long long)p.row_bytes,
                        (unsigned long long)anl_row_bytes(p.dtype, p.k));
    return device->backend->weights_create(device, &p, out);
}

void anl_weights_destroy(struct anl_weights *weights)
{
    if (weights)
        weights->device->backend->weights_destroy(weights);
}
