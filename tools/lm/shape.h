/* Hyperparameters of a llama-architecture model from its file's metadata, checked. */
#ifndef LM_SHAPE_H
#define LM_SHAPE_H

#include "model.h"

enum lm_status lm_shape_read(const struct gguf *g, struct lm_shape *out, struct gguf_error *err);

#endif
