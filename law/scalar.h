/* law/scalar.h: the law's vector operations (see law/num.h) for plain C scalars: one lane.
 *
 * The law backend, the host side of every operation and the worst-ulp program include this
 * one; the CPU kernels include a cpu/vec_*.h and the OpenCL kernels cl/vec.cl instead. */
#ifndef ANL_LAW_SCALAR_H
#define ANL_LAW_SCALAR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "law/fma.h"

#ifdef __FAST_MATH__
#error "the numerics law cannot be kept under -ffast-math"
#endif
#if FLT_EVAL_METHOD != 0
#error "the numerics law needs FLT_EVAL_METHOD 0 (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

typedef float vf;
typedef uint32_t vu;

static inline vf v_splat(float x) { return x; }
static inline vu v_splatu(uint32_t x) { return x; }
static inline vf v_fma(vf a, vf b, vf c) { return law_fmaf(a, b, c); }
static inline vu v_bits(vf x)
{
    vu u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static inline vf v_float(vu u)
{
    vf x;
    memcpy(&x, &u, sizeof x);
    return x;
}
static inline vf v_rint(vf x) { return rintf(x); }
static inline vf v_ceil(vf x) { return ceilf(x); }
static inline vu v_toint(vf x) { return (uint32_t)(int32_t)x; }
static inline vf v_toflt(vu u)
{
    int32_t i;
    memcpy(&i, &u, sizeof i);
    return (float)i;
}
static inline vf v_selgt(vf a, vf b, vf x, vf y) { return a > b ? x : y; }
static inline vf v_selnan(vf a, vf x, vf y) { return a != a ? x : y; }

#endif
