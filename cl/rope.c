/* cl/rope.c: rotary embedding. */
#include "cl/cl.h"

anl_status anl_cl_rope(struct anl_device *device, const struct anl_rope_params *p)
{
    int64_t n = p->x.dim[0] * p->x.dim[1] * ((p->x.dim[2] + 1) / 2);
    size_t group[1] = { 64 }, groups[1] = { (size_t)anl_cl_ceil_div(n, 64) };
    struct anl_cl_call c;

    anl_cl_begin(&c, anl_cl(device), ANL_CL_ROPE, "", "rope");
    anl_cl_arg_tensor(&c, &p->x, &p->x);
    anl_cl_arg_mem(&c, anl_cl_mem(p->table->coarse));
    anl_cl_arg_mem(&c, anl_cl_mem(p->table->fine));
    anl_cl_arg_tensor(&c, &p->out, &p->x);
    anl_cl_arg_int(&c, (int32_t)p->out.dtype);
    anl_cl_arg_long(&c, p->position);
    anl_cl_arg_int(&c, p->table->dims / 2);
    anl_cl_arg_int(&c, p->pairs == ANL_ROPE_HALF);
    anl_cl_arg_long(&c, p->x.dim[2]);
    anl_cl_arg_int(&c, (int32_t)p->x.dim[1]);
    anl_cl_arg_long(&c, n);
    return anl_cl_launch(&c, 1, groups, group);
}
