/* cl/norm.cl: RMSNorm: a work-group (GPU-shaped) or a work-item (CPU-shaped) per token. */

#if VW == 1
/* -DNT work-items, a multiple of 16 up to 256: 16 per span. */
__kernel void norm(__global const float *x, long4 xv, __global const float *w, long4 wv,
                   __global float *out, long4 outv, long dm, float eps)
{
    __local float lanes[NT], total, scale;
    const int tid = (int)get_local_id(0), lane = tid % 16, slot = tid / 16;
    const long at = xv.x + (long)get_group_id(0) * xv.y;
    const long out_at = outv.x + (long)get_group_id(0) * outv.y;

    for (long s0 = 0; s0 < dm; s0 += NT / 16 * LAW_SPAN) {
        long i = s0 + slot * LAW_SPAN, end = min(i + LAW_SPAN, dm);
        float sum = 0.0f;
        for (i += lane; i < end; i += 16)
            sum = fma(x[at + i], x[at + i], sum);
        lanes[tid] = sum;
        for (int v = 8; v > 0; v /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (lane < v)
                lanes[tid] = lanes[tid] + lanes[tid + v];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (tid == 0)
            for (int j = 0; j < NT / 16 && s0 + j * LAW_SPAN < dm; j++)
                total = s0 + j ? total + lanes[j * 16] : lanes[0];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (tid == 0)
        scale = law_rsqrt(fma(total, law_recip((float)dm), eps));
    barrier(CLK_LOCAL_MEM_FENCE);
    for (long i = tid; i < dm; i += NT)
        store1(out, out_at + i, 0, (x[at + i] * scale) * w[wv.x + i]);
}
#else
__kernel void norm(__global const float *x, long4 xv, __global const float *w, long4 wv,
                   __global float *out, long4 outv, long dm, float eps)
{
    const long at = xv.x + (long)get_global_id(0) * xv.y;
    const long out_at = outv.x + (long)get_global_id(0) * outv.y;
    float total = 0.0f;

    for (long s = 0; s < dm; s += LAW_SPAN) {
        float16 lanes = (float16)(0.0f);
        long end = min(s + LAW_SPAN, dm);
        for (long i = s; i < end; i += 16) {
            float16 a = load16(x, at + i, end - i, 0);
            lanes = fma(a, a, lanes);
        }
        total = s ? total + lane_tree16(lanes) : lane_tree16(lanes);
    }
    float16 r = law_rsqrt(
        (float16)(fma(total, law_recip((float16)((float)dm)).s0, eps)));
    for (long i = 0; i < dm; i += 16) {
        float16 a = load16(x, at + i, dm - i, 0), b = load16(w, wv.x + i, dm - i, 0);
        store16(out, out_at + i, dm - i, 0, (a * r) * b);
    }
}
#endif
