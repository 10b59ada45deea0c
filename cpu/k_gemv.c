/* cpu/k_gemv.c: one row times panels of packed weights. The same chains as the matrix kernel's, but a
 * weight goes from its stored form to the sum without leaving the registers. */
#include "cpu/vec.h"

void K(gemv)(anl_dtype dtype, const char *panel, uint64_t panel_bytes, int panels, int64_t k,
             const float *x, float *out);

#define MAX_VECS (2 * GEMV_PANELS)

/* The first of a few panels. */
struct source {
    const char *panel;
    uint64_t panel_bytes;
};

/* The v-th vector's panel, at a 32-block (or k, for floats) of so many bytes a row. */
static inline const uint8_t *block_at(const struct source *s, int v, int64_t block, int64_t bytes)
{
    return (const uint8_t *)s->panel + (v / 2) * s->panel_bytes + block * bytes * GEMM_NR;
}

static inline vf scale_at(const uint8_t *block, int v, int which)
{
    const uint16_t *h = (const uint16_t *)(const void *)block;
    return v_load_f16(h + which * GEMM_NR + v % 2 * VL);
}

/* d * q + m, or (q + m) * d, m being -8. */
static inline vf weight_q4(vf q, vf d, vf m, int offset)
{
    if (offset)
        return v_fma(d, q, m);
    return d * (q + m);
}

/* Each takes 32 k from block on, x at its first; acc[v] are the chains. */
static inline __attribute__((always_inline)) void step_q4(const struct source *s, int vecs,
                                                          int64_t block, const float *x, vf *acc,
                                                          int offset)
{
    int64_t bytes = offset ? 20 : 18;
    const uint8_t *words[MAX_VECS];
    vf d[MAX_VECS], m[MAX_VECS];

#pragma GCC unroll 8
    for (int v = 0; v < vecs; v++) {
        const uint8_t *b = block_at(s, v, block, bytes);
        d[v] = scale_at(b, v, 0);
        m[v] = offset ? scale_at(b, v, 1) : v_splat(-8.0f);
        words[v] = b + (offset ? 4 : 2) * GEMM_NR + v % 2 * VL * 4;
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++)
        for (int w = 0; w < 4; w++, x += 4) {
#pragma GCC unroll 8
            for (int v = 0; v < vecs; v++) {
                vu q = v_load_u32(words[v] + w * GEMM_NR * 4) >> 4 * half, q2 = q >> 16;
#pragma GCC unroll 4
                for (int k = 0; k < 4; k++) {
                    vf n = v_nibble(k < 2 ? q : q2, k % 2 * 8);
                    acc[v] = v_fma(v_splat(x[k]), weight_q4(n, d[v], m[v], offset), acc[v]);
                }
            }
        }
}

static inline __attribute__((always_inline)) void step_q8(const struct source *s, int vecs,
                                                          int64_t block, const float *x, vf *acc)
{
    const uint8_t *q[MAX_VECS];
    vf d[MAX_VECS];

#pragma GCC unroll 8
    for (int v = 0; v < vecs; v++) {
        const uint8_t *b = block_at(s, v, block, 34);
        d[v] = scale_at(b, v, 0);
        q[v] = b + 2 * GEMM_NR + v % 2 * VL;
    }
    for (int k = 0; k < 32; k++) {
        vf xk = v_splat(x[k]);
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++)
            acc[v] = v_fma(xk, d[v] * v_toflt(v_load_s8(q[v] + k * GEMM_NR)), acc[v]);
    }
}

static inline __attribute__((always_inline)) void step_float(const struct source *s, int vecs,
                                                             int64_t k0, int kn, const float *x,
                                                             vf *acc, anl_dtype dtype)
{
    int size = dtype == ANL_F32 ? 4 : 2;

    for (int k = 0; k < kn; k++) {
        vf xk = v_splat(x[k]);
#pragma GCC unroll 8
        for (int v = 0; v < vecs; v++) {
            const char *p = (const char *)block_at(s, v, k0 + k, size) + v % 2 * VL * size;
            vf w = dtype == ANL_F32   ? v_load((const float *)(const void *)p)
                   : dtype == ANL_F16 ? v_load_f16((const uint16_t *)(const void *)p)
                                      : law_bf16_to_f32(v_load_u16((const uint16_t *)(const void *)p));
            acc[v] = v_fma(xk, w, acc[v]);
        }
    }
}

