/* cpu/vec.h: the vector operations of the instruction set that this translation unit is compiled for
 * (ANL_CPU_ISA), the law over them, and K(), which keeps the builds' names apart. */
#ifndef ANL_CPU_VEC_H
#define ANL_CPU_VEC_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "the numerics law cannot be kept under -ffast-math"
#endif
#if FLT_EVAL_METHOD != 0
#error "the numerics law needs FLT_EVAL_METHOD 0 (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

#if defined(ANL_CPU_ISA_AVX512)
#include "cpu/vec_avx512.h"
#define K(name) anl_k_avx512_##name
#elif defined(ANL_CPU_ISA_AVX2)
#include "cpu/vec_avx2.h"
#define K(name) anl_k_avx2_##name
#elif defined(ANL_CPU_ISA_NEON)
#include "cpu/vec_neon.h"
#define K(name) anl_k_neon_##name
#else
#include "cpu/vec_generic.h"
#define K(name) anl_k_generic_##name
#endif

/* VL words from any address, one a lane. */
static inline vu v_load_u32(const uint8_t *p)
{
    return v_bits(v_load((const float *)(const void *)p));
}

/* Bits s to s + 3 of each lane as a number, s <= 19: put into the mantissa of a power of two, whose last
 * place they then are, and the power taken away. It needs no shift and no conversion, which share
 * their few ports with fma. */
static inline vf v_nibble(vu w, int s)
{
    vu power = v_splatu((uint32_t)(127 + 23 - s) << 23);
    return v_float(v_and_or(w, v_splatu(15u << s), power)) - v_float(power);
}

#include "law/num.h"

#include "law/elem.h"
#include "law/lanes.h"
#include "law/narrow.h"
#include "law/softmax.h"

#include "law/fma.h"

#ifndef HAS_LOAD_F16
static inline vf v_load_f16(const uint16_t *p)
{
    return law_f16_to_f32(v_load_u16(p));
}
#endif

#include "cpu/kernels.h"

/* Columns of a matrix panel: two vectors. */
#define GEMM_NR (2 * VL)

#endif
