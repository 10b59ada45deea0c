/* cpu/vec_avx2.h: the vector operations of law/num.h, and loads, on 8 lanes of AVX2 and FMA. */
#include <immintrin.h>

#define VL 8
#define GEMM_MR 6 /* 12 accumulators, 2 columns, 1 row, of 16 registers */
#define GEMV_PANELS 2 /* 4 sums, scales and offsets, of 16 registers */

typedef __m256 vf;
typedef uint32_t vu __attribute__((vector_size(32)));

static inline vf v_splat(float x) { return _mm256_set1_ps(x); }
static inline vu v_splatu(uint32_t x) { return (vu)_mm256_set1_epi32((int)x); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
/* a > b ? a : b, NaN and zeros too. */
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf v_rint(vf x) { return _mm256_round_ps(x, 8); }
static inline vf v_ceil(vf x) { return _mm256_round_ps(x, 10); }
static inline vu v_bits(vf x) { return (vu)_mm256_castps_si256(x); }
static inline vf v_float(vu u) { return _mm256_castsi256_ps((__m256i)u); }
static inline vu v_toint(vf x) { return (vu)_mm256_cvttps_epi32(x); }
static inline vf v_toflt(vu u) { return _mm256_cvtepi32_ps((__m256i)u); }
static inline vf v_selgt(vf a, vf b, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
static inline vf v_selnan(vf a, vf x, vf y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
/* p * 2^e for an integer-valued e > -63; +0 below; NaN if either is. */
static inline vf v_scale2(vf p, vf e)
{
    __m256 lo = _mm256_set1_ps(-63.0f);
    vu bits = (v_toint(_mm256_max_ps(e, lo)) + v_splatu(127u)) << 23; /* max: NaN gives lo */
    return _mm256_andnot_ps(_mm256_cmp_ps(e, lo, _CMP_LE_OQ), p * v_float(bits));
}
static inline vf v_iota(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
/* VL signed bytes, or VL halves, each into the low bits of a lane. */
static inline vu v_load_s8(const uint8_t *p)
{
    return (vu)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
static inline vu v_load_u16(const uint16_t *p)
{
    return (vu)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* a & mask | b */
static inline vu v_and_or(vu a, vu mask, vu b) { return (a & mask) | b; }
/* a0 b0 a1 b1 ... of the lower and of the upper halves: what a transpose is made of. */
static inline vf v_zip_lo(vf a, vf b)
{
    __m256 l = _mm256_unpacklo_ps(a, b), h = _mm256_unpackhi_ps(a, b);
    return _mm256_permute2f128_ps(l, h, 0x20);
}
static inline vf v_zip_hi(vf a, vf b)
{
    __m256 l = _mm256_unpacklo_ps(a, b), h = _mm256_unpackhi_ps(a, b);
    return _mm256_permute2f128_ps(l, h, 0x31);
}
