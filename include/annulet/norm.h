/* annulet/norm.h: RMSNorm (Zhang and Sennrich 2019, equation 4): out = x / sqrt(mean(x^2) + eps) * w
 * (docs/numerics.md, section 5). */
#ifndef ANNULET_NORM_H
#define ANNULET_NORM_H

#include <annulet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_norm_params {
    size_t size;         /* sizeof(struct anl_norm_params) */
    struct anl_tensor x; /* [T, DM] f32 */
    struct anl_tensor w; /* [DM] f32 */
    float eps;           /* >= 2^-100, finite */
    struct anl_tensor out; /* [T, DM] f32; may be the same view as x */
};

ANL_API anl_status anl_norm(struct anl_device *device, const struct anl_norm_params *params);

#ifdef __cplusplus
}
#endif
#endif
