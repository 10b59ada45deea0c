/* cl/attn.cl: attention for many queries: a work-group carries BQ queries of one head through spans of
 * keys, 64 keys at a time.
 *
 *   -DDP -DDVP  head dimensions rounded up      -DKVT    anl_dtype of keys and values
 *   -DBQ        queries of a work-group         -DRQ -DRK  a work-item's tile of scores
 *   -DDC        features of a local tile of K   -DVC     keys of a local tile of V
 *   -DQRES      1: all of Q stays in local memory
 *   -DUQ -DUV   how far the two inner loops are unrolled
 *   -DOC        0, or, where registers are few, how many columns of o they hold at a time
 *
 * Work-item (tx, ty) has the queries row(0..RQ-1), four by four, and the keys tx + NTX j, so that its
 * keys' lanes (key mod 16) are its own. Positions of a work-group's queries begin at a multiple of BQ, so
 * they lie in one span. The softmax state of a span is in registers; the running one (M, L, O) is in
 * memory, where each value has one work-item that touches it. An empty state has l = 0, and only that.
 *
 * Neighbouring work-items share what they read of local memory, two by two: some GPUs then answer
 * 16-byte reads twice as fast. K lies in local memory as [feature][key], its places permuted so that
 * neither the transposing writes nor the reads meet in a bank.
 *
 * A key that a row may not see has score -inf and weight 0, which adds nothing to a sum; but times a
 * value that is not finite it would. attn_scan has noticed such values: in their blocks hidden keys
 * weigh -0 and are passed over.
 *
 * With -DOC registers hold either scores or a part of o, never both: a span's o lies in memory behind the
 * running states, each value with one work-item that touches it, and is read and written once in 64 keys;
 * m, and what o has to be rescaled by, are in local memory. */

