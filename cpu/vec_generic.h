/* cpu/vec_generic.h: the vector operations of law/num.h, and loads, on 4 lanes of whatever the compiler
 * makes of its vector extension: any machine, any byte order. fma is law/fma.h's, lane by lane. */
#include <math.h>

#include "law/fma.h"

#define VL 4
#define GEMM_MR 4
#define GEMV_PANELS 2 /* few enough for 16 registers */

typedef float vf __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf v_splat(float x) { return (vf){ x, x, x, x }; }
static inline vu v_splatu(uint32_t x) { return (vu){ x, x, x, x }; }
static inline vf v_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void v_store(float *p, vf x) { memcpy(p, &x, sizeof x); }
static inline vf v_fma(vf a, vf b, vf c)
{
    vf r = c;
#if defined(__SSE2__) && !defined(__FP_FAST_FMAF)
    /* law_fmaf_soft() on four lanes: if any of them needs the rounding to odd, all go one by one. */
    typedef double vd __attribute__((vector_size(16)));
    vd lo = __builtin_convertvector(__builtin_shufflevector(a, a, 0, 1), vd) *
                __builtin_convertvector(__builtin_shufflevector(b, b, 0, 1), vd) +
            __builtin_convertvector(__builtin_shufflevector(c, c, 0, 1), vd);
    vd hi = __builtin_convertvector(__builtin_shufflevector(a, a, 2, 3), vd) *
                __builtin_convertvector(__builtin_shufflevector(b, b, 2, 3), vd) +
            __builtin_convertvector(__builtin_shufflevector(c, c, 2, 3), vd);
    vi low = __builtin_shufflevector((vi)lo, (vi)hi, 0, 2, 4, 6);
    vi high = __builtin_shufflevector((vi)lo, (vi)hi, 1, 3, 5, 7) & 0x7fffffff;
    vi odd = ((low & 0x1fffffff) == 0x10000000) | ((high < 0x38100000) & (high != 0));
    if (__builtin_ia32_movmskps((vf)odd) == 0) {
        r = __builtin_shufflevector(__builtin_ia32_cvtpd2ps(lo), __builtin_ia32_cvtpd2ps(hi), 0, 1,
                                    4, 5);
        return r;
    }
#endif
    for (int i = 0; i < VL; i++)
        r[i] = law_fmaf(a[i], b[i], c[i]);
    return r;
}
static inline vf v_rint(vf x)
{
    vf r = x;
    for (int i = 0; i < VL; i++)
        r[i] = rintf(x[i]);
    return r;
}
static inline vf v_ceil(vf x)
{
    vf r = x;
    for (int i = 0; i < VL; i++)
        r[i] = ceilf(x[i]);
    return r;
}
static inline vu v_bits(vf x) { return (vu)x; }
static inline vf v_float(vu u) { return (vf)u; }
static inline vu v_toint(vf x) { return (vu)__builtin_convertvector(x, vi); }
static inline vf v_toflt(vu u) { return __builtin_convertvector((vi)u, vf); }
static inline vf v_selgt(vf a, vf b, vf x, vf y)
{
    vu mask = (vu)(a > b);
    return (vf)(((vu)x & mask) | ((vu)y & ~mask));
}
static inline vf v_selnan(vf a, vf x, vf y)
{
    vu mask = (vu)(a != a);
    return (vf)(((vu)x & mask) | ((vu)y & ~mask));
}
/* a > b ? a : b, NaN and zeros too. */
static inline vf v_max(vf a, vf b) { return v_selgt(a, b, a, b); }
/* p * 2^e for an integer-valued e > -63; +0 below; NaN if either is. */
static inline vf v_scale2(vf p, vf e)
{
    vf lo = v_splat(-63.0f), kept = v_selgt(e, lo, e, lo);
    vf r = p * v_float((v_toint(kept) + v_splatu(127u)) << 23);
    return v_selgt(e, lo, r, v_selnan(e, r, v_splat(0.0f)));
}
static inline vf v_iota(void) { return (vf){ 0, 1, 2, 3 }; }
/* VL signed bytes, or VL halves, each into the low bits of a lane. */
static inline vu v_load_s8(const uint8_t *p)
{
    return (vu)(vi){ (int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3] };
}
static inline vu v_load_u16(const uint16_t *p) { return (vu){ p[0], p[1], p[2], p[3] }; }
/* a & mask | b */
static inline vu v_and_or(vu a, vu mask, vu b) { return (a & mask) | b; }
/* a0 b0 a1 b1 ... of the lower and of the upper halves: what a transpose is made of. */
static inline vf v_zip_lo(vf a, vf b) { return (vf){ a[0], b[0], a[1], b[1] }; }
static inline vf v_zip_hi(vf a, vf b) { return (vf){ a[2], b[2], a[3], b[3] }; }
