/* law/qkv.c: norm, projections and rotary embedding, one head of one token after another, with no use
 * of law/linear.c and law/rope.c, so that "equal to its parts" is a fact and not a construction. */
#include "law/law.h"

/* Features [n0, n0 + d) of w, as linear would store them in f32. */
static void project(const struct anl_weights *weights, const struct anl_tensor *bias, int64_t n0,
                    int64_t d, const float *x, float *head)
{
    const struct law_weights *w = (const struct law_weights *)weights;

    for (int64_t i = 0; i < d; i++) {
        float v = law_contract(x, w->value + (n0 + i) * weights->k, weights->k);
        head[i] = law_canon(bias->buffer ? v + law_load(bias, n0 + i) : v);
    }
}

/* Turns a head at a position in place; the results are not canonical yet. */
static void turn(const struct anl_qkv_params *p, int64_t position, float *head)
{
    int64_t half = p->table ? p->table->dims / 2 : 0;

    for (int64_t i = 0; i < half; i++) {
        float *a = head + (p->pairs == ANL_ROPE_HALF ? i : 2 * i);
        float *b = a + (p->pairs == ANL_ROPE_HALF ? half : 1);
        float c, s, x1 = *a, x2 = *b;

        law_rope_angle(p->table, position, i, &c, &s);
        *a = v_fma(x1, c, -(x2 * s));
        *b = v_fma(x2, c, x1 * s);
    }
}

/* All heads of one of the three. */
static void heads(const struct anl_qkv_params *p, const struct anl_weights *w,
                  const struct anl_tensor *bias, const struct anl_tensor *out, int turned, int64_t t,
                  const float *x, float *head)
{
    int64_t d = out->dim[2];

    for (int64_t h = 0; h < out->dim[1]; h++) {
        project(w, bias, h * d, d, x, head);
        if (turned)
            turn(p, p->position + t, head);
        for (int64_t i = 0; i < d; i++)
            law_store(out, t * out->stride[0] + h * out->stride[1] + i, head[i]);
    }
}

__attribute__((noinline)) static void run(const struct anl_qkv_params *p, float *normed, float *head)
{
    for (int64_t t = 0; t < p->x.dim[0]; t++) {
        const float *x = law_norm_row(&p->x, &p->norm, p->eps, t, normed);

        heads(p, p->wq, &p->q_bias, &p->q, 1, t, x, head);
        heads(p, p->wk, &p->k_bias, &p->k, 1, t, x, head);
        heads(p, p->wv, &p->v_bias, &p->v, 0, t, x, head);
    }
}

anl_status LAW(qkv)(struct anl_device *device, const struct anl_qkv_params *params)
{
    int64_t dm = params->x.dim[1], d = params->q.dim[2], dv = params->v.dim[2];
    int64_t all = dm + (d > dv ? d : dv);
    float *normed = law_alloc(device, all);
    struct law_fpenv env;

    if (!normed)
        return ANL_E_MEMORY;
    env = law_fpenv_enter();
    run(params, normed, normed + dm);
    law_fpenv_leave(env);
    law_free(device, normed, all);
    return ANL_OK;
}
