/* cpu/k_pack.c: unpacking of stored weights into f32 panels, and packing of keys and values. */
#include "cpu/load.h"

#include <math.h>

const float *K(unpack)(anl_dtype dtype, const void *panel, int64_t k0, int kn, float *out);
void K(pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);
unsigned K(pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);

/* NR halves from k0 * NR on, for both float formats of 16 bits. */
static void unpack_halves(anl_dtype dtype, const uint16_t *panel, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i += VL) {
        v_store(out + i, dtype == ANL_F16 ? v_load_f16(panel + i)
                                          : law_bf16_to_f32(v_load_u16(panel + i)));
    }
}

/* Blocks of 32 k: scales f16 d[NR] (and m[NR]), then the quants as cpu/weights.c lays them. */
static void unpack_q8(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        vf d = v_load_f16((const uint16_t *)(const void *)block + v * VL);
        const uint8_t *q = block + 2 * GEMM_NR + v * VL;
        for (int k = 0; k < 32; k++)
            v_store(out + k * GEMM_NR + v * VL, d * v_toflt(v_load_s8(q + k * GEMM_NR)));
    }
}

static void unpack_q4_1(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        const uint16_t *scale = (const uint16_t *)(const void *)block + v * VL;
        vf d = v_load_f16(scale), m = v_load_f16(scale + GEMM_NR);
        const uint8_t *q = block + 4 * GEMM_NR + v * VL * 4;
        for (int k = 0; k < 16; k++) {
            vu w = v_load_u32(q + k / 4 * GEMM_NR * 4) >> k % 4 * 8;
            v_store(out + k * GEMM_NR + v * VL, v_fma(d, v_nibble(w, 0), m));
            v_store(out + (k + 16) * GEMM_NR + v * VL, v_fma(d, v_nibble(w, 4), m));
        }
    }
}

static void unpack_q4_0(const uint8_t *block, float *out)
{
    for (int v = 0; v < 2; v++) {
        vf d = v_load_f16((const uint16_t *)(const void *)block + v * VL);
        const uint8_t *q = block + 2 * GEMM_NR + v * VL * 4;
        for (int k = 0; k < 16; k++) {
            vu w = v_load_u32(q + k / 4 * GEMM_NR * 4) >> k % 4 * 8;
            v_store(out + k * GEMM_NR + v * VL, d * (v_nibble(w, 0) - v_splat(8.0f)));
            v_store(out + (k + 16) * GEMM_NR + v * VL, d * (v_nibble(w, 4) - v_splat(8.0f)));
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

/* One panel of keys; dtype is a constant where this is inlined. Of the rows that follow, ahead are
 * fetched meanwhile: short rows are no stream that the hardware would know. */
static inline __attribute__((always_inline)) void key_panel(const anl_dtype dtype, const void *src,
                                                            int64_t ld, int rows, int ahead, int d,
                                                            float *out)
{
    for (int i = 0; i < ahead; i++)
        fetch_row(dtype, src, (rows + i) * ld, d);
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

void K(pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out)
{
    int size = dtype == ANL_F32 ? 4 : 2;

    for (int i = 0; i < rows; i += GEMM_NR, out += GEMM_NR * d) {
        const char *p = (const char *)src + i * ld * size;
        int n = rows - i < GEMM_NR ? rows - i : GEMM_NR;
        int ahead = rows - i - n < GEMM_NR ? rows - i - n : GEMM_NR;
        if (dtype == ANL_F32)
            key_panel(ANL_F32, p, ld, n, ahead, d, out);
        else if (dtype == ANL_F16)
            key_panel(ANL_F16, p, ld, n, ahead, d, out);
        else
            key_panel(ANL_BF16, p, ld, n, ahead, d, out);
    }
}

#define VALUES_AHEAD 8 /* rows */

/* The rows of one block of values; returns 1 if one is not finite. */
static inline __attribute__((always_inline)) unsigned value_block(const anl_dtype dtype,
                                                                  const void *src, int64_t ld,
                                                                  int first, int end, int rows,
                                                                  int d, float *out)
{
    vf check = v_splat(0.0f);
    float lane[VL];
    unsigned odd = 0;

    for (int i = first; i < end; i++) {
        if (i + VALUES_AHEAD < rows)
            fetch_row(dtype, src, (i + VALUES_AHEAD) * ld, d);
        for (int c = 0; c < d; c += VL) {
            vf x = load_some(dtype, src, i * ld + c, d - c);
            v_store(out + (int64_t)(c / GEMM_NR) * LAW_SPAN * GEMM_NR + i * GEMM_NR + c % GEMM_NR, x);
            check = v_fma(x, v_splat(0.0f), check); /* NaN once a value is not finite */
        }
    }
    v_store(lane, check);
    for (int i = 0; i < VL; i++)
        odd |= lane[i] != lane[i];
    return odd;
}

unsigned K(pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out)
{
    int whole = (rows + LAW_BLOCK - 1) / LAW_BLOCK * LAW_BLOCK;
    unsigned odd = 0;

    for (int b = 0; b < whole; b += LAW_BLOCK) {
        int end = b + LAW_BLOCK < rows ? b + LAW_BLOCK : rows;
        unsigned bit = dtype == ANL_F32   ? value_block(ANL_F32, src, ld, b, end, rows, d, out)
                       : dtype == ANL_F16 ? value_block(ANL_F16, src, ld, b, end, rows, d, out)
                                          : value_block(ANL_BF16, src, ld, b, end, rows, d, out);
        odd |= bit << b / LAW_BLOCK;
    }
    /* zero: the rows that fill the last block, and a panel's second vector if d ends in its first */
    for (int c = 0; c < (d + GEMM_NR - 1) / GEMM_NR * GEMM_NR; c += VL) {
        float *col = out + (int64_t)(c / GEMM_NR) * LAW_SPAN * GEMM_NR + c % GEMM_NR;
        for (int i = c < d ? rows : 0; i < whole; i++)
            v_store(col + i * GEMM_NR, v_splat(0.0f));
    }
    return odd;
}
