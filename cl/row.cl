/* cl/row.cl: what the kernels for few tokens share: out = norm(x) W^T where a work-item computes one
 * span of one output feature, so that the weights are read once, in order, by as many work-items as
 * there are features times spans. A work-group is -DNX features (32) by -DSY spans by -DNC matrices
 * that read the same x; -DWT. With -DNORM=1 each work-group norms x on its own: that is little work
 * beside its weights, and a launch less.
 *
 * There are few work-items for so long a way to memory, so each keeps the loads of several blocks of 32
 * under way. Where registers are few (-DFEW=1) they would be spilled, or leave a compiler no more than 8
 * lanes: there one block is under way, of larger weights 8, and one element of x. */
#define AHEAD (WT == 0 || FEW ? 1 : WT < 3 ? 2 : 4)

struct row_tile {
    float4 xs[SY][LAW_SPAN / 4];      /* SY spans of x */
    float4 lanes[SY][LAW_LANES / 4];  /* of the norm's sums */
    float sums[NC][SY][NX];
};

/* A token's x, and the weights of its norm: they begin at at and norm_at. */
struct row_x {
    __global const float *x, *norm;
    long at, norm_at, k_end;
};

/* Four values of p, step apart, the first n of that way there, the rest 0: all loads are under way before
 * the first is waited for. */
static inline float4 row_four(__global const float *p, long at, int step, int n)
{
    float4 v = (float4)(0.0f);
    if (3 * step < n)
        return (float4)(p[at], p[at + step], p[at + 2 * step], p[at + 3 * step]);
    if (0 < n)
        v.x = p[at];
    if (step < n)
        v.y = p[at + step];
    if (2 * step < n)
        v.z = p[at + 2 * step];
    return v;
}

