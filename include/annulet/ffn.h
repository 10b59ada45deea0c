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
    /* hidden = act(x gate^T + gate_bias) * (x up^T + up_bias), or act(x up^T + up_bias) if gate is
     * NULL; out = hidden down^T + down_bias + residual */
    const struct anl_weights *gate; /* [DFF, DM], or NULL */
    const struct anl_weights *up;   /* [DFF, DM] */
    const struct anl_weights *down; /* [DM, DFF] */
    struct anl_tensor gate_bias, up_bias, down_bias; /* f32, or absent */
    anl_act act;
    struct anl_tensor residual; /* [T, DM] f32, or absent */
    struct anl_tensor out;      /* [T, DM] f32, f16 or bf16; may be the same f32 view as residual */
    uint64_t scratch_limit;     /* bytes for the hidden tile; 0: a default that suits the device. At
                                 * least one token's DFF floats are always used. */
};

ANL_API anl_status anl_ffn(struct anl_device *device, const struct anl_ffn_params *params);

/* The scratch that anl_ffn() would use, in bytes; 0 for params that it would refuse. */
ANL_API uint64_t anl_ffn_scratch(struct anl_device *device, const struct anl_ffn_params *params);

#ifdef __cplusplus
}
#endif
#endif
