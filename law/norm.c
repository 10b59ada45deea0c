/* law/norm.c: RMSNorm, one token after another. */
#include "law/law.h"

static float sum_of_squares(const float *x, int64_t n)
{
    float total = 0;
    for (int64_t i0 = 0; i0 < n; i0 += LAW_SPAN) {
        int64_t end = n < i0 + LAW_SPAN ? n : i0 + LAW_SPAN;
        float lane[LAW_LANES] = { 0 }, s;
        for (int64_t i = i0; i < end; i++)
            lane[i % LAW_LANES] = v_fma(x[i], x[i], lane[i % LAW_LANES]);
        s = law_lane_tree(lane);
        total = i0 ? total + s : s;
    }
    return total;
}

__attribute__((noinline)) static void run(const struct anl_norm_params *p)
{
    int64_t dm = p->x.dim[1];
    const float *w = anl_host_ptr(&p->w);

    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *x = (const float *)anl_host_ptr(&p->x) + t * p->x.stride[0];
        float r = law_rsqrt(v_fma(sum_of_squares(x, dm), law_recip((float)dm), p->eps));
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
