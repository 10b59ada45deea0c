/* cpu/weights.c: matrices packed into panels of NR rows (output features), so that a kernel reads
 * columns of NR side by side:
 *   f32, f16, bf16   [panel][k][NR]
 *   quantised        [panel][k / 32] of: f16 d[NR], (Q4_1: f16 m[NR],) then quants: Q8_0 [32][NR]
 *                    bytes; Q4 [4][NR] words of the host, byte b of word w being GGUF's byte 4w + b: k =
 *                    4w + b in its low half, k + 16 in the high one. A lane's shifts give 8 k a load.
 * Rows past N are zero. */
#include <string.h>

#include "cpu/cpu.h"

/* Bytes of one panel's 32 k of a quantised type, per row. */
static uint64_t block_bytes(anl_dtype dtype)
{
    return dtype == ANL_Q8_0 ? 34 : dtype == ANL_Q4_1 ? 20 : 18;
}

static uint16_t little_half(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t little_word(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* One row's blocks into lane `lane` of its panel. */
static void pack_blocks(anl_dtype dtype, const uint8_t *row, int64_t k, int nr, int lane,
                        uint8_t *panel)
{
    uint64_t bytes = block_bytes(dtype);
    int scales = dtype == ANL_Q4_1 ? 2 : 1;

    for (int64_t b = 0; b < k / 32; b++, row += bytes, panel += bytes * (uint64_t)nr) {
        const uint8_t *from = row + 2 * scales;
        uint8_t *q = panel + 2 * scales * nr;
        for (int i = 0; i < scales; i++) {
            uint16_t h = little_half(row + 2 * i);
            memcpy(panel + 2 * (i * nr + lane), &h, sizeof h);
        }
        for (int i = 0; dtype == ANL_Q8_0 && i < 32; i++)
            q[i * nr + lane] = from[i];
        for (int i = 0; dtype != ANL_Q8_0 && i < 4; i++) {
            uint32_t word = little_word(from + 4 * i);
            memcpy(q + 4 * (i * nr + lane), &word, sizeof word);
        }
    }
}

static void pack_row(const struct anl_weights_params *p, const uint8_t *row, int nr, int lane,
                     char *panel)
{
    if (anl_dtype_is_quantised(p->dtype)) {
        pack_blocks(p->dtype, row, p->k, nr, lane, (uint8_t *)panel);
        return;
    }
    if (p->dtype == ANL_F32) {
        for (int64_t k = 0; k < p->k; k++)
            memcpy(panel + (k * nr + lane) * 4, row + k * 4, 4);
        return;
    }
    for (int64_t k = 0; k < p->k; k++)
        memcpy(panel + (k * nr + lane) * 2, row + k * 2, 2);
}

struct pack {
    const struct anl_weights_params *p;
    struct cpu_weights *w;
    int nr;
};

static void pack_task(void *arg, int64_t i, char *work)
{
    const struct pack *t = arg;
    char *panel = t->w->panel + (uint64_t)i * t->w->panel_bytes;

    (void)work;
    memset(panel, 0, (size_t)t->w->panel_bytes);
    for (int lane = 0; lane < t->nr && i * t->nr + lane < t->p->n; lane++)
        pack_row(t->p, (const uint8_t *)t->p->data + (uint64_t)(i * t->nr + lane) * t->p->row_bytes,
                 t->nr, lane, panel);
}

anl_status anl_cpu_weights_create(struct anl_device *device,
                                  const struct anl_weights_params *params,
                                  struct anl_weights **out)
{
    struct cpu_device *d = (struct cpu_device *)device;
    int nr = d->k->nr;
    int64_t panels = (params->n + nr - 1) / nr;
    struct cpu_weights *w = anl_context_alloc(device->context, sizeof *w, 64);
    struct pack t = { params, w, nr };
    anl_status s = ANL_E_MEMORY;
    uint64_t bytes = 0;

    if (!w)
        goto fail;
    w->panel_bytes = anl_row_bytes(params->dtype, params->k) * (uint64_t)nr;
    bytes = w->panel_bytes * (uint64_t)panels;
    w->base = (struct anl_weights){ device, params->dtype, params->n, params->k, bytes };
    w->chunk = NULL;
    w->panel = bytes > SIZE_MAX / 2 ? NULL : anl_cpu_pool_alloc(d, (size_t)bytes, &w->chunk);
    if (!w->panel)
        goto fail;
    s = anl_cpu_run(d, panels, pack_task, &t, 0,
                    (double)params->n * (double)params->k);
    if (s)
        goto fail;
    anl_account(device, ANL_FOR_WEIGHTS, (int64_t)bytes);
    *out = &w->base;
    return ANL_OK;
fail:
    if (w)
        anl_cpu_pool_free(d, w->chunk);
    anl_context_free(device->context, w);
    return anl_fail(device, s, "weights of %llu bytes: out of memory", (unsigned long long)bytes);
}

void anl_cpu_weights_destroy(struct anl_weights *weights)
{
    struct cpu_weights *w = (struct cpu_weights *)weights;
    anl_account(weights->device, ANL_FOR_WEIGHTS, -(int64_t)weights->bytes);
    anl_cpu_pool_free((struct cpu_device *)weights->device, w->chunk);
    anl_context_free(weights->device->context, w);
}
