/* cpu/vec_avx512.h: the vector operations of law/num.h, and loads, on 16 lanes of AVX-512F. */
#include <immintrin.h>

#define VL 16
#define GEMM_MR 12 /* 24 accumulators, 2 columns, 6 registers to spare; rows come by broadcast */
#define GEMV_PANELS 2 /* 4 sums, scales and offsets: with 6 or 8 the compilers spill */

typedef __m512 vf;
typedef uint32_t vu __attribute__((vector_size(64)));

static inline vf v_splat(float x) { return _mm512_set1_ps(x); }
static inline vu v_splatu(uint32_t x) { return (vu)_mm512_set1_epi32((int)x); }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* a > b ? a : b, NaN and zeros too. */
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_rint(vf x) { return _mm512_roundscale_ps(x, 8); }
static inline vf v_ceil(vf x) { return _mm512_roundscale_ps(x, 10); }
static inline vu v_bits(vf x) { return (vu)_mm512_castps_si512(x); }
static inline vf v_float(vu u) { return _mm512_castsi512_ps((__m512i)u); }
static inline vu v_toint(vf x) { return (vu)_mm512_cvttps_epi32(x); }
static inline vf v_toflt(vu u) { return _mm512_cvtepi32_ps((__m512i)u); }
static inline vf v_selgt(vf a, vf b, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
}
static inline vf v_selnan(vf a, vf x, vf y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), y, x);
}
/* p * 2^e for an integer-valued e > -63; +0 below; NaN if either is. */
static inline vf v_scale2(vf p, vf e)
{
    __mmask16 kept = _mm512_cmp_ps_mask(e, _mm512_set1_ps(-63.0f), _CMP_NLE_UQ);
    return _mm512_maskz_scalef_ps(kept, p, e);
}
static inline vf v_iota(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
/* VL signed bytes, or VL halves, each into the low bits of a lane. */
static inline vu v_load_s8(const uint8_t *p)
{
    return (vu)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline vu v_load_u16(const uint16_t *p)
{
    return (vu)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* VL halves of type f16: exact, as law_f16_to_f32() in a dozen operations. */
#define HAS_LOAD_F16
static inline vf v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* a & mask | b */
static inline vu v_and_or(vu a, vu mask, vu b)
{
    return (vu)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)mask, (__m512i)b, 0xea);
}
/* a0 b0 a1 b1 ... of the lower and of the upper halves: what a transpose is made of. */
static inline vf v_zip_lo(vf a, vf b)
{
    const __m512i i = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, i, b);
}
static inline vf v_zip_hi(vf a, vf b)
{
    const __m512i i =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, i, b);
}
