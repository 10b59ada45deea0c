/* The inside of a model, for those that compute with it. */
#ifndef LM_MODEL_IMPL_H
#define LM_MODEL_IMPL_H

#include "model.h"

struct lm_block {
    struct anl_buffer *attn_norm, *ffn_norm;
    struct anl_weights *q, *k, *v, *o, *gate, *up, *down;
};

/* The weights on one device. */
struct lm_part {
    struct anl_device *device;
    struct anl_weights *embedding, *head; /* head NULL: the embedding serves */
    struct anl_buffer *norm;
    struct lm_block *block; /* shape.blocks of them */
};

struct lm_model {
    struct lm_shape shape;
    struct lm_part *part; /* n of them, one for each device */
    int n;
    const double *weights; /* of the devices, or NULL */
    uint64_t read_bytes;
};

#endif
