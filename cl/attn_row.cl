/* cl/attn_row.cl: attention for few queries: a work-group computes the state of one span for one
 * query, so that a long cache keeps a whole device busy; attn_merge (attn_end.cl) brings them together.
 * -DKVT: anl_dtype of keys and values; -DNT work-items, at least 64; -DD, -DDV head dimensions.
 *
 * The way to memory takes longer than anything else here: keys and values come in tiles of TK rows
 * through local memory, fetched by all work-items in units of 8 elements, each tile while the one
 * before is computed. */

#define PITCH ((((D > DV ? D : DV) + 7) & ~7) + 4) /* floats of a row: rows begin in different banks */
#define TK (PITCH <= 68 ? 64 : PITCH <= 132 ? 32 : 16)
#define UNITS(d) (((d) + 7) / 8)                   /* of a row */
#define FETCHES(d) ((TK * UNITS(d) + NT - 1) / NT) /* of a work-item, for a tile */
#define COLS ((DV + NT - 1) / NT)                  /* of a work-item */

/* Unit number i of a work-item in the tile of rows key0 on, d wide, of which keys are there. */
static inline float8 fetch(__global const float *p, long at, long stride, int key0, int keys, int d,
                           int i)
{
    const int u = i * NT + (int)get_local_id(0), key = key0 + u / UNITS(d), c = u % UNITS(d) * 8;
    if (u >= TK * UNITS(d) || key >= keys)
        return (float8)(0.0f);
    return load8(p, at + key * stride + c, min(d - c, 8), KVT);
}

static inline void put(__local float *tile, int d, int i, float8 x)
{
    const int u = i * NT + (int)get_local_id(0);
    if (u < TK * UNITS(d)) {
        __local float4 *to = (__local float4 *)(tile + u / UNITS(d) * PITCH + u % UNITS(d) * 8);
        to[0] = x.lo;
        to[1] = x.hi;
    }
}

/* The score of the tile's row key, q scaled and padded with zeros. */
static inline float score(__local const float *tile, __local const float4 *q, int key)
{
    __local const float4 *k = (__local const float4 *)(tile + key * PITCH);
    float s = 0.0f;
#pragma unroll 8
    for (int d = 0; d < 2 * UNITS(D); d++) {
        s = fma(q[d].x, k[d].x, s);
        s = fma(q[d].y, k[d].y, s);
        s = fma(q[d].z, k[d].z, s);
        s = fma(q[d].w, k[d].w, s);
    }
    return s;
}

__kernel void attn_row(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                       __global const float *vv, long4 vv4, __global float *span_o,
                       __global float2 *span_ml, int heads, int group, long head0, long offset,
                       long sq, int dvp, long span0, int spans, long piece0, long piece_keys, long span_lo,
                       int causal, float c)
{
    __local float4 tile4[TK * PITCH / 4], qs[2 * UNITS(D)], sc4[LAW_SPAN / 4];
    __local float tops[64], top[8], factor[8], lanes[LAW_LANES];
    __local float *tile = (__local float *)tile4, *sc = (__local float *)sc4;
    const int tid = (int)get_local_id(0);
    const long span = span_lo + (long)get_group_id(0), row = get_group_id(1);
    const long head = head0 + row / sq, b = head / heads, h = head % heads;
    const long i = row % sq, pos = offset + i, key0 = span * LAW_SPAN;
    const long at = row * spans + span - span0;
    long end = min(key0 + LAW_SPAN, piece0 + piece_keys);
    if (causal)
        end = min(end, pos + 1);
    const int keys = (int)clamp(end - key0, 0L, (long)LAW_SPAN);
    const long k_at = kv.x + b * kv.y + (h / group) * kv.z + (key0 - piece0) * kv.w;
    const long v_at = vv4.x + b * vv4.y + (h / group) * vv4.z + (key0 - piece0) * vv4.w;
    float8 k_next[FETCHES(D)], v_next[FETCHES(DV)];
    float o[COLS];

#pragma unroll
    for (int j = 0; j < FETCHES(D); j++)
        k_next[j] = fetch(kk, k_at, kv.w, 0, keys, D, j);
    for (int d = tid; d < 8 * UNITS(D); d += NT)
        ((__local float *)qs)[d] = d < D ? q[qv.x + b * qv.y + h * qv.z + i * qv.w + d] * c : 0.0f;
    for (int key = tid; key < LAW_SPAN; key += NT)
        sc[key] = -INFINITY;
    for (int t = 0; t < keys; t += TK) {
#pragma unroll
        for (int j = 0; j < FETCHES(D); j++) {
            put(tile, D, j, k_next[j]);
            k_next[j] = fetch(kk, k_at, kv.w, t + TK, keys, D, j);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < TK && t + tid < keys)
            sc[t + tid] = score(tile, qs, tid);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#pragma unroll
    for (int j = 0; j < FETCHES(DV); j++)
        v_next[j] = fetch(vv, v_at, vv4.w, 0, keys, DV, j);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (tid < 64) {
        float t = -INFINITY;
        for (int j = 0; j < LAW_BLOCK / 8; j++)
            t = law_block_max(sc[tid / 8 * LAW_BLOCK + j * 8 + tid % 8], t);
        tops[tid] = t;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (tid < 8) {
        float t = -INFINITY;
        for (int j = 0; j < 8; j++)
            t = law_block_max(tops[tid * 8 + j], t);
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
#pragma unroll
    for (int j = 0; j < COLS; j++)
        o[j] = 0.0f;
    for (int t = 0; t < keys; t += TK) {
#pragma unroll
        for (int j = 0; j < FETCHES(DV); j++) {
            /* a hidden key's value is selected away: its weight, -0, adds nothing to any sum then */
            const int key = t + (j * NT + tid) / UNITS(DV);
            put(tile, DV, j, key < LAW_SPAN && is_hidden(sc[key]) ? (float8)(0.0f) : v_next[j]);
            v_next[j] = fetch(vv, v_at, vv4.w, t + TK, keys, DV, j);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int j = 0; j < COLS; j++) {
            const int col = j * NT + tid;
            if (col >= DV)
                continue;
            if (t % LAW_BLOCK == 0)
                o[j] = law_rescale(o[j], factor[t / LAW_BLOCK]);
#pragma unroll 4
            for (int e = 0; e < TK / 4; e++) {
                const float4 p = sc4[t / 4 + e];
                o[j] = fma(p.x, tile[(4 * e + 0) * PITCH + col], o[j]);
                o[j] = fma(p.y, tile[(4 * e + 1) * PITCH + col], o[j]);
                o[j] = fma(p.z, tile[(4 * e + 2) * PITCH + col], o[j]);
                o[j] = fma(p.w, tile[(4 * e + 3) * PITCH + col], o[j]);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#pragma unroll
    for (int j = 0; j < COLS; j++)
        if (j * NT + tid < DV)
            span_o[at * dvp + j * NT + tid] = o[j];
}
