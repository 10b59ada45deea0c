/* law/elem.h: the elementary functions of the law (docs/elementary.md: formulas, domains, worst
 * ulp), written like law/num.h over vf, vu and the v_* operations.
 *
 * All are free of branches, and none makes a denormal from ordinary data: a tail that would go
 * below a stated cut is selected to +0 instead. NaN gives NaN. A product that feeds an addition
 * stands in that addition's fma. */
#ifndef ANL_LAW_ELEM_H
#define ANL_LAW_ELEM_H

#include "law/num.h"

#define LAW_LN2_LO -0x1.05c61p-29f      /* ln 2 - LAW_LN2 */
#define LAW_LOG2E_LO 0x1.4ae0cp-26f     /* log2 e - LAW_LOG2E */
#define LAW_SIGMOID_CUT -0x1.5a6666p+6f /* -86.6, where 1 + e^-x nears recip's 2^125 */
#define LAW_GELU_CUT 9.0f               /* gelu(-9) is about -2^-60 */

static inline vf law_neg(vf x)
{
    return v_splat(0.0f) - x;
}

static inline vf law_abs(vf x)
{
    return v_float(v_bits(x) & v_splatu(0x7fffffffu));
}

/* a >= 0 with the sign of x. */
static inline vf law_sign(vf a, vf x)
{
    return v_float(v_bits(a) | (v_bits(x) & v_splatu(0x80000000u)));
}

/* The larger / smaller one; b where a is NaN. */
static inline vf law_max(vf a, vf b)
{
    return v_selgt(a, b, a, b);
}

static inline vf law_min(vf a, vf b)
{
    return v_selgt(b, a, a, b);
}

/* 1 / sqrt(x): a seed from the bits, three Newton steps, and one whose residual is known beyond
 * a float. 0 <= x < 2^-126 counts as 2^-126; below 0: NaN. */
static inline vf law_rsqrt(vf x)
{
    vf big = v_splat(0x1.fffffep+127f), one = v_splat(1.0f);
    vf c = law_min(law_max(x, v_splat(0x1p-126f)), big);
    vf r = v_float(v_splatu(0x5f3759dfu) - (v_bits(c) >> 1));
    for (int i = 0; i < 3; i++) {
        vf e = v_fma(law_neg(c * r), r, one);
        r = v_fma(r * v_splat(0.5f), e, r);
    }
    vf t = c * r;
    vf d = v_fma(c, r, law_neg(t));
    vf e = v_fma(law_neg(d), r, v_fma(law_neg(t), r, one));
    r = v_fma(r * v_splat(0.5f), e, r);
    r = v_selgt(x, big, v_splat(0.0f), r);
    vf nan = v_float(v_splatu(0x7fc00000u));
    return v_selgt(v_splat(0.0f), x, nan, v_selnan(x, x, r));
}

/* (ln(1 + f) - f) / f^2 for sqrt(1/2) <= 1 + f <= sqrt(2). */
static inline vf law_log_tail(vf f)
{
    vf p = v_splat(-0x1.386c26p-4f);
    p = v_fma(p, f, v_splat(0x1.0887d2p-3f));
    p = v_fma(p, f, v_splat(-0x1.0f4c18p-3f));
    p = v_fma(p, f, v_splat(0x1.226ap-3f));
    p = v_fma(p, f, v_splat(-0x1.54241ep-3f));
    p = v_fma(p, f, v_splat(0x1.99a43p-3f));
    p = v_fma(p, f, v_splat(-0x1.000438p-2f));
    p = v_fma(p, f, v_splat(0x1.55555p-2f));
    return v_fma(p, f, v_splat(-0x1.fffff8p-2f));
}

/* x = 2^k (1 + f), for x > 0: u holds k + 127 above bit 23 and 1 + f's place below it. */
static inline vu law_log_split(vf x)
{
    vf tiny = v_splat(0x1p-126f);
    vf c = v_selgt(tiny, x, x * v_splat(0x1p+24f), x);
    return v_bits(c) + v_splatu(0x3f800000u - 0x3f3504f3u);
}

static inline vf law_log_k(vf x, vu u)
{
    vf tiny = v_splat(0x1p-126f);
    return v_toflt(u >> 23) - v_selgt(tiny, x, v_splat(151.0f), v_splat(127.0f));
}

static inline vf law_log_f(vu u)
{
    return v_float((u & v_splatu(0x007fffffu)) + v_splatu(0x3f3504f3u)) - v_splat(1.0f);
}

/* The limits of a logarithm: 0 -> -inf, below 0 -> NaN, +inf -> +inf. */
static inline vf law_log_ends(vf x, vf y)
{
    vf inf = v_float(v_splatu(0x7f800000u));
    vf nan = v_float(v_splatu(0x7fc00000u));
    y = v_selgt(x, v_splat(0x1.fffffep+127f), inf, y);
    y = v_selgt(x, v_splat(0.0f), y, law_neg(inf));
    y = v_selgt(v_splat(0.0f), x, nan, y);
    return v_selnan(x, x, y);
}

