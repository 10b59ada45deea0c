/* cl/weights.c: packs a matrix so that neighbouring work-items, or the lanes of a register, read
 * neighbouring output features. Quantised values stay quantised.
 *
 * np = N rounded up to 16, kp = K rounded up to 32; what is added is zero.
 *
 * GPU order: cells of 16 bytes, cells[kc][np]; cell kc of feature n holds its elements
 *   f32 4 kc .. + 3      f16, bf16 8 kc .. + 7      Q8_0 16 kc .. + 15
 *   Q4 32 kc .. + 31, the block's 16 bytes as they are
 * CPU order: per 16 features n, elements [k][16 n]; Q4: bytes [block][16 bytes][16 n].
 * Scales of quantised types: one uint per block, d below and m above; GPU [block][np], CPU
 * [n / 16][block][16]. */
#include <string.h>

#include "cl/cl.h"

struct packer {
    const struct anl_weights_params *p;
    int64_t np, kp;
    int cpu;
    unsigned char *cells, *scales;
};

static int64_t element_bits(anl_dtype t)
{
    switch (t) {
    case ANL_F32:
        return 32;
    case ANL_F16:
    case ANL_BF16:
        return 16;
    case ANL_Q8_0:
        return 8;
    default:
        return 4;
    }
}

/* Where the bytes of features' units of bytes_per_unit lie: unit u of feature n. A unit is what the
 * order keeps together: a cell (GPU), an element or byte (CPU). */
static unsigned char *unit_at(const struct packer *w, int64_t n, int64_t u, int64_t units,
                              int64_t unit_bytes)
{
    int64_t i = w->cpu ? ((n / 16) * units + u) * 16 + n % 16 : u * w->np + n;
    return w->cells + i * unit_bytes;
}

/* row_bytes bytes of plain (unquantised) or quant data of a row, cut into units. */
static void put_units(const struct packer *w, int64_t n, const unsigned char *row, int64_t size,
                      int64_t unit_bytes, int64_t units, int64_t first)
{
    for (int64_t at = 0; at < size; at += unit_bytes) {
        int64_t left = size - at;
        memcpy(unit_at(w, n, first + at / unit_bytes, units, unit_bytes), row + at,
               (size_t)(left < unit_bytes ? left : unit_bytes));
    }
}

static void put_scale(const struct packer *w, int64_t n, int64_t block, const unsigned char *b, int two)
{
    int64_t i = w->cpu ? ((n / 16) * (w->kp / 32) + block) * 16 + n % 16 : block * w->np + n;
    uint32_t v = (uint32_t)b[0] | (uint32_t)b[1] << 8;

    if (two)
        v |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    memcpy(w->scales + i * 4, &v, sizeof v);
}

static void pack_row(const struct packer *w, int64_t n)
{
    const unsigned char *row = (const unsigned char *)w->p->data + (uint64_t)n * w->p->row_bytes;
    anl_dtype t = w->p->dtype;
    int64_t bits = element_bits(t);
    int64_t unit = w->cpu ? (bits + 7) / 8 : 16;
    int64_t units = w->kp * bits / 8 / unit;
    int64_t head = t == ANL_Q4_1 ? 4 : 2, body = 32 * bits / 8;

    if (!anl_dtype_is_quantised(t)) {
        put_units(w, n, row, w->p->k * bits / 8, unit, units, 0);
        return;
    }
    for (int64_t b = 0; b < w->p->k / 32; b++) {
        put_scale(w, n, b, row, t == ANL_Q4_1);
        put_units(w, n, row + head, body, unit, units, b * (body / unit));
        row += head + body;
    }
}

static anl_status send(struct anl_cl_device *d, const void *data, uint64_t size, cl_mem *out)
{
    anl_status s = anl_cl_alloc(d, size, ANL_FOR_WEIGHTS, out);

    return s ? s : anl_cl_write(d, *out, 0, data, size);
}

static uint64_t cell_bytes(const struct anl_cl_weights *w)
{
    return (uint64_t)w->np * (uint64_t)w->kp * (uint64_t)element_bits(w->base.dtype) / 8;
}

static uint64_t scale_bytes(const struct anl_cl_weights *w)
{
    if (!anl_dtype_is_quantised(w->base.dtype))
        return 0;
    return (uint64_t)w->np * (uint64_t)(w->kp / 32) * 4;
}

static void *zeroed(struct anl_cl_device *d, uint64_t size)
{
    void *m = size > SIZE_MAX / 2 ? NULL : anl_context_alloc(d->base.context, (size_t)size, 64);
    if (m)
        memset(m, 0, (size_t)size);
    return m;
}

anl_status anl_cl_weights_create(struct anl_device *device, const struct anl_weights_params *params,
                                 struct anl_weights **out)
{
    struct anl_cl_device *d = anl_cl(device);
    struct packer pack = { .p = params, .cpu = d->cpu_shaped };
    struct anl_cl_weights *w = zeroed(d, sizeof *w);
    uint64_t cells, scales;
    anl_status s = ANL_E_MEMORY;

    if (!w)
        return anl_fail(device, ANL_E_MEMORY, "a matrix's handle: out of memory");
    w->base = (struct anl_weights){ device, params->dtype, params->n, params->k, 0 };
    pack.np = w->np = (params->n + 15) / 16 * 16;
    pack.kp = w->kp = (params->k + 31) / 32 * 32;
    cells = cell_bytes(w);
    scales = scale_bytes(w);
    w->base.bytes = cells + scales;
    pack.cells = zeroed(d, cells);
    pack.scales = scales ? zeroed(d, scales) : NULL;
    if (!pack.cells || (scales && !pack.scales)) {
        anl_fail(device, ANL_E_MEMORY, "packing %llu bytes of weights: out of memory",
                 (unsigned long long)w->base.bytes);
        goto done;
    }
    for (int64_t n = 0; n < params->n; n++)
        pack_row(&pack, n);
    s = send(d, pack.cells, cells, &w->cells);
    if (!s && scales)
        s = send(d, pack.scales, scales, &w->scales);
done:
    anl_context_free(device->context, pack.cells);
    anl_context_free(device->context, pack.scales);
    if (s)
        anl_cl_weights_destroy(&w->base);
    else
        *out = &w->base;
    return s;
}

void anl_cl_weights_destroy(struct anl_weights *weights)
{
    struct anl_cl_weights *w = (struct anl_cl_weights *)weights;
    struct anl_cl_device *d = anl_cl(weights->device);

    anl_cl_free(d, w->cells, cell_bytes(w), ANL_FOR_WEIGHTS);
    anl_cl_free(d, w->scales, scale_bytes(w), ANL_FOR_WEIGHTS);
    anl_context_free(d->base.context, w);
}
