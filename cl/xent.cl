/* cl/xent.cl: cross-entropy: the softmax state over the words without o. xent_span computes the
 * state of one span of words of one token; xent_end merges a token's spans and writes the result. */

#if VW == 1
/* 64 work-items: one span, in 8 blocks of one word each. */
__kernel void xent_span(__global const float *x, long4 xv, __global float2 *state, long n, int spans)
{
    __local float row[64], lanes[16];
    const int tid = (int)get_local_id(0);
    const long span = get_group_id(0), t = get_group_id(1), w0 = span * LAW_SPAN;
    float m = -INFINITY, l = 0.0f;

    for (int b = 0; b < LAW_SPAN; b += LAW_BLOCK) {
        const long w = w0 + b + tid;
        const float s = w < n ? fma(x[xv.x + t * xv.y + w], LAW_LOG2E, 0.0f) : -INFINITY;
        float top = -INFINITY;
        barrier(CLK_LOCAL_MEM_FENCE);
        row[tid] = s;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int j = 0; j < LAW_BLOCK; j++)
            top = law_block_max(row[j], top);
        top = v_ceil(top);
        if (top > m) {
            l = law_rescale(l, law_pow2(m - top));
            m = top;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        row[tid] = s == -INFINITY ? -0.0f : law_p2(s, m);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < LAW_LANES)
            for (int j = tid; j < LAW_BLOCK; j += LAW_LANES)
                l = l + row[j];
    }
    if (tid < LAW_LANES)
        lanes[tid] = l;
    for (int v = 8; v > 0; v /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < v)
            lanes[tid] = lanes[tid] + lanes[tid + v];
    }
    if (tid == 0)
        state[t * spans + span] = (float2)(m, lanes[0]);
}
#else
__kernel void xent_span(__global const float *x, long4 xv, __global float2 *state, long n, int spans)
{
    const long span = get_global_id(0), t = get_global_id(1);
    const long end = min((span + 1) * LAW_SPAN, n);
    const float16 none = (float16)(-INFINITY);
    const float16 index = (float16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    float m = -INFINITY;
    float16 l = (float16)(0.0f);

    for (long w0 = span * LAW_SPAN; w0 < end; w0 += LAW_BLOCK) {
        float16 s[4], top = none;
        for (int j = 0; j < 4; j++) {
            const long left = clamp(end - w0 - j * 16, 0L, 16L);
            s[j] = fma(load16(x, xv.x + t * xv.y + w0 + j * 16, left, 0), (float16)(LAW_LOG2E),
                       (float16)(0.0f));
            s[j] = index < (float16)((float)left) ? s[j] : none;
            top = law_block_max(s[j], top);
        }
        const float b = ceil(max16(top));
        if (b > m) {
            l = law_rescale(l, law_pow2((float16)(m - b)));
            m = b;
        }
        for (int j = 0; j < 4; j++)
            l = l + (s[j] == none ? (float16)(-0.0f) : law_p2(s[j], (float16)(m)));
    }
    state[t * spans + span] = (float2)(m, lane_tree16(l));
}
#endif

/* One work-item per token; vf so that one source serves both shapes. */
__kernel void xent_end(__global const float2 *state, __global const float *x, long4 xv,
                       __global const int *targets, __global float *out, long4 outv, int spans,
                       long tokens)
{
    const long t = get_global_id(0);
    if (t >= tokens)
        return;
    vf m = v_splat(-INFINITY), l = v_splat(0.0f);
    int empty = 1;
    float rm = 0.0f;
    for (int i = 0; i < spans; i++) {
        const float2 s = state[t * spans + i];
        if (s.y == 0.0f)
            continue;
        if (empty || s.x > rm) {
            l = empty ? v_splat(s.y) : law_join(l, law_pow2(v_splat(rm - s.x)), v_splat(s.y));
            rm = s.x;
        } else {
            l = law_join(v_splat(s.y), law_pow2(v_splat(s.x - rm)), l);
        }
        empty = 0;
        m = v_splat(rm);
    }
    vf v = law_lse_minus(m, law_log2(l), v_splat(x[xv.x + t * xv.y + targets[t]]));
    v = empty ? v_float(v_splatu(0x7fc00000u)) : v;
#if VW == 1
    store1(out, outv.x + t, 0, v);
#else
    store16(out, outv.x + t, 1, 0, v);
#endif
}
