/* law/norm.c: RMSNorm, one token after another. */
#include "law/law.h"

__attribute__((noinline)) static void run(const struct anl_norm_params *p)
{
    int64_t dm = p->x.dim[1];
    const float *w = anl_host_ptr(&p->w);

    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *x = (const float *)anl_host_ptr(&p->x) + t * p->x.stride[0];
        float r = law_norm_scale(x, dm, p->eps);
        for (int64_t i = 0; i < dm; i++)
            law_store(&p->out, t * p->out.stride[0] + i, (x[i] * r) * w[i]);
    }
}

anl_status LAW(norm)(struct anl_device *device, const struct anl_norm_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run(params);
    law_fpenv_leave(env);
    return ANL_OK;
}
