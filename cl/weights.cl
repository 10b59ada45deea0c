/* cl/weights.cl: packed weights, unpacked in registers. GPU order of cl/weights.c. -DWT: an
 * anl_dtype. */

/* Numbers below 2^23, less `zero`: in the last bits of 2^23 they are floats without a conversion, of which
 * GPUs do few at a time; the difference is exact. */
static inline float8 float8_of(uint8 q, float zero)
{
    return as_float8(q | (uint8)(0x4b000000u)) - (float8)(0x1p23f + zero);
}

/* (fma(d, q, m) or d * q) of 8 quants. */
static inline float8 scaled8(float8 q, uint scale)
{
    float d = law_f16_to_f32(scale & 0xffffu);
#if WT == 4
    return fma((float8)(d), q, (float8)(law_f16_to_f32(scale >> 16)));
#else
    return (float8)(d) * q;
#endif
}

static inline float8 halves8(uint4 c)
{
    float8 r;
    r.s0 = widen(c.x & 0xffffu, WT);
    r.s1 = widen(c.x >> 16, WT);
    r.s2 = widen(c.y & 0xffffu, WT);
    r.s3 = widen(c.y >> 16, WT);
    r.s4 = widen(c.z & 0xffffu, WT);
    r.s5 = widen(c.z >> 16, WT);
    r.s6 = widen(c.w & 0xffffu, WT);
    r.s7 = widen(c.w >> 16, WT);
    return r;
}

static inline uint8 bytes8(uint2 c)
{
    return (uint8)(c.x & 0xffu, c.x >> 8 & 0xffu, c.x >> 16 & 0xffu, c.x >> 24, c.y & 0xffu,
                   c.y >> 8 & 0xffu, c.y >> 16 & 0xffu, c.y >> 24);
}

/* Quants k to k + 7 of a block of 32 (k a multiple of 8) from its 16 or 32 bytes' right half. */
static inline float8 quants8(uint2 c, long k)
{
#if WT == 3
    return float8_of(bytes8(c) ^ (uint8)(0x80u), 128.0f);
#else
    uint2 n = (k & 16) ? (uint2)(c.x >> 4, c.y >> 4) : c;
    return float8_of(bytes8(n & (uint2)(0x0f0f0f0fu)), WT == 5 ? 8.0f : 0.0f);
#endif
}

/* The stored form of 32 weights of one feature, and 8 of them unpacked. */
#define CELLS32 (WT == 0 ? 8 : WT < 3 ? 4 : WT == 3 ? 2 : 1)
struct raw32 {
    uint4 cell[CELLS32];
    uint scale;
};

static inline struct raw32 raw32_at(__global const uint4 *cells, __global const uint *scales, long np,
                                    long n, long k)
{
    struct raw32 r;
#pragma unroll
    for (int i = 0; i < CELLS32; i++)
        r.cell[i] = cells[((k >> 5) * CELLS32 + i) * np + n];
    r.scale = WT < 3 ? 0u : scales[(k >> 5) * np + n];
    return r;
}

/* Weights 8 i to 8 i + 7 of the 32; i is a constant where this is inlined. */
static inline float8 raw32_part(const struct raw32 *r, int i)
{
#if WT == 0
    return (float8)(as_float4(r->cell[2 * i]), as_float4(r->cell[2 * i + 1]));
#elif WT == 1 || WT == 2
    return halves8(r->cell[i]);
#else
    uint4 c = r->cell[WT == 3 ? i / 2 : 0];
    return scaled8(quants8((i & 1) ? c.zw : c.xy, 8 * i), r->scale);
#endif
}

/* Weights k to k + 7 (k a multiple of 8) of output feature n; np features are stored. */
static inline float8 weights8(__global const uint4 *cells, __global const uint *scales, long np,
                              long n, long k)
{
#if WT == 0
    __global const uint4 *c = cells + (k >> 2) * np + n;
    return (float8)(as_float4(c[0]), as_float4(c[np]));
#elif WT == 1 || WT == 2
    return halves8(cells[(k >> 3) * np + n]);
#else
    uint4 c = cells[(WT == 3 ? k >> 4 : k >> 5) * np + n];
    return scaled8(quants8((k & 8) ? c.zw : c.xy, k), scales[(k >> 5) * np + n]);
#endif
}
