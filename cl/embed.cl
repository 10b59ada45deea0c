/* cl/embed.cl: rows of a packed matrix by id: a work-item per 8 features. A single id comes by value
 * (one, else -1). -DWT; -DCPU_PACK: which order of cl/weights.c. */

#if CPU_PACK
/* Weight k of row n in the CPU order. */
static inline float weight1(__global const uchar *cells, __global const uint *scales, long kp, long n,
                            long k)
{
    const long tile = n / 16, lane = n % 16;
#if WT == 0
    return ((__global const float *)cells)[(tile * kp + k) * 16 + lane];
#elif WT <= 2
    return widen(((__global const ushort *)cells)[(tile * kp + k) * 16 + lane], WT);
#else
    const uint s = scales[(tile * (kp / 32) + k / 32) * 16 + lane];
    const float d = law_f16_to_f32(s & 0xffffu);
#if WT == 3
    return d * (float)((__global const char *)cells)[(tile * kp + k) * 16 + lane];
#else
    const int i = (int)(k % 32);
    const uchar c = cells[(tile * (kp / 2) + k / 32 * 16 + i % 16) * 16 + lane];
    const int q = i < 16 ? c & 15 : c >> 4;
#if WT == 4
    return fma(d, (float)q, law_f16_to_f32(s >> 16));
#else
    return d * (float)(q - 8);
#endif
#endif
#endif
}

static inline float8 row8(__global const uchar *cells, __global const uint *scales, long np, long kp,
                          long n, long k)
{
    (void)np;
    return (float8)(weight1(cells, scales, kp, n, k), weight1(cells, scales, kp, n, k + 1),
                    weight1(cells, scales, kp, n, k + 2), weight1(cells, scales, kp, n, k + 3),
                    weight1(cells, scales, kp, n, k + 4), weight1(cells, scales, kp, n, k + 5),
                    weight1(cells, scales, kp, n, k + 6), weight1(cells, scales, kp, n, k + 7));
}
#else
static inline float8 row8(__global const uchar *cells, __global const uint *scales, long np, long kp,
                          long n, long k)
{
    (void)kp;
    return weights8((__global const uint4 *)cells, scales, np, n, k);
}
#endif

__kernel void embed(__global const uchar *cells, __global const uint *scales, long np, long kp,
                    __global const int *ids, int one, __global float *out, long4 outv, long k_end,
                    long n)
{
    const long e = get_global_id(0), groups = (k_end + 7) / 8;
    if (e >= n)
        return;
    const long t = e / groups, k = e % groups * 8, at = outv.x + t * outv.y + k;
    const float8 v = row8(cells, scales, np, kp, one < 0 ? ids[t] : one, k);
    store1(out, at, 0, v.s0);
    if (k + 1 < k_end)
        store1(out, at + 1, 0, v.s1);
    if (k + 2 < k_end)
        store1(out, at + 2, 0, v.s2);
    if (k + 3 < k_end)
        store1(out, at + 3, 0, v.s3);
    if (k + 4 < k_end)
        store1(out, at + 4, 0, v.s4);
    if (k + 5 < k_end)
        store1(out, at + 5, 0, v.s5);
    if (k + 6 < k_end)
        store1(out, at + 6, 0, v.s6);
    if (k + 7 < k_end)
        store1(out, at + 7, 0, v.s7);
}
