/* cl/linear.c: picks the kernel and its tile for a linear layer, and cuts the work into launches. */
#include <stdio.h>

#include "cl/cl.h"

#define TOTALS_BYTES (64 << 20) /* of the tiles' totals that lie in memory (see linear.cl) */
#define ROW_TOKENS 8            /* up to this many tokens linear_row is the faster one */

static void weights_args(struct anl_cl_call *c, const struct anl_cl_weights *w)
{
    anl_cl_arg_mem(c, w->cells);
    anl_cl_arg_mem(c, w->scales ? w->scales : w->cells);
    anl_cl_arg_long(c, w->np);
}

static void tensor_args(struct anl_cl_call *c, const struct anl_linear_params *p)
{
    anl_cl_arg_tensor(c, &p->x, &p->x);
    anl_cl_arg_tensor(c, &p->out, &p->out);
    anl_cl_arg_int(c, (int32_t)p->out.dtype);
    anl_cl_arg_tensor(c, &p->bias, &p->x);
    anl_cl_arg_tensor(c, &p->gate, &p->x);
    anl_cl_arg_tensor(c, &p->residual, &p->x);
    anl_cl_arg_int(c, (int32_t)p->act);
    anl_cl_arg_int(c,
                   (p->bias.buffer ? 1 : 0) | (p->gate.buffer ? 2 : 0) | (p->residual.buffer ? 4 : 0));
}

/* Tokens of one launch: a multiple of step, at least that. */
static int64_t launch_tokens(const struct anl_cl_device *d, const struct anl_weights *w, int64_t step)
{
    double each = (double)w->n * (double)w->k;
    double fit = d->launch_fma / each / (double)step;

    return fit < 1 ? step : fit > 1e9 ? (int64_t)1000000000 * step : (int64_t)fit * step;
}

static anl_status run_cpu(struct anl_cl_device *d, const struct anl_linear_params *p)
{
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->w;
    int64_t t_end = p->x.dim[0], step = launch_tokens(d, p->w, 64);
    char options[96];
    anl_status s = ANL_OK;

    snprintf(options, sizeof options, "-DVW=16 -DWT=%d -DTB=64 -DRT=%d", (int)p->w->dtype,
             d->wide ? 8 : 3);
    for (int64_t t = 0; !s && t < t_end; t += step) {
        int64_t t1 = t + step < t_end ? t + step : t_end;
        size_t groups[2] = { (size_t)anl_cl_ceil_div(w->np, 32), (size_t)anl_cl_ceil_div(t1 - t, 64) };
        size_t group[2] = { 1, 1 };
        struct anl_cl_call c;

        anl_cl_begin(&c, d, ANL_CL_LINEAR_CPU, options, "linear_cpu");
        weights_args(&c, w);
        anl_cl_arg_long(&c, w->kp);
        tensor_args(&c, p);
        anl_cl_arg_long(&c, t);
        anl_cl_arg_long(&c, t1);
        anl_cl_arg_long(&c, p->w->n);
        anl_cl_arg_long(&c, p->w->k);
        s = anl_cl_launch(&c, 2, groups, group);
    }
    return s;
}

static anl_status run_row(struct anl_cl_device *d, const struct anl_linear_params *p)
{
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->w;
    size_t nx = 32, sy = 1;
    size_t groups[2] = { 0, (size_t)p->x.dim[0] }, group[2];
    struct anl_cl_call c;
    char options[96];

    while (sy < 8 && (int64_t)sy * 512 < p->w->k && 2 * sy * nx <= d->max_group)
        sy *= 2;
    groups[0] = (size_t)anl_cl_ceil_div(p->w->n, (int64_t)nx);
    group[0] = nx;
    group[1] = sy;
    snprintf(options, sizeof options, "-DWT=%d -DNX=%d -DSY=%d", (int)p->w->dtype, (int)nx, (int)sy);
    anl_cl_begin(&c, d, ANL_CL_LINEAR_ROW, options, "linear_row");
    weights_args(&c, w);
    tensor_args(&c, p);
    anl_cl_arg_long(&c, p->w->n);
    anl_cl_arg_long(&c, p->w->k);
    return anl_cl_launch(&c, 2, groups, group);
}

/* Side of a work-group's tile: the largest that still gives every compute unit some. With few
 * registers the 8 x 8 of a 128 tile would be spilled. */
static int pick_tile(const struct anl_cl_device *d, int64_t tokens, int64_t n)
{
    int64_t want = 2 * (int64_t)d->base.info.threads;

    if (d->max_group < 256)
        return 32;
    if (d->registers && anl_cl_ceil_div(tokens, 128) * anl_cl_ceil_div(n, 128) >= want)
        return 128;
    return anl_cl_ceil_div(tokens, 64) * anl_cl_ceil_div(n, 64) >= want ? 64 : 32;
}

static anl_status run_tile(struct anl_cl_device *d, const struct anl_linear_params *p)
{
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->w;
    int64_t t_end = p->x.dim[0], bm = pick_tile(d, t_end, p->w->n), tm = bm == 128 ? 8 : 4;
    int64_t across = anl_cl_ceil_div(p->w->n, bm);
    int64_t step = launch_tokens(d, p->w, bm), fit = TOTALS_BYTES / (across * bm * 4) / bm * bm;
    size_t group[1] = { (size_t)(bm / tm * (bm / tm)) };
    char options[96];
    cl_mem total;
    anl_status s;

    if (fit < bm)
        fit = bm;
    step = step < fit ? step : fit;
    if (step > t_end)
        step = anl_cl_ceil_div(t_end, bm) * bm;
    s = anl_cl_scratch(d, 0, (uint64_t)(across * bm * step * 4), &total);
    snprintf(options, sizeof options, "-DWT=%d -DBM=%d -DTM=%d -DALIGNED=%d", (int)p->w->dtype, (int)bm,
             (int)tm, anl_cl_aligned(&p->x));
    for (int64_t t = 0; !s && t < t_end; t += step) {
        int64_t t1 = t + step < t_end ? t + step : t_end;
        size_t groups[2] = { (size_t)across, (size_t)anl_cl_ceil_div(t1 - t, bm) };
        size_t group2[2] = { group[0], 1 };
        struct anl_cl_call c;

        anl_cl_begin(&c, d, ANL_CL_LINEAR_TILE, options, "linear_tile");
        weights_args(&c, w);
        tensor_args(&c, p);
        anl_cl_arg_mem(&c, total);
        anl_cl_arg_long(&c, t);
        anl_cl_arg_long(&c, t1);
        anl_cl_arg_long(&c, p->w->n);
        anl_cl_arg_long(&c, p->w->k);
        s = anl_cl_launch(&c, 2, groups, group2);
    }
    return s;
}

anl_status anl_cl_linear(struct anl_device *device, const struct anl_linear_params *params)
{
    struct anl_cl_device *d = anl_cl(device);

    if (d->cpu_shaped)
        return run_cpu(d, params);
    return params->x.dim[0] <= ROW_TOKENS ? run_row(d, params) : run_tile(d, params);
}
