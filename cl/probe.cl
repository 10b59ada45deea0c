/* cl/probe.cl: the arithmetic that the law rests on, once per triple of floats; cl/probe.c computes the
 * same on the host and compares. */

#define PROBES 10

__kernel void probe(__global const uint *in, __global uint *out, int n)
{
    const int i = (int)get_global_id(0);
    if (i >= n)
        return;
    const float a = as_float(in[i * 3]), b = as_float(in[i * 3 + 1]), c = as_float(in[i * 3 + 2]);
    const float product = a * b;
    __global uint *r = out + i * PROBES;
    r[0] = as_uint(a + b);
    r[1] = as_uint(a - b);
    r[2] = as_uint(product);
    r[3] = as_uint(product + c);
    r[4] = as_uint(fma(a, b, c));
    r[5] = as_uint(rint(a));
    r[6] = as_uint(ceil(a));
    const float s = (float)((int)(in[i * 3] & 0x3ffu) - 512);
    r[7] = as_uint(s) ^ v_toint(s);
    r[8] = as_uint(law_p2(s * 0.0625f, 64.0f));
    r[9] = as_uint(a) >> (in[i * 3 + 1] & 15u);
}
