/* cl/linear_cpu.cl: out = epilogue(x W^T), CPU-shaped: a work-item computes 32 output features of up
 * to TB tokens; a span of its weights is unpacked once and used for all of them (linear_cpu). Or 16 * NR
 * features of one token, where a part of a span is unpacked at a time, so that it stays in the nearest
 * cache, and there are more chains than one has to wait for (linear_cpu_row). -DWT -DTB -DNR, -DRT
 * tokens at a time in registers. Weights lie in the CPU order of cl/weights.c. */

#define NV 2    /* vectors of 16 features */
#define PART 64 /* k */

/* Weights k0 to k0 + len - 1 of the 16 features of tile n16 go to panel[0], panel[nv], ... */
static inline void unpack(__global const uchar *cells, __global const uint *scales, long kp, long n16,
                          long k0, int len, float16 *panel, const int nv)
{
#if WT == 0
    __global const float *p = (__global const float *)cells + (n16 * kp + k0) * 16;
    for (int k = 0; k < len; k++)
        panel[k * nv] = vload16(k, p);
#elif WT <= 2
    __global const ushort *p = (__global const ushort *)cells + (n16 * kp + k0) * 16;
    for (int k = 0; k < len; k++)
        panel[k * nv] = widen(convert_uint16(vload16(k, p)), WT);
#else
    for (int b = 0; b < len; b += 32) {
        long block = (k0 + b) / 32;
        uint16 s = vload16(n16 * (kp / 32) + block, scales);
        float16 d = law_f16_to_f32(s & (uint16)(0xffffu));
#if WT == 3
        __global const char *p = (__global const char *)cells + (n16 * kp + k0 + b) * 16;
        for (int i = 0; i < 32; i++)
            panel[(b + i) * nv] = d * convert_float16(vload16(i, p));
#else
        __global const uchar *p = cells + (n16 * (kp / 32) + block) * 256;
        float16 m = law_f16_to_f32(s >> (uint16)(16u));
        for (int i = 0; i < 16; i++) {
            int16 q = convert_int16(vload16(i, p));
#if WT == 4
            panel[(b + i) * nv] = fma(d, convert_float16(q & (int16)(15)), m);
            panel[(b + i + 16) * nv] = fma(d, convert_float16(q >> (int16)(4)), m);
#else
            panel[(b + i) * nv] = d * convert_float16((q & (int16)(15)) - (int16)(8));
            panel[(b + i + 16) * nv] = d * convert_float16((q >> (int16)(4)) - (int16)(8));
#endif
        }
#endif
    }
#endif
}

