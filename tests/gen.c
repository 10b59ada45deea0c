/* tests/gen.c: see gen.h. */
#include "tests/gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[GEN_KINDS] = { "random",      "large",       "constant",
                                                   "alternating", "adversarial", "denormal" };

const char *gen_kind_name(enum gen_kind kind)
{
    return kind_names[kind];
}

void *gen_alloc(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        abort();
    }
    return memory;
}

struct gen gen_seed(uint64_t seed, uint32_t array)
{
    struct gen g = { seed * 0x9e3779b97f4a7c15u + array };
    g.state = gen_next(&g) ^ ((uint64_t)array << 32);
    return g;
}

uint64_t gen_next(struct gen *g)
{
    uint64_t z = g->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t gen_below(struct gen *g, uint32_t n)
{
    return (uint32_t)((gen_next(g) >> 32) * n >> 32);
}

uint32_t gen_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

float gen_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float gen_scale(float x, int e)
{
    /* in two steps, so that 2^e itself may lie outside of the normal range */
    int half = e / 2;
    return x * gen_float((uint32_t)(127 + half) << 23) *
           gen_float((uint32_t)(127 + e - half) << 23);
}

float gen_normal(struct gen *g)
{
    uint64_t a = gen_next(g), b = gen_next(g);
    int32_t sum = (int32_t)(a >> 40) + (int32_t)(a >> 8 & 0xffffff) + (int32_t)(b >> 40) +
                  (int32_t)(b >> 8 & 0xffffff);
    return gen_scale((float)(sum - (1 << 25)), -24);
}

/* Sums whose value hangs on their order: magnitudes 2^-20 to 2^20, and pairs that cancel. */
static float adversarial(struct gen *g, float previous)
{
    if (gen_below(g, 4) == 0)
        return -previous;
    /* not as two arguments of one call: their order is the compiler's choice */
    float x = gen_normal(g);
    return gen_scale(x, (int)gen_below(g, 41) - 20);
}

void gen_floats(struct gen *g, enum gen_kind kind, int shift, float *out, size_t n)
{
    float constant = gen_scale(gen_normal(g), 0), previous = 1.0f;
    for (size_t i = 0; i < n; i++) {
        float x = 0;
        switch (kind) {
        case GEN_RANDOM:
        case GEN_LARGE:
            x = gen_normal(g);
            break;
        case GEN_CONSTANT:
            x = constant;
            break;
        case GEN_ALTERNATING:
            x = i & 1 ? -constant : constant;
            break;
        case GEN_ADVERSARIAL:
            x = previous = adversarial(g, previous);
            break;
        case GEN_DENORMAL:
        case GEN_KINDS:
            /* every fourth value ordinary, so that products land in the denormal range too */
            x = gen_normal(g);
            if (gen_below(g, 4) != 0)
                x = gen_scale(x, -100 - (int)gen_below(g, 49));
            break;
        }
        out[i] = shift == 0 ? x : gen_scale(x, shift);
    }
}

uint16_t gen_to_bf16(float x)
{
    uint32_t u = gen_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000)
        return 0x7fc0;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float gen_from_bf16(uint16_t h)
{
    return gen_float((uint32_t)h << 16);
}

uint16_t gen_to_f16(float x)
{
    uint32_t u = gen_bits(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000)
        return 0x7e00;
    if (a >= 0x477ff000) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00);
    uint32_t e = a >> 23;
    if (e >= 113) { /* a normal f16 */
        a -= 112u << 23;
        return (uint16_t)(sign | (a + 0xfff + (a >> 13 & 1)) >> 13);
    }
    if (e < 102)
        return (uint16_t)sign;
    uint32_t m = (a & 0x7fffff) | 0x800000, drop = 126 - e;
    uint32_t half = 1u << (drop - 1), odd = m >> drop & 1;
    return (uint16_t)(sign | (m + half - 1 + odd) >> drop);
}

float gen_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31)
        return gen_float(sign | 0x7f800000 | m << 13);
    if (e > 0)
        return gen_float(sign | (e + 112) << 23 | m << 13);
    float x = gen_scale((float)m, -24);
    return sign ? -x : x;
}

size_t gen_dtype_size(anl_dtype dtype)
{
    return dtype == ANL_F32 ? 4 : 2;
}

