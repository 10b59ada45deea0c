/* cl/rope.cl: rotary embedding: a work-item per pair of features, or per two of the rest, that are
 * copied. */

__kernel void rope(__global const float *x, long4 xv, __global const float *coarse,
                   __global const float *fine, __global float *out, long4 outv,
                   int out_type, long position, int half_dims, int by_halves, long d_end, int heads,
                   long n)
{
    const long e = get_global_id(0), pairs = (d_end + 1) / 2;
    const long i = e % pairs, h = e / pairs % heads, t = e / pairs / heads, p = position + t;
    const long in_at = xv.x + t * xv.y + h * xv.z, out_at = outv.x + t * outv.y + h * outv.z;

    if (e >= n)
        return;
    if (i >= half_dims) {
        store1(out, out_at + 2 * i, out_type, x[in_at + 2 * i]);
        if (2 * i + 1 < d_end)
            store1(out, out_at + 2 * i + 1, out_type, x[in_at + 2 * i + 1]);
        return;
    }
    const float2 a = vload2(((p >> 9) * half_dims + i), coarse);
    const float2 b = vload2(((p & 511) * half_dims + i), fine);
    const float c = fma(a.x, b.x, -(a.y * b.y)), s = fma(a.y, b.x, a.x * b.y);
    const long i1 = by_halves ? i : 2 * i, i2 = by_halves ? i + half_dims : 2 * i + 1;
    const float x1 = x[in_at + i1], x2 = x[in_at + i2];
    store1(out, out_at + i1, out_type, fma(x1, c, -(x2 * s)));
    store1(out, out_at + i2, out_type, fma(x2, c, x1 * s));
}
