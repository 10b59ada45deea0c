/* The inside of a model, for model.c and session.c. */
#ifndef LM_MODEL_IMPL_H
#define LM_MODEL_IMPL_H

#include "model.h"

struct lm_block {
    struct anl_buffer *attn_norm, *ffn_norm;
    struct anl_weights *q, *k, *v, *o, *gate, *up, *down;
};

struct lm_model {
    struct anl_device *device;
    struct lm_shape shape;
    struct anl_weights *embedding, *head; /* head NULL: the embedding serves */
    struct anl_buffer *norm;
    struct lm_block *block; /* shape.blocks of them */
    uint64_t read_bytes;
};

#endif
