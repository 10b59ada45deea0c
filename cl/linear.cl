/* cl/linear.cl: out = epilogue(x W^T) for many tokens: work-groups compute BM x BM tiles through two
 * local tiles of each operand. -DBM -DTM (a work-item's tile is TM x TM) -DWT.
 *
 * A span's chain runs in registers; the total of the spans so far lies in memory, where only its own
 * work-item touches it: on small register files it would be spilled anyway, and on large ones this
 * costs nothing, as it is met once in 512 steps. */

#define NT ((BM / TM) * (BM / TM)) /* work-items */
#define NX (BM / TM)               /* of them along one side */
#define KG (NT / BM)               /* groups of 8 k that the work-items stage */
#define BK (8 * KG)
#define G (TM / 4)                 /* float4 along a side of the register tile */
#define LD (BM / 4)                /* float4 in a row of a local tile */

static inline void store_tile(__local float *tile, float8 v)
{
    tile[0 * BM] = v.s0;
    tile[1 * BM] = v.s1;
    tile[2 * BM] = v.s2;
    tile[3 * BM] = v.s3;
    tile[4 * BM] = v.s4;
    tile[5 * BM] = v.s5;
    tile[6 * BM] = v.s6;
    tile[7 * BM] = v.s7;
}

__kernel void linear_tile(__global const uint4 *cells, __global const uint *scales, long np,
                          __global const float *x, long4 xv, __global float *out, long4 outv,
                          int out_type, __global const float *bias, long4 biasv,
                          __global const float *gate, long4 gatev,
                          __global const float *residual, long4 resv, int act, int flags,
                          __global float4 *total, long t0, long t1, long n_end, long k_end)
{
    __local float4 xs[2][BK * LD], ws[2][BK * LD];
    const int tid = (int)get_local_id(0);
    const int tx = tid % NX, ty = tid / NX;
    const int row = tid % BM, kg = tid / BM;
    const long t = t0 + (long)get_group_id(1) * BM, n = (long)get_group_id(0) * BM;
    const int x_there = t + row < t1, w_there = n + row < np;
    __global const float *xrow = x + xv.x + (t + row) * xv.y;
    __global float4 *mine = total + ((long)get_group_id(1) * get_num_groups(0) + get_group_id(0)) *
                                        (TM * G * NT) + tid;
    float4 c[TM][G];
    float8 xr = (float8)(0.0f), wr = (float8)(0.0f);
    int buf = 0;

    if (x_there)
        xr = load8(xrow, kg * 8, (int)min(k_end - kg * 8, 8L), 0);
    if (w_there && kg * 8 < k_end)
        wr = weights8(cells, scales, np, n + row, kg * 8);
    for (long s0 = 0; s0 < k_end; s0 += LAW_SPAN) {
        long s1 = min(s0 + LAW_SPAN, k_end);
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < G; j++)
                c[i][j] = (float4)(0.0f);
        for (long k0 = s0; k0 < s1; k0 += BK, buf ^= 1) {
            store_tile((__local float *)xs[buf] + kg * 8 * BM + row, xr);
            store_tile((__local float *)ws[buf] + kg * 8 * BM + row, wr);
            barrier(CLK_LOCAL_MEM_FENCE);
            long k1 = k0 + BK + kg * 8;
            if (k1 < k_end) {
                if (x_there)
                    xr = load8(xrow, k1, (int)min(k_end - k1, 8L), 0);
                if (w_there)
                    wr = weights8(cells, scales, np, n + row, k1);
            } else {
                xr = (float8)(0.0f);
                wr = (float8)(0.0f);
            }
            for (int k = 0; k < BK; k++) {
                float4 a[G], b[G];
#pragma unroll
                for (int g = 0; g < G; g++) {
                    a[g] = xs[buf][k * LD + g * NX + ty];
                    b[g] = ws[buf][k * LD + g * NX + tx];
                }
#pragma unroll
                for (int g = 0; g < G; g++)
#pragma unroll
                    for (int j = 0; j < G; j++) {
                        c[g * 4 + 0][j] = fma((float4)(a[g].x), b[j], c[g * 4 + 0][j]);
                        c[g * 4 + 1][j] = fma((float4)(a[g].y), b[j], c[g * 4 + 1][j]);
                        c[g * 4 + 2][j] = fma((float4)(a[g].z), b[j], c[g * 4 + 2][j]);
                        c[g * 4 + 3][j] = fma((float4)(a[g].w), b[j], c[g * 4 + 3][j]);
                    }
            }
        }
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < G; j++) {
                __global float4 *p = mine + (i * G + j) * NT;
                *p = s0 ? *p + c[i][j] : c[i][j];
            }
    }
    for (int i = 0; i < TM * G; i++) {
        long tt = t + ((i / G / 4) * NX + ty) * 4 + i / G % 4;
        long nn = n + ((i % G) * NX + tx) * 4;
        float4 v4 = mine[i * NT];
        if (tt >= t1)
            continue;
        for (int e = 0; e < 4 && nn + e < n_end; e++) {
            long m = nn + e;
            float v = e == 0 ? v4.x : e == 1 ? v4.y : e == 2 ? v4.z : v4.w;
            v = epilogue(v, (flags & 1) ? bias[biasv.x + m] : 0.0f,
                         (flags & 2) ? gate[gatev.x + tt * gatev.y + m] : 0.0f,
                         (flags & 4) ? residual[resv.x + tt * resv.y + m] : 0.0f, act, flags);
            store1(out, outv.x + tt * outv.y + m, out_type, v);
        }
    }
}