__kernel void attn_tile(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                        __global const float *vv, long4 vv4, __global float4 *state_o,
                        __global float2 *state_ml, __global const int *odd, int heads, int group,
                        long head0, long tile0, long offset, long sq, int d_end, int dv_end, long sk,
                        long piece0, long piece_keys, long span_lo, long span_hi, int causal,
                        int phases, int first, float c)
{
    __local float4 pq[64 * BQ / 4]; /* weights; before them a part of Q */
#if QRES
    __local float4 q_all[DP * BQ / 4];
#else
    __local float4 *q_all = pq;
#endif
#if OC
    __local float m_tile[2][BQ], growth[BQ]; /* m after every other block; by what o is rescaled */
#endif
    __local float4 kvt[KV_FLOATS4];
    __local float *lane_tile = (__local float *)kvt, *row_tile = (__local float *)pq;
    PLACE()
    /* tiles of one head share its keys; but causal, all heads' tiles with most keys go first */
    const long tiles = get_num_groups(causal ? 1 : 0), nth = get_group_id(causal ? 0 : 1);
    const long tile = causal ? tiles - 1 - (long)get_group_id(1) : (long)get_group_id(0);
    const long head = head0 + nth, b = head / heads, h = head % heads;
    const long pos0 = tile0 + tile * BQ, row0 = (nth * tiles + tile) * BQ;
    const long k_at = kv.x + b * kv.y + (h / group) * kv.z - piece0 * kv.w;
    const long v_at = vv4.x + b * vv4.y + (h / group) * vv4.z - piece0 * vv4.w;
    const long qi = pos0 - offset + tid % BQ, q_at = qv.x + b * qv.y + h * qv.z + qi * qv.w;
    const int q_there = qi >= 0 && qi < sq;
    const long own = clamp(pos0 >> 9, 0L, (sk - 1) >> 9);
    const long top = min(own, span_hi - 1), low2 = max(own + 1, span_lo);
    const long n1 = (phases & 1) ? max(top - span_lo + 1, 0L) : 0;
    const long n2 = (phases & 2) && !causal ? max(span_hi - low2, 0L) : 0;

#if OC
    /* the tile's first query, of which rows q_lo to q_hi - 1 are there */
    const long q_first = qv.x + b * qv.y + h * qv.z + (pos0 - offset) * qv.w;
    const int q_lo = (int)clamp(offset - pos0, 0L, (long)BQ);
    const int q_hi = (int)clamp(offset - pos0 + sq, 0L, (long)BQ);
    __global float4 *span_o =
        state_o + ((long)get_num_groups(0) * get_num_groups(1) * BQ + row0) * (DVP / 4);
#endif
    odd += (b * (heads / group) + h / group) * ((sk + LAW_BLOCK - 1) / LAW_BLOCK);
    if (first && tid < BQ)
        state_ml[row0 + tid] = (float2)(-INFINITY, 0.0f);
#if QRES
    stage_q((__local float *)q_all, q, q_at, q_there, 0, DP, d_end, c, tid);
#endif
    for (long is = 0; is < n1 + n2; is++) {
        const long span = is < n1 ? top - is : span_hi - 1 - (is - n1), key0 = span * LAW_SPAN;
        const long piece_end = piece0 + piece_keys, seen = causal ? pos0 + BQ : piece_end;
        const int end = (int)clamp(min(piece_end, seen) - key0, 0L, (long)LAW_SPAN);
#if OC
        float l[RQ][LPT];
        if (tid < BQ)
            m_tile[0][tid] = -INFINITY;
#pragma unroll
        for (int r = 0; r < RQ; r++)
#pragma unroll
            for (int j = 0; j < LPT; j++)
                l[r][j] = 0.0f;
#else
        float m[RQ], l[RQ][LPT];
        float4 o[RQ][CV];
#pragma unroll
        for (int r = 0; r < RQ; r++) {
            m[r] = -INFINITY;
#pragma unroll
            for (int j = 0; j < LPT; j++)
                l[r][j] = 0.0f;
#pragma unroll
            for (int j = 0; j < CV; j++)
                o[r][j] = (float4)(0.0f);
        }
#endif
        for (int key1 = 0; key1 < end; key1 += LAW_BLOCK) {
            const int keys = min(end - key1, LAW_BLOCK);
            const int seen0 = causal ? (int)min(pos0 + 1 - key0 - key1, (long)LAW_BLOCK) : LAW_BLOCK;
            const long k_row = k_at + (key0 + key1) * kv.w, v_row = v_at + (key0 + key1) * vv4.w;
            const int marked = odd[(key0 + key1) / LAW_BLOCK];
            float4 s[RQ][GK], part[KN], vpart[VN];
#pragma unroll
            for (int r = 0; r < RQ; r++)
#pragma unroll
                for (int j = 0; j < GK; j++)
                    s[r][j] = (float4)(0.0f);
#if OC
#pragma unroll 1
#endif
            for (int d0 = 0; d0 < DP; d0 += DC) {
#if OC
                PLACE_ANEW(key0 + key1 + d0)
                const int q_row = tid % BQ, q_there = q_row >= q_lo && q_row < q_hi;
                const long q_at = q_first + q_row * qv.w;
#endif
                barrier(CLK_LOCAL_MEM_FENCE);
#if !QRES
                stage_q((__local float *)pq, q, q_at, q_there, d0, DC, d_end, c, tid);
#endif
                fetch_k(part, kk, k_row, kv.w, keys, d0, d_end, tid);
                stage_k(lane_tile, part, tid);
                barrier(CLK_LOCAL_MEM_FENCE);
                __local const float4 *qt = q_all + (QRES ? d0 * (BQ / 4) : 0) + ty;
#if OC /* in rounds that compilers cannot count, which else unroll all of them */
                for (int round = 0; round < DC / UQ + anew(key0 + key1 + d0); round++)
#pragma unroll
                    for (int d = round * UQ; d < round * UQ + UQ; d++) {
#else
#pragma unroll UQ
                for (int d = 0; d < DC; d++) {
#endif
                    float4 a[GQ], kd[GK];
#pragma unroll
                    for (int g = 0; g < GQ; g++)
                        a[g] = qt[d * (BQ / 4) + g * NTY];
#pragma unroll
                    for (int g = 0; g < GK; g++)
                        kd[g] = kvt[d * 16 + k_place(tx, g, d / 4)];
#pragma unroll
                    for (int g = 0; g < GQ; g++)
#pragma unroll
                        for (int j = 0; j < GK; j++) {
                            s[g * 4 + 0][j] = fma((float4)(a[g].x), kd[j], s[g * 4 + 0][j]);
                            s[g * 4 + 1][j] = fma((float4)(a[g].y), kd[j], s[g * 4 + 1][j]);
                            s[g * 4 + 2][j] = fma((float4)(a[g].z), kd[j], s[g * 4 + 2][j]);
                            s[g * 4 + 3][j] = fma((float4)(a[g].w), kd[j], s[g * 4 + 3][j]);
                        }
                }
            }
#if OC
            PLACE_ANEW(key0 + key1)
#endif
            if (keys < LAW_BLOCK || seen0 < LAW_BLOCK) {
#pragma unroll
                for (int r = 0; r < RQ; r++) {
                    const int hide = causal ? min(keys, seen0 + row_of(r, ty)) : keys;
#pragma unroll
                    for (int j = 0; j < GK; j++) {
                        const int key = tx + j * 4 * NTX;
                        s[r][j].x = key < hide ? s[r][j].x : -INFINITY;
                        s[r][j].y = key + NTX < hide ? s[r][j].y : -INFINITY;
                        s[r][j].z = key + 2 * NTX < hide ? s[r][j].z : -INFINITY;
                        s[r][j].w = key + 3 * NTX < hide ? s[r][j].w : -INFINITY;
                    }
                }
            }
            /* the rows' maxima: of each work-item's own keys, then of all */
            barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
            for (int g = 0; g < GQ; g++) {
                float t[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    t[e] = -INFINITY;
#pragma unroll
                    for (int j = 0; j < GK; j++) {
                        const float4 x = s[g * 4 + e][j];
                        t[e] = fmax(fmax(fmax(x.x, x.y), fmax(x.z, x.w)), t[e]);
                    }
                }
                kvt[tx * (BQ / 4) + g * NTY + ty] = (float4)(t[0], t[1], t[2], t[3]);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
#if OC
            const int after = (key1 / LAW_BLOCK + 1) % 2;
            float m[RQ];
#pragma unroll
            for (int r = 0; r < RQ; r++)
                m[r] = m_tile[1 - after][row_of(r, ty)];
#endif
            int large = marked;
            float low[RQ];
            uint power[RQ];
#pragma unroll
            for (int g = 0; g < GQ; g++) {
                float4 t4 = kvt[g * NTY + ty];
#if OC
#pragma unroll 4
#else
#pragma unroll
#endif
                for (int x = 1; x < NTX; x++)
                    t4 = fmax(t4, kvt[x * (BQ / 4) + g * NTY + ty]);
                const float tops[4] = { t4.x, t4.y, t4.z, t4.w };
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int r = g * 4 + e;
                    const float bm = v_ceil(tops[e]);
#if OC
                    float grown = 1.0f;
#endif
                    if (bm > m[r]) {
                        const float f = law_pow2(m[r] - bm);
                        m[r] = bm;
#pragma unroll
                        for (int j = 0; j < LPT; j++)
                            l[r][j] = law_rescale(l[r][j], f);
#if OC
                        grown = f;
#else
#pragma unroll
                        for (int j = 0; j < CV; j++)
                            o[r][j] = fma(o[r][j], (float4)(f), (float4)(0.0f));
#endif
                    }
#if OC
                    if (tx == 0) {
                        m_tile[after][row_of(r, ty)] = m[r];
                        growth[row_of(r, ty)] = grown;
                    }
#endif
                    /* a row that has seen nothing has scores -inf, and any finite m will do */
                    const float mf = m[r] == -INFINITY ? 0.0f : m[r];
                    large |= fabs(mf) >= 0x1p21f;
                    low[r] = mf - 62.0f;
                    power[r] = (127u - as_uint(mf + 0x1.8p23f)) << 23;
                }
            }
            if (large) {
                WEIGHTS(weight_marked(sc, m[r]))
            } else {
                WEIGHTS(weight(sc, low[r], power[r]))
            }
#if OC
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int c0 = 0; c0 < DVP; c0 += OC) {
                const struct values v = { vv, v_row + c0, vv4.w, keys, min(dv_end - c0, OC),
                                          key0 + key1 + c0 };
                add_values(span_o + c0 / 4 * BQ, growth, pq, kvt, v, key1 == 0, marked);
            }
#else
            for (int v0 = 0; v0 < keys; v0 += VC) {
                fetch_v(vpart, vv, v_row, vv4.w, v0, keys, dv_end, tid);
                barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
                for (int i = 0; i < VN; i++)
                    kvt[tid + i * NT] = vpart[i];
                barrier(CLK_LOCAL_MEM_FENCE);
                if (!marked) {
#pragma unroll UV
                    for (int key = 0; key < VC; key++) {
                        float4 p4[GQ];
#pragma unroll
                        for (int g = 0; g < GQ; g++)
                            p4[g] = pq[(v0 + key) * (BQ / 4) +
                                       ((g * NTY + ty) ^ (key % 4 * 2 % NTY))];
#pragma unroll
                        for (int j = 0; j < CV; j++) {
                            const float4 v4 = kvt[key * (DVP / 4) + j * NTX + tx];
#pragma unroll
                            for (int g = 0; g < GQ; g++) {
                                o[g * 4 + 0][j] = fma((float4)(p4[g].x), v4, o[g * 4 + 0][j]);
                                o[g * 4 + 1][j] = fma((float4)(p4[g].y), v4, o[g * 4 + 1][j]);
                                o[g * 4 + 2][j] = fma((float4)(p4[g].z), v4, o[g * 4 + 2][j]);
                                o[g * 4 + 3][j] = fma((float4)(p4[g].w), v4, o[g * 4 + 3][j]);
                            }
                        }
                    }
                } else {
                    for (int key = 0; key < VC; key++)
#pragma unroll
                        for (int r = 0; r < RQ; r++) {
                            const int at = (r / 4 * NTY + ty) ^ (key % 4 * 2 % NTY);
                            const float p = row_tile[(v0 + key) * BQ + at * 4 + r % 4];
                            if (is_hidden(p))
                                continue;
#pragma unroll
                            for (int j = 0; j < CV; j++)
                                o[r][j] = fma((float4)(p), kvt[key * (DVP / 4) + j * NTX + tx],
                                              o[r][j]);
                        }
                }
            }
#endif
        }
        if (end == 0)
            continue;
#if OC
        PLACE_ANEW(key0)
#endif
        /* the span's state joins the running one: first m and l, by one work-item per query, which
         * leaves for the others how o is joined */
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int r = 0; r < RQ; r++) {
#pragma unroll
            for (int j = 0; j < LPT; j++)
                lane_tile[(tx + j * NTX) * BQ + row_of(r, ty)] = l[r][j];
#if OC
            if (tx == 0)
                row_tile[row_of(r, ty)] = m_tile[(end + LAW_BLOCK - 1) / LAW_BLOCK % 2][row_of(r, ty)];
#else
            if (tx == 0)
                row_tile[row_of(r, ty)] = m[r];
#endif
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < BQ) {
            const float sum = lane_sum(lane_tile + tid), sm = row_tile[tid];
            float f;
            row_tile[BQ + tid] = join_ml(&state_ml[row0 + tid], sm, sum, &f);
            row_tile[2 * BQ + tid] = f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#if OC
        for (int i = 0; i < DVP / OC * RQ * CV; i++) {
            const int part = i / (RQ * CV), row = row_of(i / CV % RQ, ty);
            join_o(state_o + (row0 + row) * (DVP / 4) + part * (OC / 4) + i % CV * NTX + tx,
                   span_o[i * NT + tid], row_tile[BQ + row], row_tile[2 * BQ + row]);
        }
#else
#pragma unroll
        for (int r = 0; r < RQ; r++) {
            const int row = row_of(r, ty);
#pragma unroll
            for (int j = 0; j < CV; j++)
                join_o(state_o + (row0 + row) * (DVP / 4) + j * NTX + tx, o[r][j], row_tile[BQ + row],
                       row_tile[2 * BQ + row]);
        }
#endif
    }
}
