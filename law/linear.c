/* law/linear.c: out = act(x W^T + bias) * gate + residual, one element after another. */
#include "law/law.h"

static float epilogue(const struct anl_linear_params *p, int64_t t, int64_t n, float v)
{
    int gate = p->gate.buffer != NULL, residual = p->residual.buffer != NULL;
    float g = gate ? law_load(&p->gate, t * p->gate.stride[0] + n) : 1;
    float r = residual ? law_load(&p->residual, t * p->residual.stride[0] + n) : 0;

    if (p->bias.buffer)
        v = v + law_load(&p->bias, n);
    v = law_activate(p->act, v);
    if (gate)
        return v_fma(v, g, r);
    return residual ? v + r : v;
}

__attribute__((noinline)) static void run(const struct anl_linear_params *p, float *normed)
{
    const struct law_weights *w = (const struct law_weights *)p->w;

    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *x = law_norm_row(&p->x, &p->norm, p->eps, t, normed);
        for (int64_t n = 0; n < w->base.n; n++) {
            float v = law_contract(x, w->value + n * w->base.k, w->base.k);
            law_store(&p->out, t * p->out.stride[0] + n, epilogue(p, t, n, v));
        }
    }
}

anl_status LAW(linear)(struct anl_device *device, const struct anl_linear_params *params)
{
    float *normed = law_alloc(device, params->w->k);
    struct law_fpenv env;

    if (!normed)
        return ANL_E_MEMORY;
    env = law_fpenv_enter();
    run(params, normed);
    law_fpenv_leave(env);
    law_free(device, normed, params->w->k);
    return ANL_OK;
}
