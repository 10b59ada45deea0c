/* annulet/linear.h: out = act(x W^T + bias) * gate + residual (docs/numerics.md, section 5). */
#ifndef ANNULET_LINEAR_H
#define ANNULET_LINEAR_H

#include <annulet/tensor.h>
#include <annulet/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum anl_act {
    ANL_ACT_NONE = 0,
    ANL_ACT_RELU,
    ANL_ACT_SILU,
    ANL_ACT_GELU,     /* x/2 (1 + erf(x / sqrt 2)) */
    ANL_ACT_GELU_TANH /* its tanh approximation */
} anl_act;

struct anl_linear_params {
    size_t size;                /* sizeof(struct anl_linear_params) */
    struct anl_tensor x;        /* [T, K] f32 */
    const struct anl_weights *w; /* [N, K] */
    struct anl_tensor bias;     /* [N] f32, or absent */
    anl_act act;
    struct anl_tensor gate;     /* [T, N] f32, or absent */
    struct anl_tensor residual; /* [T, N] f32, or absent */
    struct anl_tensor out;      /* [T, N] f32, f16 or bf16 */
};

/* out may be the very same f32 view as gate or residual; other overlap with an input is not
 * allowed and not looked for. T may be 0. */
ANL_API anl_status anl_linear(struct anl_device *device, const struct anl_linear_params *params);

#ifdef __cplusplus
}
#endif
#endif
