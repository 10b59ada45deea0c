/* cpu/k_pack.c: unpacking of stored weights into f32 panels, and packing of keys and values. */
#include "cpu/vec.h"

#include <math.h>

const float *K(unpack)(anl_dtype dtype, const void *panel, int64_t k0, int kn, float *out);
void K(pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);
unsigned K(pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);

/* NR halves from k0 * NR on, for both float formats of 16 bits. */
static void unpack_halves(anl_dtype dtype, const uint16_t *panel, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        vu h = v_load_u16(panel + i);
        v_store(out + i, dtype == ANL_F16 ? law_f16_to_f32(h) : law_bf16_to_f32(h));
    }
}

/* Blocks of 32 k: scales f16 d[NR] (and m[NR]), then the quants, NR to a row. */
static void unpack_q8(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        vf d = law_f16_to_f32(v_load_u16((const uint16_t *)(const void *)block + v * VL));
        const uint8_t *q = block + 2 * GEMM_NR + v * VL;
        for (int k = 0; k < 32; k++)
            v_store(out + k * GEMM_NR + v * VL, d * v_toflt(v_load_s8(q + k * GEMM_NR)));
    }
}

static void unpack_q4_1(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        const uint16_t *scale = (const uint16_t *)(const void *)block + v * VL;
        vf d = law_f16_to_f32(v_load_u16(scale)), m = law_f16_to_f32(v_load_u16(scale + GEMM_NR));
        const uint8_t *q = block + 4 * GEMM_NR + v * VL;
        for (int k = 0; k < 16; k++) {
            vu b = v_load_u8(q + k * GEMM_NR);
            v_store(out + 2 * k * GEMM_NR + v * VL, v_fma(d, v_nibble(b), m));
            v_store(out + (2 * k + 1) * GEMM_NR + v * VL, v_fma(d, v_nibble2(b), m));
        }
    }
}

static void unpack_q4_0(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        vf d = law_f16_to_f32(v_load_u16((const uint16_t *)(const void *)block + v * VL));
        const uint8_t *q = block + 2 * GEMM_NR + v * VL;
        for (int k = 0; k < 16; k++) {
            vu b = v_load_u8(q + k * GEMM_NR);
            v_store(out + 2 * k * GEMM_NR + v * VL, d * (v_nibble(b) - v_splat(8.0f)));
            v_store(out + (2 * k + 1) * GEMM_NR + v * VL, d * (v_nibble2(b) - v_splat(8.0f)));
        }
    }
}

const float *K(unpack)(anl_dtype dtype, const void *panel, int64_t k0, int kn, float *out)
{
    const uint8_t *p = panel;
    int64_t blocks = k0 / 32 * GEMM_NR;

    switch (dtype) {
    case ANL_F32:
        return (const float *)panel + k0 * GEMM_NR;
    case ANL_F16:
    case ANL_BF16:
        unpack_halves(dtype, (const uint16_t *)panel + k0 * GEMM_NR, (int64_t)kn * GEMM_NR, out);
        break;
    case ANL_Q8_0:
        for (int k = 0; k < kn; k += 32, blocks += GEMM_NR)
            unpack_q8(p + blocks * 34, out + k * GEMM_NR);
        break;
    case ANL_Q4_1:
        for (int k = 0; k < kn; k += 32, blocks += GEMM_NR)
            unpack_q4_1(p + blocks * 20, out + k * GEMM_NR);
        break;
    case ANL_Q4_0:
        for (int k = 0; k < kn; k += 32, blocks += GEMM_NR)
            unpack_q4_0(p + blocks * 18, out + k * GEMM_NR);
        break;
    }
    return out;
}

/* VL elements of any float type; n of them, the rest zero. */
static inline vf load_some(anl_dtype dtype, const void *src, int64_t i, int n)
{
    uint16_t half[VL] = { 0 };
    float full[VL] = { 0 };
    vu h;

    if (dtype == ANL_F32) {
        const float *p = (const float *)src + i;
        if (n >= VL)
            return v_load(p);
        for (int j = 0; j < n; j++)
            full[j] = p[j];
        return v_load(full);
    }
    if (n >= VL) {
        h = v_load_u16((const uint16_t *)src + i);
    } else {
        for (int j = 0; j < n; j++)
            half[j] = ((const uint16_t *)src)[i + j];
        h = v_load_u16(half);
    }
    return dtype == ANL_F16 ? law_f16_to_f32(h) : law_bf16_to_f32(h);
}

/* Transposes in log2 VL rounds of perfect shuffles. */
static inline void transpose(vf *r)
{
    vf t[VL];
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = v_zip_lo(r[i], r[i + VL / 2]);
            t[2 * i + 1] = v_zip_hi(r[i], r[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            r[i] = t[i];
    }
}

void K(pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out)
{
    for (int half = 0; half < 2; half++)
        for (int d0 = 0; d0 < d; d0 += VL) {
            int dn = d - d0 < VL ? d - d0 : VL;
            vf r[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                int row = half * VL + i;
                r[i] = row < rows ? load_some(dtype, src, row * ld + d0, dn) : v_splat(0.0f);
            }
            transpose(r);
            for (int i = 0; i < dn; i++)
                v_store(out + (d0 + i) * GEMM_NR + half * VL, r[i]);
        }
}

unsigned K(pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out)
{
    unsigned odd = 0;

    for (int c0 = 0; c0 < d; c0 += VL) {
        int cn = d - c0 < VL ? d - c0 : VL;
        float *col = out + (int64_t)(c0 / GEMM_NR) * LAW_SPAN * GEMM_NR + c0 % GEMM_NR;
        for (int block = 0; block * LAW_BLOCK < rows; block++) {
            int end = (block + 1) * LAW_BLOCK < rows ? (block + 1) * LAW_BLOCK : rows;
            vf check = v_splat(0.0f);
            float lane[VL];
            for (int i = block * LAW_BLOCK; i < end; i++) {
                vf x = load_some(dtype, src, i * ld + c0, cn);
                v_store(col + i * GEMM_NR, x);
                check = v_fma(x, v_splat(0.0f), check); /* NaN once a value is not finite */
            }
            v_store(lane, check);
            for (int i = 0; i < VL; i++)
                odd |= (unsigned)(lane[i] != lane[i]) << block;
            for (int i = end; i < (block + 1) * LAW_BLOCK; i++)
                v_store(col + i * GEMM_NR, v_splat(0.0f));
        }
        /* a panel's second vector exists even when d ends in its first */
        if (c0 + VL >= d && (c0 / VL) % 2 == 0)
            for (int i = 0; i < (rows + LAW_BLOCK - 1) / LAW_BLOCK * LAW_BLOCK; i++)
                v_store(col + i * GEMM_NR + VL, v_splat(0.0f));
    }
    return odd;
}
