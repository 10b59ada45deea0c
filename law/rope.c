/* law/rope.c: rotary embedding, one pair after another. */
#include "law/law.h"

__attribute__((noinline)) static void run(const struct anl_rope_params *p)
{
    int64_t half = p->table->dims / 2;
    const float *x = anl_host_ptr(&p->x);

    for (int64_t t = 0; t < p->x.dim[0]; t++)
        for (int64_t h = 0; h < p->x.dim[1]; h++) {
            const float *in = x + t * p->x.stride[0] + h * p->x.stride[1];
            int64_t out = t * p->out.stride[0] + h * p->out.stride[1];

            for (int64_t i = 0; i < half; i++) {
                int64_t i1 = p->pairs == ANL_ROPE_HALF ? i : 2 * i;
                int64_t i2 = p->pairs == ANL_ROPE_HALF ? i + half : 2 * i + 1;
                float c, s, x1 = in[i1], x2 = in[i2];

                law_rope_angle(p->table, p->position + t, i, &c, &s);
                law_store(&p->out, out + i1, v_fma(x1, c, -(x2 * s)));
                law_store(&p->out, out + i2, v_fma(x2, c, x1 * s));
            }
            for (int64_t i = 2 * half; i < p->x.dim[2]; i++)
                law_store(&p->out, out + i, in[i]);
        }
}

anl_status LAW(rope)(struct anl_device *device, const struct anl_rope_params *params)
{
    struct law_fpenv env = law_fpenv_enter();
    (void)device;
    run(params);
    law_fpenv_leave(env);
    return ANL_OK;
}
