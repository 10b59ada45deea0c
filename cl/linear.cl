/* cl/linear.cl: out = epilogue(x W^T) for many tokens: work-groups compute tiles of BM tokens by BN
 * features through two local tiles of each operand, -DBK features of x deep.
 *
 *   -DBM -DBN  the tile     -DTM -DTN  a work-item's part of it   -DUK  how far k is unrolled
 *   -DWT       anl_dtype    -DPLAIN    1: the epilogue, at most a bias and a residual, is unrolled
 *   -DALIGNED  1: bias, residual, x and out are read and written 16 bytes at a time
 *   -DFEW      1: registers are few: what the next local tiles hold is not fetched to them meanwhile
 *
 * A span's chain runs in registers; the total of the spans so far lies in memory, where only its own
 * work-item touches it: on small register files it would be spilled anyway, and on large ones this
 * costs nothing, as it is met once in 512 steps.
 *
 * Four neighbouring work-items fetch 64 bytes of a token together; the places of the tokens in a row of
 * the local tile are permuted so that their transposed writes fall into different banks. In the tile
 * neighbours share what they read, two by two: some GPUs then answer 16-byte reads twice as fast. */

#define NT ((BM / TM) * (BN / TN)) /* work-items */
#define NX (BN / TN)               /* of them along the features */
#define NY (BM / TM)               /* and along the tokens */
#define GM (TM / 4)                /* float4 of a work-item's tokens */
#define GN (TN / 4)                /* and of its features */
#define XN (BM * BK / 4 / NT)      /* float4 of x that a work-item fetches */
#define WN ((BN * BK / 8 + NT - 1) / NT) /* float8 of w */
#if FEW
#define TX tx_now
#else
#define TX tx
#endif

/* Where float4 i of a row of x's tile lies, for the features 4 c to 4 c + 3. */
static inline int x_place(int i, int c)
{
    return i ^ (c % 4 * 2);
}

static inline void fetch_x(float4 *part, __global const float *x, long4 xv, long t, long t1, long k0,
                           long k_end, int tid)
{
    const int k = tid % (BK / 4) * 4, row = tid / (BK / 4), n = (int)min(k_end - k0 - k, 4L);
    const int whole = k0 + BK <= k_end; /* the same for all: no branch of their own */
#pragma unroll
    for (int i = 0; i < XN; i++) {
        /* past the last token any will do: nothing of it is stored */
        const long at = xv.x + min(t + row + i * (NT / (BK / 4)), t1 - 1) * xv.y + k0 + k;
        part[i] = whole ? load4(x, at, 4, 0) : load4(x, at, n, 0);
    }
}

static inline void stage_x(__local float *tile, const float4 *part, int tid)
{
    const int k = tid % (BK / 4) * 4, row = tid / (BK / 4);
#pragma unroll
    for (int i = 0; i < XN; i++) {
        const int t = row + i * (NT / (BK / 4));
        __local float *to = tile + k * BM + x_place(t / 4, k / 4) * 4 + t % 4;
        to[0] = part[i].x;
        to[BM] = part[i].y;
        to[2 * BM] = part[i].z;
        to[3 * BM] = part[i].w;
    }
}

static inline void fetch_w(float8 *part, __global const uint4 *cells, __global const uint *scales,
                           long np, long n, long k0, long k_end, int tid)
{
    const int whole = k0 + BK <= k_end;
#pragma unroll
    for (int i = 0; i < WN; i++) {
        const int id = tid + i * NT, k = id / BN * 8;
        const long feature = min(n + id % BN, np - 1);
        part[i] = (float8)(0.0f);
        if (whole && (BN * BK / 8 % NT == 0 || k < BK))
            part[i] = weights8(cells, scales, np, feature, k0 + k);
        else if (!whole && k < BK && k0 + k < k_end)
            part[i] = weights8(cells, scales, np, feature, k0 + k);
    }
}

static inline void stage_w(__local float *tile, const float8 *part, int tid)
{
#pragma unroll
    for (int i = 0; i < WN; i++) {
        const int id = tid + i * NT, k = id / BN * 8;
        __local float *to = tile + k * BN + id % BN;
        if (k >= BK)
            break;
        to[0 * BN] = part[i].s0;
        to[1 * BN] = part[i].s1;
        to[2 * BN] = part[i].s2;
        to[3 * BN] = part[i].s3;
        to[4 * BN] = part[i].s4;
        to[5 * BN] = part[i].s5;
        to[6 * BN] = part[i].s6;
        to[7 * BN] = part[i].s7;
    }
}

/* What has no more to it than a bias and a residual: four features of a token. */
static inline void store_plain(float4 v, int n, __global const float *bias, long bias_at,
                               __global const float *residual, long residual_at, int flags,
                               __global float *out, long at, int out_type)
{
    if (flags & 1)
        v = v + load4(bias, bias_at, n, 0);
    if (flags & 4)
        v = v + load4(residual, residual_at, n, 0);
    store4(out, at, n, out_type, v);
}

