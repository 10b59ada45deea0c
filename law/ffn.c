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

__attribute__((noinline)) static void run(const struct anl_ffn_params *p, float *hidden, float *normed)
{
    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *row = law_norm_row(&p->x, &p->norm, p->eps, t, normed);

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
    int64_t dff = params->up->n, all = dff + params->x.dim[1];
    float *hidden = law_alloc(device, all);
    struct law_fpenv env;

    if (!hidden)
        return ANL_E_MEMORY;
    env = law_fpenv_enter();
    run(params, hidden, hidden + dff);
    law_fpenv_leave(env);
    law_free(device, hidden, all);
    return ANL_OK;
}
