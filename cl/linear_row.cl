/* cl/linear_row.cl: out = epilogue(norm(x) W^T) for few tokens: see cl/row.cl. -DNC=1. */

__kernel void linear_row(__global const uint4 *cells, __global const uint *scales, long np,
                         __global const float *x, long4 xv, __global float *out, long4 outv,
                         int out_type, __global const float *bias, long4 biasv,
                         __global const float *gate, long4 gatev, __global const float *residual,
                         long4 resv, int act, int flags, long n_end, long k_end,
                         __global const float *norm, long4 normv, float eps)
{
    __local struct row_tile tile;
    const long n = (long)get_group_id(0) * NX + get_local_id(0), t = get_group_id(1);
    const struct row_x r = { x, norm, xv.x + t * xv.y, normv.x, k_end };
    const float scale = NORM ? row_scale(&tile, r, eps) : 0.0f;
    float total = row_total(&tile, r, scale, cells, scales, np, n, n < n_end);
    if (get_local_id(1) || n >= n_end)
        return;
    total = epilogue(total, (flags & 1) ? bias[biasv.x + n] : 0.0f,
                     (flags & 2) ? gate[gatev.x + t * gatev.y + n] : 0.0f,
                     (flags & 4) ? residual[resv.x + t * resv.y + n] : 0.0f, act, flags);
    store1(out, outv.x + t * outv.y + n, out_type, total);
}
