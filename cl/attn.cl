/* cl/attn.cl: attention for many queries: a work-group carries BQ queries of one head through spans of
 * keys, 64 keys at a time.
 *
 *   -DDP -DDVP  head dimensions rounded up      -DKVT    anl_dtype of keys and values
 *   -DBQ        queries of a work-group         -DRQ -DRK  a work-item's tile of scores
 *   -DDC        features of a local tile of K   -DVC     keys of a local tile of V
 *   -DQRES      1: all of Q stays in local memory
 *   -DNEXTK     1: the next part of K is fetched while this one is computed (more registers)
 *
 * Work-item (tx, ty) has queries ty RQ .. + RQ - 1 and keys tx + NTX j, so that its keys' lanes
 * (key mod 16) are its own. Positions of a work-group's queries begin at a multiple of BQ, so they lie
 * in one span. The softmax state of a span is in registers; the running one (M, L, O) is in memory,
 * where each value has one work-item that touches it. An empty state has l = 0, and only that.
 *
 * A key that a row may not see has score -inf and the weight -0, which adds nothing to a sum; but
 * times a value that is not finite it would, so such values are noticed while V is staged and the
 * key is then passed over. */

#define NTX (64 / RK)
#define NTY (BQ / RQ)
#define NT (NTX * NTY)
#define GQ (RQ / 4)          /* float4 of a work-item's queries */
#define GK (RK / 4)          /* and of its keys */
#define CV (DVP / (NTX * 4)) /* and of its columns of o */
#define LPT (16 / NTX)       /* lanes of a work-item, per query */
#define KV_FLOATS (DC * 64 > VC * DVP ? DC * 64 : VC * DVP)
#define KV_FLOATS4 ((KV_FLOATS > 16 * BQ ? KV_FLOATS : 16 * BQ) / 4)
#define QT (NT / BQ > 0 ? NT / BQ : 1) /* work-items that stage one query or key together */
#define KT (NT / 64)
#define PART (DC / (KT * 8)) /* float8 of a part of K that a work-item stages */

/* All weights of a work-item, by the function f. */
#define WEIGHTS(f)                                                                                  \
    _Pragma("unroll") for (int j = 0; j < GK; j++)                                                  \
    _Pragma("unroll") for (int e = 0; e < 4; e++)                                                   \
    _Pragma("unroll") for (int r = 0; r < RQ; r++)                                                  \
    {                                                                                               \
        float sc = e == 0 ? s[r][j].x : e == 1 ? s[r][j].y : e == 2 ? s[r][j].z : s[r][j].w;        \
        float p = f(sc, m[r]);                                                                      \
        l[r][e % LPT] = l[r][e % LPT] + p;                                                          \
        row_tile[(tx + (j * 4 + e) * NTX) * BQ + ty * RQ + r] = p;                                  \
    }

static inline void store_column(__local float *at, int ld, float8 v)
{
    at[0 * ld] = v.s0;
    at[1 * ld] = v.s1;
    at[2 * ld] = v.s2;
    at[3 * ld] = v.s3;
    at[4 * ld] = v.s4;
    at[5 * ld] = v.s5;
    at[6 * ld] = v.s6;
    at[7 * ld] = v.s7;
}

/* Features d0 to d0 + n - 1 of the group's queries, times c, to tile[d][query]. */
static inline void stage_q(__local float *tile, __global const float *q, long at, int there, int d0,
                           int n, int d_end, float c, int tid)
{
    for (int d = (tid / BQ) * 8; d < n; d += QT * 8) {
        float8 v = (float8)(0.0f);
        if (there)
            v = load8(q, at + d0 + d, d_end - d0 - d, 0) * (float8)(c);
        store_column(tile + d * BQ + tid % BQ, BQ, v);
    }
}

/* Features d0 to d0 + DC - 1 of 64 keys, this work-item's part, to registers, */
static inline void fetch_k(float8 *part, __global const float *k, long at, int there, int d0, int d_end,
                           int tid)
{
#pragma unroll
    for (int i = 0; i < PART; i++) {
        int d = (tid / 64 + i * KT) * 8;
        part[i] = (float8)(0.0f);
        if (there)
            part[i] = load8(k, at + d0 + d, d_end - d0 - d, KVT);
    }
}

