/* law/ffn.c: feedforward, one token after another: the hidden layer of one token at a time, with no
 * use of law/linear.c, so that "equal to its parts" is a fact and not a construction. */
#include "law/law.h"

static float bias_at(const struct anl_tensor *bias, int64_t n, float v)
{
    return bias->buffer ? v + law_load(bias, n) : v;
}

/* out = row n of w times x. */
static float row_times(const struct anl_weights *weights, int64_t n, const float *x)
{
    const struct law_weights *w = (const struct law_weights *)weights;
    return law_contract(x, w->value + n * weights->k, weights->k);
}

__attribute__((noinline)) static void run(const struct anl_ffn_params *p, float *hidden)
{
    const float *x = anl_host_ptr(&p->x);

    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *row = x + t * p->x.stride[0];

        for (int64_t n = 0; n < p->up->n; n++) {
            float up = bias_at(&p->up_bias, n, row_times(p->up, n, row));
            if (p->gate) {
                float gate = bias_at(&p->gate_bias, n, row_times(p->gate, n, row));
                hidden[n] = law_canon(v_fma(law_activate(p->act, gate), law_canon(up), 0.0f));
            } else {
                hidden[n] = law_canon(law_activate(p->act, up));
            }
        }
        for (int64_t n = 0; n < p->down->n; n++) {
            float v = bias_at(&p->down_bias, n, row_times(p->down, n, hidden));
            if (p->residual.buffer)
                v = v + law_load(&p->residual, t * p->residual.stride[0] + n);
            law_store(&p->out, t * p->out.stride[0] + n, v);
        }
    }
}

anl_status LAW(ffn)(struct anl_device *device, const struct anl_ffn_params *params)
{
    size_t bytes = (size_t)params->up->n * sizeof(float);
    float *hidden = anl_context_alloc(device->context, bytes, 64);
    struct law_fpenv env;

    if (!hidden)
        return anl_fail(device, ANL_E_MEMORY, "anl_ffn: a hidden row of %zu bytes: out of memory",
                        bytes);
    anl_account(device, ANL_FOR_SCRATCH, (int64_t)bytes);
    env = law_fpenv_enter();
    run(params, hidden);
    law_fpenv_leave(env);
    anl_account(device, ANL_FOR_SCRATCH, -(int64_t)bytes);
    anl_context_free(device->context, hidden);
    return ANL_OK;
}
