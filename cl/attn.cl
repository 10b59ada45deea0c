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

#if OC
#define OW OC                /* columns of o that are worked on at a time */
#else
#define OW DVP
#endif
#define NTX (64 / RK)
#define NTY (BQ / RQ)
#define NT (NTX * NTY)
#define GQ (RQ / 4)          /* float4 of a work-item's queries */
#define GK (RK / 4)          /* and of its keys */
#define CV (OW / (NTX * 4))  /* and of its columns of o */
#define LPT (16 / NTX)       /* lanes of a work-item, per query */
#define KV_FLOATS (DC * 64 > VC * OW ? DC * 64 : VC * OW)
#define KV_FLOATS4 ((KV_FLOATS > 16 * BQ ? KV_FLOATS : 16 * BQ) / 4)
#define QT (NT / BQ > 0 ? NT / BQ : 1) /* work-items that stage one query together */
#define KW (NT / 32)                   /* keys of each eight that are staged at a time */
#define KN (DC * 16 / NT)              /* float4 of a part of K that a work-item stages */
#define VN (VC * OW / 4 / NT)          /* and of a part of V */

/* A work-item's number and place. zero: nothing, or a term that is 0 (see anew in cl/tensor.cl). */
#define PLACE(zero)                                                                                    \
    const int tid = (int)get_local_id(0) zero, lane = tid % 32, warp = tid / 32;                       \
    const int tx = lane / 2 % 8 + warp % (NTX / 8) * 8;                                                \
    const int ty = lane % 2 + lane / 16 * 2 + warp / (NTX / 8) * 4;
#define PLACE_ANEW(x) PLACE(+anew(x) & (NT - 1))

/* Query r of a work-item, in the tile. */
static inline int row_of(int r, int ty)
{
    return (r / 4 * NTY + ty) * 4 + r % 4;
}

/* Features d0 to d0 + n - 1 of the group's queries, times c, to tile[d][query]. */
static inline void stage_q(__local float *tile, __global const float *q, long at, int there, int d0,
                           int n, int d_end, float c, int tid)
{
    for (int d = tid / BQ * 4; d < n; d += QT * 4) {
        float4 v = (float4)(0.0f);
        __local float *to = tile + d * BQ + tid % BQ;
        if (there)
            v = load4(q, at + d0 + d, d_end - d0 - d, 0) * (float4)(c);
        to[0] = v.x;
        to[BQ] = v.y;
        to[2 * BQ] = v.z;
        to[3 * BQ] = v.w;
    }
}

/* Of 32 work-items, 4 share a key (64 bytes of it at a time) and 8 have keys 8 apart. */
static inline int staged_key(int i, int tid)
{
    return tid / 4 % 8 * 8 + tid / 32 + i % (8 / KW) * KW;
}

static inline int staged_d(int i, int tid)
{
    return i / (8 / KW) * 16 + tid % 4 * 4;
}

/* Where K's float4 of keys tx + NTX (4 g ..+ 3) lies in its row of local memory, c = d / 4. */
static inline int k_place(int tx, int g, int c)
{
    return g * NTX + (tx ^ (NTX == 8 ? g : tx >> 3) ^ (c % 4 * 2));
}

/* Features d0 to d0 + DC - 1 of 64 keys, this work-item's part, to registers, */
static inline void fetch_k(float4 *part, __global const float *k, long at, long row, int keys, int d0,
                           int d_end, int tid)
{
    const int whole = keys == LAW_BLOCK && d0 + DC <= d_end;
#pragma unroll
    for (int i = 0; i < KN; i++) {
        const int key = staged_key(i, tid), d = d0 + staged_d(i, tid);
        part[i] = (float4)(0.0f);
        if (whole)
            part[i] = load4(k, at + key * row + d, 4, KVT);
        else if (key < keys)
            part[i] = load4(k, at + key * row + d, d_end - d, KVT);
    }
}

/* and from there to local memory. */
static inline void stage_k(__local float *tile, const float4 *part, int tid)
{
#pragma unroll
    for (int i = 0; i < KN; i++) {
        const int key = staged_key(i, tid), d = staged_d(i, tid), j = key / NTX;
        __local float *to = tile + d * 64 + k_place(key % NTX, j / 4, d / 4) * 4 + j % 4;
        to[0] = part[i].x;
        to[64] = part[i].y;
        to[128] = part[i].z;
        to[192] = part[i].w;
    }
}

/* Values v0 to v0 + VC - 1 of a block, this work-item's part. */
static inline void fetch_v(float4 *part, __global const float *v, long at, long row, int v0, int keys,
                           int dv_end, int tid)
{
    const int whole = v0 + VC <= keys && OW == dv_end;
#pragma unroll
    for (int i = 0; i < VN; i++) {
        const int id = tid + i * NT, key = v0 + id / (OW / 4), col = id % (OW / 4) * 4;
        part[i] = (float4)(0.0f);
        if (whole)
            part[i] = load4(v, at + key * row + col, 4, KVT);
        else if (key < keys)
            part[i] = load4(v, at + key * row + col, dv_end - col, KVT);
    }
}

