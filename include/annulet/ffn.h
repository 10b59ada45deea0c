/* annulet/ffn.h: fused feedforward: the hidden layer exists for a tile of tokens only (mini-sequence,
 * Luo et al. 2024, section 3.1; blockwise, Liu and Abbeel 2023, section 3). Equal to its parts bit for
 * bit (docs/numerics.md, section 5). */
#ifndef ANNULET_FFN_H
#define ANNULET_FFN_H

#include <annulet/linear.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_ffn_params {
    size_t size;         /* sizeof(struct anl_ffn_params) */
    struct anl_tensor x; /* [T, DM] f32 */
    struct anl_tensor norm; /* [DM] f32: x is first RMS-normed by these weights, as in
                             * annulet/linear.h; or absent */
    float eps;           /* of the norm */
    /* hidden = act(x gate^T + gate_bias) * (x up^T + up_bias), or act(x up^T + up_bias) if gate is
     * NULL; out = hidden down^T + down_bias + residual */
    const struct anl_weights *gate; /* [DFF, DM], or NULL */
    const struct anl_weights *up;   /* [DFF, DM] */
    const struct anl_weights *down; /* [DM, DFF] */
    struct anl_tensor gate_bias, up_bias, down_bias; /* f32, or absent */
    anl_act act;
    struct anl_tensor residual; /* [T, DM] f32, or absent */
    struct anl_tensor out;      /* [T, DM] f32, f16 or bf16; out and
                                 * residual may be the same f32 view, and that of x */
    uint64_t scratch_limit;     /* bytes for a tile of tokens' hidden (and normed x), and for no more
                                 * than that; 0: a default that suits the device: at most 512 tokens' on
                                 * the CPU, on OpenCL at most 8,192 tokens' and 128 MiB. At least one
                                 * token's DFF (+ DM) floats are always used. */
};

ANL_API anl_status anl_ffn(struct anl_device *device, const struct anl_ffn_params *params);

/* The bytes that anl_ffn() would take for a tile of tokens' hidden (and normed x), within scratch_limit;
 * 0 for params that it would refuse. The scratch of its products, that of anl_linear() of a tile's
 * tokens, comes on top: anl_device_get_memory() tells all. */
ANL_API uint64_t anl_ffn_scratch(struct anl_device *device, const struct anl_ffn_params *params);

#ifdef __cplusplus
}
#endif
#endif
