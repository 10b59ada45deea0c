/* tools/bench/gauge.cl: the OpenCL gauge's kernels. Built once for each width that might be a device's
 * best, with T a float type, FIRST its first element, STEPS as many different numbers as it has, and
 * ACROSS whether work-items that are neighbours read neighbouring memory (GPUs) or each a part of its own
 * (CPUs). */

/* Twelve chains that depend on nothing but themselves: named, so that no compiler leaves an array of
 * them in memory, and with different elements, so that none computes one for all. The sum is never
 * `never`, which only the caller knows. */
__kernel void gauge_fma(__global float *out, int turns, float start, float factor, float addend,
                        float never)
{
    const T x = (T)(factor), y = (T)(addend);
    T a = (T)(STEPS) + (T)(start + (float)get_local_id(0)), b = a + y, c = b + y, d = c + y;
    T e = d + y, f = e + y, g = f + y, h = g + y, i = h + y, j = i + y, k = j + y, l = k + y;
    for (int t = 0; t < turns; t++) {
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
        i = fma(i, x, y);
        j = fma(j, x, y);
        k = fma(k, x, y);
        l = fma(l, x, y);
    }
    a = a + b + c + d + e + f + g + h + i + j + k + l;
    if (a FIRST == never)
        *(__global T *)out = a; /* all of it, or the rest would not be computed */
}

/* n values, a multiple of four times the number of work-items. */
__kernel void gauge_read(__global const T *in, __global float *out, ulong n, float never)
{
    const ulong items = get_global_size(0), each = n / items;
    const ulong step = ACROSS ? items : 1;
    __global const T *p = in + (ACROSS ? get_global_id(0) : get_global_id(0) * each);
    T a = (T)(0.0f), b = a, c = a, d = a;
    for (ulong i = 0; i < each; i += 4, p += 4 * step) {
        a += p[0];
        b += p[step];
        c += p[2 * step];
        d += p[3 * step];
    }
    a = a + b + c + d;
    if (a FIRST == never)
        *(__global T *)out = a;
}

__kernel void gauge_fill(__global T *out, ulong n)
{
    for (ulong i = get_global_id(0); i < n; i += get_global_size(0))
        out[i] = (T)(1.0f);
}
