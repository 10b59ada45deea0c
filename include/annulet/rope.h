/* annulet/rope.h: rotary position embedding (Su et al. 2021, section 3.2.2; docs/numerics.md,
 * section 5). */
#ifndef ANNULET_ROPE_H
#define ANNULET_ROPE_H

#include <annulet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_rope_table;

struct anl_rope_table_params {
    size_t size;       /* sizeof(struct anl_rope_table_params) */
    int dims;          /* rotated features per head: even, 2 to 1024 */
    double base;       /* pair i turns by position * base^(-2 i / dims); 1 < base <= 1e12 */
    int64_t positions; /* positions [0, positions) can be asked for; at most 2^30 */
};

/* Two small tables in device memory: of the multiples of 512 and of 0 to 511. The caller owns *out
 * and destroys it before the device. Threads: as the device. */
ANL_API anl_status anl_rope_table_create(struct anl_device *device,
                                         const struct anl_rope_table_params *params,
                                         struct anl_rope_table **out);

/* NULL is allowed. */
ANL_API void anl_rope_table_destroy(struct anl_rope_table *table);

typedef enum anl_rope_pairs {
    ANL_ROPE_ADJACENT = 0, /* features 2i and 2i + 1 */
    ANL_ROPE_HALF          /* features i and i + dims / 2 */
} anl_rope_pairs;

struct anl_rope_params {
    size_t size;           /* sizeof(struct anl_rope_params) */
    struct anl_tensor x;   /* [T, H, D] f32, D >= the table's dims; the rest is copied */
    const struct anl_rope_table *table;
    anl_rope_pairs pairs;
    int64_t position;      /* of token 0; token t has position + t, all inside the table */
    struct anl_tensor out; /* [T, H, D] f32, f16 or bf16; may be the same view as x */
};

ANL_API anl_status anl_rope(struct anl_device *device, const struct anl_rope_params *params);

#ifdef __cplusplus
}
#endif
#endif