/* law_p2 of a score at most m, |m| < 2^21, by additions where rint and conversions would be slow: with
 * 1.5 * 2^23 added a float's last bits are the nearest integer. low = m - 62; power = the bits of
 * 2^-(m + 1.5 * 2^23) as far as they matter. NaN stays NaN, -inf gives 0. */
static inline float weight(float s, float low, uint power)
{
    const float t = s + 0x1.8p23f, n = t - 0x1.8p23f;
    const float p = law_exp2_poly(s - n) * as_float((as_uint(t) << 23) + power);
    return n < low ? 0.0f : p;
}

/* The same for any m, and for blocks in which hidden keys have to be told: they weigh -0. */
static inline float weight_marked(float s, float m)
{
    return s == -INFINITY ? -0.0f : law_p2(s, m);
}

/* A row's sixteen lanes, one sum. */
static inline float lane_sum(__local const float *lanes)
{
    float t[16];
#pragma unroll
    for (int j = 0; j < 16; j++)
        t[j] = lanes[j * BQ];
#pragma unroll
    for (int w = 8; w > 0; w /= 2)
#pragma unroll
        for (int j = 0; j < w; j++)
            t[j] = t[j] + t[j + w];
    return t[0];
}

/* Weights of a work-item: PW is the weight of score sc of row r. Keys ascending, for their lanes' sums. */
#define WEIGHTS(PW)                                                                                 \
    _Pragma("unroll") for (int j = 0; j < GK; j++)                                                  \
    _Pragma("unroll") for (int e = 0; e < 4; e++)                                                   \
    _Pragma("unroll") for (int g = 0; g < GQ; g++)                                                  \
    {                                                                                               \
        float p[4];                                                                                 \
        _Pragma("unroll") for (int u = 0; u < 4; u++)                                               \
        {                                                                                           \
            const int r = g * 4 + u;                                                                \
            const float sc = e == 0 ? s[r][j].x : e == 1 ? s[r][j].y : e == 2 ? s[r][j].z : s[r][j].w; \
            p[u] = PW;                                                                              \
            l[r][e % LPT] = l[r][e % LPT] + p[u];                                                   \
        }                                                                                           \
        pq[(tx + (j * 4 + e) * NTX) * (BQ / 4) + ((g * NTY + ty) ^ (tx % 4 * 2 % NTY))] =           \
            (float4)(p[0], p[1], p[2], p[3]);                                                       \
    }

#if OC
/* Some columns of a block's values: where they begin, and how far it is from key to key. */
struct values {
    __global const float *v;
    long at, row;
    int keys, dv_end;
    long round; /* for anew */
};

/* Values v0 to v0 + VC - 1 to local memory. */
static inline void bring_v(__local float4 *tile, const struct values v, int v0)
{
    float4 part[VN];
    PLACE_ANEW(v.round + v0)

    fetch_v(part, v.v, v.at, v.row, v0, v.keys, v.dv_end, tid);
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int i = 0; i < VN; i++)
        tile[tid + i * NT] = part[i];
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* o of a work-item, rescaled by its rows' growth; the first block's is 0. */
static inline void load_o(float4 (*o)[CV], __global const float4 *mine, __local const float *growth,
                          int first, long round)
{
    PLACE_ANEW(round)

#pragma unroll
    for (int r = 0; r < RQ; r++)
#pragma unroll
        for (int j = 0; j < CV; j++)
            o[r][j] = first ? (float4)(0.0f)
                            : fma(mine[(r * CV + j) * NT + tid], (float4)(growth[row_of(r, ty)]),
                                  (float4)(0.0f));
}

static inline void store_o(__global float4 *mine, float4 (*o)[CV], long round)
{
    PLACE_ANEW(round)

#pragma unroll
    for (int r = 0; r < RQ; r++)
#pragma unroll
        for (int j = 0; j < CV; j++)
            mine[(r * CV + j) * NT + tid] = o[r][j];
}

/* o + weights times some values where hidden keys have to be passed over: rare, so one after another, in
 * memory. */
static inline void add_marked(__global float4 *mine, __local const float *weights,
                              __local const float4 *tile, int v0, long round)
{
    for (int i = 0; i < RQ * CV; i++) {
        const int r = i / CV, j = i % CV;
        PLACE_ANEW(round + v0 + i)
        float4 o = mine[i * NT + tid];
        for (int key = 0; key < VC; key++) {
            const int at = (r / 4 * NTY + ty) ^ (key % 4 * 2 % NTY);
            const float p = weights[(v0 + key) * BQ + at * 4 + r % 4];
            if (!is_hidden(p))
                o = fma((float4)(p), tile[key * (OW / 4) + j * NTX + tx], o);
        }
        mine[i * NT + tid] = o;
    }
}

