/* cpu/rows.c: the operations that go row by row: norm, rope, embed, xent. A task is a few rows. */
#include <string.h>

#include "cpu/cpu.h"

#define ROWS 8 /* of a task */

static int64_t row_tasks(int64_t rows)
{
    return (rows + ROWS - 1) / ROWS;
}

struct row_job {
    const struct cpu_device *d;
    const void *p; /* the operation's params */
};

static const float *f32_at(const struct anl_tensor *t, int64_t i)
{
    return (const float *)anl_host_ptr(t) + i;
}

static void norm_task(void *arg, int64_t i, char *work)
{
    const struct row_job *j = arg;
    const struct anl_norm_params *p = j->p;

    (void)work;
    for (int64_t t = i * ROWS; t < (i + 1) * ROWS && t < p->x.dim[0]; t++)
        j->d->k->norm(f32_at(&p->x, t * p->x.stride[0]), f32_at(&p->w, 0), p->eps,
                      (float *)anl_host_ptr(&p->out) + t * p->out.stride[0], p->x.dim[1]);
}

anl_status anl_cpu_norm(struct anl_device *device, const struct anl_norm_params *params)
{
    struct row_job j = { (struct cpu_device *)device, params };
    return anl_cpu_run((struct cpu_device *)device, row_tasks(params->x.dim[0]), norm_task, &j, 0,
                       4.0 * (double)params->x.dim[0] * (double)params->x.dim[1]);
}

/* A token's heads are turned in place, or through the worker's memory when they are narrowed. */
static void rope_task(void *arg, int64_t i, char *work)
{
    const struct row_job *j = arg;
    const struct anl_rope_params *p = j->p;
    int64_t heads = p->x.dim[1], d = p->x.dim[2];

    for (int64_t t = i * ROWS; t < (i + 1) * ROWS && t < p->x.dim[0]; t++) {
        const float *x = f32_at(&p->x, t * p->x.stride[0]);
        int64_t at = t * p->out.stride[0];

        if (p->out.dtype == ANL_F32) {
            j->d->k->rope(p->table, p->position + t, p->pairs, x, p->x.stride[1],
                          (float *)anl_host_ptr(&p->out) + at, p->out.stride[1], heads, d);
            continue;
        }
        j->d->k->rope(p->table, p->position + t, p->pairs, x, p->x.stride[1],
                      (float *)(void *)work, d, heads, d);
        for (int64_t h = 0; h < heads; h++)
            j->d->k->narrow(p->out.dtype, (float *)(void *)work + h * d,
                            (uint16_t *)anl_host_ptr(&p->out) + at + h * p->out.stride[1], d);
    }
}

anl_status anl_cpu_rope(struct anl_device *device, const struct anl_rope_params *params)
{
    struct row_job j = { (struct cpu_device *)device, params };
    size_t work = params->out.dtype == ANL_F32
                      ? 0
                      : (size_t)(params->x.dim[1] * params->x.dim[2]) * sizeof(float);
    return anl_cpu_run((struct cpu_device *)device, row_tasks(params->x.dim[0]), rope_task, &j,
                       work, 8.0 * (double)(params->x.dim[0] * params->x.dim[1] * params->x.dim[2]));
}

/* Lane n of a panel, out of a span unpacked whole. */
static void embed_task(void *arg, int64_t t, char *work)
{
    const struct row_job *j = arg;
    const struct anl_embed_params *p = j->p;
    const struct cpu_weights *w = (const struct cpu_weights *)p->table;
    const struct cpu_kernels *k = j->d->k;
    const char *panel = w->panel + (uint64_t)(p->ids[t] / k->nr) * w->panel_bytes;
    float *out = (float *)anl_host_ptr(&p->out) + t * p->out.stride[0];
    float span[512];

    for (int64_t k0 = 0; k0 < w->base.k; k0 += 512) {
        int kn = (int)(w->base.k - k0 < 512 ? w->base.k - k0 : 512);
        const float *b = k->unpack(w->base.dtype, panel, k0, kn, (float *)(void *)work);
        for (int i = 0; i < kn; i++)
            span[i] = b[i * k->nr + p->ids[t] % k->nr];
        k->epilogue(ANL_ACT_NONE, span, NULL, NULL, NULL, out + k0, kn);
    }
}

anl_status anl_cpu_embed(struct anl_device *device, const struct anl_embed_params *params)
{
    struct row_job j = { (struct cpu_device *)device, params };
    return anl_cpu_run((struct cpu_device *)device, params->out.dim[0], embed_task, &j,
                       (size_t)512 * CPU_MAX_NR * sizeof(float),
                       (double)CPU_MAX_NR * (double)(params->out.dim[0] * params->table->k));
}

static void xent_task(void *arg, int64_t t, char *work)
{
    const struct row_job *j = arg;
    const struct anl_xent_params *p = j->p;
    const float *logits = f32_at(&p->logits, t * p->logits.stride[0]);

    (void)work;
    ((float *)anl_host_ptr(&p->out))[t] =
        j->d->k->xent(logits, p->logits.dim[1], logits[p->targets[t]]);
}

anl_status anl_cpu_xent(struct anl_device *device, const struct anl_xent_params *params)
{
    struct row_job j = { (struct cpu_device *)device, params };
    return anl_cpu_run((struct cpu_device *)device, params->logits.dim[0], xent_task, &j, 0,
                       20.0 * (double)(params->logits.dim[0] * params->logits.dim[1]));
}
