/* cl/attn_flow_stage.cl: the steps of attn_flow (cl/attn_flow.cl, which says what the options are): where
 * what lies in local memory, what a work-item brings there and from where, and the two products. */

#define NTY (BQ / 8)
#define NT (NTX * NTY)
#define KB (NTX * 8)
#define LPT (16 / NTX)              /* lanes of a work-item, per query */
#define LANES (STAGE / 4)           /* work-items that share a key of a stage */
#define PARTS (KB * LANES / NT)     /* float4 of a stage that a work-item brings */
#define KSTAGES (DP / STAGE)
#define VSTAGES (LAW_BLOCK / STAGE)
#define QN (QRES ? 1 : BQ * LANES / NT) /* float4 of a stage of Q that a work-item brings */
#define V_ROWS (NT / (DVP / 4))     /* keys of V that are brought at a time */
/* Floats from feature to feature of K and Q and from key to key of the weights: so that what is written
 * across does not meet in few banks, with no place to compute. */
#define K_ROW (KB + 4)
#define Q_ROW (QRES ? BQ : BQ + 4)
#define P_ROW (BQ + 4)
#define K_FLOATS (STAGE * K_ROW)
#define FLOW_FLOATS (K_FLOATS + (QRES ? 0 : STAGE * Q_ROW))

/* Where what lies in local memory, in floats. */
#define P_AT 0                                   /* weights, [key][query] */
#define FLOW_AT (P_AT + LAW_BLOCK * P_ROW)       /* two buffers */
#define TOPS_AT (FLOW_AT + 2 * FLOW_FLOATS)      /* maxima of each work-item's scores, [tx][query] */
#define L_AT (TOPS_AT + NTX * BQ)                /* l of the span, [lane][query] */
#define M_AT (L_AT + 16 * BQ)       /* m of the span before a block and after it, in turn */
#define Q_AT (M_AT + 2 * BQ)        /* all of Q */
#define MEMORY_FLOATS (Q_AT + (QRES ? DP * BQ : 0))

/* Place of work-item t. Neighbours share what they read, two by two. */
static inline int tx_of(int t)
{
    return t / 2 % 8 + t / 32 % (NTX / 8) * 8;
}

static inline int ty_of(int t)
{
    return t % 2 + t % 32 / 16 * 2 + t / (NTX * 4) * 4;
}

/* Query r of a work-item, in the tile. */
static inline int row_of(int r, int ty)
{
    return (r / 4 * NTY + ty) * 4 + r % 4;
}

/* A work-item's part of a stage of K or V: rows mine, mine + step, .. of those that begin at `from`, but
 * none beyond last, which stands for what is not there: what it gives is hidden. row: bytes from row to row;
 * n: elements that there are. */
static inline void fetch(float4 *part, __global const char *from, int row, int mine, int step, int last, int n,
                         int type)
{
#pragma unroll
    for (int i = 0; i < PARTS; i++)
        part[i] = load4((__global const float *)(from + (long)min(mine + i * step, last) * (long)row), 0,
                        WHOLE ? 4 : n, type);
}

/* 0 for any x from 0 to 2^30: see anew in cl/tensor.cl. */
static inline int again(int x)
{
    return x >> 30;
}

/* Of 32 work-items, 4 share a key (64 bytes of it), and 8 have keys NTX apart. */
static inline int k_mine(int tid)
{
    return tid / LANES % 8 * NTX + tid / (8 * LANES);
}

/* Keys tx + NTX (4 g ..+ 3) are float4 g NTX + tx of a row. */
static inline void put_k(__local float *tile, const float4 *part, int tid)
{
    const int u = tid / LANES % 8;
    __local float *to = tile + tid % LANES * 4 * K_ROW + (u / 4 * NTX + tid / (8 * LANES)) * 4 + u % 4;
#pragma unroll
    for (int i = 0; i < PARTS; i++) {
        to[0 * K_ROW + i * (NT / (8 * LANES)) * 4] = part[i].x;
        to[1 * K_ROW + i * (NT / (8 * LANES)) * 4] = part[i].y;
        to[2 * K_ROW + i * (NT / (8 * LANES)) * 4] = part[i].z;
        to[3 * K_ROW + i * (NT / (8 * LANES)) * 4] = part[i].w;
    }
}

static inline void put_v(__local float *tile, const float4 *part, int tid)
{
#pragma unroll
    for (int i = 0; i < PARTS; i++)
        ((__local float4 *)tile)[tid + i * NT] = part[i];
}

/* Queries tid / LANES + i NT / LANES, 4 features each, times c. */
static inline void put_q(__local float *tile, const float4 *part, float c, int tid)
{
    __local float *to = tile + tid % LANES * 4 * Q_ROW + tid / LANES;
#pragma unroll
    for (int i = 0; i < QN; i++) {
        const float4 v = part[i] * (float4)(c);
        to[0 * Q_ROW + i * (NT / LANES)] = v.x;
        to[1 * Q_ROW + i * (NT / LANES)] = v.y;
        to[2 * Q_ROW + i * (NT / LANES)] = v.z;
        to[3 * Q_ROW + i * (NT / LANES)] = v.w;
    }
}

