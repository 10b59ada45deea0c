/* cpu/kernels.h: what each instruction set's build of the kernels gives to the rest of the backend.
 *
 * A "panel" is NR columns of a matrix, [k][NR] f32 with k ascending: the form in which the matrix
 * kernel reads its right-hand side. Its left-hand side is rows of CPU_LDA floats, a constant, so
 * that rows are addressed without arithmetic and fall into different cache sets. */
#ifndef ANL_CPU_KERNELS_H
#define ANL_CPU_KERNELS_H

#include <stdint.h>

#include "src/backend.h"

#define CPU_LDA 528 /* SPAN + 16 */
#define CPU_MAX_MR 12
#define CPU_MAX_NR 32

/* What to do with the chain's result for a tile of C. */
enum cpu_gemm_mode {
    CPU_GEMM_STORE, /* C = chain from +0 */
    CPU_GEMM_ADD,   /* C = C + chain from +0 (the next span of a contraction) */
    CPU_GEMM_CHAIN  /* C = chain from C (more keys of a block or span) */
};

/* One row's softmax over (a part of) one span. */
struct cpu_softmax {
    float *score;  /* in: scores of n keys (up to 64-key blocks, padded); out: p */
    int n;         /* visible by the mask: keys [0, n) */
    int blocks;    /* blocks of score to fill, at least ceil(n / 64) */
    int empty;     /* out: no visible key */
    float m, l;    /* out */
    float rescale[8]; /* out, per block: factor for o before the block joins; 1: none */
    uint64_t visible[8]; /* out, if want_visible: bit j: key j of the block is visible */
    int want_visible;
};

struct cpu_kernels {
    const char *name;
    int vl, mr, nr;
    /* c[i][j] (rows of ldc floats) from sum_k a[i][k] b[k][j] for i < rows <= mr, j < nr, k < kn <= 512 */
    void (*gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
                 enum cpu_gemm_mode mode);
    /* Span k0 .. k0 + kn of a packed panel (cpu/weights.c) as f32 [kn][nr]; returns where it lies:
     * in out, or in the panel itself if it is f32 already. */
    const float *(*unpack)(anl_dtype dtype, const void *panel, int64_t k0, int kn, float *out);
    /* One row x of k features times two panels (second: 1) or one: out[0 .. 2 nr), unpacking in
     * registers: decoding is a matter of reading the weights. */
    void (*gemv)(anl_dtype dtype, const char *panel, uint64_t panel_bytes, int second, int64_t k,
                 const float *x, float *out);
    /* Row i of src (f32/f16/bf16, ld elements apart) for i < rows into panel columns: [d][nr]. */
    void (*pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);
    /* Row i of src into panels of nr columns: out[panel][span][nr] with span rows in a panel.
     * Returns, per 64 rows, a bit that is set if any value is not finite. */
    unsigned (*pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d,
                            float *out);
    void (*softmax)(struct cpu_softmax *row);
    /* The linear epilogue for n elements: bias, act, gate, residual (NULL: absent), canonical. */
    void (*epilogue)(anl_act act, const float *v, const float *bias, const float *gate,
                     const float *residual, float *out, int64_t n);
    /* o = kept and other's merge: out[i] = fma(other[i], factor, kept[i]) */
    void (*join)(const float *other, float factor, const float *kept, float *out, int n);
    /* out[i] = canon(x[i] * f) and its uncanonical twin */
    void (*scale_store)(const float *x, float f, float *out, int n);
    void (*scale)(const float *x, float f, float *out, int n);
    float (*recip)(float x);
    void (*norm)(const float *x, const float *w, float eps, float *out, int64_t n);
    /* One token: heads of x (ldx floats apart) turned by position's angles. */
    void (*rope)(const struct anl_rope_table *table, int64_t position, anl_rope_pairs pairs,
                 const float *x, int64_t ldx, float *out, int64_t ldo, int64_t heads, int64_t d);
    float (*xent)(const float *logits, int64_t n, float target_logit);
    /* Narrows n floats: out are u16 */
    void (*narrow)(anl_dtype dtype, const float *x, uint16_t *out, int64_t n);
};

extern const struct cpu_kernels anl_k_generic_table;
#ifdef ANL_CPU_HAS_AVX2
extern const struct cpu_kernels anl_k_avx2_table;
extern const struct cpu_kernels anl_k_avx512_table;
#endif
#ifdef ANL_CPU_HAS_NEON
extern const struct cpu_kernels anl_k_neon_table;
#endif

#endif
