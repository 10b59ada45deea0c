/* src/compose.c: what the operations that are composed of others share: tiles of tokens, the norm of a
 * tile, and linears that belong together. */
#include "src/internal.h"

/* Enough rows to fill a matrix product, few enough to stay small beside the model. A GPU wants many at
 * a time: as many as fit, but no more than fill it, so that scratch does not grow with the sequence. */
#define TILE_ROWS_HOST 512
#define TILE_ROWS_CL 8192
#define TILE_BYTES_CL (128u << 20)

int64_t anl_tile_rows(const struct anl_device *device, uint64_t row_bytes, uint64_t limit, int64_t t)
{
    uint64_t rows = TILE_ROWS_HOST;

    if (limit)
        rows = limit / row_bytes;
    else if (device->info.backend == ANL_CL)
        rows = TILE_BYTES_CL / row_bytes < TILE_ROWS_CL ? TILE_BYTES_CL / row_bytes : TILE_ROWS_CL;
    if (rows < 1)
        return 1;
    return rows < (uint64_t)t ? (int64_t)rows : t;
}

struct anl_tensor anl_rows(struct anl_tensor v, int64_t t, int64_t n)
{
    if (v.buffer) {
        v.offset += (uint64_t)(t * v.stride[0]) * (v.dtype == ANL_F32 ? 4u : 2u);
        v.dim[0] = n;
    }
    return v;
}

anl_status anl_norm_x(struct anl_device *device, struct anl_tensor *x, struct anl_tensor *norm,
                      float eps, struct anl_buffer *scratch, uint64_t at)
{
    struct anl_norm_params p = { .size = sizeof p, .x = *x, .w = *norm, .eps = eps };

    if (!norm->buffer || x->dim[0] <= device->fused_tokens)
        return ANL_OK;
    p.out = *x = anl_tensor_2d(scratch, at, ANL_F32, x->dim[0], x->dim[1]);
    norm->buffer = NULL;
    return device->backend->norm(device, &p);
}

anl_status anl_linears(struct anl_device *device, const struct anl_linear_params *params, int n)
{
    anl_status s = ANL_OK;

    if (device->backend->linears)
        return device->backend->linears(device, params, n);
    for (int i = 0; !s && i < n; i++)
        s = device->backend->linear(device, &params[i]);
    return s;
}
