/* cl/attn_flow.cl: attention for many queries where registers are many: as attn_tile (cl/attn.cl says what a
 * work-group and its arguments are), but keys and values flow through two small buffers in local memory: while
 * work-items compute on one stage (STAGE features of K, or keys of V), the next is on its way to their
 * registers, and goes to the other buffer when they are done. So memory is never waited for, and a stage
 * costs one barrier.
 *
 *   -DDP -DDVP  head dimensions rounded up: 64 or 128       -DKVT  anl_dtype of keys and values
 *   -DBQ        queries of a work-group                     -DNTX  work-items that share a query's keys
 *   -DSTAGE     8 or 16                                     -DQRES  1: all of Q stays in local memory,
 *                                                                   0: it flows with K
 *   -DWHOLE     1: the head dimensions are DP and DVP       -DUQ -DUV  how far the inner loops are unrolled
 *
 * Work-item (tx, ty) has 8 queries, 8 of every KB keys and 8 columns of o. With KB = 128 keys at a time two
 * blocks' scores are made together, so that each value read from local memory serves 8 fma.
 *
 * Registers are what is short: 128 hold scores and o. So m and l lie in local memory, and what follows from
 * the work-item's number is computed where it is used (again() in cl/attn_flow_stage.cl). */

__kernel void attn_flow(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                        __global const float *vv, long4 vv4, __global float4 *state_o,
                        __global float2 *state_ml, __global const int *odd, int heads, int group,
                        long head0, long tile0, long offset, long sq, int d_end, int dv_end, long sk,
                        long piece0, long piece_keys, long span_lo, long span_hi, int causal,
                        int phases, int first, float c)
{
    __local float4 memory4[MEMORY_FLOATS / 4];
    const int tid = (int)get_local_id(0), tx = tx_of(tid), ty = ty_of(tid);
    /* tiles of one head share its keys; but causal, all heads' tiles with most keys go first */
    const long tiles = get_num_groups(causal ? 1 : 0), nth = get_group_id(causal ? 0 : 1);
    const long tile = causal ? tiles - 1 - (long)get_group_id(1) : (long)get_group_id(0);
    const int head = (int)(head0 + nth);
    const long b = head / heads, h = head % heads, h_kv = head % heads / group;
    const long pos0 = tile0 + tile * BQ;
    const int size = KVT ? 2 : 4, k_row = (int)kv.w * size, v_row = (int)vv4.w * size, q_row = (int)qv.w * 4;
    const int vcol = tid % (DVP / 4) * 4, kcol = tid % LANES * 4;
    __global const char *k_from = (__global const char *)kk + (kv.x + b * kv.y + h_kv * kv.z + kcol) * size;
    __global const char *v_from = (__global const char *)vv + (vv4.x + b * vv4.y + h_kv * vv4.z + vcol) * size;
    __global const char *q_from =
        (__global const char *)q + (qv.x + b * qv.y + h * qv.z + (pos0 - offset) * qv.w) * 4;
    /* keys and spans are counted from the piece's first */
    const int length = (int)piece_keys, pos = (int)clamp(pos0 - piece0, -(long)BQ, piece_keys + LAW_SPAN);
    const int s0 = (int)(piece0 >> 9), lo = (int)span_lo - s0, hi = (int)span_hi - s0;
    const int own = (int)clamp(clamp(pos0 >> 9, 0L, (sk - 1) >> 9) - s0, -1L, (long)hi);
    const int top = min(own, hi - 1), n1 = (phases & 1) ? max(top - lo + 1, 0) : 0;
    const int n = n1 + ((phases & 2) && !causal ? max(hi - max(own + 1, lo), 0) : 0);
    /* of the queries that there are: the tile's first may lie before them */
    const int q_low = (int)max(offset - pos0, 0L), q_last = (int)min(sq - 1 - (pos0 - offset), (long)BQ);
    /* taken so, its address is held in a register; NVIDIA's compiler would make it anew in every loop */
    __local float *memory = (__local float *)memory4 + again(tid);
    __local float *flow = memory + FLOW_AT, *weights = memory + P_AT;
    float4 part[PARTS];

    odd += (b * (heads / group) + h_kv) * ((sk + LAW_BLOCK - 1) / LAW_BLOCK) + piece0 / LAW_BLOCK;
    if (first && tid < BQ)
        state_ml[(nth * tiles + tile) * BQ + tid] = (float2)(-INFINITY, 0.0f);
    if (n == 0)
        return;
#if QRES
    keep_q(memory + Q_AT, q_from, q_row, clamp(tid % BQ, q_low, q_last), d_end, c, tid);
#define FETCH_Q(d0)
#define PUT_K(tile) put_k(tile, part, tid)
#else
    float4 qpart[QN];
    q_from += kcol * 4;
#define FETCH_Q(d0) fetch_q(qpart, q_from + (d0) * 4, q_row, q_low, q_last, d_end - (d0) - kcol, tid);
#define PUT_K(tile)                                                                                     \
    put_k(tile, part, tid);                                                                             \
    put_q((tile) + K_FLOATS, qpart, c, tid)
#endif
#define FETCH_K(key, d0)                                                                                \
    {                                                                                                   \
        const int here = (key);                                                                         \
        fetch(part, k_from + (long)here * (long)k_row + (d0) * size, k_row, k_mine(tid + again(here)),  \
              NT / (8 * LANES), length - 1 - here, d_end - (d0) - kcol, KVT);                           \
        FETCH_Q(d0)                                                                                     \
    }
#define FETCH_V(key)                                                                                    \
    {                                                                                                   \
        const int here = (key);                                                                         \
        fetch(part, v_from + (long)here * (long)v_row, v_row, (tid + again(here)) / (DVP / 4), V_ROWS,  \
              length - 1 - here, dv_end - vcol, KVT);                                                   \
    }
    FETCH_K((n1 ? top : hi - 1) * LAW_SPAN, 0);
    PUT_K(flow);
    for (int is = 0; is < n; is++) {
        const int span = is < n1 ? top - is : hi - 1 - (is - n1);
        const int next_span = is + 1 < n1 ? span - 1 : max(hi - 1 - (is + 1 - n1), lo);
        const int key0 = span * LAW_SPAN;
        const int end = clamp(min(length, causal ? pos + BQ : length) - key0, 0, LAW_SPAN);
        int marks = 0; /* bit i: block i has values that are not finite */
#pragma unroll
        for (int i = 0; i < LAW_SPAN / LAW_BLOCK; i++)
            if (i * LAW_BLOCK < end)
                marks |= (odd[key0 / LAW_BLOCK + i] != 0) << i;
        float4 o[8][2];
#pragma unroll
        for (int r = 0; r < 8; r++)
            o[r][0] = o[r][1] = (float4)(0.0f);
#pragma unroll
        for (int g = 0; g < 2; g++) {
#pragma unroll
            for (int j = 0; j < LPT; j++)
                *(__local float4 *)(memory + L_AT + (tx + j * NTX) * BQ + (g * NTY + ty) * 4) = (float4)(0.0f);
            if (tx == 0)
                *(__local float4 *)(memory + M_AT + (g * NTY + ty) * 4) = (float4)(-INFINITY);
        }
        for (int key1 = 0; key1 < end; key1 += KB) {
            float4 s[8][2];
#pragma unroll
            for (int r = 0; r < 8; r++)
                s[r][0] = s[r][1] = (float4)(0.0f);
#pragma unroll 1
            for (int st = 0; st < KSTAGES; st++) {
                __local float *here = flow + st % 2 * FLOW_FLOATS, *there = flow + (1 - st % 2) * FLOW_FLOATS;
                if (st + 1 < KSTAGES) {
                    FETCH_K(key0 + key1, (st + 1) * STAGE);
                } else {
                    FETCH_V(key0 + key1);
                }
                barrier(CLK_LOCAL_MEM_FENCE);
#if QRES
                add_scores(s, memory + Q_AT + st * STAGE * BQ + ty * 4, here + tx * 4);
#else
                add_scores(s, here + K_FLOATS + ty * 4, here + tx * 4);
#endif
                if (st + 1 < KSTAGES) {
                    PUT_K(there);
                } else {
                    put_v(there, part, tid);
                }
            }
#pragma unroll
            for (int block = 0; block < KB / LAW_BLOCK; block++) {
                const int key2 = key1 + block * LAW_BLOCK, keys = min(end - key2, LAW_BLOCK);
                const int seen0 = causal ? min(pos + 1 - key0 - key2, LAW_BLOCK) : BQ + LAW_BLOCK;
                const int more = block + 1 < KB / LAW_BLOCK && key2 + LAW_BLOCK < end;
                if (keys <= 0)
                    break;
                const int marked = marks >> (key2 / LAW_BLOCK) & 1;
#define FIRST_J (KB == LAW_BLOCK ? 0 : block)
#define LAST_J (KB == LAW_BLOCK ? 1 : block)
                const int t = tid + again(key0 + key2), tx = tx_of(t), ty = ty_of(t);
                __local float4 *tops = (__local float4 *)(memory + TOPS_AT) + ty;
                if (keys < LAW_BLOCK || seen0 < LAW_BLOCK)
                    hide_keys(s, FIRST_J, LAST_J, keys, seen0, t);
                put_tops(tops + tx * (BQ / 4), s, FIRST_J, LAST_J);
                barrier(CLK_LOCAL_MEM_FENCE);
                __local float4 *ls = (__local float4 *)(memory + L_AT) + tx * (BQ / 4) + ty;
                __local float4 *ms = (__local float4 *)(memory + M_AT) + ty;
                const int before = (key1 / LAW_BLOCK + block) % 2;
                float m[8], l[LPT][8], low[8];
                uint power[8];
                int large = marked;
#pragma unroll
                for (int g = 0; g < 2; g++) {
                    float4 t4 = tops[g * NTY];
                    const float4 m4 = ms[before * (BQ / 4) + g * NTY];
#pragma unroll
                    for (int x = 1; x < NTX; x++)
                        t4 = fmax(t4, tops[x * (BQ / 4) + g * NTY]);
#pragma unroll
                    for (int j = 0; j < LPT; j++) {
                        const float4 l4 = ls[j * NTX * (BQ / 4) + g * NTY];
#pragma unroll
                        for (int e = 0; e < 4; e++)
                            l[j][g * 4 + e] = part_of(l4, e);
                    }
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const int r = g * 4 + e;
                        const float bm = v_ceil(part_of(t4, e));
                        m[r] = part_of(m4, e);
                        if (bm > m[r]) {
                            const float f = law_pow2(m[r] - bm);
                            m[r] = bm;
#pragma unroll
                            for (int j = 0; j < LPT; j++)
                                l[j][r] = law_rescale(l[j][r], f);
#pragma unroll
                            for (int j = 0; j < 2; j++)
                                o[r][j] = fma(o[r][j], (float4)(f), (float4)(0.0f));
                        }
                        /* a row that has seen nothing has scores -inf, and any finite m will do */
                        const float mf = m[r] == -INFINITY ? 0.0f : m[r];
                        large |= fabs(mf) >= 0x1p21f;
                        low[r] = mf - 62.0f;
                        power[r] = (127u - as_uint(mf + 0x1.8p23f)) << 23;
                    }
                    if (tx == 0)
                        ms[(1 - before) * (BQ / 4) + g * NTY] = four_of(m, g * 4);
                }
/* Weights of a work-item: PW is the weight of score sc of row r. Keys ascending, for their lanes' sums. */
#define WEIGHTS(PW)                                                                               \
    _Pragma("unroll") for (int j = FIRST_J; j <= LAST_J; j++)                                     \
    _Pragma("unroll") for (int e = 0; e < 4; e++)                                                 \
    _Pragma("unroll") for (int g = 0; g < 2; g++)                                                 \
    {                                                                                             \
        float p[4];                                                                               \
        _Pragma("unroll") for (int u = 0; u < 4; u++)                                             \
        {                                                                                         \
            const int r = g * 4 + u;                                                              \
            const float sc = part_of(s[r][j], e);                                                 \
            p[u] = PW;                                                                            \
            l[e % LPT][r] = l[e % LPT][r] + p[u];                                                 \
        }                                                                                         \
        *(__local float4 *)(mine + ((j - FIRST_J) * 4 + e) * NTX * P_ROW + g * NTY * 4) =         \
            (float4)(p[0], p[1], p[2], p[3]);                                                     \
    }
                __local float *mine = weights + tx * P_ROW + ty * 4;
                if (large) {
                    WEIGHTS(weight_marked(sc, m[r]))
                } else {
                    WEIGHTS(weight(sc, low[r], power[r]))
                }
#pragma unroll
                for (int g = 0; g < 2; g++)
#pragma unroll
                    for (int j = 0; j < LPT; j++)
                        ls[j * NTX * (BQ / 4) + g * NTY] = four_of(l[j], g * 4);
#pragma unroll 1
                for (int st = 0; st < VSTAGES; st++) {
                    __local float *here = flow + st % 2 * FLOW_FLOATS, *there = flow + (1 - st % 2) * FLOW_FLOATS;
                    if (st + 1 < VSTAGES || more) {
                        FETCH_V(key0 + key2 + (st + 1) * STAGE);
                    } else {
                        FETCH_K(key1 + KB < end ? key0 + key1 + KB : next_span * LAW_SPAN, 0);
                    }
                    barrier(CLK_LOCAL_MEM_FENCE);
                    if (!marked)
                        add_values(o, weights + st * STAGE * P_ROW + ty * 4, here + tx * 4);
                    else
                        add_marked(o, weights + st * STAGE * P_ROW + ty * 4, here + tx * 4);
                    if (st + 1 < VSTAGES || more) {
                        put_v(there, part, tid);
                    } else {
                        PUT_K(there);
                    }
                }
            }
        }
        if (end == 0)
            continue;
        /* the span's state joins the running one: first m and l, by one work-item per query, which
         * leaves for the others how o is joined */
        const int t = tid + again(key0), tx = tx_of(t), ty = ty_of(t);
        const long row0 = ((long)get_group_id(causal ? 0 : 1) * tiles + tile) * BQ + again(key0);
        __local float *how = weights, *f_tile = weights + BQ;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (t < BQ) {
            const float m = (memory + M_AT + (end + LAW_BLOCK - 1) / LAW_BLOCK % 2 * BQ)[t];
            float f;
            how[t] = join_ml(&state_ml[row0 + t], m, lane_sum(memory + L_AT + t), &f);
            f_tile[t] = f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const int row = row_of(r, ty);
#pragma unroll
            for (int j = 0; j < 2; j++)
                join_o(state_o + (row0 + row) * (DVP / 4) + j * NTX + tx, o[r][j], how[row], f_tile[row]);
        }
    }
}