__kernel void linear_tile(__global const uint4 *cells, __global const uint *scales, long np,
                          __global const float *x, long4 xv, __global float *out, long4 outv,
                          int out_type, __global const float *bias, long4 biasv,
                          __global const float *gate, long4 gatev,
                          __global const float *residual, long4 resv, int act, int flags,
                          __global float4 *total, long t0, long t1, long n_end, long k_end)
{
    __local float4 xs[2][BK * BM / 4], ws[2][BK * BN / 4];
    const int tid = (int)get_local_id(0);
#if NX % 8 == 0 && NY % 4 == 0
    const int lane = tid % 32, warp = tid / 32;
    const int tx = lane / 2 % 8 + warp % (NX / 8) * 8, ty = lane % 2 + lane / 16 * 2 + warp / (NX / 8) * 4;
#else
    const int tx = tid % NX, ty = tid / NX;
#endif
    const long t = t0 + (long)get_group_id(1) * BM, n = (long)get_group_id(0) * BN;
    __global float4 *mine = total + ((long)get_group_id(1) * get_num_groups(0) + get_group_id(0)) *
                                        (TM * GN * NT) + tid;
    float4 c[TM][GN], xr[XN];
    float8 wr[WN];
    int buf = 0;

#if !FEW
    fetch_x(xr, x, xv, t, t1, 0, k_end, tid);
    fetch_w(wr, cells, scales, np, n, 0, k_end, tid);
#endif
    for (long s0 = 0; s0 < k_end; s0 += LAW_SPAN) {
        const long s1 = min(s0 + LAW_SPAN, k_end);
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < GN; j++)
                c[i][j] = (float4)(0.0f);
        for (long k0 = s0; k0 < s1; k0 += BK, buf ^= 1) {
#if !FEW
            stage_x((__local float *)xs[buf], xr, tid);
            stage_w((__local float *)ws[buf], wr, tid);
            barrier(CLK_LOCAL_MEM_FENCE);
            fetch_x(xr, x, xv, t, t1, k0 + BK, k_end, tid);
            fetch_w(wr, cells, scales, np, n, k0 + BK, k_end, tid);
#else
            const int id = (tid + anew(k0)) & (NT - 1), tx_now = tx + anew(k0);
            fetch_x(xr, x, xv, t, t1, k0, k_end, id);
            fetch_w(wr, cells, scales, np, n, k0, k_end, id);
            stage_x((__local float *)xs[buf], xr, id);
            stage_w((__local float *)ws[buf], wr, id);
            barrier(CLK_LOCAL_MEM_FENCE);
#endif
#pragma unroll UK
            for (int k = 0; k < BK; k++) {
                float4 a[GM], b[GN];
#pragma unroll
                for (int g = 0; g < GM; g++)
                    a[g] = xs[buf][k * (BM / 4) + x_place(g * NY + ty, k / 4)];
#pragma unroll
                for (int g = 0; g < GN; g++)
                    b[g] = ws[buf][k * (BN / 4) + g * NX + TX];
#pragma unroll
                for (int g = 0; g < GM; g++)
#pragma unroll
                    for (int j = 0; j < GN; j++) {
                        c[g * 4 + 0][j] = fma((float4)(a[g].x), b[j], c[g * 4 + 0][j]);
                        c[g * 4 + 1][j] = fma((float4)(a[g].y), b[j], c[g * 4 + 1][j]);
                        c[g * 4 + 2][j] = fma((float4)(a[g].z), b[j], c[g * 4 + 2][j]);
                        c[g * 4 + 3][j] = fma((float4)(a[g].w), b[j], c[g * 4 + 3][j]);
                    }
            }
        }
        if (s1 < k_end || !PLAIN) {
#pragma unroll
            for (int i = 0; i < TM * GN; i++)
                mine[i * NT] = s0 ? mine[i * NT] + c[i / GN][i % GN] : c[i / GN][i % GN];
        }
    }
#if PLAIN
    /* no more than a bias and a residual to add: from the registers */
#pragma unroll
    for (int i = 0; i < TM * GN; i++) {
        const long tt = t + ((i / GN / 4) * NY + ty) * 4 + i / GN % 4, nn = n + ((i % GN) * NX + tx) * 4;
        float4 v = c[i / GN][i % GN];
        if (k_end > LAW_SPAN)
            v = mine[i * NT] + v;
        if (tt < t1)
            store_plain(v, (int)min(n_end - nn, 4L), bias, biasv.x + nn, residual,
                        resv.x + tt * resv.y + nn, flags, out, outv.x + tt * outv.y + nn, out_type);
    }
#else
    for (int i = 0; i < TM * GN; i++) {
        const long tt = t + ((i / GN / 4) * NY + ty) * 4 + i / GN % 4, nn = n + ((i % GN) * NX + tx) * 4;
        const float4 v4 = mine[i * NT];
        if (tt >= t1)
            continue;
        for (int e = 0; e < 4 && nn + e < n_end; e++) {
            const long m = nn + e;
            float v = e == 0 ? v4.x : e == 1 ? v4.y : e == 2 ? v4.z : v4.w;
            v = epilogue(v, (flags & 1) ? bias[biasv.x + m] : 0.0f,
                         (flags & 2) ? gate[gatev.x + tt * gatev.y + m] : 0.0f,
                         (flags & 4) ? residual[resv.x + tt * resv.y + m] : 0.0f, act, flags);
            store1(out, outv.x + tt * outv.y + m, out_type, v);
        }
    }
#endif
}
