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
#define CPU_FEW 4 /* rows for which keys and values are not packed */

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
    int vl, mr, nr, gemv_panels;
    /* c[i][j] (rows of ldc floats) from sum_k a[i][k] b[k][j] for i < rows, which may be any number and go
     * mr at a time; j < nr, k < kn <= 512. next: a panel of the same size that is read after this, or
     * NULL: each mr rows ask for 8 * kn bytes of it. */
    void (*gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
                 enum cpu_gemm_mode mode, const void *next);
    /* The values of rows <= mr softmax rows over the first keys of a span, for one panel v of
     * [512][nr], all finite: o = the chain over keys of p v, rescaled where a row's maximum rose. p:
     * rows of CPU_LDA. */
    void (*values)(int rows, const float *p, const float *v, int keys,
                   const struct cpu_softmax *row, float *o, int64_t ldo);
    /* Span k0 .. k0 + kn of a packed panel (cpu/weights.c) as f32 [kn][nr]; returns where it lies:
     * in out, or in the panel itself if it is f32 already. */
    const float *(*unpack)(anl_dtype dtype, const void *panel, int64_t k0, int kn, float *out);
    /* One row x of k features times 1 to gemv_panels panels: out[0 .. panels * nr), unpacking in
     * registers: decoding is a matter of reading the weights. */
    void (*gemv)(anl_dtype dtype, const char *panel, uint64_t panel_bytes, int panels, int64_t k,
                 const float *x, float *out);
    /* Row i of src (f32/f16/bf16, ld elements apart) for i < rows <= 512 into panel columns:
     * out[rows / nr][d][nr]. */
    void (*pack_keys)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d, float *out);
    /* Row i of src into panels of nr columns: out[panel][span][nr] with span rows in a panel.
     * Returns, per 64 rows, a bit that is set if any value is not finite. */
    unsigned (*pack_values)(anl_dtype dtype, const void *src, int64_t ld, int rows, int d,
                            float *out);
    /* Scores of rows <= CPU_FEW queries (of CPU_LDA) with n keys of d features, ld elements apart: s, of
     * CPU_LDA, is written up to a whole vector. */
    void (*few_scores)(anl_dtype dtype, const void *keys, int64_t ld, int n, int d, int rows,
                       const float *q, float *s);
    /* As values, of rows <= CPU_FEW, from the rows of V themselves, d (whole panels of nr) wide and ld
     * floats apart. Returns 1 where some are not finite: then o is not to be used. */
    int (*few_values)(const float *v, int64_t ld, int keys, int d, int rows, const float *p,
                      const struct cpu_softmax *row, float *o, int64_t ldo);
    void (*softmax)(struct cpu_softmax *row, int rows);
    /* The linear epilogue for n elements: bias, act, gate, residual (NULL: absent), canonical. */
    void (*epilogue)(anl_act act, const float *v, const float *bias, const float *gate,
                     const float *residual, float *out, int64_t n);
    /* State (m, l, o[n]) joins the running one, which is not empty; n: whole vectors. */
    void (*merge)(float m, float l, const float *o, int n, float *run_m, float *run_l,
                  float *run_o);
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
