/* cl/ffn_row.cl: the hidden layer of a gated feedforward for few tokens: see cl/row.cl. -DNC=2: gate
 * and up. As linear would store it, up is made canonical before the product. */

__kernel void ffn_row(__global const uint4 *gate_cells, __global const uint *gate_scales, long gate_np,
                      __global const uint4 *up_cells, __global const uint *up_scales, long up_np,
                      __global const float *x, long4 xv, __global const float *norm, long4 normv,
                      float eps, __global const float *gate_bias, long4 gate_biasv,
                      __global const float *up_bias, long4 up_biasv, int act, int flags,
                      __global float *hidden, long4 hiddenv, long n_end, long k_end)
{
    __local struct row_tile tile;
    const int lx = (int)get_local_id(0), up = (int)get_local_id(2);
    const long n = (long)get_group_id(0) * NX + lx, t = get_group_id(1);
    const struct row_x r = { x, norm, xv.x + t * xv.y, normv.x, k_end };
    const float scale = NORM ? row_scale(&tile, r, eps) : 0.0f;
    float total = row_total(&tile, r, scale, up ? up_cells : gate_cells, up ? up_scales : gate_scales,
                            up ? up_np : gate_np, n, n < n_end);
    if (up && get_local_id(1) == 0 && n < n_end)
        tile.sums[1][0][lx] = canon((flags & 2) ? total + up_bias[up_biasv.x + n] : total);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (up || get_local_id(1) || n >= n_end)
        return;
    total = epilogue(total, (flags & 1) ? gate_bias[gate_biasv.x + n] : 0.0f, tile.sums[1][0][lx], 0.0f,
                     act, (flags & 1) | 2);
    store1(hidden, hiddenv.x + t * hiddenv.y + n, 0, total);
}