#define AHEAD 8 /* blocks */

/* Asks for the block that comes AHEAD blocks later, of each panel, or of the panels that come next: a
 * hint, not a read, for it may lie past the end. Panels of four bits are too short a stream for the
 * hardware (those of eight bits were no faster with it). */
static inline __attribute__((always_inline)) void fetch(const struct source *s, int vecs,
                                                        int64_t block, int64_t bytes)
{
    int64_t all = (int64_t)s->panel_bytes / (bytes * GEMM_NR), next = (block + AHEAD) / all;
    uintptr_t p = (uintptr_t)s->panel + (uint64_t)(next * vecs / 2) * s->panel_bytes +
                  (uint64_t)((block + AHEAD - next * all) * bytes) * GEMM_NR;

    for (int v = 0; v < vecs; v += 2, p += s->panel_bytes)
        for (int64_t i = 0; i < bytes * GEMM_NR; i += 64)
            __builtin_prefetch((const char *)p + i);
}

/* All spans; vecs and dtype are constants where this is inlined. */
static inline __attribute__((always_inline)) void run(const anl_dtype dtype,
                                                      const struct source *s, const int vecs,
                                                      int64_t k, const float *x, float *out)
{
    for (int64_t k0 = 0; k0 < k; k0 += LAW_SPAN) {
        int kn = (int)(k - k0 < LAW_SPAN ? k - k0 : LAW_SPAN);
        vf acc[MAX_VECS];

        for (int v = 0; v < vecs; v++)
            acc[v] = v_splat(0.0f);
        if (dtype == ANL_F32 || dtype == ANL_F16 || dtype == ANL_BF16)
            step_float(s, vecs, k0, kn, x + k0, acc, dtype);
        for (int i = 0; dtype >= ANL_Q8_0 && i < kn; i += 32) {
            if (dtype == ANL_Q8_0) {
                step_q8(s, vecs, (k0 + i) / 32, x + k0 + i, acc);
                continue;
            }
            fetch(s, vecs, (k0 + i) / 32, dtype == ANL_Q4_1 ? 20 : 18);
            step_q4(s, vecs, (k0 + i) / 32, x + k0 + i, acc, dtype == ANL_Q4_1);
        }
        for (int v = 0; v < vecs; v++) {
            if (k0)
                acc[v] = v_load(out + v * VL) + acc[v];
            v_store(out + v * VL, acc[v]);
        }
    }
}

static inline __attribute__((always_inline)) void pick(const anl_dtype dtype,
                                                       const struct source *s, int panels,
                                                       int64_t k, const float *x, float *out)
{
    switch (panels) {
#if GEMV_PANELS > 2
    case 4:
        run(dtype, s, 8, k, x, out);
        break;
    case 3:
        run(dtype, s, 6, k, x, out);
        break;
#endif
    case 2:
        run(dtype, s, 4, k, x, out);
        break;
    default:
        run(dtype, s, 2, k, x, out);
        break;
    }
}

void K(gemv)(anl_dtype dtype, const char *panel, uint64_t panel_bytes, int panels, int64_t k,
             const float *x, float *out)
{
    struct source s = { panel, panel_bytes };

    switch (dtype) {
    case ANL_F32:
        pick(ANL_F32, &s, panels, k, x, out);
        break;
    case ANL_F16:
        pick(ANL_F16, &s, panels, k, x, out);
        break;
    case ANL_BF16:
        pick(ANL_BF16, &s, panels, k, x, out);
        break;
    case ANL_Q8_0:
        pick(ANL_Q8_0, &s, panels, k, x, out);
        break;
    case ANL_Q4_1:
        pick(ANL_Q4_1, &s, panels, k, x, out);
        break;
    case ANL_Q4_0:
        pick(ANL_Q4_0, &s, panels, k, x, out);
        break;
    }
}