/* and from there to tile[d][place of key]. */
static inline void stage_k(__local float *tile, const float8 *part, int tid)
{
    int key = tid % 64, j = key / NTX;
    int place = (j / 4) * (NTX * 4) + (key % NTX) * 4 + j % 4;
#pragma unroll
    for (int i = 0; i < PART; i++)
        store_column(tile + (tid / 64 + i * KT) * 8 * 64 + place, 64, part[i]);
}

/* law_p2 of a score at most m, |m| < 2^21, by additions where rint and conversions would be slow: with
 * 1.5 * 2^23 added a float's last bits are the nearest integer. Scores far below m are lifted to where
 * the result is 0 as well; the last fma keeps NaN. A hidden key has the weight -0. */
static inline float weight(float s, float m)
{
    const float low = m - 64.0f, c = s < low ? low : s;
    const float t = c + 0x1.8p23f, n = t - 0x1.8p23f;
    const uint e = as_uint(t) - as_uint(m + 0x1.8p23f);
    float p = as_float(as_uint(law_exp2_poly(c - n)) + (e << 23));
    p = n > low + 1.0f ? p : 0.0f;
    p = fma(c, 0.0f, p);
    return s == -INFINITY ? -0.0f : p;
}

static inline float weight_of_large(float s, float m)
{
    return s == -INFINITY ? -0.0f : law_p2(s, m);
}

