/* cpu/linear.c: linear by tiles: a task is some rows of x by some panels of W. Span by span its rows are
 * copied to a compact block, a panel's span is unpacked to f32, and the matrix kernel adds the span's
 * chains to the tile's totals; the epilogue runs once over the finished tile. A single row goes straight
 * to the stored weights, and to several matrices at once: a token has little work between two waits. */
#include <string.h>

#include "cpu/cpu.h"

#define SPAN 512
#define MAX_ROWS 192   /* rows of a task: its block of x (192 x 528 floats) stays in a 1 MiB cache */
#define MAX_PANELS 64  /* panels of a task: so many share the copying of its rows */

struct job {
    const struct cpu_device *d;
    const struct anl_linear_params *p;
    const struct cpu_weights *w;
    int64_t rows, panels; /* of a task */
    int64_t row_tasks, panel_tasks;
};

/* A worker's memory. */
struct work {
    float *a;     /* [rows][CPU_LDA] */
    float *b;     /* [SPAN][nr] */
    float *c;     /* [rows][stride] */
    float *out;   /* [panels * nr]: a finished row, when it is narrowed */
    size_t size;
};

/* Floats from one row of a task's totals to the next: not a power of two, which would put all rows of
 * a tile into one set of the cache. */
static int64_t stride_of(const struct job *j)
{
    return j->panels * j->d->k->nr + 16;
}

static struct work layout(const struct job *j, char *base)
{
    size_t nr = (size_t)j->d->k->nr, width = (size_t)j->panels * nr;
    size_t a = anl_cpu_pad((size_t)j->rows * CPU_LDA * 4), b = anl_cpu_pad(SPAN * nr * 4);
    size_t c = anl_cpu_pad((size_t)(j->rows * stride_of(j)) * 4), out = anl_cpu_pad(width * 4);
    struct work w = { (float *)(void *)base, (float *)(void *)(base + a),
                      (float *)(void *)(base + a + b), (float *)(void *)(base + a + b + c),
                      a + b + c + out };
    return w;
}

static const float *row_of(const struct anl_tensor *t, int64_t row, int64_t col)
{
    return t->buffer ? (const float *)anl_host_ptr(t) + row * t->stride[0] + col : NULL;
}

/* Columns n0 .. n0 + n of a row of totals into the result; narrowed: memory for as many floats. */
static void finish_row(const struct cpu_kernels *k, const struct anl_linear_params *p, int64_t row,
                       const float *c, int64_t n0, int64_t n, float *narrowed)
{
    const float *bias = p->bias.buffer ? (const float *)anl_host_ptr(&p->bias) + n0 : NULL;
    const float *gate = row_of(&p->gate, row, n0), *residual = row_of(&p->residual, row, n0);
    int64_t at = row * p->out.stride[0] + n0;

    if (p->out.dtype == ANL_F32) {
        k->epilogue(p->act, c, bias, gate, residual, (float *)anl_host_ptr(&p->out) + at, n);
        return;
    }
    k->epilogue(p->act, c, bias, gate, residual, narrowed, n);
    k->narrow(p->out.dtype, narrowed, (uint16_t *)anl_host_ptr(&p->out) + at, n);
}

/* What the kernel reads after span k0 of the task's panel q: the next panel's, or the first one's next
 * span. Only f32 weights are read by it; others are unpacked, in one go. */
static const void *next_panel(const struct job *j, int64_t panel0, int64_t q, int64_t panels, int64_t k0)
{
    int64_t row = j->d->k->nr * (int64_t)sizeof(float);
    int last = q + 1 == panels;

    if (j->w->base.dtype != ANL_F32 || (last && k0 + SPAN >= j->w->base.k))
        return NULL;
    return j->w->panel + (uint64_t)(last ? panel0 : panel0 + q + 1) * j->w->panel_bytes +
           (last ? k0 + SPAN : k0) * row;
}

static void task(void *arg, int64_t i, char *memory)
{
    const struct job *j = arg;
    const struct cpu_kernels *k = j->d->k;
    struct work w = layout(j, memory);
    int64_t panel0 = i / j->row_tasks * j->panels, row0 = i % j->row_tasks * j->rows;
    int64_t all_panels = (j->w->base.n + k->nr - 1) / k->nr;
    int64_t panels = all_panels - panel0 < j->panels ? all_panels - panel0 : j->panels;
    int64_t rows = j->p->x.dim[0] - row0 < j->rows ? j->p->x.dim[0] - row0 : j->rows;
    int64_t width = panels * k->nr, stride = stride_of(j), n0 = panel0 * k->nr;
    int64_t n = j->w->base.n - n0 < width ? j->w->base.n - n0 : width;

    for (int64_t k0 = 0; k0 < j->w->base.k; k0 += SPAN) {
        int kn = (int)(j->w->base.k - k0 < SPAN ? j->w->base.k - k0 : SPAN);
        for (int64_t r = 0; r < rows; r++)
            memcpy(w.a + r * CPU_LDA, row_of(&j->p->x, row0 + r, k0), (size_t)kn * 4);
        for (int64_t q = 0; q < panels; q++) {
            const float *b = k->unpack(j->w->base.dtype,
                                       j->w->panel + (uint64_t)(panel0 + q) * j->w->panel_bytes, k0,
                                       kn, w.b);
            k->gemm((int)rows, w.a, b, kn, w.c + q * k->nr, stride,
                    k0 ? CPU_GEMM_ADD : CPU_GEMM_STORE, next_panel(j, panel0, q, panels, k0));
        }
    }
    for (int64_t r = 0; r < rows; r++)
        finish_row(k, j->p, row0 + r, w.c + r * stride, n0, n, w.out);
}

