/* annulet/weights.h: a matrix packed once for a device, so that no call packs again. */
#ifndef ANNULET_WEIGHTS_H
#define ANNULET_WEIGHTS_H

#include <annulet/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_weights;

/* data: N rows of K elements in host memory, row n at data + n * row_bytes. f32, f16 and bf16 are in
 * the host's byte order; quantised rows are GGUF blocks (annulet/base.h), K a multiple of 32. */
struct anl_weights_params {
    size_t size; /* sizeof(struct anl_weights_params) */
    anl_dtype dtype;
    int64_t n, k; /* output features (rows), input features (columns); 1 to 2^31 - 1 each */
    const void *data;
    uint64_t row_bytes; /* 0: rows follow each other */
};

/* Copies and packs; data may be freed on return. A quantised matrix stays quantised in memory. The
 * caller owns *out and destroys it before the device. Threads: as the device. */
ANL_API anl_status anl_weights_create(struct anl_device *device,
                                      const struct anl_weights_params *params,
                                      struct anl_weights **out);

/* NULL is allowed. */
ANL_API void anl_weights_destroy(struct anl_weights *weights);

#ifdef __cplusplus
}
#endif
#endif
