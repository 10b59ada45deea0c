/* cl/vec.cl: the law's vector operations (see law/num.h) in OpenCL C 1.2: one lane (GPU-shaped
 * kernels), or 16 (-DVW=16, CPU-shaped). */
#pragma OPENCL FP_CONTRACT OFF
#ifndef VW
#define VW 1
#endif
#if VW == 1
typedef float vf;
typedef uint vu;
#define V_(f) f
#else
typedef float16 vf;
typedef uint16 vu;
#define V_(f) f##16
#endif

static inline vf v_splat(float x) { return (vf)(x); }
static inline vu v_splatu(uint x) { return (vu)(x); }
static inline vf v_fma(vf a, vf b, vf c) { return fma(a, b, c); }
static inline vf v_rint(vf x) { return rint(x); }
static inline vf v_ceil(vf x) { return ceil(x); }
static inline vu v_bits(vf x) { return V_(as_uint)(x); }
static inline vf v_float(vu x) { return V_(as_float)(x); }
static inline vu v_toint(vf x) { return V_(as_uint)(V_(convert_int)(x)); }
static inline vf v_toflt(vu x) { return V_(convert_float)(V_(as_int)(x)); }
static inline vf v_selgt(vf a, vf b, vf x, vf y) { return a > b ? x : y; }
static inline vf v_selnan(vf a, vf x, vf y) { return a != a ? x : y; }