/* o + weights times values. (The barriers are the same whether some are marked or not: some compilers of
 * CPUs get others wrong.) */
static inline void add_values(__global float4 *mine, __local const float *growth,
                              __local const float4 *weights, __local float4 *tile,
                              const struct values v, int first, int marked)
{
    float4 o[RQ][CV];

    load_o(o, mine, growth, first, v.round);
    if (marked)
        store_o(mine, o, v.round);
    for (int v0 = 0; v0 < v.keys; v0 += VC) {
        bring_v(tile, v, v0);
        if (marked) {
            add_marked(mine, (__local const float *)weights, tile, v0, v.round);
            continue;
        }
        PLACE_ANEW(v.round + v0)
#pragma unroll UV
        for (int key = 0; key < VC; key++) {
            float4 p4[GQ];
#pragma unroll
            for (int g = 0; g < GQ; g++)
                p4[g] = (weights + ((g * NTY + ty) ^ (key % 4 * 2 % NTY)))[(v0 + key) * (BQ / 4)];
#pragma unroll
            for (int j = 0; j < CV; j++) {
                const float4 v4 = (tile + tx)[key * (OW / 4) + j * NTX];
#pragma unroll
                for (int g = 0; g < GQ; g++) {
                    o[g * 4 + 0][j] = fma((float4)(p4[g].x), v4, o[g * 4 + 0][j]);
                    o[g * 4 + 1][j] = fma((float4)(p4[g].y), v4, o[g * 4 + 1][j]);
                    o[g * 4 + 2][j] = fma((float4)(p4[g].z), v4, o[g * 4 + 2][j]);
                    o[g * 4 + 3][j] = fma((float4)(p4[g].w), v4, o[g * 4 + 3][j]);
                }
            }
        }
    }
    if (!marked)
        store_o(mine, o, v.round);
}

/* How a span's o joins the running one, as attn_tile says. */
static inline void join_o(__global float4 *p, float4 o, float how, float f)
{
    if (how == 1.0f)
        *p = o;
    else if (how == 2.0f)
        *p = fma(*p, (float4)(f), o);
    else if (how == 3.0f)
        *p = fma(o, (float4)(f), *p);
}
#endif

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
            for (int d0 = 0; d0 < DP; d0 += DC) {
#if OC
                PLACE_ANEW(key0 + key1 + d0)
                const long qi = pos0 - offset + tid % BQ, q_at = qv.x + b * qv.y + h * qv.z + qi * qv.w;
                const int q_there = qi >= 0 && qi < sq;
#endif
                barrier(CLK_LOCAL_MEM_FENCE);
#if !QRES
                stage_q((__local float *)pq, q, q_at, q_there, d0, DC, d_end, c, tid);
#endif
                fetch_k(part, kk, k_row, kv.w, keys, d0, d_end, tid);
                stage_k(lane_tile, part, tid);
                barrier(CLK_LOCAL_MEM_FENCE);
                __local const float4 *qt = q_all + (QRES ? d0 * (BQ / 4) : 0) + ty;
#pragma unroll UQ
                for (int d = 0; d < DC; d++) {
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
#pragma unroll
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
         * leaves for the others how o is joined: 0 not at all, 1 it replaces O, 2 fma(O, f, o),
         * 3 fma(o, f, O) */
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
            float2 run = state_ml[row0 + tid];
            float how = 3.0f, f = 0.0f;
            if (sum == 0.0f) {
                how = 0.0f;
            } else if (run.y == 0.0f) {
                how = 1.0f;
                run = (float2)(sm, sum);
            } else if (sm > run.x) {
                how = 2.0f;
                f = law_pow2(run.x - sm);
                run = (float2)(sm, law_join(run.y, f, sum));
            } else {
                f = law_pow2(sm - run.x);
                run.y = law_join(sum, f, run.y);
            }
            state_ml[row0 + tid] = run;
            row_tile[BQ + tid] = how;
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
            const float how = row_tile[BQ + row], f = row_tile[2 * BQ + row];
            if (how == 0.0f)
                continue;
#pragma unroll
            for (int j = 0; j < CV; j++) {
                __global float4 *p = state_o + (row0 + row) * (DVP / 4) + j * NTX + tx;
                if (how == 1.0f)
                    *p = o[r][j];
                else if (how == 2.0f)
                    *p = fma(*p, (float4)(f), o[r][j]);
                else
                    *p = fma(o[r][j], (float4)(f), *p);
            }
        }
#endif
    }
}
