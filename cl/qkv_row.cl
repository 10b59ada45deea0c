/* cl/qkv_row.cl: norm, projections and rotary embedding of a few tokens in one launch: see cl/row.cl.
 * -DNC=1. The work-groups of q come first, then those of k, then those of v. Neighbouring work-items
 * hold the two features of a pair, so that they find each other in local memory: work-item r of a head
 * has feature r, or, where pairs are halves apart, number r / 2 of the first or of the second half. */

__kernel void qkv_row(__global const uint4 *q_cells, __global const uint *q_scales, long q_np,
                      __global const uint4 *k_cells, __global const uint *k_scales, long k_np,
                      __global const uint4 *v_cells, __global const uint *v_scales, long v_np,
                      __global const float *q_bias, long4 q_biasv, __global const float *k_bias,
                      long4 k_biasv, __global const float *v_bias, long4 v_biasv, int biases,
                      __global float *q, long4 qv, __global float *k, long4 kv, int k_type,
                      __global float *v, long4 vv, int v_type, int heads, int kv_heads, int d_qk,
                      int d_v, int q_groups, int k_groups, __global const float *x, long4 xv,
                      __global const float *norm, long4 normv, float eps, long k_end,
                      __global const float *coarse, __global const float *fine, int half_dims,
                      int by_halves, long position)
{
    __local struct row_tile tile;
    const int group = (int)get_group_id(0), lx = (int)get_local_id(0);
    const int is_q = group < q_groups, is_v = group >= q_groups + k_groups;
    const int first = is_q ? 0 : is_v ? q_groups + k_groups : q_groups;
    const int d = is_v ? d_v : d_qk, even = (d + 1) & ~1, e = (group - first) * NX + lx;
    const int head = e / even, r = e % even, i = r >> 1, second = r & 1;
    const int turned = !is_v && i < half_dims;
    const int feature = turned && by_halves ? i + second * half_dims : r;
    const int there = head < (is_q ? heads : kv_heads) && feature < d;
    const long n = (long)head * d + feature, t = get_group_id(1), p = position + t;
    const struct row_x rx = { x, norm, xv.x + t * xv.y, normv.x, k_end };
    const float scale = NORM ? row_scale(&tile, rx, eps) : 0.0f;
    float y = row_total(&tile, rx, scale, is_q ? q_cells : is_v ? v_cells : k_cells,
                        is_q ? q_scales : is_v ? v_scales : k_scales,
                        is_q ? q_np : is_v ? v_np : k_np, n, there);
    if (get_local_id(1) == 0 && there) {
        if (biases & (is_q ? 1 : is_v ? 4 : 2))
            y = y + (is_q   ? q_bias[q_biasv.x + n]
                     : is_v ? v_bias[v_biasv.x + n]
                            : k_bias[k_biasv.x + n]);
        y = canon(y); /* as it would be stored before it is turned */
        tile.sums[0][0][lx] = y;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(1) || !there)
        return;
    if (turned) {
        const float2 a = vload2((p >> 9) * half_dims + i, coarse);
        const float2 b = vload2((p & 511) * half_dims + i, fine);
        const float c = fma(a.x, b.x, -(a.y * b.y)), s = fma(a.y, b.x, a.x * b.y);
        const float other = tile.sums[0][0][lx ^ 1];
        y = second ? fma(y, c, other * s) : fma(y, c, -(other * s));
    }
    if (is_q)
        store1(q, qv.x + t * qv.y + head * qv.z + feature, 0, y);
    else if (is_v)
        store1(v, vv.x + t * vv.y + head * vv.z + feature, v_type, y);
    else
        store1(k, kv.x + t * kv.y + head * kv.z + feature, k_type, y);
}
