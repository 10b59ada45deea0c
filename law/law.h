/* law/law.h: what the law backend's files share.
 *
 * The backend is compiled twice where that helps: as the build's baseline, and with the machine's
 * fma instruction. Both give the same bits; LAW() keeps their names apart. */
#ifndef ANL_LAW_LAW_H
#define ANL_LAW_LAW_H

#include "src/backend.h"

#include "law/fpenv.h"
#include "law/scalar.h"

#include "law/num.h"

#include "law/elem.h"
#include "law/lanes.h"
#include "law/narrow.h"
#include "law/softmax.h"

#ifdef ANL_LAW_HARD_FMA
#define LAW(name) anl_law_hard_##name
#else
#define LAW(name) anl_law_soft_##name
#endif

/* Every value of a weight is kept as the f32 that it stands for. */
struct law_weights {
    struct anl_weights base;
    float *value; /* [N][K] */
};

extern const struct anl_backend LAW(backend);

#define LAW_DECLARE(op) \
    anl_status LAW(op)(struct anl_device * device, const struct anl_##op##_params *params);
ANL_OPS(LAW_DECLARE)
#undef LAW_DECLARE

/* Element i (from the view's first) of a tensor of any float type. */
static inline float law_load(const struct anl_tensor *t, int64_t i)
{
    const void *p = anl_host_ptr(t);
    if (t->dtype == ANL_F32)
        return ((const float *)p)[i];
    if (t->dtype == ANL_F16)
        return law_f16_to_f32(((const uint16_t *)p)[i]);
    return law_bf16_to_f32(((const uint16_t *)p)[i]);
}

/* Stores a result: narrowed, canonical. */
static inline void law_store(const struct anl_tensor *t, int64_t i, float x)
{
    void *p = anl_host_ptr(t);
    if (t->dtype == ANL_F32)
        ((float *)p)[i] = law_canon(x);
    else if (t->dtype == ANL_F16)
        ((uint16_t *)p)[i] = (uint16_t)law_f32_to_f16(x);
    else
        ((uint16_t *)p)[i] = (uint16_t)law_f32_to_bf16(x);
}

/* n floats, counted as scratch; law_free() takes them back. */
static inline float *law_alloc(struct anl_device *device, int64_t n)
{
    float *p = anl_context_alloc(device->context, (size_t)n * sizeof(float), 64);
    if (p)
        anl_account(device, ANL_FOR_SCRATCH, n * (int64_t)sizeof(float));
    else
        anl_fail(device, ANL_E_MEMORY, "%lld floats of scratch: out of memory", (long long)n);
    return p;
}

static inline void law_free(struct anl_device *device, float *p, int64_t n)
{
    anl_account(device, ANL_FOR_SCRATCH, -n * (int64_t)sizeof(float));
    anl_context_free(device->context, p);
}

/* Element i of a normed row is law_canon((x[i] * law_norm_scale(...)) * w[i]). */
static inline float law_norm_scale(const float *x, int64_t n, float eps)
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
    return law_rsqrt(v_fma(total, law_recip((float)n), eps));
}

/* Row t of x: itself, or, if there is a norm, normed into row. */
static inline const float *law_norm_row(const struct anl_tensor *x, const struct anl_tensor *norm,
                                        float eps, int64_t t, float *row)
{
    const float *in = (const float *)anl_host_ptr(x) + t * x->stride[0];
    const float *w;
    float r;
    if (!norm->buffer)
        return in;
    w = anl_host_ptr(norm);
    r = law_norm_scale(in, x->dim[1], eps);
    for (int64_t i = 0; i < x->dim[1]; i++)
        row[i] = law_canon((in[i] * r) * w[i]);
    return row;
}

/* cos and sin of the pair's angle at a position: the two tables' angles added. */
static inline void law_rope_angle(const struct anl_rope_table *table, int64_t position, int64_t i,
                                  float *c, float *s)
{
    int64_t half = table->dims / 2;
    const float *a = (const float *)table->coarse->host + (position / 512 * half + i) * 2;
    const float *b = (const float *)table->fine->host + (position % 512 * half + i) * 2;

    *c = v_fma(a[0], b[0], -(a[1] * b[1]));
    *s = v_fma(a[1], b[0], a[0] * b[1]);
}

/* sum_k a[k] b[k]: spans of 512 ascending, each one chain of fma. */
static inline float law_contract(const float *a, const float *b, int64_t n)
{
    float total = 0;
    for (int64_t k0 = 0; k0 < n; k0 += LAW_SPAN) {
        int64_t end = n < k0 + LAW_SPAN ? n : k0 + LAW_SPAN;
        float c = 0;
        for (int64_t k = k0; k < end; k++)
            c = v_fma(a[k], b[k], c);
        total = k0 ? total + c : c;
    }
    return total;
}

#endif
