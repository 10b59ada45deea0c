/* annulet/linear.h: out = act(norm(x) W^T + bias) * gate + residual (docs/numerics.md, section 5). */
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
    struct anl_tensor norm;     /* [K] f32: weights by which x is first RMS-normed (annulet/norm.h), as
                                 * anl_norm() would, into f32; or absent */
    float eps;                  /* of the norm: >= 2^-100, finite */
    const struct anl_weights *w; /* [N, K] */
    struct anl_tensor bias;     /* [N] f32, or absent */
    anl_act act;
    struct anl_tensor gate;     /* [T, N] f32, or absent */
    struct anl_tensor residual; /* [T, N] f32, or absent */
    struct anl_tensor out;      /* [T, N] f32, f16 or bf16 */
};

/* out may be the very same f32 view as gate or residual; other overlap with an input is not
 * allowed and not looked for. T may be 0. With a norm, a tile of normed tokens may be kept as scratch,
 * of no more tokens than in annulet/ffn.h; on OpenCL the norm of a few tokens is part of the product's
 * launch. Scratch of the product itself: on the CPU a block per thread; on OpenCL, of GPU shape and
 * more than 8 tokens, the f32 sums of a launch's tokens, N floats each, about 256 MiB at most (none
 * where K <= 512 and there is no more than a bias and a residual to do). */
ANL_API anl_status anl_linear(struct anl_device *device, const struct anl_linear_params *params);

#ifdef __cplusplus
}
#endif
#endif
