/* annulet/qkv.h: what attention reads, of one layer's input: norm, the three projections, rotary
 * embedding. Equal to its parts (anl_norm(), anl_linear(), anl_rope()) bit for bit (docs/numerics.md,
 * section 5); on OpenCL a few tokens take one launch. */
#ifndef ANNULET_QKV_H
#define ANNULET_QKV_H

#include <annulet/rope.h>
#include <annulet/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_qkv_params {
    size_t size;            /* sizeof(struct anl_qkv_params) */
    struct anl_tensor x;    /* [T, DM] f32 */
    struct anl_tensor norm; /* [DM] f32: x is first RMS-normed by these weights; or absent */
    float eps;              /* of the norm: >= 2^-100, finite */
    const struct anl_weights *wq; /* [H * D, DM] */
    const struct anl_weights *wk; /* [HKV * D, DM] */
    const struct anl_weights *wv; /* [HKV * DV, DM] */
    struct anl_tensor q_bias, k_bias, v_bias; /* f32, as many elements as the weights have rows; or
                                               * absent */
    const struct anl_rope_table *table; /* turns q and k; or NULL */
    anl_rope_pairs pairs;
    int64_t position; /* of token 0; token t has position + t, all inside the table */
    /* The results: the heads of a token follow each other, tokens may be any stride apart. */
    struct anl_tensor q; /* [T, H, D] f32 */
    struct anl_tensor k; /* [T, HKV, D] f32, f16 or bf16 */
    struct anl_tensor v; /* [T, HKV, DV] f32, f16 or bf16 */
};

/* D is at least the table's dims. T may be 0. The results overlap neither each other nor an input.
 * Scratch, where the parts are calls of their own: a tile of tokens' normed x, and of k if that is
 * narrowed; of no more tokens than in annulet/ffn.h. */
ANL_API anl_status anl_qkv(struct anl_device *device, const struct anl_qkv_params *params);

#ifdef __cplusplus
}
#endif
#endif
