/* cl/linear.c: picks the kernel and its tile for a linear layer, and cuts the work into launches. */
#include <stdio.h>

#include "cl/cl.h"

#define TOTALS_BYTES (256 << 20) /* of the tiles' totals that lie in memory (see linear.cl) */

void anl_cl_arg_weights(struct anl_cl_call *c, const struct anl_cl_weights *w)
{
    anl_cl_arg_mem(c, w->cells);
    anl_cl_arg_mem(c, w->scales ? w->scales : w->cells);
    anl_cl_arg_long(c, w->np);
}

void anl_cl_arg_linear(struct anl_cl_call *c, const struct anl_linear_params *p)
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
    /* vectors of 16 features that a work-item has of one token: as many as leave work for all threads */
    int nr = w->np / 64 >= 2 * d->base.info.threads ? 4 : 2, row = t_end == 1;
    int64_t features = 16 * (row ? nr : 2);
    char options[96];
    anl_status s = ANL_OK;

    snprintf(options, sizeof options, "-DVW=16 -DWT=%d -DTB=64 -DRT=%d -DNR=%d", (int)p->w->dtype,
             d->wide ? 8 : 3, nr);
    for (int64_t t = 0; !s && t < t_end; t += step) {
        int64_t t1 = t + step < t_end ? t + step : t_end;
        size_t groups[2] = { (size_t)anl_cl_ceil_div(w->np, features), (size_t)anl_cl_ceil_div(t1 - t, 64) };
        size_t group[2] = { 1, 1 };
        struct anl_cl_call c;

        anl_cl_begin(&c, d, ANL_CL_LINEAR_CPU, options, row ? "linear_cpu_row" : "linear_cpu");
        anl_cl_arg_weights(&c, w);
        anl_cl_arg_long(&c, w->kp);
        anl_cl_arg_linear(&c, p);
        anl_cl_arg_long(&c, t);
        anl_cl_arg_long(&c, t1);
        anl_cl_arg_long(&c, p->w->n);
        anl_cl_arg_long(&c, p->w->k);
        s = anl_cl_launch(&c, 2, groups, group);
    }
    return s;
}

/* Are all that a plain epilogue reads and writes at multiples of 16 bytes? */
static int aligned(const struct anl_linear_params *p)
{
    return anl_cl_aligned(&p->x) && anl_cl_aligned(&p->out) &&
           (!p->bias.buffer || anl_cl_aligned(&p->bias)) &&
           (!p->residual.buffer || anl_cl_aligned(&p->residual));
}

static int items(const struct anl_cl_linear_tile *t)
{
    return t->bm / t->tm * (t->bn / t->tn);
}

static int is_plain(const struct anl_linear_params *p, const struct anl_cl_linear_tile *t)
{
    return p->act == ANL_ACT_NONE && !p->gate.buffer && t->tm * t->tn <= 32;
}

static void tile_options(const struct anl_cl_device *d, char *options, size_t size,
                         const struct anl_linear_params *p, const struct anl_cl_linear_tile *t)
{
    snprintf(options, size,
             "-DWT=%d -DBM=%d -DBN=%d -DTM=%d -DTN=%d -DBK=%d -DUK=%d -DPLAIN=%d -DALIGNED=%d -DFEW=%d",
             (int)p->w->dtype, t->bm, t->bn, t->tm, t->tn, t->bk, t->uk, is_plain(p, t), aligned(p),
             d->tiles.few_registers > 1);
}

/* The tile that suits the product, or the safe one if its kernel cannot have so many work-items. */
static struct anl_cl_linear_tile pick_tile(struct anl_cl_device *d, const struct anl_linear_params *p,
                                           char *options, size_t size)
{
    struct anl_cl_linear_tile t = anl_cl_pick_linear_tile(d, p->x.dim[0], p->w->n, p->w->k);
    struct anl_cl_call c;

    tile_options(d, options, size, p, &t);
    anl_cl_begin(&c, d, ANL_CL_LINEAR_TILE, options, "linear_tile");
    if (anl_cl_fits(&c, (size_t)items(&t)))
        return t;
    tile_options(d, options, size, p, &anl_cl_safe_linear_tile);
    return anl_cl_safe_linear_tile;
}

static anl_status run_tile(struct anl_cl_device *d, const struct anl_linear_params *p)
{
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->w;
    char options[160];
    const struct anl_cl_linear_tile tile = pick_tile(d, p, options, sizeof options);
    int64_t t_end = p->x.dim[0], across = anl_cl_ceil_div(p->w->n, tile.bn);
    int64_t step = launch_tokens(d, p->w, tile.bm);
    int64_t fit = TOTALS_BYTES / (across * tile.bn * 4) / tile.bm * tile.bm;
    int has_totals = !is_plain(p, &tile) || p->w->k > 512; /* else the kernel touches none */
    size_t group[2] = { (size_t)items(&tile), 1 };
    cl_mem total = w->cells;
    anl_status s = ANL_OK;

    if (fit < tile.bm)
        fit = tile.bm;
    if (has_totals && step > fit)
        step = fit;
    if (step > t_end)
        step = anl_cl_ceil_div(t_end, tile.bm) * tile.bm;
    if (has_totals)
        s = anl_cl_scratch(d, 0, (uint64_t)(across * tile.bn * step * 4), &total);
    for (int64_t t = 0; !s && t < t_end; t += step) {
        int64_t t1 = t + step < t_end ? t + step : t_end;
        size_t groups[2] = { (size_t)across, (size_t)anl_cl_ceil_div(t1 - t, tile.bm) };
        struct anl_cl_call c;

        anl_cl_begin(&c, d, ANL_CL_LINEAR_TILE, options, "linear_tile");
        anl_cl_arg_weights(&c, w);
        anl_cl_arg_linear(&c, p);
        anl_cl_arg_mem(&c, total);
        anl_cl_arg_long(&c, t);
        anl_cl_arg_long(&c, t1);
        anl_cl_arg_long(&c, p->w->n);
        anl_cl_arg_long(&c, p->w->k);
        s = anl_cl_launch(&c, 2, groups, group);
    }
    return s;
}

anl_status anl_cl_linear(struct anl_device *device, const struct anl_linear_params *params)
{
    struct anl_cl_device *d = anl_cl(device);

    if (d->cpu_shaped)
        return run_cpu(d, params);
    return params->x.dim[0] <= ANL_CL_ROW_TOKENS ? anl_cl_linear_row(d, params) : run_tile(d, params);
}
