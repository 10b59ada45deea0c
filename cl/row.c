/* cl/row.c: few tokens (GPU-shaped): linear and the hidden layer of a feedforward, each with its norm
 * in one launch. */
#include <stdio.h>

#include "cl/cl.h"

void anl_cl_row_begin(struct anl_cl_call *call, struct anl_cl_device *d, const struct anl_cl_row *row,
                      size_t *group)
{
    size_t spans = 1, each = ANL_CL_ROW_NX * row->matrices;
    char options[96];

    while (spans < 8 && (int64_t)spans * 512 < row->k && 2 * spans * each <= d->max_group)
        spans *= 2;
    for (;; spans /= 2) {
        snprintf(options, sizeof options, "-DWT=%d -DNX=%d -DSY=%d -DNC=%d -DNORM=%d -DFEW=%d",
                 (int)row->weights, ANL_CL_ROW_NX, (int)spans, (int)row->matrices, row->norm,
                 d->tiles.few_registers > 0);
        anl_cl_begin(call, d, row->unit, options, row->name);
        if (spans == 1 || anl_cl_fits(call, spans * each))
            break;
    }
    group[0] = ANL_CL_ROW_NX;
    group[1] = spans;
    group[2] = row->matrices;
}

anl_status anl_cl_linear_row(struct anl_cl_device *d, const struct anl_linear_params *p)
{
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->w;
    size_t groups[3] = { (size_t)anl_cl_ceil_div(p->w->n, ANL_CL_ROW_NX), (size_t)p->x.dim[0], 1 };
    const struct anl_cl_row row = { ANL_CL_LINEAR_ROW, "linear_row", p->w->dtype, p->w->k, 1,
                                    p->norm.buffer != NULL };
    size_t group[3];
    struct anl_cl_call c;

    anl_cl_row_begin(&c, d, &row, group);
    anl_cl_arg_weights(&c, w);
    anl_cl_arg_linear(&c, p);
    anl_cl_arg_long(&c, p->w->n);
    anl_cl_arg_long(&c, p->w->k);
    anl_cl_arg_tensor(&c, &p->norm, &p->x);
    anl_cl_arg_float(&c, p->eps);
    return anl_cl_launch(&c, 3, groups, group);
}

static anl_status gated(struct anl_cl_device *d, const struct anl_ffn_params *p,
                        const struct anl_tensor *x, const struct anl_tensor *hidden)
{
    size_t groups[3] = { (size_t)anl_cl_ceil_div(p->up->n, ANL_CL_ROW_NX), (size_t)x->dim[0], 1 };
    const struct anl_cl_row row = { ANL_CL_FFN_ROW, "ffn_row", p->up->dtype, p->up->k, 2,
                                    p->norm.buffer != NULL };
    size_t group[3];
    struct anl_cl_call c;

    anl_cl_row_begin(&c, d, &row, group);
    anl_cl_arg_weights(&c, (const struct anl_cl_weights *)p->gate);
    anl_cl_arg_weights(&c, (const struct anl_cl_weights *)p->up);
    anl_cl_arg_tensor(&c, x, x);
    anl_cl_arg_tensor(&c, &p->norm, x);
    anl_cl_arg_float(&c, p->eps);
    anl_cl_arg_tensor(&c, &p->gate_bias, x);
    anl_cl_arg_tensor(&c, &p->up_bias, x);
    anl_cl_arg_int(&c, (int32_t)p->act);
    anl_cl_arg_int(&c, (p->gate_bias.buffer ? 1 : 0) | (p->up_bias.buffer ? 2 : 0));
    anl_cl_arg_tensor(&c, hidden, hidden);
    anl_cl_arg_long(&c, p->up->n);
    anl_cl_arg_long(&c, p->up->k);
    return anl_cl_launch(&c, 3, groups, group);
}

anl_status anl_cl_ffn_hidden(struct anl_device *device, const struct anl_ffn_params *p,
                             const struct anl_tensor *x, const struct anl_tensor *hidden)
{
    struct anl_cl_device *d = anl_cl(device);
    struct anl_linear_params one = { .size = sizeof one, .x = *x, .norm = p->norm, .eps = p->eps,
                                     .w = p->up, .bias = p->up_bias, .out = *hidden };
    anl_status s;

    if (p->gate && p->gate->dtype == p->up->dtype)
        return gated(d, p, x, hidden);
    one.act = p->gate ? ANL_ACT_NONE : p->act;
    s = anl_cl_linear_row(d, &one);
    if (s || !p->gate)
        return s;
    one.w = p->gate;
    one.bias = p->gate_bias;
    one.act = p->act;
    one.gate = *hidden;
    return anl_cl_linear_row(d, &one);
}
