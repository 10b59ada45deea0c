/* law/embed.c: rows by id. */
#include "law/law.h"

__attribute__((noinline)) static void run(const struct anl_embed_params *p)
{
    const struct law_weights *w = (const struct law_weights *)p->table;

    for (int64_t t = 0; t < p->out.dim[0]; t++)
        for (int64_t i = 0; i < w->base.k; i++)
            law_store(&p->out, t * p->out.stride[0] + i, w->value[p->ids[t] * w->base.k + i]);
}

anl_status LAW(embed)(struct anl_device *device, const struct anl_embed_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run(params);
    law_fpenv_leave(env);
    return ANL_OK;
}
