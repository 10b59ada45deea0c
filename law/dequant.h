/* law/dequant.h: the f32 value that a stored weight stands for (docs/numerics.md, section 5). Scalar;
 * quantised rows are GGUF blocks of 32 with little-endian scales on every machine. */
#ifndef ANL_LAW_DEQUANT_H
#define ANL_LAW_DEQUANT_H

static inline float law_block_half(const uint8_t *p)
{
    return law_f16_to_f32((uint32_t)p[0] | (uint32_t)p[1] << 8);
}

static inline int law_nibble(const uint8_t *q, int64_t i)
{
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

/* Element k of a row. */
static inline float law_weight(anl_dtype dtype, const void *row, int64_t k)
{
    const uint8_t *b = row;
    int64_t block = k / 32, i = k % 32;
    float f;
    uint16_t h;

    switch (dtype) {
    case ANL_F32:
        memcpy(&f, b + k * 4, sizeof f);
        return f;
    case ANL_F16:
        memcpy(&h, b + k * 2, sizeof h);
        return law_f16_to_f32(h);
    case ANL_BF16:
        memcpy(&h, b + k * 2, sizeof h);
        return law_bf16_to_f32(h);
    case ANL_Q8_0:
        b += block * 34;
        return law_block_half(b) * (float)(int8_t)b[2 + i];
    case ANL_Q4_1:
        b += block * 20;
        return v_fma(law_block_half(b), (float)law_nibble(b + 4, i), law_block_half(b + 2));
    case ANL_Q4_0:
        b += block * 18;
        return law_block_half(b) * (float)(law_nibble(b + 2, i) - 8);
    }
    return 0;
}

#endif
