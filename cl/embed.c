/* cl/embed.c: rows of a packed matrix by id. */
#include <stdio.h>

#include "cl/cl.h"

anl_status anl_cl_embed(struct anl_device *device, const struct anl_embed_params *p)
{
    struct anl_cl_device *d = anl_cl(device);
    const struct anl_cl_weights *w = (const struct anl_cl_weights *)p->table;
    int64_t n = p->out.dim[0] * anl_cl_ceil_div(w->base.k, 8);
    uint64_t size = (uint64_t)p->out.dim[0] * sizeof *p->ids;
    int one = p->out.dim[0] == 1; /* decoding: an upload would take longer than the kernel */
    size_t group[1] = { 64 }, groups[1] = { (size_t)anl_cl_ceil_div(n, 64) };
    struct anl_cl_call c;
    char options[48];
    cl_mem ids = NULL;
    anl_status s = one ? ANL_OK : anl_cl_upload(d, p->ids, size, &ids);

    if (s)
        return s;
    snprintf(options, sizeof options, "-DWT=%d -DCPU_PACK=%d", (int)w->base.dtype, d->cpu_shaped);
    anl_cl_begin(&c, d, ANL_CL_EMBED, options, "embed");
    anl_cl_arg_mem(&c, w->cells);
    anl_cl_arg_mem(&c, w->scales ? w->scales : w->cells);
    anl_cl_arg_long(&c, w->np);
    anl_cl_arg_long(&c, w->kp);
    anl_cl_arg_mem(&c, one ? w->cells : ids);
    anl_cl_arg_int(&c, one ? p->ids[0] : -1);
    anl_cl_arg_tensor(&c, &p->out, &p->out);
    anl_cl_arg_long(&c, w->base.k);
    anl_cl_arg_long(&c, n);
    s = anl_cl_launch(&c, 1, groups, group);
    anl_cl_free(d, ids, size, ANL_FOR_SCRATCH);
    return s;
}
