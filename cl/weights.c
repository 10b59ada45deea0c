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

/* How a row is cut into units, which the order keeps together: a cell (GPU), an element or byte (CPU).
 * Of a quantised type a block's units lie behind its scales. */
struct cut {
    int64_t units, each; /* of a row; of a block, or of a row if there are none */
    int64_t head, body;  /* bytes of a block's scales, and of the rest */
};

static struct cut cut_row(const struct packer *w, int64_t unit)
{
    anl_dtype t = w->p->dtype;
    int64_t bits = element_bits(t);
    struct cut c = { .units = w->kp * bits / 8 / unit, .body = w->kp * bits / 8 };

    if (anl_dtype_is_quantised(t)) {
        c.head = t == ANL_Q4_1 ? 4 : 2;
        c.body = 32 * bits / 8;
    }
    c.each = c.body / unit;
    return c;
}

/* Units of up to 16 rows from n on, side by side. unit is a constant where this is inlined. */
static inline __attribute__((always_inline)) void pack_units(const struct packer *w, int64_t n, int64_t rows,
                                                             const int64_t unit)
{
    const struct cut c = cut_row(w, unit);
    const unsigned char *from = (const unsigned char *)w->p->data + (uint64_t)n * w->p->row_bytes;
    int64_t size = anl_dtype_is_quantised(w->p->dtype) ? INT64_MAX : w->p->k * element_bits(w->p->dtype) / 8;
    int64_t blocks = anl_dtype_is_quantised(w->p->dtype) ? w->p->k / 32 : 1;

    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < c.each && i * unit < size; i++) {
            int64_t u = b * c.each + i, left = size - i * unit;
            unsigned char *to = w->cells + (w->cpu ? (n / 16 * c.units + u) * 16 : u * w->np + n) * unit;
            const unsigned char *at = from + b * (c.head + c.body) + c.head + i * unit;
            for (int64_t r = 0; left >= unit && r < rows; r++)
                memcpy(to + r * unit, at + (uint64_t)r * w->p->row_bytes, (size_t)unit);
            for (int64_t r = 0; left < unit && r < rows; r++)
                memcpy(to + r * unit, at + (uint64_t)r * w->p->row_bytes, (size_t)left);
        }
}

static void pack_scales(const struct packer *w, int64_t n, int64_t rows)
{
    const int two = w->p->dtype == ANL_Q4_1;
    const int64_t bytes = (two ? 4 : 2) + element_bits(w->p->dtype) * 4, blocks = w->kp / 32;

    for (int64_t block = 0; block < blocks; block++)
        for (int64_t r = 0; r < rows; r++) {
            const unsigned char *b =
                (const unsigned char *)w->p->data + (uint64_t)(n + r) * w->p->row_bytes + block * bytes;
            int64_t i = w->cpu ? (n / 16 * blocks + block) * 16 + r : block * w->np + n + r;
            uint32_t v = (uint32_t)b[0] | (uint32_t)b[1] << 8;
            if (two)
                v |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
            memcpy(w->scales + i * 4, &v, sizeof v);
        }
}

static void pack_all(const struct packer *w)
{
    for (int64_t n = 0; n < w->p->n; n += 16) {
        int64_t rows = w->p->n - n < 16 ? w->p->n - n : 16;
        if (!w->cpu)
            pack_units(w, n, rows, 16);
        else if (element_bits(w->p->dtype) == 32)
            pack_units(w, n, rows, 4);
        else if (element_bits(w->p->dtype) == 16)
            pack_units(w, n, rows, 2);
        else
            pack_units(w, n, rows, 1);
        if (w->scales)
            pack_scales(w, n, rows);
    }
}

/* A part of the weights while it is packed: a CPU device's memory itself, else memory that is sent. */
struct room {
    uint64_t size;
    cl_mem mem;
    void *data;
};

static anl_status open_room(struct anl_cl_device *d, struct room *r, int zero)
{
    cl_int code = 0;
    anl_status s;

    if (!r->size)
        return ANL_OK;
    s = anl_cl_alloc(d, r->size, ANL_FOR_WEIGHTS, &r->mem);
    if (s)
        return s;
    if (d->cpu_shaped)
        r->data = d->api.clEnqueueMapBuffer(d->queue, r->mem, CL_TRUE, CL_MAP_WRITE, 0, (size_t)r->size, 0, NULL,
                                            NULL, &code);
    else if (r->size <= SIZE_MAX / 2)
        r->data = anl_context_alloc(d->base.context, (size_t)r->size, 64);
    if (code)
        return anl_cl_fail(d, "clEnqueueMapBuffer", code);
    if (!r->data)
        return anl_fail(&d->base, ANL_E_MEMORY, "packing %llu bytes of weights: out of memory",
                        (unsigned long long)r->size);
    if (zero)
        memset(r->data, 0, (size_t)r->size);
    return ANL_OK;
}

/* s: whether it is packed, or what went wrong before. */
static anl_status close_room(struct anl_cl_device *d, struct room *r, anl_status s)
{
    cl_int code = 0;

    if (!r->data)
        return s;
    if (!d->cpu_shaped) {
        if (!s)
            s = anl_cl_write(d, r->mem, 0, r->data, r->size);
        anl_context_free(d->base.context, r->data);
        return s;
    }
    code = d->api.clEnqueueUnmapMemObject(d->queue, r->mem, r->data, 0, NULL, NULL);
    return s ? s : code ? anl_cl_fail(d, "clEnqueueUnmapMemObject", code) : ANL_OK;
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

anl_status anl_cl_weights_create(struct anl_device *device, const struct anl_weights_params *params,
                                 struct anl_weights **out)
{
    struct anl_cl_device *d = anl_cl(device);
    struct anl_cl_weights *w = anl_context_alloc(device->context, sizeof *w, 64);
    struct packer pack = { .p = params, .cpu = d->cpu_shaped };
    struct room cells = { 0 }, scales = { 0 };
    anl_status s;
    int padded;

    if (!w)
        return anl_fail(device, ANL_E_MEMORY, "a matrix's handle: out of memory");
    *w = (struct anl_cl_weights){ .base = { device, params->dtype, params->n, params->k, 0 } };
    pack.np = w->np = (params->n + 15) / 16 * 16;
    pack.kp = w->kp = (params->k + 31) / 32 * 32;
    padded = w->np != params->n || w->kp != params->k;
    cells.size = cell_bytes(w);
    scales.size = scale_bytes(w);
    w->base.bytes = cells.size + scales.size;
    s = open_room(d, &cells, padded);
    if (!s)
        s = open_room(d, &scales, padded);
    pack.cells = cells.data;
    pack.scales = scales.data;
    if (!s)
        pack_all(&pack);
    s = close_room(d, &cells, s);
    s = close_room(d, &scales, s);
    w->cells = cells.mem;
    w->scales = scales.mem;
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
