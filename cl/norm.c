/* cl/norm.c: RMSNorm. */
#include <stdio.h>

#include "cl/cl.h"

anl_status anl_cl_norm(struct anl_device *device, const struct anl_norm_params *p)
{
    struct anl_cl_device *d = anl_cl(device);
    size_t threads = 64, groups[1] = { (size_t)p->x.dim[0] }, group[1] = { 1 };
    struct anl_cl_call c;
    char options[32];

    if (p->x.dim[1] > 2048 && d->max_group >= 256)
        threads = 256;
    for (;; threads = 64) {
        snprintf(options, sizeof options, d->cpu_shaped ? "-DVW=16" : "-DNT=%d", (int)threads);
        anl_cl_begin(&c, d, ANL_CL_NORM, options, "norm");
        if (d->cpu_shaped || threads == 64 || anl_cl_fits(&c, threads))
            break;
    }
    if (!d->cpu_shaped)
        group[0] = threads;
    anl_cl_arg_tensor(&c, &p->x, &p->x);
    anl_cl_arg_tensor(&c, &p->w, &p->x);
    anl_cl_arg_tensor(&c, &p->out, &p->x);
    anl_cl_arg_long(&c, p->x.dim[1]);
    anl_cl_arg_float(&c, p->eps);
    return anl_cl_launch(&c, 1, groups, group);
}