/* SY spans from s0 on to local memory, the rest zero; as they are, or x[k] * scale * norm[k]. */
static inline void row_stage(__local struct row_tile *tile, const struct row_x r, long s0, int normed,
                             float scale)
{
    __local float *xs = (__local float *)tile->xs[get_local_id(1)];
    const long s = s0 + (long)get_local_id(1) * LAW_SPAN;
    const int len = (int)clamp(r.k_end - s, 0L, (long)LAW_SPAN);

#if FEW
#pragma unroll 1
    for (int k = (int)get_local_id(0) + NX * (int)get_local_id(2); k < LAW_SPAN; k += NX * NC) {
        float v = k < len ? r.x[r.at + s + k] : 0.0f;
        if (normed)
            v = canon(k < len ? (v * scale) * r.norm[r.norm_at + s + k] : 0.0f);
        xs[k] = v;
    }
#else
    for (int i = 0; i < LAW_SPAN; i += 4 * NX * NC) {
        const int k = i + (int)get_local_id(0) + NX * (int)get_local_id(2);
        float4 v = row_four(r.x, r.at + s + k, NX * NC, len - k);
        if (normed) {
            v = (v * (float4)(scale)) * row_four(r.norm, r.norm_at + s + k, NX * NC, len - k);
            v = (float4)(canon(v.x), canon(v.y), canon(v.z), canon(v.w));
        }
        xs[k] = v.x;
        xs[k + NX * NC] = v.y;
        xs[k + 2 * NX * NC] = v.z;
        xs[k + 3 * NX * NC] = v.w;
    }
#endif
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The lane tree of a span's 16 lanes. */
static inline float row_tree(__local const float4 *x)
{
    const float4 a = x[0] + x[2], b = x[1] + x[3], c = a + b;
    const float2 d = c.lo + c.hi;
    return d.x + d.y;
}

/* 1 / sqrt(mean(x^2) + eps), the same in every work-item. What pads a span adds nothing to a lane. */
static inline float row_scale(__local struct row_tile *tile, const struct row_x r, float eps)
{
    const int lane = (int)get_local_id(0), ly = (int)get_local_id(1);
    float total = 0.0f;

    for (long s0 = 0; s0 < r.k_end; s0 += SY * LAW_SPAN) {
        row_stage(tile, r, s0, 0, 0.0f);
        if (lane < LAW_LANES && get_local_id(2) == 0) {
            float sum = 0.0f;
#pragma unroll 8
            for (int k = lane; k < LAW_SPAN; k += LAW_LANES) {
                const float v = ((__local float *)tile->xs[ly])[k];
                sum = fma(v, v, sum);
            }
            ((__local float *)tile->lanes[ly])[lane] = sum;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 0; i < SY && s0 + i * LAW_SPAN < r.k_end; i++) {
            const float sum = row_tree(tile->lanes[i]);
            total = s0 + i ? total + sum : sum;
        }
    }
    return law_rsqrt(fma(total, law_recip((float)r.k_end), eps));
}

/* The chain over k to k + 7. */
static inline float chain8(float c, float8 w, float4 x0, float4 x1)
{
    c = fma(x0.x, w.s0, c);
    c = fma(x0.y, w.s1, c);
    c = fma(x0.z, w.s2, c);
    c = fma(x0.w, w.s3, c);
    c = fma(x1.x, w.s4, c);
    c = fma(x1.y, w.s5, c);
    c = fma(x1.z, w.s6, c);
    return fma(x1.w, w.s7, c);
}

/* The chain of len (1 to 512) weights of feature n from k = s on. */
#if FEW
static inline float row_chain(__local const float4 *xs, __global const uint4 *cells,
                              __global const uint *scales, long np, long n, long s, int len)
{
    float c = 0.0f;

#if WT < 4
#pragma unroll 1
    for (int k = 0; k < len; k += 8)
        c = chain8(c, weights8(cells, scales, np, n, s + k), xs[k / 4], xs[k / 4 + 1]);
#else
    struct raw32 next = raw32_at(cells, scales, np, n, s);
#pragma unroll 1
    for (int k = 0; k < len; k += 32) {
        const struct raw32 now = next;
        next = raw32_at(cells, scales, np, n, s + min(k + 32, (len - 1) & ~31));
#pragma unroll
        for (int j = 0; j < 4; j++)
            c = chain8(c, raw32_part(&now, j), xs[k / 4 + 2 * j], xs[k / 4 + 2 * j + 1]);
    }
#endif
    return c;
}
#else
static inline float row_chain(__local const float4 *xs, __global const uint4 *cells,
                              __global const uint *scales, long np, long n, long s, int len)
{
    const int end = (len + 31) & ~31;
    struct raw32 ahead[AHEAD];
    float c = 0.0f;

#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        ahead[i] = raw32_at(cells, scales, np, n, s + min(32 * i, end - 32));
    for (int k0 = 0; k0 < end; k0 += 32 * AHEAD) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            const int k = k0 + 32 * i;
            if (k >= end)
                break;
#pragma unroll
            for (int j = 0; j < 4; j++)
                c = chain8(c, raw32_part(&ahead[i], j), xs[k / 4 + 2 * j], xs[k / 4 + 2 * j + 1]);
            if (k + 32 * AHEAD < end)
                ahead[i] = raw32_at(cells, scales, np, n, s + k + 32 * AHEAD);
        }
    }
    return c;
}
#endif

/* The contraction of x (with NORM=1 normed, by row_scale's scale) with feature n, if it is there; for
 * work-items with get_local_id(1) == 0. */
static inline float row_total(__local struct row_tile *tile, const struct row_x r, float scale,
                              __global const uint4 *cells, __global const uint *scales, long np, long n,
                              int there)
{
    const int lx = (int)get_local_id(0), ly = (int)get_local_id(1), lz = (int)get_local_id(2);
    float total = 0.0f;

    for (long s0 = 0; s0 < r.k_end; s0 += SY * LAW_SPAN) {
        const long s = s0 + ly * LAW_SPAN;
        row_stage(tile, r, s0, NORM, scale);
        if (there && s < r.k_end)
            tile->sums[lz][ly][lx] = row_chain(tile->xs[ly], cells, scales, np, n, s,
                                               (int)min(r.k_end - s, (long)LAW_SPAN));
        barrier(CLK_LOCAL_MEM_FENCE);
        if (ly == 0)
            for (int i = 0; i < SY && s0 + i * LAW_SPAN < r.k_end; i++)
                total = s0 + i ? total + tile->sums[lz][i][lx] : tile->sums[lz][i][lx];
    }
    return total;
}