static inline vf law_log2(vf x)
{
    vu u = law_log_split(x);
    vf f = law_log_f(u), zero = v_splat(0.0f);
    vf s = v_fma(law_log_tail(f) * f, f, zero);
    vf t = v_fma(f, v_splat(LAW_LOG2E_LO), v_fma(s, v_splat(LAW_LOG2E), zero));
    return law_log_ends(x, v_fma(f, v_splat(LAW_LOG2E), t) + law_log_k(x, u));
}

static inline vf law_log(vf x)
{
    vu u = law_log_split(x);
    vf f = law_log_f(u), k = law_log_k(x, u);
    vf lo = v_fma(k, v_splat(LAW_LN2_LO), v_splat(0.0f));
    vf t = f + v_fma(law_log_tail(f) * f, f, lo);
    return law_log_ends(x, v_fma(k, v_splat(LAW_LN2), t));
}

/* x = n ln 2 + r with |r| <= ln 2 / 2, for |x| <= 89. */
static inline vf law_exp_n(vf x)
{
    return v_rint(x * v_splat(LAW_LOG2E));
}

static inline vf law_exp_r(vf x, vf n)
{
    vf r = v_fma(n, v_splat(-LAW_LN2), x); /* exact */
    return v_fma(n, v_splat(-(LAW_LN2_LO)), r);
}

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2. */
static inline vf law_exp_tail(vf r)
{
    vf p = v_splat(0x1.6b9c8cp-10f);
    p = v_fma(p, r, v_splat(0x1.122552p-7f));
    p = v_fma(p, r, v_splat(0x1.5556f2p-5f));
    p = v_fma(p, r, v_splat(0x1.5554b4p-3f));
    return v_fma(p, r, v_splat(0x1.fffffep-2f));
}

/* e^x for -87.3 <= x <= 88.7: the result is normal. */
static inline vf law_exp_core(vf x)
{
    vf n = law_exp_n(x);
    vf r = law_exp_r(x, n);
    vf p = v_fma(v_fma(law_exp_tail(r), r, v_splat(1.0f)), r, v_splat(1.0f));
    return v_float(v_bits(p) + (v_toint(n) << 23));
}

/* e^x - 1 for -80 <= x <= 80; relatively accurate near 0. */
static inline vf law_expm1_core(vf x)
{
    vf n = law_exp_n(x);
    vf r = law_exp_r(x, n);
    vf q = v_fma(law_exp_tail(r) * r, r, r);
    vf s = law_exp2i(n);
    return v_fma(s, q, s - v_splat(1.0f));
}

/* e^x; +0 where it would be below 2^-126. */
static inline vf law_exp(vf x)
{
    vf lo = v_splat(-0x1.5d589ep+6f), hi = v_splat(0x1.62e42ep+6f);
    vf r = law_exp_core(law_min(law_max(x, lo), hi));
    r = v_selgt(x, hi, v_float(v_splatu(0x7f800000u)), r);
    r = v_selgt(lo, x, v_splat(0.0f), r);
    return v_selnan(x, x, r);
}

/* 1 / (1 + e^-x); +0 below -86.6. */
static inline vf law_sigmoid(vf x)
{
    vf cut = v_splat(LAW_SIGMOID_CUT);
    vf c = law_min(law_max(x, cut), v_splat(86.6f));
    vf r = law_recip(law_exp_core(law_neg(c)) + v_splat(1.0f));
    return v_selnan(x, x, v_selgt(cut, x, v_splat(0.0f), r));
}

/* x * sigmoid(x); +0 below -86.6. An fma, since a residual may be added to it. */
static inline vf law_silu(vf x)
{
    vf zero = v_splat(0.0f);
    return v_fma(v_selgt(v_splat(LAW_SIGMOID_CUT), x, zero, x), law_sigmoid(x), zero);
}

/* Keeps NaN. */
static inline vf law_relu(vf x)
{
    return v_selgt(v_splat(0.0f), x, v_splat(0.0f), x);
}

/* With m = e^(-2|x|) - 1: |tanh x| = -m / (2 + m). */
static inline vf law_tanh(vf x)
{
    vf a = law_min(law_abs(x), v_splat(10.0f));
    vf m = law_expm1_core(a * v_splat(-2.0f));
    vf t = law_neg(m) * law_recip(m + v_splat(2.0f));
    return v_selnan(x, x, law_sign(t, x));
}

/* |erf x| = 1 - e^-g, g = -ln erfc |x|, a polynomial in |x| <= 4 (erf 4 = 1 in a float). */
static inline vf law_erf(vf x)
{
    vf a = law_min(law_abs(x), v_splat(4.0f)), zero = v_splat(0.0f);
    vf p = v_splat(-0x1.36f018p-17f);
    p = v_fma(p, a, v_splat(0x1.edd404p-14f));
    p = v_fma(p, a, v_splat(-0x1.4bf9dcp-11f));
    p = v_fma(p, a, v_splat(0x1.b52da2p-10f));
    p = v_fma(p, a, v_splat(-0x1.51d46cp-13f));
    p = v_fma(p, a, v_splat(-0x1.39cc3p-6f));
    p = v_fma(p, a, v_splat(0x1.a4fa44p-4f));
    p = v_fma(p, a, v_splat(0x1.45f2fap-1f));
    p = v_fma(p, a, v_splat(-0x1.cd8c1ep-25f));
    vf g = v_fma(a, v_splat(0x1.20dd76p+0f), v_fma(p, a, zero));
    return v_selnan(x, x, law_sign(law_neg(law_expm1_core(law_neg(g))), x));
}

