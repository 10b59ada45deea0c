/* law/softmax.h: the softmax state (m, l, o) of docs/numerics.md, section 3: the pieces of arithmetic
 * that every backend shares. m is integer-valued, so every rescale factor is a power of two. */
#ifndef ANL_LAW_SOFTMAX_H
#define ANL_LAW_SOFTMAX_H

/* The running maximum of a block's visible scores, from -inf; NaN scores do not enter it. */
static inline vf law_block_max(vf s, vf m)
{
    return v_selgt(s, m, s, m);
}

/* x times a power of two. A product that may feed a sum is written as an fma. */
static inline vf law_rescale(vf x, vf a)
{
    return v_fma(x, a, v_splat(0.0f));
}

/* Merging two states: the one with the larger m is kept, the other joins it scaled by
 * pow2(smaller m - larger m): law_join(other, factor, kept). */
static inline vf law_join(vf other, vf factor, vf kept)
{
    return v_fma(other, factor, kept);
}

/* (m + log2 l) * ln 2 - x: a log-sum-exp in natural units, less x. */
static inline vf law_lse_minus(vf m, vf log2_l, vf x)
{
    return v_fma(m + log2_l, v_splat(LAW_LN2), v_splat(0.0f) - x);
}

#endif
