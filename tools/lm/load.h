/* Tensors of a model file onto a device. */
#ifndef LM_LOAD_H
#define LM_LOAD_H

#include "model.h"

struct lm_loader {
    const struct gguf *g;
    struct anl_device *device;
    lm_progress progress;
    void *user;
    uint64_t done, total;
    size_t tensors; /* loaded so far */
    void *data;     /* a tensor as the file has it; the caller frees it in the end */
    uint64_t room;
    struct gguf_error *err;
};

/* A matrix of n rows of k, packed. */
enum lm_status lm_load_weights(struct lm_loader *l, const char *name, int64_t n, int64_t k,
                               struct anl_weights **out);

/* A vector of n f32. */
enum lm_status lm_load_vector(struct lm_loader *l, const char *name, int64_t n,
                              struct anl_buffer **out);

#endif
