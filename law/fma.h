/* law/fma.h: a correctly rounded float fma on every machine.
 *
 * Where the compiler says that fmaf is one instruction (__FP_FAST_FMAF) that is taken. Elsewhere
 * libm's fmaf is not to be trusted (musl 1.2.3 and mingw-w64 10 round fmaf(0x97000800,
 * 0x1cfff001, 0x00010002) wrongly), so it is built here. The product of two floats is exact in
 * double. Narrowing the double sum once more to float goes wrong only where the first rounding made
 * a tie of it, or where the float is subnormal; there the sum is rounded to odd first (a TwoSum
 * finds its error), which makes the narrowing right (Boldo and Melquiond, "Emulation of FMA and
 * correctly rounded sums: proved algorithms using rounding to odd", 2008). It needs round to nearest
 * and no flush of denormals: backends set both. */
#ifndef ANL_LAW_FMA_H
#define ANL_LAW_FMA_H

#include <stdint.h>
#include <string.h>

static inline float law_fmaf_odd(double p, double z)
{
    double s = p + z;
    double zz = s - p;
    double err = (p - (s - zz)) + (z - zz);
    uint64_t u;
    memcpy(&u, &s, sizeof u);
    /* inexact with an even last bit: the odd neighbour on the error's side. For an infinite
     * sum err is NaN and the test fails, so infinities and NaN pass through. */
    if ((err > 0 || err < 0) && !(u & 1)) {
        int away = (err > 0) == (s > 0);
        u += away ? 1 : (uint64_t)-1;
        memcpy(&s, &u, sizeof s);
    }
    return (float)s;
}

static inline float law_fmaf_soft(float a, float b, float c)
{
    double p = (double)a * (double)b, s = p + (double)c;
    uint64_t u;
    memcpy(&u, &s, sizeof u);
    if ((u & 0x1fffffff) == 0x10000000 || (u << 1 >> 53) - 1 < 896)
        return law_fmaf_odd(p, (double)c);
    return (float)s;
}

static inline float law_fmaf(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    return law_fmaf_soft(a, b, c);
#endif
}

#endif
