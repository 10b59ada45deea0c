/* law/narrow.h: f16 and bf16 by integer arithmetic on f32 bits, in the common subset of law/num.h.
 * Halves sit in the low 16 bits of a vu lane. Narrowing rounds to nearest even, overflows to
 * infinity, and makes the canonical NaN and zero. */
#ifndef ANL_LAW_NARROW_H
#define ANL_LAW_NARROW_H

/* a ? x : y for a lane mask a that is all ones or all zeros. */
static inline vu law_selmask(vu a, vu x, vu y)
{
    return (x & a) | (y & (v_splatu(0xffffffffu) - a));
}

/* All ones where x < y, both below 2^31. */
static inline vu law_ltmask(vu x, vu y)
{
    return v_splatu(0u) - ((x - y) >> 31);
}

static inline vf law_f16_to_f32(vu h)
{
    vu sign = (h & v_splatu(0x8000u)) << 16;
    vu mag = h & v_splatu(0x7fffu);
    vu normal = (mag << 13) + v_splatu(112u << 23);
    vu special = (mag << 13) | v_splatu(0x7f800000u);
    vu subnormal = v_bits(v_toflt(mag) * v_splat(0x1p-24f));
    vu r = law_selmask(law_ltmask(mag, v_splatu(0x0400u)), subnormal, normal);
    r = law_selmask(law_ltmask(v_splatu(0x7bffu), mag), special, r);
    return v_float(r | sign);
}

static inline vf law_bf16_to_f32(vu h)
{
    return v_float(h << 16);
}

/* x shifted right by n in [1, 31], rounded to nearest even. */
static inline vu law_shift_rne(vu x, int n)
{
    vu below = v_splatu((1u << (n - 1)) - 1u);
    return (x + below + ((x >> n) & v_splatu(1u))) >> n;
}

static inline vu law_f32_to_bf16(vf x)
{
    vu u = v_bits(law_canon(x));
    vu nan = law_ltmask(v_splatu(0x7f800000u), u & v_splatu(0x7fffffffu));
    vu r = law_selmask(nan, v_splatu(0x7fc0u), law_shift_rne(u & v_splatu(0x7fffffffu), 16) |
                                                   ((u >> 16) & v_splatu(0x8000u)));
    return law_selmask(law_ltmask(r & v_splatu(0x7fffu), v_splatu(1u)), v_splatu(0u), r);
}

static inline vu law_f32_to_f16(vf x)
{
    vu u = v_bits(law_canon(x));
    vu sign = (u >> 16) & v_splatu(0x8000u);
    vu mag = u & v_splatu(0x7fffffffu);
    /* normal results: rebias the exponent, round the 13 low bits away; a carry runs into it */
    vu normal = law_shift_rne(mag - v_splatu(112u << 23), 13);
    /* below 2^-14 the unit is 2^-24: shift the mantissa with its hidden bit by 126 - exponent */
    vu tiny = law_selmask(law_ltmask(mag, v_splatu(0x38800000u)), mag, v_splatu(0u));
    vu shift = v_splatu(126u) - (tiny >> 23);
    vu mant = (tiny & v_splatu(0x7fffffu)) | v_splatu(0x800000u);
    shift = law_selmask(law_ltmask(v_splatu(25u), shift), v_splatu(25u), shift);
    vu odd = (mant >> shift) & v_splatu(1u);
    vu sub = (mant + (v_splatu(1u) << (shift - v_splatu(1u))) - v_splatu(1u) + odd) >> shift;
    vu r = law_selmask(law_ltmask(mag, v_splatu(0x38800000u)), sub, normal);
    r = law_selmask(law_ltmask(mag, v_splatu(0x477ff000u)), r, v_splatu(0x7c00u)) | sign;
    r = law_selmask(law_ltmask(v_splatu(0x7f800000u), mag), v_splatu(0x7e00u), r);
    /* a negative number may round to -0, which is stored as +0 */
    return law_selmask(law_ltmask(r & v_splatu(0x7fffu), v_splatu(1u)), v_splatu(0u), r);
}

#endif