__kernel void attn_tile(__global const float *q, long4 qv, __global const float *kk, long4 kv,
                        __global const float *vv, long4 vv4, __global float4 *state_o,
                        __global float2 *state_ml, int heads, int group, long head0, long tile0,
                        long offset, long sq, int d_end, int dv_end, long sk, long piece0,
                        long piece_keys, long span_lo, long span_hi, int causal, int phases,
                        int first, float c)
{
    __local float4 pq[64 * BQ / 4]; /* weights; before them a part of Q */
#if QRES
    __local float4 q_all[DP * BQ / 4];
#else
    __local float4 *q_all = pq;
#endif
    __local float4 kvt[KV_FLOATS4];
    __local float *lane_tile = (__local float *)kvt, *row_tile = (__local float *)pq;
    __local int wild;
    const int tid = (int)get_local_id(0), tx = tid % NTX, ty = tid / NTX;
    const long head = head0 + (long)get_group_id(1), b = head / heads, h = head % heads;
    /* causal: the tiles with most keys first */
    const long tile = causal ? (long)get_num_groups(0) - 1 - (long)get_group_id(0)
                             : (long)get_group_id(0);
    const long pos0 = tile0 + tile * BQ, i0 = pos0 - offset;
    const long row0 = ((long)get_group_id(1) * get_num_groups(0) + tile) * BQ;
    const long k_at = kv.x + b * kv.y + (h / group) * kv.z;
    const long v_at = vv4.x + b * vv4.y + (h / group) * vv4.z;
    const long qi = i0 + tid % BQ, q_at = qv.x + b * qv.y + h * qv.z + qi * qv.w;
    const int q_there = qi >= 0 && qi < sq;
    const long own = clamp(pos0 >> 9, 0L, (sk - 1) >> 9);
    const long top = min(own, span_hi - 1), low2 = max(own + 1, span_lo);
    const long n1 = (phases & 1) ? max(top - span_lo + 1, 0L) : 0;
    const long n2 = (phases & 2) && !causal ? max(span_hi - low2, 0L) : 0;

    if (first && tid < BQ)
        state_ml[row0 + tid] = (float2)(-INFINITY, 0.0f);
#if QRES
    stage_q((__local float *)q_all, q, q_at, q_there, 0, DP, d_end, c, tid);
#endif
    for (long is = 0; is < n1 + n2; is++) {
        const long span = is < n1 ? top - is : span_hi - 1 - (is - n1);
        long key_end = min((span + 1) * LAW_SPAN, piece0 + piece_keys);
        float m[RQ], l[RQ][LPT];
        float4 o[RQ][CV];
        if (causal)
            key_end = min(key_end, pos0 + BQ);
        if (key_end <= span * LAW_SPAN)
            continue;
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
        for (long key0 = span * LAW_SPAN; key0 < key_end; key0 += LAW_BLOCK) {
            const int keys = (int)min(key_end - key0, (long)LAW_BLOCK);
            const long k_row = k_at + (key0 - piece0 + tid % 64) * kv.w;
            float4 s[RQ][GK];
#pragma unroll
            for (int r = 0; r < RQ; r++)
#pragma unroll
                for (int j = 0; j < GK; j++)
                    s[r][j] = (float4)(0.0f);
#if NEXTK
            float8 part[PART];
            fetch_k(part, kk, k_row, tid % 64 < keys, 0, d_end, tid);
#endif
            for (int d0 = 0; d0 < DP; d0 += DC) {
                barrier(CLK_LOCAL_MEM_FENCE);
#if !QRES
                stage_q((__local float *)pq, q, q_at, q_there, d0, DC, d_end, c, tid);
#endif
#if !NEXTK
                float8 part[PART];
                fetch_k(part, kk, k_row, tid % 64 < keys, d0, d_end, tid);
#endif
                stage_k(lane_tile, part, tid);
                barrier(CLK_LOCAL_MEM_FENCE);
#if NEXTK
                if (d0 + DC < DP)
                    fetch_k(part, kk, k_row, tid % 64 < keys, d0 + DC, d_end, tid);
#endif
                __local const float4 *qt = q_all + (QRES ? d0 * (BQ / 4) : 0) + ty * GQ;
#pragma unroll 4
                for (int d = 0; d < DC; d++) {
                    float4 a[GQ], kd[GK];
#pragma unroll
                    for (int g = 0; g < GQ; g++)
                        a[g] = qt[d * (BQ / 4) + g];
#pragma unroll
                    for (int g = 0; g < GK; g++)
                        kd[g] = kvt[d * 16 + g * NTX + tx];
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
            /* hide, and the maximum of the work-item's own keys */
            barrier(CLK_LOCAL_MEM_FENCE);
            {
                const int masked = keys < LAW_BLOCK || (causal && key0 + LAW_BLOCK - 1 > pos0);
#pragma unroll
                for (int r = 0; r < RQ; r++) {
                    float top_s = -INFINITY;
                    if (masked) {
                        int end = keys;
                        if (causal)
                            end = (int)min((long)keys, pos0 + ty * RQ + r + 1 - key0);
#pragma unroll
                        for (int j = 0; j < GK; j++) {
                            int key = tx + j * 4 * NTX;
                            s[r][j].x = key < end ? s[r][j].x : -INFINITY;
                            s[r][j].y = key + NTX < end ? s[r][j].y : -INFINITY;
                            s[r][j].z = key + 2 * NTX < end ? s[r][j].z : -INFINITY;
                            s[r][j].w = key + 3 * NTX < end ? s[r][j].w : -INFINITY;
                        }
                    }
#pragma unroll
                    for (int j = 0; j < GK; j++) {
                        top_s = law_block_max(s[r][j].x, top_s);
                        top_s = law_block_max(s[r][j].y, top_s);
                        top_s = law_block_max(s[r][j].z, top_s);
                        top_s = law_block_max(s[r][j].w, top_s);
                    }
                    lane_tile[tx * BQ + ty * RQ + r] = top_s;
                }
                if (tid == 0)
                    wild = 0;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
            for (int g = 0; g < GQ; g++) {
                float4 t4 = kvt[ty * GQ + g];
                for (int x = 1; x < NTX; x++) {
                    float4 u4 = kvt[x * (BQ / 4) + ty * GQ + g];
                    t4 = u4 > t4 ? u4 : t4;
                }
                float tops[4] = { t4.x, t4.y, t4.z, t4.w };
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int r = g * 4 + e;
                    float bm = v_ceil(tops[e]);
                    if (bm > m[r]) {
                        float f = law_pow2(m[r] - bm);
                        m[r] = bm;
#pragma unroll
                        for (int j = 0; j < LPT; j++)
                            l[r][j] = law_rescale(l[r][j], f);
#pragma unroll
                        for (int j = 0; j < CV; j++)
                            o[r][j] = fma(o[r][j], (float4)(f), (float4)(0.0f));
                    }
                }
            }
            /* weights, and their lanes' sums; keys ascending */
            int large = 0;
#pragma unroll
            for (int r = 0; r < RQ; r++)
                large |= fabs(m[r]) >= 0x1p21f && m[r] != -INFINITY;
            if (large) {
                WEIGHTS(weight_of_large)
            } else {
                WEIGHTS(weight)
            }
            for (int v0 = 0; v0 < keys; v0 += VC) {
                barrier(CLK_LOCAL_MEM_FENCE);
                int bad = 0;
                for (int i = tid; i < VC * DVP / 8; i += NT) {
                    int key = v0 + i / (DVP / 8), col = i % (DVP / 8) * 8;
                    float8 v8 = (float8)(0.0f);
                    if (key < keys)
                        v8 = load8(vv, v_at + (key0 - piece0 + key) * vv4.w + col, dv_end - col, KVT);
                    uint8 e8 = as_uint8(v8) & (uint8)(0x7f800000u);
                    bad |= any(e8 == (uint8)(0x7f800000u));
                    kvt[i * 2] = v8.lo;
                    kvt[i * 2 + 1] = v8.hi;
                }
                if (bad)
                    wild = 1;
                barrier(CLK_LOCAL_MEM_FENCE);
                if (!wild) {
#pragma unroll 4
                    for (int key = 0; key < VC; key++) {
                        float4 p4[GQ];
#pragma unroll
                        for (int g = 0; g < GQ; g++)
                            p4[g] = pq[(v0 + key) * (BQ / 4) + ty * GQ + g];
#pragma unroll
                        for (int j = 0; j < CV; j++) {
                            float4 v4 = kvt[key * (DVP / 4) + j * NTX + tx];
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
                            float p = row_tile[(v0 + key) * BQ + ty * RQ + r];
                            if (is_hidden(p))
                                continue;
#pragma unroll
                            for (int j = 0; j < CV; j++)
                                o[r][j] = fma((float4)(p), kvt[key * (DVP / 4) + j * NTX + tx],
                                              o[r][j]);
                        }
                }
            }
        }
        /* the span's state joins the running one: first m and l, by one work-item per query, which
         * leaves for the others how o is joined: 0 not at all, 1 it replaces O, 2 fma(O, f, o),
         * 3 fma(o, f, O) */
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int r = 0; r < RQ; r++) {
#pragma unroll
            for (int j = 0; j < LPT; j++)
                lane_tile[(tx + j * NTX) * BQ + ty * RQ + r] = l[r][j];
            if (tx == 0)
                row_tile[ty * RQ + r] = m[r];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid < BQ) {
            float t[16], how = 3.0f, f;
#pragma unroll
            for (int j = 0; j < 16; j++)
                t[j] = lane_tile[j * BQ + tid];
#pragma unroll
            for (int w = 8; w > 0; w /= 2)
#pragma unroll
                for (int j = 0; j < w; j++)
                    t[j] = t[j] + t[j + w];
            float2 run = state_ml[row0 + tid];
            float sm = row_tile[tid];
            if (t[0] == 0.0f) {
                how = 0.0f;
                f = 0.0f;
            } else if (run.y == 0.0f) {
                how = 1.0f;
                f = 0.0f;
                run = (float2)(sm, t[0]);
            } else if (sm > run.x) {
                how = 2.0f;
                f = law_pow2(run.x - sm);
                run = (float2)(sm, law_join(run.y, f, t[0]));
            } else {
                f = law_pow2(sm - run.x);
                run.y = law_join(t[0], f, run.y);
            }
            state_ml[row0 + tid] = run;
            row_tile[BQ + tid] = how;
            row_tile[2 * BQ + tid] = f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int r = 0; r < RQ; r++) {
            float how = row_tile[BQ + ty * RQ + r], f = row_tile[2 * BQ + ty * RQ + r];
            if (how == 0.0f)
                continue;
#pragma unroll
            for (int j = 0; j < CV; j++) {
                __global float4 *p = state_o + (row0 + ty * RQ + r) * (DVP / 4) + j * NTX + tx;
                if (how == 1.0f)
                    *p = o[r][j];
                else if (how == 2.0f)
                    *p = fma(*p, (float4)(f), o[r][j]);
                else
                    *p = fma(o[r][j], (float4)(f), *p);
            }
        }
    }
}
