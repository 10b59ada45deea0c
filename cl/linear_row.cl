/* cl/linear_row.cl: out = epilogue(x W^T) for few tokens: a work-item computes one span of one output
 * feature, so the weights are read once, in order, by as many work-items as there are features times
 * spans. -DNX features and -DSY spans of a work-group; -DWT.
 *
 * There are few work-items for so long a way to memory, so each keeps the loads of several blocks of 32
 * under way. */
#define AHEAD (WT == 0 ? 1 : WT < 3 ? 2 : 4)

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

__kernel void linear_row(__global const uint4 *cells, __global const uint *scales, long np,
                         __global const float *x, long4 xv, __global float *out, long4 outv,
                         int out_type, __global const float *bias, long4 biasv,
                         __global const float *gate, long4 gatev, __global const float *residual,
                         long4 resv, int act, int flags, long n_end, long k_end)
{
    __local float4 xs[SY][LAW_SPAN / 4];
    __local float sums[SY][NX];
    const int lx = (int)get_local_id(0), ly = (int)get_local_id(1);
    const long n = (long)get_group_id(0) * NX + lx, t = get_group_id(1);
    float total = 0.0f;

    for (long s0 = 0; s0 < k_end; s0 += SY * LAW_SPAN) {
        long s = s0 + ly * LAW_SPAN, len = clamp(k_end - s, 0L, (long)LAW_SPAN);
        for (int k = lx; k < LAW_SPAN; k += NX)
            ((__local float *)xs[ly])[k] = k < len ? x[xv.x + t * xv.y + s + k] : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (n < n_end && len > 0) {
            const int end = ((int)len + 31) & ~31;
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
                        c = chain8(c, raw32_part(&ahead[i], j), xs[ly][k / 4 + 2 * j],
                                   xs[ly][k / 4 + 2 * j + 1]);
                    if (k + 32 * AHEAD < end)
                        ahead[i] = raw32_at(cells, scales, np, n, s + k + 32 * AHEAD);
                }
            }
            sums[ly][lx] = c;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (ly == 0)
            for (int i = 0; i < SY && s0 + i * LAW_SPAN < k_end; i++)
                total = s0 + i ? total + sums[i][lx] : sums[i][lx];
    }
    if (ly || n >= n_end)
        return;
    total = epilogue(total, (flags & 1) ? bias[biasv.x + n] : 0.0f,
                     (flags & 2) ? gate[gatev.x + t * gatev.y + n] : 0.0f,
                     (flags & 4) ? residual[resv.x + t * resv.y + n] : 0.0f, act, flags);
    store1(out, outv.x + t * outv.y + n, out_type, total);
}
