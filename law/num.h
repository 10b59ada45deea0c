/* law/num.h: the arithmetic that every backend shares (docs/numerics.md, sections 0 and 2).
 *
 * Written in what C11 and OpenCL C 1.2 have in common, over two types and a dozen operations
 * that the including file has brought: law/scalar.h (one lane), cpu/vec_*.h (a vector register
 * of one instruction set) or cl/vec.cl (OpenCL). So each formula stands once in the house.
 *
 *   vf, vu                float lanes, unsigned 32-bit lanes; + - * on both, & | << >> on vu
 *   v_splat, v_splatu     one value in every lane
 *   v_fma(a, b, c)        a * b + c, rounded once
 *   v_rint, v_ceil        to an integer: nearest even, upwards
 *   v_bits, v_float       the same bits as the other type
 *   v_toint, v_toflt      value conversion, two's complement, exact in the ranges used here
 *   v_selgt(a, b, x, y)   a > b ? x : y   (false where either is NaN)
 *   v_selnan(a, x, y)     a is NaN ? x : y
 */
#ifndef ANL_LAW_NUM_H
#define ANL_LAW_NUM_H

#define LAW_SPAN 512  /* cut of every long sum */
#define LAW_BLOCK 64  /* keys that share one maximum */
#define LAW_LANES 16  /* lanes of a lane sum */
#define LAW_LOG2E 0x1.715476p+0f
#define LAW_LN2 0x1.62e43p-1f

/* The bits of 2^e for an integer-valued -126 <= e <= 127. */
static inline vf law_exp2i(vf e)
{
    return v_float((v_toint(e) + v_splatu(127u)) << 23);
}

/* 2^e for an integer-valued -62 <= e <= 0, else (NaN too) +0. */
static inline vf law_pow2(vf e)
{
    vf lo = v_splat(-63.0f);
    vf in = v_selgt(e, lo, e, lo);
    return v_selgt(in, lo, law_exp2i(v_selgt(in, v_splat(0.0f), lo, in)),
                   v_splat(0.0f));
}

/* 2^f for f in [-1/2, 1/2]: 0.80 ulp at worst. */
static inline vf law_exp2_poly(vf f)
{
    vf p = v_splat(0x1.3f906cp-13f);
    p = v_fma(p, f, v_splat(0x1.5f0a66p-10f));
    p = v_fma(p, f, v_splat(0x1.3b30bp-7f));
    p = v_fma(p, f, v_splat(0x1.c6af78p-5f));
    p = v_fma(p, f, v_splat(0x1.ebfbd8p-3f));
    p = v_fma(p, f, v_splat(0x1.62e43p-1f));
    return v_fma(p, f, v_splat(1.0f));
}

/* 2^(s - m) for an integer-valued m >= s; NaN for s NaN; +0 below 2^-62.5 or so. */
static inline vf law_p2(vf s, vf m)
{
    vf n = v_rint(s);
    vf p = law_exp2_poly(s - n);
    vf e = n - m;
    vf lo = v_splat(-63.0f);
    vf c = v_selgt(e, lo, e, lo); /* also turns NaN and -inf into a number that converts */
    vf r = v_selgt(c, lo, p * law_exp2i(c), v_splat(0.0f));
    return v_selnan(s - n, s - n, r);
}

/* 1 / x for 2^-126 <= x <= 2^125: a seed from the bits, four Newton steps. */
static inline vf law_recip(vf x)
{
    vf r = v_float(v_splatu(0x7EF311C7u) - v_bits(x));
    for (int i = 0; i < 4; i++) {
        vf e = v_fma(v_splat(0.0f) - x, r, v_splat(1.0f));
        r = v_fma(r, e, r);
    }
    return r;
}

/* What a result becomes in memory: one NaN, one zero. By selection: a driver was seen to drop the
 * addition of +0 that would do for the zero. */
static inline vf law_canon(vf x)
{
    vf zero = v_splat(0.0f);
    vf odd = v_selnan(x, v_float(v_splatu(0x7fc00000u)), zero);
    return v_selgt(x, zero, x, v_selgt(zero, x, x, odd));
}

#endif