/* The chains of one span for rows tokens, added to their totals. */
static inline void tile(__global const float *x, long ldx, int len, const float16 *panel, int first,
                        float16 *total)
{
    float16 c[RT][NV];
#pragma unroll
    for (int r = 0; r < RT; r++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            c[r][v] = (float16)(0.0f);
    for (int k = 0; k < len; k++) {
        float16 w0 = panel[k * NV], w1 = panel[k * NV + 1];
#pragma unroll
        for (int r = 0; r < RT; r++) {
            float16 a = (float16)(x[r * ldx + k]);
            c[r][0] = fma(a, w0, c[r][0]);
            c[r][1] = fma(a, w1, c[r][1]);
        }
    }
#pragma unroll
    for (int r = 0; r < RT; r++)
#pragma unroll
        for (int v = 0; v < NV; v++)
            total[r * NV + v] = first ? c[r][v] : total[r * NV + v] + c[r][v];
}

static inline void tile1(__global const float *x, int len, const float16 *panel, int first,
                         float16 *total)
{
    float16 c0 = (float16)(0.0f), c1 = (float16)(0.0f);
    for (int k = 0; k < len; k++) {
        float16 a = (float16)(x[k]);
        c0 = fma(a, panel[k * NV], c0);
        c1 = fma(a, panel[k * NV + 1], c1);
    }
    total[0] = first ? c0 : total[0] + c0;
    total[1] = first ? c1 : total[1] + c1;
}

/* nv vectors of totals of token t, through the epilogue. */
static inline void finish(const float16 *total, const int nv, long n16, long t, __global float *out,
                          long4 outv, int out_type, __global const float *bias, long4 biasv,
                          __global const float *gate, long4 gatev, __global const float *residual,
                          long4 resv, int act, int flags, long n_end)
{
    for (int v = 0; v < nv; v++) {
        long n = (n16 + v) * 16, left = n_end - n;
        float16 b = (float16)(0.0f), g = b, add = b;
        if (left <= 0)
            break;
        if (flags & 1)
            b = load16(bias, biasv.x + n, left, 0);
        if (flags & 2)
            g = load16(gate, gatev.x + t * gatev.y + n, left, 0);
        if (flags & 4)
            add = load16(residual, resv.x + t * resv.y + n, left, 0);
        float16 y = epilogue(total[v], b, g, add, act, flags);
        store16(out, outv.x + t * outv.y + n, left, out_type, y);
    }
}

__kernel void linear_cpu(__global const uchar *cells, __global const uint *scales, long np, long kp,
                         __global const float *x, long4 xv, __global float *out, long4 outv,
                         int out_type, __global const float *bias, long4 biasv,
                         __global const float *gate, long4 gatev, __global const float *residual,
                         long4 resv, int act, int flags, long t0, long t1, long n_end, long k_end)
{
    float16 panel[LAW_SPAN * NV], total[TB * NV];
    const long n16 = (long)get_global_id(0) * NV, t = t0 + (long)get_global_id(1) * TB;
    const int rows = (int)min((long)TB, t1 - t);

    for (long s = 0; s < k_end; s += LAW_SPAN) {
        int len = (int)min((long)LAW_SPAN, k_end - s), r = 0;
        __global const float *xs = x + xv.x + t * xv.y + s;
        for (int v = 0; v < NV && n16 + v < np / 16; v++)
            unpack(cells, scales, kp, n16 + v, s, len, panel + v, NV);
        for (; r + RT <= rows; r += RT)
            tile(xs + r * xv.y, xv.y, len, panel, s == 0, total + r * NV);
        for (; r < rows; r++)
            tile1(xs + r * xv.y, len, panel, s == 0, total + r * NV);
    }
    for (int r = 0; r < rows; r++)
        finish(total + r * NV, NV, n16, t + r, out, outv, out_type, bias, biasv, gate, gatev, residual, resv,
               act, flags, n_end);
}

__kernel void linear_cpu_row(__global const uchar *cells, __global const uint *scales, long np, long kp,
                             __global const float *x, long4 xv, __global float *out, long4 outv,
                             int out_type, __global const float *bias, long4 biasv,
                             __global const float *gate, long4 gatev, __global const float *residual,
                             long4 resv, int act, int flags, long t, long t1, long n_end, long k_end)
{
    float16 panel[PART * NR], total[NR], c[NR];
    const long n16 = (long)get_global_id(0) * NR, last = np / 16 - 1;
    __global const float *xs = x + xv.x + t * xv.y;

    for (long s = 0; s < k_end; s += PART) {
        const int len = (int)min((long)PART, k_end - s), first = s % LAW_SPAN == 0;
        for (int v = 0; v < NR; v++)
            unpack(cells, scales, kp, min(n16 + v, last), s, len, panel + v, NR);
#pragma unroll
        for (int v = 0; v < NR; v++) {
            if (first)
                total[v] = s == LAW_SPAN ? c[v] : s ? total[v] + c[v] : (float16)(0.0f);
            c[v] = first ? (float16)(0.0f) : c[v];
        }
        for (int k = 0; k < len; k++) {
            float16 a = (float16)(xs[s + k]);
#pragma unroll
            for (int v = 0; v < NR; v++)
                c[v] = fma(a, panel[k * NR + v], c[v]);
        }
    }
    for (int v = 0; v < NR; v++)
        total[v] = k_end > LAW_SPAN ? total[v] + c[v] : c[v];
    finish(total, NR, n16, t, out, outv, out_type, bias, biasv, gate, gatev, residual, resv, act, flags, n_end);
}