/* The normal distribution's upper tail Q(a) = erfc(a / sqrt 2) / 2 for 0 <= a <= 9, as 2^y with
 * y = a P(a - 4.6875) - 1 - 0.78125 a^2. The square is taken exactly, as h + l; 0.78125, more
 * than log2(e) / 2, keeps a P small, and so its rounding. */
static inline vf law_normal_tail(vf a)
{
    vf c = law_max(a, v_splat(0x1p-30f)); /* a smaller one's square might be denormal */
    vf k = v_splat(-0.78125f), one = v_splat(1.0f);
    vf h = c * c;
    vf l = v_fma(c, c, law_neg(h));
    vf u = c - v_splat(4.6875f);
    vf p = v_splat(-0x1.229a36p-41f);
    p = v_fma(p, u, v_splat(0x1.bc9ap-38f));
    p = v_fma(p, u, v_splat(-0x1.81268p-36f));
    p = v_fma(p, u, v_splat(-0x1.f06cbcp-39f));
    p = v_fma(p, u, v_splat(0x1.65bb38p-32f));
    p = v_fma(p, u, v_splat(-0x1.c6d7c2p-28f));
    p = v_fma(p, u, v_splat(0x1.a9f5fap-24f));
    p = v_fma(p, u, v_splat(-0x1.25fc9ap-20f));
    p = v_fma(p, u, v_splat(0x1.61bf56p-17f));
    p = v_fma(p, u, v_splat(-0x1.8cf072p-14f));
    p = v_fma(p, u, v_splat(0x1.aa2edap-11f));
    p = v_fma(p, u, v_splat(-0x1.bfdeb6p-8f));
    p = v_fma(p, u, v_splat(0x1.e3f4cap-4f));
    p = v_fma(p, u, v_splat(-0x1.1b8398p-2f));
    vf n = v_rint(v_fma(h, k, v_fma(c, p, law_neg(one))));
    vf f = v_fma(c, p, v_fma(l, k, v_fma(h, k, law_neg(n + one))));
    return v_float(v_bits(law_exp2_poly(f)) + (v_toint(n) << 23));
}

/* x (1 + erf(x / sqrt 2)) / 2 = relu(x) - |x| Q(|x|); relu(x) from |x| = 9 on. */
static inline vf law_gelu(vf x)
{
    vf a = law_min(law_abs(x), v_splat(LAW_GELU_CUT));
    vf q = v_selgt(v_splat(LAW_GELU_CUT), a, law_normal_tail(a), v_splat(0.0f));
    return v_fma(law_neg(a), q, law_relu(x));
}

/* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = relu(x) - |x| / (1 + 2^y) with
 * y = |x| (c + d x^2), c = 2 sqrt(2 / pi) log2(e), d = 0.044715 c; relu(x) from |x| = 9 on.
 * c + d x^2 is w + v, v being what rounding took away (c's upper part is so short that c - w is
 * exact): without v the tail would lose seven bits. */
static inline vf law_gelu_tanh(vf x)
{
    vf cut = v_splat(LAW_GELU_CUT), one = v_splat(1.0f);
    vf c = v_splat(0x1.26aecp+1f), d = v_splat(0x1.a5a7dp-4f);
    vf a = law_min(law_abs(x), cut);
    vf b = law_max(a, v_splat(0x1p-30f)); /* a smaller one's square might be denormal */
    vf p = b * d;
    vf q = v_fma(b, v_splat(-0x1.151aaep-29f), v_fma(b, d, law_neg(p)));
    vf w = v_fma(p, b, c);
    vf v = v_fma(p, b, c - w) + v_fma(q, b, v_splat(0x1.0de73ap-22f));
    vf n = v_rint(b * w);
    vf f = v_fma(b, v, v_fma(b, w, law_neg(n)));
    vf e = v_float(v_bits(law_exp2_poly(f)) + (v_toint(n) << 23));
    vf s = v_selgt(cut, a, law_recip(e + one), v_splat(0.0f));
    return v_fma(law_neg(a), s, law_relu(x));
}

/* By the number of an anl_act: 0 none, 1 relu, 2 silu, 3 gelu, 4 gelu by tanh. */
static inline vf law_activate(int act, vf x)
{
    switch (act) {
    case 1:
        return law_relu(x);
    case 2:
        return law_silu(x);
    case 3:
        return law_gelu(x);
    case 4:
        return law_gelu_tanh(x);
    default:
        return x;
    }
}

#endif
