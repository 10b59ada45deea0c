/* cl/tensor.cl: elements of a tensor of any float type. type is an anl_dtype: 0 f32, 1 f16, 2 bf16.
 * A view comes as memory and a long4: offset in elements, then three strides. */

#define HIDDEN_P 0x80000000u /* -0: the weight of a key that a row may not see */

static inline int is_hidden(float p)
{
    return as_uint(p) == HIDDEN_P;
}

static inline int not_finite(float x)
{
    return (as_uint(x) & 0x7f800000u) == 0x7f800000u;
}

/* 2-byte floats, widened; f16 if type is 1. */
static inline vf widen(vu h, int type)
{
    return type == 1 ? law_f16_to_f32(h) : law_bf16_to_f32(h);
}

static inline vu narrow(vf x, int type)
{
    return type == 1 ? law_f32_to_f16(x) : law_f32_to_bf16(x);
}

/* law_canon, for compilers that take x + 0 for x as well: -0 is found by its bits. */
static inline vf canon(vf x)
{
    vu u = v_bits(law_canon(x));
    return v_float(law_selmask(law_ltmask(u & v_splatu(0x7fffffffu), v_splatu(1u)), v_splatu(0u), u));
}

#if VW == 1
/* 0 for any x from 0 to 2^62, which compilers do not know. Where registers are few, a work-item's number
 * is taken with it anew in every round of a loop, x being what the round is about: all that follows from
 * the number would else be computed before the loop, and spilled in it. */
static inline int anew(long x)
{
    return (int)(x >> 62);
}

static inline float load1(__global const float *p, long i, int type)
{
    return type == 0 ? p[i] : widen(((__global const ushort *)p)[i], type);
}

static inline float8 widen8(ushort8 h, int type)
{
    return (float8)(widen(h.s0, type), widen(h.s1, type), widen(h.s2, type), widen(h.s3, type),
                    widen(h.s4, type), widen(h.s5, type), widen(h.s6, type), widen(h.s7, type));
}

/* Elements i to i + 7, of which n are there; the rest is 0. With -DALIGNED=1 they begin at a multiple of
 * 16 bytes (vload8 promises 4 only, and compilers then load one by one). */
#ifndef ALIGNED
#define ALIGNED 0
#endif
/* -DHALF=1: f16 is widened by the device, which does it right (NVIDIA's) and sooner than by integers. */
#ifndef HALF
#define HALF 0
#endif
static inline float8 load8(__global const float *p, long i, int n, int type)
{
    float8 r = (float8)(0.0f);
    if (n >= 8) {
#if ALIGNED
        if (type == 0)
            r = (float8)(*(__global const float4 *)(p + i), *(__global const float4 *)(p + i + 4));
        else
            r = widen8(*(__global const ushort8 *)((__global const ushort *)p + i), type);
#else
        if (type == 0)
            r = vload8(0, p + i);
        else
            r = widen8(vload8(0, (__global const ushort *)p + i), type);
#endif
    } else if (n > 0) {
        r.s0 = load1(p, i, type);
        if (n > 1)
            r.s1 = load1(p, i + 1, type);
        if (n > 2)
            r.s2 = load1(p, i + 2, type);
        if (n > 3)
            r.s3 = load1(p, i + 3, type);
        if (n > 4)
            r.s4 = load1(p, i + 4, type);
        if (n > 5)
            r.s5 = load1(p, i + 5, type);
        if (n > 6)
            r.s6 = load1(p, i + 6, type);
    }
    return r;
}

/* Elements i to i + 3, of which n are there; the rest is 0. */
static inline float4 load4(__global const float *p, long i, int n, int type)
{
    float4 r = (float4)(0.0f);
    if (n >= 4) {
#if ALIGNED
        if (type == 0)
            return *(__global const float4 *)(p + i);
#if HALF
        if (type == 1)
            return vload_half4(0, (__global const half *)p + i);
#endif
        const ushort4 h = *(__global const ushort4 *)((__global const ushort *)p + i);
        return (float4)(widen(h.x, type), widen(h.y, type), widen(h.z, type), widen(h.w, type));
#endif
        return (float4)(load1(p, i, type), load1(p, i + 1, type), load1(p, i + 2, type),
                        load1(p, i + 3, type));
    }
    if (n > 0)
        r.x = load1(p, i, type);
    if (n > 1)
        r.y = load1(p, i + 1, type);
    if (n > 2)
        r.z = load1(p, i + 2, type);
    return r;
}

static inline void store1(__global float *p, long i, int type, float x)
{
    if (type == 0)
        p[i] = canon(x);
    else
        ((__global ushort *)p)[i] = (ushort)narrow(x, type);
}

/* Elements i to i + 3, of which n are there. */
static inline void store4(__global float *p, long i, int n, int type, float4 x)
{
#if ALIGNED
    if (n >= 4 && type == 0) {
        *(__global float4 *)(p + i) = (float4)(canon(x.x), canon(x.y), canon(x.z), canon(x.w));
        return;
    }
#endif
    if (n > 0)
        store1(p, i, type, x.x);
    if (n > 1)
        store1(p, i + 1, type, x.y);
    if (n > 2)
        store1(p, i + 2, type, x.z);
    if (n > 3)
        store1(p, i + 3, type, x.w);
}
#else
/* Elements i to i + 15, of which n are there; the rest is 0. */
static inline float16 load16(__global const float *p, long i, long n, int type)
{
    union {
        float16 v;
        float e[16];
    } r;
    if (n >= 16)
        return type == 0 ? vload16(0, p + i)
                         : widen(convert_uint16(vload16(0, (__global const ushort *)p + i)), type);
    if (type == 0) {
        r.v = (float16)(0.0f);
        for (int j = 0; j < n; j++)
            r.e[j] = p[i + j];
        return r.v;
    }
    union {
        ushort16 v;
        ushort e[16];
    } h;
    h.v = (ushort16)(0);
    for (int j = 0; j < n; j++)
        h.e[j] = ((__global const ushort *)p)[i + j];
    return widen(convert_uint16(h.v), type);
}

static inline void store16(__global float *p, long i, long n, int type, float16 x)
{
    if (type == 0) {
        union {
            float16 v;
            float e[16];
        } r;
        r.v = canon(x);
        if (n >= 16)
            vstore16(r.v, 0, p + i);
        else
            for (int j = 0; j < n; j++)
                p[i + j] = r.e[j];
    } else {
        union {
            ushort16 v;
            ushort e[16];
        } h;
        h.v = convert_ushort16(narrow(x, type));
        if (n >= 16)
            vstore16(h.v, 0, (__global ushort *)p + i);
        else
            for (int j = 0; j < n; j++)
                ((__global ushort *)p)[i + j] = h.e[j];
    }
}

/* law_lane_tree: the 16 lanes to one sum. */
static inline float lane_tree16(float16 x)
{
    float8 a = x.lo + x.hi;
    float4 b = a.lo + a.hi;
    float2 c = b.lo + b.hi;
    return c.x + c.y;
}

static inline float max16(float16 x)
{
    float8 a = x.lo > x.hi ? x.lo : x.hi;
    float4 b = a.lo > a.hi ? a.lo : a.hi;
    float2 c = b.lo > b.hi ? b.lo : b.hi;
    return c.x > c.y ? c.x : c.y;
}
#endif
