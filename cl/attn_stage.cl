/* cl/attn_stage.cl: the steps of attn_tile (cl/attn.cl, which says what the options are): what a work-item
 * brings to local memory and from where, what a score weighs, and with -DOC the values. */

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
#if OC /* one by one: four at a time took Intel's compiler from 16 lanes to 8 */
#pragma unroll 1
    for (int d = tid / BQ; d < n; d += QT)
        tile[d * BQ + tid % BQ] = there && d0 + d < d_end ? q[at + d0 + d] * c : 0.0f;
#else
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
#endif
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
#pragma unroll 1
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
#endif
