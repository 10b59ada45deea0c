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
