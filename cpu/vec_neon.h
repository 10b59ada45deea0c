/* cpu/vec_neon.h: the vector operations of law/num.h, and loads, on 4 lanes of AArch64's NEON. */
#include <arm_neon.h>

#define VL 4
#define GEMM_MR 8 /* 16 accumulators, 2 columns, and rows, of 32 registers */
#define GEMV_PANELS 4 /* 8 sums, scales and offsets, of 32 registers */

typedef float32x4_t vf;
typedef uint32x4_t vu;

static inline vf v_splat(float x) { return vdupq_n_f32(x); }
static inline vu v_splatu(uint32_t x) { return vdupq_n_u32(x); }
static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vf x) { vst1q_f32(p, x); }
static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_rint(vf x) { return vrndnq_f32(x); }
static inline vf v_ceil(vf x) { return vrndpq_f32(x); }
static inline vu v_bits(vf x) { return vreinterpretq_u32_f32(x); }
static inline vf v_float(vu u) { return vreinterpretq_f32_u32(u); }
static inline vu v_toint(vf x) { return vreinterpretq_u32_s32(vcvtq_s32_f32(x)); }
static inline vf v_toflt(vu u) { return vcvtq_f32_s32(vreinterpretq_s32_u32(u)); }
static inline vf v_selgt(vf a, vf b, vf x, vf y) { return vbslq_f32(vcgtq_f32(a, b), x, y); }
static inline vf v_selnan(vf a, vf x, vf y) { return vbslq_f32(vceqq_f32(a, a), y, x); }
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
    return vreinterpretq_u32_s32(
        (int32x4_t){ (int8_t)p[0], (int8_t)p[1], (int8_t)p[2], (int8_t)p[3] });
}
static inline vu v_load_u16(const uint16_t *p) { return vmovl_u16(vld1_u16(p)); }
/* a & mask | b */
static inline vu v_and_or(vu a, vu mask, vu b) { return (a & mask) | b; }
/* a0 b0 a1 b1 ... of the lower and of the upper halves: what a transpose is made of. */
static inline vf v_zip_lo(vf a, vf b) { return vzip1q_f32(a, b); }
static inline vf v_zip_hi(vf a, vf b) { return vzip2q_f32(a, b); }