/* Task sizes: large enough to pay for copying and unpacking, small enough to keep threads busy. */
static void plan(struct job *j)
{
    int64_t t = j->p->x.dim[0], panels = (j->w->base.n + j->d->k->nr - 1) / j->d->k->nr;
    int64_t mr = j->d->k->mr, want = j->d->threads == 1 ? 1 : 5 * (int64_t)j->d->threads;
    int64_t row_tasks = (t + MAX_ROWS - 1) / MAX_ROWS;

    j->rows = (t + row_tasks - 1) / row_tasks;
    j->rows = (j->rows + mr - 1) / mr * mr;
    if (j->rows > t)
        j->rows = t;
    j->row_tasks = (t + j->rows - 1) / j->rows;
    j->panels = panels * j->row_tasks / want;
    j->panels = j->panels < 2 ? 2 : j->panels > MAX_PANELS ? MAX_PANELS : j->panels;
    j->panel_tasks = (panels + j->panels - 1) / j->panels;
    j->panels = (panels + j->panel_tasks - 1) / j->panel_tasks;
    j->panel_tasks = (panels + j->panels - 1) / j->panels;
}

static anl_status many_rows(struct cpu_device *d, const struct anl_linear_params *params)
{
    struct job j = { .d = d, .p = params, .w = (const struct cpu_weights *)params->w };

    plan(&j);
    return anl_cpu_run(d, j.row_tasks * j.panel_tasks, task, &j, layout(&j, NULL).size,
                       (double)j.w->base.n * (double)j.w->base.k * (double)params->x.dim[0]);
}

anl_status anl_cpu_linear(struct anl_device *device, const struct anl_linear_params *params)
{
    return params->x.dim[0] == 1 ? anl_cpu_linears(device, params, 1)
                                 : many_rows((struct cpu_device *)device, params);
}

/* One token times up to three matrices. */
struct row_job {
    const struct cpu_device *d;
    const struct anl_linear_params *p;
    int n;
    int together; /* a task does its columns of all of them, in turn; else of one */
    int64_t panels[3], tasks[3]; /* of each: panels of a task, and the tasks */
};

/* As many panels as the kernel takes at once, or a few times that; the same for each thread. */
static void plan_row(struct row_job *j, int i)
{
    int64_t panels = (j->p[i].w->n + j->d->k->nr - 1) / j->d->k->nr, threads = j->d->threads;
    int64_t at_once = j->d->k->gemv_panels, rounds = (panels + at_once - 1) / at_once, each;

    rounds = (rounds + threads - 1) / threads;
    rounds = rounds < 8 ? rounds : 8;
    each = (panels + rounds * threads - 1) / (rounds * threads);
    if (each > at_once)
        each = (each + at_once - 1) / at_once * at_once;
    j->panels[i] = each;
    j->tasks[i] = (panels + each - 1) / each;
}

/* A few panels at a time, straight from the stored weights. */
static void row_panels(const struct row_job *j, int matrix, int64_t i, char *memory)
{
    const struct anl_linear_params *p = &j->p[matrix];
    const struct cpu_weights *w = (const struct cpu_weights *)p->w;
    const struct cpu_kernels *k = j->d->k;
    int64_t all_panels = (w->base.n + k->nr - 1) / k->nr, end = (i + 1) * j->panels[matrix];
    float *c = (float *)(void *)memory, *narrowed = c + k->gemv_panels * k->nr;

    end = end < all_panels ? end : all_panels;
    for (int64_t q = i * j->panels[matrix]; q < end; q += k->gemv_panels) {
        int panels = end - q < k->gemv_panels ? (int)(end - q) : k->gemv_panels;
        int64_t n0 = q * k->nr, n = w->base.n - n0, width = panels * (int64_t)k->nr;

        k->gemv(w->base.dtype, w->panel + (uint64_t)q * w->panel_bytes, w->panel_bytes, panels,
                w->base.k, row_of(&p->x, 0, 0), c);
        finish_row(k, p, 0, c, n0, n < width ? n : width, narrowed);
    }
}

static void row_task(void *arg, int64_t i, char *memory)
{
    const struct row_job *j = arg;
    int m = 0;

    for (; j->together && m < j->n; m++)
        row_panels(j, m, i, memory);
    if (j->together)
        return;
    while (i >= j->tasks[m])
        i -= j->tasks[m++];
    row_panels(j, m, i, memory);
}

anl_status anl_cpu_linears(struct anl_device *device, const struct anl_linear_params *params, int n)
{
    struct cpu_device *d = (struct cpu_device *)device;
    struct row_job j = { .d = d, .p = params, .n = n, .together = params[n - 1].gate.buffer != NULL };
    int64_t tasks = 0;
    double cost = 0;
    anl_status s = ANL_OK;

    for (int i = 0; params->x.dim[0] > 1 && !s && i < n; i++)
        s = many_rows(d, &params[i]);
    if (params->x.dim[0] > 1)
        return s;
    for (int i = 0; i < n; i++) {
        plan_row(&j, i);
        tasks = j.together ? j.tasks[i] : tasks + j.tasks[i];
        cost += (double)params[i].w->n * (double)params[i].w->k;
    }
    return anl_cpu_run(d, tasks, row_task, &j,
                       (size_t)(2 * d->k->gemv_panels * d->k->nr) * sizeof(float), cost);
}
