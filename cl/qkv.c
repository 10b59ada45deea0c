/* cl/qkv.c: norm, projections and rotary embedding of few tokens (GPU-shaped); src/qkv.c composes
 * those of many. */
#include "cl/cl.h"

/* Work-groups of one of the three: each head's features in an even number of work-items. */
static int64_t groups_of(const struct anl_tensor *out)
{
    return anl_cl_ceil_div(out->dim[1] * ((out->dim[2] + 1) / 2 * 2), ANL_CL_ROW_NX);
}

static void begin(struct anl_cl_call *c, struct anl_cl_device *d, const struct anl_qkv_params *p,
                  anl_dtype type, size_t *group)
{
    const struct anl_cl_row row = { ANL_CL_QKV_ROW, "qkv_row", type, p->x.dim[1], 1,
                                    p->norm.buffer != NULL };

    anl_cl_row_begin(c, d, &row, group);
}

/* Those of q, k and v (0, 1, 2) from first to last, whose weights are of one type. */
static anl_status run(struct anl_cl_device *d, const struct anl_qkv_params *p, int first, int last,
                      anl_dtype type)
{
    int64_t q_groups = first == 0 ? groups_of(&p->q) : 0;
    int64_t k_groups = first <= 1 && last >= 1 ? groups_of(&p->k) : 0;
    int64_t v_groups = last == 2 ? groups_of(&p->v) : 0;
    size_t groups[3] = { (size_t)(q_groups + k_groups + v_groups), (size_t)p->x.dim[0], 1 }, group[3];
    struct anl_cl_call c;

    begin(&c, d, p, type, group);
    anl_cl_arg_weights(&c, (const struct anl_cl_weights *)p->wq);
    anl_cl_arg_weights(&c, (const struct anl_cl_weights *)p->wk);
    anl_cl_arg_weights(&c, (const struct anl_cl_weights *)p->wv);
    anl_cl_arg_tensor(&c, &p->q_bias, &p->x);
    anl_cl_arg_tensor(&c, &p->k_bias, &p->x);
    anl_cl_arg_tensor(&c, &p->v_bias, &p->x);
    anl_cl_arg_int(&c, (p->q_bias.buffer ? 1 : 0) | (p->k_bias.buffer ? 2 : 0) |
                           (p->v_bias.buffer ? 4 : 0));
    anl_cl_arg_tensor(&c, &p->q, &p->q);
    anl_cl_arg_tensor(&c, &p->k, &p->k);
    anl_cl_arg_int(&c, (int32_t)p->k.dtype);
    anl_cl_arg_tensor(&c, &p->v, &p->v);
    anl_cl_arg_int(&c, (int32_t)p->v.dtype);
    anl_cl_arg_int(&c, (int32_t)p->q.dim[1]);
    anl_cl_arg_int(&c, (int32_t)p->k.dim[1]);
    anl_cl_arg_int(&c, (int32_t)p->q.dim[2]);
    anl_cl_arg_int(&c, (int32_t)p->v.dim[2]);
    anl_cl_arg_int(&c, (int32_t)q_groups);
    anl_cl_arg_int(&c, (int32_t)k_groups);
    anl_cl_arg_tensor(&c, &p->x, &p->x);
    anl_cl_arg_tensor(&c, &p->norm, &p->x);
    anl_cl_arg_float(&c, p->eps);
    anl_cl_arg_long(&c, p->x.dim[1]);
    anl_cl_arg_mem(&c, anl_cl_mem(p->table ? p->table->coarse : p->x.buffer));
    anl_cl_arg_mem(&c, anl_cl_mem(p->table ? p->table->fine : p->x.buffer));
    anl_cl_arg_int(&c, p->table ? p->table->dims / 2 : 0);
    anl_cl_arg_int(&c, p->pairs == ANL_ROPE_HALF);
    anl_cl_arg_long(&c, p->position);
    return anl_cl_launch(&c, 3, groups, group);
}

anl_status anl_cl_qkv(struct anl_device *device, const struct anl_qkv_params *p)
{
    const struct anl_weights *w[3] = { p->wq, p->wk, p->wv };
    size_t group[3];
    struct anl_cl_call c;
    anl_status s = ANL_OK;

    for (int i = 0; !s && i < 3; i++) { /* all programs are built before the first launch */
        if (i > 0 && w[i]->dtype == w[i - 1]->dtype)
            continue;
        begin(&c, anl_cl(device), p, w[i]->dtype, group);
        s = c.status;
    }
    for (int first = 0, last; !s && first < 3; first = last + 1) {
        for (last = first; last < 2 && w[last + 1]->dtype == w[first]->dtype;)
            last++;
        s = run(anl_cl(device), p, first, last, w[first]->dtype);
    }
    return s;
}