/* Queries of the tile that are not there, before low or after last, have others stand for them. */
static inline void fetch_q(float4 *part, __global const char *from, int row, int low, int last, int n, int t)
{
#pragma unroll
    for (int i = 0; i < QN; i++)
        part[i] = load4((__global const float *)(from + (long)max(min(t / LANES + i * (NT / LANES), last), low) *
                                                            (long)row),
                        0, WHOLE ? 4 : n, 0);
}

/* All of Q, transposed. */
static inline void keep_q(__local float *tile, __global const char *from, int row, int query, int n, float c,
                          int tid)
{
    __global const float *q = (__global const float *)(from + (long)query * (long)row);
    for (int d = tid / BQ * 4; d < DP; d += NT / BQ * 4) {
        const float4 v = load4(q, d, WHOLE ? 4 : n - d, 0) * (float4)(c);
        __local float *to = tile + d * BQ + tid % BQ;
        to[0] = v.x;
        to[BQ] = v.y;
        to[2 * BQ] = v.z;
        to[3 * BQ] = v.w;
    }
}

/* x + the outer product of eight and eight. */
static inline void add_outer(float4 (*x)[2], const float4 *a, const float4 *b)
{
#pragma unroll
    for (int g = 0; g < 2; g++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            x[g * 4 + 0][j] = fma((float4)(a[g].x), b[j], x[g * 4 + 0][j]);
            x[g * 4 + 1][j] = fma((float4)(a[g].y), b[j], x[g * 4 + 1][j]);
            x[g * 4 + 2][j] = fma((float4)(a[g].z), b[j], x[g * 4 + 2][j]);
            x[g * 4 + 3][j] = fma((float4)(a[g].w), b[j], x[g * 4 + 3][j]);
        }
}

/* Eight of one row of a tile and eight of another's. */
static inline void take(float4 *a, float4 *b, __local const float *x, int x_step, __local const float *y,
                        int y_step)
{
    a[0] = *(__local const float4 *)x;
    a[1] = *(__local const float4 *)(x + x_step);
    b[0] = *(__local const float4 *)y;
    b[1] = *(__local const float4 *)(y + y_step);
}

static inline void add_scores(float4 (*s)[2], __local const float *q, __local const float *k)
{
#pragma unroll UQ
    for (int d = 0; d < STAGE; d++) {
        float4 a[2], b[2];
        take(a, b, q + d * Q_ROW, NTY * 4, k + d * K_ROW, NTX * 4);
        add_outer(s, a, b);
    }
}

static inline void add_values(float4 (*o)[2], __local const float *p, __local const float *v)
{
#pragma unroll UV
    for (int key = 0; key < STAGE; key++) {
        float4 a[2], b[2];
        take(a, b, p + key * P_ROW, NTY * 4, v + key * DVP, NTX * 4);
        add_outer(o, a, b);
    }
}

/* The same where hidden keys weigh -0 and have to be passed over. */
static inline void add_marked(float4 (*o)[2], __local const float *p, __local const float *v)
{
    for (int key = 0; key < STAGE; key++)
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const float w = p[key * P_ROW + r / 4 * NTY * 4 + r % 4];
            if (is_hidden(w))
                continue;
#pragma unroll
            for (int j = 0; j < 2; j++)
                o[r][j] = fma((float4)(w), *(__local const float4 *)(v + key * DVP + j * NTX * 4), o[r][j]);
        }
}

static inline float part_of(const float4 v, int e)
{
    return e == 0 ? v.x : e == 1 ? v.y : e == 2 ? v.z : v.w;
}

/* Scores of a block's keys that these queries may not see, from keys on, or behind the one that stands at
 * seen0 + the query's number, become -inf. */
static inline void hide_keys(float4 (*s)[2], int j0, int j1, int keys, int seen0, int t)
{
    const int most = keys - tx_of(t), seen = seen0 + ty_of(t) * 4 - tx_of(t);
#pragma unroll
    for (int j = j0; j <= j1; j++)
#pragma unroll
        for (int r = 0; r < 8; r++) {
            const int key = (j - j0) * 4 * NTX, hide = min(most, seen + r / 4 * NTY * 4 + r % 4);
            s[r][j].x = key < hide ? s[r][j].x : -INFINITY;
            s[r][j].y = key + NTX < hide ? s[r][j].y : -INFINITY;
            s[r][j].z = key + 2 * NTX < hide ? s[r][j].z : -INFINITY;
            s[r][j].w = key + 3 * NTX < hide ? s[r][j].w : -INFINITY;
        }
}

static inline float4 four_of(const float *x, int r)
{
    return (float4)(x[r], x[r + 1], x[r + 2], x[r + 3]);
}

/* The maxima of a work-item's scores, by query. */
static inline void put_tops(__local float4 *tops, float4 (*s)[2], int j0, int j1)
{
#pragma unroll
    for (int g = 0; g < 2; g++) {
        float t[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            t[e] = -INFINITY;
#pragma unroll
            for (int j = j0; j <= j1; j++) {
                const float4 x = s[g * 4 + e][j];
                t[e] = fmax(fmax(fmax(x.x, x.y), fmax(x.z, x.w)), t[e]);
            }
        }
        tops[g * NTY] = (float4)(t[0], t[1], t[2], t[3]);
    }
}
