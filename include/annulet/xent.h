/* annulet/xent.h: cross-entropy of logits: out[t] = log(sum_n exp(logits[t, n])) - logits[t, target[t]]
 * (docs/numerics.md, sections 3 and 5: the softmax state over the vocabulary). */
#ifndef ANNULET_XENT_H
#define ANNULET_XENT_H

#include <annulet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_xent_params {
    size_t size;              /* sizeof(struct anl_xent_params) */
    struct anl_tensor logits; /* [T, N] f32 */
    const int32_t *targets;   /* host memory, T of them, copied; each in [0, N) */
    struct anl_tensor out;    /* [T] f32, nats */
};

ANL_API anl_status anl_xent(struct anl_device *device, const struct anl_xent_params *params);

#ifdef __cplusplus
}
#endif
#endif
