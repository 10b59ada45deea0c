/* annulet/embed.h: rows of a matrix by token id. */
#ifndef ANNULET_EMBED_H
#define ANNULET_EMBED_H

#include <annulet/tensor.h>
#include <annulet/weights.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_embed_params {
    size_t size;        /* sizeof(struct anl_embed_params) */
    const int32_t *ids; /* host memory, T of them, copied; each in [0, N) */
    const struct anl_weights *table; /* [N, DM]; may serve anl_linear() as well */
    struct anl_tensor out;           /* [T, DM] f32 */
};

ANL_API anl_status anl_embed(struct anl_device *device, const struct anl_embed_params *params);

#ifdef __cplusplus
}
#endif
#endif
