/* cl/attn_row.cl: attention for few queries: a work-group computes the state of one span for one query,
 * so that a long cache keeps a whole device busy; attn_merge (attn_end.cl) brings them together.
 * -DKVT: anl_dtype of keys and values; -DNT work-items, at least 64. */

__kernel void attn_row(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                       __global const float *vv, long4 vv4, __global float *span_o,
                       __global float2 *span_ml, int heads, int group, long head0, long offset,
                       long i0, long rows_per_head, int d_end, int dv_end, int dvp, int spans,
                       long piece0, long piece_keys, long span_lo, int causal, float c)
{
    __local float qs[256], sc[LAW_SPAN], top[8], factor[8], lanes[LAW_LANES];
    const int tid = (int)get_local_id(0);
    const long span = span_lo + (long)get_group_id(0), row = get_group_id(1);
    const long head = head0 + row / rows_per_head, b = head / heads, h = head % heads;
    const long i = i0 + row % rows_per_head, pos = offset + i, key0 = span * LAW_SPAN;
    const long at = row * spans + span;
    long end = min(key0 + LAW_SPAN, piece0 + piece_keys);
    if (causal)
        end = min(end, pos + 1);
    const int keys = (int)clamp(end - key0, 0L, (long)LAW_SPAN);
    const long k_at = kv.x + b * kv.y + (h / group) * kv.z + (key0 - piece0) * kv.w;
    const long v_at = vv4.x + b * vv4.y + (h / group) * vv4.z + (key0 - piece0) * vv4.w;

    for (int d = tid; d < d_end; d += NT)
        qs[d] = q[qv.x + b * qv.y + h * qv.z + i * qv.w + d] * c;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int key = tid; key < LAW_SPAN; key += NT) {
        float s = -INFINITY;
        if (key < keys) {
            long r = k_at + key * kv.w;
            int d = 0;
            s = 0.0f;
            for (; d + 8 <= d_end; d += 8) {
                float8 k8 = load8(kk, r + d, 8, KVT);
                s = fma(qs[d], k8.s0, s);
                s = fma(qs[d + 1], k8.s1, s);
                s = fma(qs[d + 2], k8.s2, s);
                s = fma(qs[d + 3], k8.s3, s);
                s = fma(qs[d + 4], k8.s4, s);
                s = fma(qs[d + 5], k8.s5, s);
                s = fma(qs[d + 6], k8.s6, s);
                s = fma(qs[d + 7], k8.s7, s);
            }
            for (; d < d_end; d++)
                s = fma(qs[d], load1(kk, r + d, KVT), s);
        }
        sc[key] = s;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (tid < 8) {
        float t = -INFINITY;
        for (int j = 0; j < LAW_BLOCK; j++)
            t = law_block_max(sc[tid * LAW_BLOCK + j], t);
        top[tid] = v_ceil(t);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    /* top[]: the maximum up to and with each block; factor[]: what rescales the blocks before */
    if (tid == 0) {
        float m = -INFINITY;
        for (int j = 0; j < 8; j++) {
            factor[j] = top[j] > m ? law_pow2(m - top[j]) : 1.0f;
            m = top[j] > m ? top[j] : m;
            top[j] = m;
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int key = tid; key < LAW_SPAN; key += NT) {
        float s = sc[key];
        sc[key] = s == -INFINITY ? as_float(HIDDEN_P) : law_p2(s, top[key / LAW_BLOCK]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (tid < LAW_LANES) {
        float l = 0.0f;
        for (int j = 0; j < LAW_SPAN; j += LAW_LANES) {
            if (j % LAW_BLOCK == 0)
                l = law_rescale(l, factor[j / LAW_BLOCK]);
            l = l + sc[j + tid];
        }
        lanes[tid] = l;
    }
    for (int w = 8; w > 0; w /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < w)
            lanes[tid] = lanes[tid] + lanes[tid + w];
    }
    if (tid == 0)
        span_ml[at] = (float2)(top[7], lanes[0]);
    for (int col = tid; col < dv_end; col += NT) {
        float o = 0.0f;
        for (int j = 0; j < keys; j += 4) {
            float v[4];
            if (j % LAW_BLOCK == 0)
                o = law_rescale(o, factor[j / LAW_BLOCK]);
#pragma unroll
            for (int e = 0; e < 4; e++)
                v[e] = j + e < keys ? load1(vv, v_at + (j + e) * vv4.w + col, KVT) : 0.0f;
#pragma unroll
            for (int e = 0; e < 4; e++)
                o = is_hidden(sc[j + e]) ? o : fma(sc[j + e], v[e], o);
        }
        span_o[at * dvp + col] = o;
    }
}