size_t gen_row_bytes(anl_dtype dtype, int64_t k)
{
    size_t blocks = (size_t)k / 32;
    switch (dtype) {
    case ANL_Q8_0:
        return blocks * 34;
    case ANL_Q4_1:
        return blocks * 20;
    case ANL_Q4_0:
        return blocks * 18;
    default:
        return (size_t)k * gen_dtype_size(dtype);
    }
}

void gen_store(anl_dtype dtype, const float *in, size_t n, void *out)
{
    if (dtype == ANL_F32) {
        if (n > 0)
            memcpy(out, in, n * sizeof *in);
        return;
    }
    uint16_t *half = out;
    for (size_t i = 0; i < n; i++)
        half[i] = dtype == ANL_F16 ? gen_to_f16(in[i]) : gen_to_bf16(in[i]);
}

static void put_f16(uint8_t *at, float x)
{
    uint16_t h = gen_to_f16(x);
    at[0] = (uint8_t)(h & 255);
    at[1] = (uint8_t)(h >> 8);
}

static float get_f16(const uint8_t *at)
{
    return gen_from_f16((uint16_t)(at[0] | at[1] << 8));
}

/* One block of 32: a scale as the kind has it, and quants that reach both ends of their range. */
static void quantised_block(struct gen *g, enum gen_kind kind, int shift, anl_dtype dtype,
                            uint8_t *block)
{
    float scale[2];
    gen_floats(g, kind == GEN_DENORMAL ? GEN_RANDOM : kind, 0, scale, 2);
    int s = dtype == ANL_Q8_0 ? shift - 6 : shift - 2;
    if (kind == GEN_DENORMAL) /* f16's own denormals: ordinary floats */
        s -= 14;
    if (kind == GEN_ADVERSARIAL) /* inside of f16's range */
        s -= 6;
    put_f16(block, gen_scale(scale[0], s));
    uint8_t *q = block + 2;
    if (dtype == ANL_Q4_1) {
        put_f16(block + 2, gen_scale(scale[1], s + 2));
        q += 2;
    }
    int count = dtype == ANL_Q8_0 ? 32 : 16;
    for (int i = 0; i < count; i++)
        q[i] = kind == GEN_CONSTANT ? 0x5b : (uint8_t)(gen_next(g) >> 56);
    q[gen_below(g, (uint32_t)count)] = dtype == ANL_Q8_0 ? 0x80 : 0xf0;
}

void *gen_weights(struct gen *g, enum gen_kind kind, int shift, anl_dtype dtype, int64_t n,
                  int64_t k)
{
    size_t count = (size_t)n * (size_t)k;
    uint8_t *bytes = gen_alloc((size_t)n, gen_row_bytes(dtype, k));
    if (dtype == ANL_F32 || dtype == ANL_F16 || dtype == ANL_BF16) {
        float *values = gen_alloc(count, sizeof *values);
        int inside = dtype == ANL_F16 && kind == GEN_ADVERSARIAL ? 6 : 0;
        gen_floats(g, kind, shift - inside, values, count);
        gen_store(dtype, values, count, bytes);
        free(values);
        return bytes;
    }
    size_t block = gen_row_bytes(dtype, 32);
    for (size_t i = 0; i < count / 32; i++)
        quantised_block(g, kind, shift, dtype, bytes + i * block);
    return bytes;
}

double gen_weight(anl_dtype dtype, const void *row, int64_t i)
{
    if (dtype == ANL_F32)
        return (double)((const float *)row)[i];
    if (dtype == ANL_F16)
        return (double)gen_from_f16(((const uint16_t *)row)[i]);
    if (dtype == ANL_BF16)
        return (double)gen_from_bf16(((const uint16_t *)row)[i]);
    const uint8_t *block = (const uint8_t *)row + (size_t)(i / 32) * gen_row_bytes(dtype, 32);
    int j = (int)(i % 32);
    double d = (double)get_f16(block);
    if (dtype == ANL_Q8_0)
        return d * (block[2 + j] < 128 ? block[2 + j] : block[2 + j] - 256);
    const uint8_t *q = block + (dtype == ANL_Q4_1 ? 4 : 2);
    int nibble = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
    if (dtype == ANL_Q4_0)
        return d * (nibble - 8);
    /* the product has 15 bits: one rounding, as the fma's, for ordinary scales */
    return (double)(float)(d * nibble + (double)get_f16(block + 2));
}
