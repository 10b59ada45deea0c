/* cpu/load.h: rows of keys and values as vectors: elements of any float type, transposition, fetching
 * ahead. */
#ifndef ANL_CPU_LOAD_H
#define ANL_CPU_LOAD_H

#include "cpu/vec.h"

static inline vf load_half(anl_dtype dtype, const uint16_t *p)
{
    return dtype == ANL_F16 ? v_load_f16(p) : law_bf16_to_f32(v_load_u16(p));
}

/* VL elements of any float type; n of them, the rest zero. */
static inline vf load_some(anl_dtype dtype, const void *src, int64_t i, int n)
{
    uint16_t half[VL] = { 0 };
    float full[VL] = { 0 };

    if (dtype == ANL_F32) {
        const float *p = (const float *)src + i;
        if (n >= VL)
            return v_load(p);
        for (int j = 0; j < n; j++)
            full[j] = p[j];
        return v_load(full);
    }
    if (n < VL) {
        for (int j = 0; j < n; j++)
            half[j] = ((const uint16_t *)src)[i + j];
        return load_half(dtype, half);
    }
    return load_half(dtype, (const uint16_t *)src + i);
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

/* Asks for the n elements at src, which will be read soon. */
static inline void fetch_row(anl_dtype dtype, const void *src, int64_t i, int n)
{
    int64_t size = dtype == ANL_F32 ? 4 : 2;
    const char *p = (const char *)src + i * size;

    for (int64_t at = 0; at < n * size; at += 64)
        __builtin_prefetch(p + at);
}

#endif
