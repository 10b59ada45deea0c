/* Tensors of a model file onto a device. */
#ifndef LM_LOAD_H
#define LM_LOAD_H

#include "model.h"

struct lm_loader {
    const struct gguf *g;
    lm_progress progress;
    void *user;
    uint64_t done, total;
    size_t tensors; /* read so far */
    const struct gguf_tensor *tensor;
    void *data; /* the last tensor's bytes; the caller frees them when all is loaded */
    uint64_t room;
    struct gguf_error *err;
};

/* Reads a tensor that has exactly n rows of k, to be handed to as many devices as there are. */
enum lm_status lm_load_read(struct lm_loader *l, const char *name, int64_t n, int64_t k);

/* The tensor that was read as a matrix, packed. */
enum lm_status lm_load_weights(struct lm_loader *l, struct anl_device *device,
                               struct anl_weights **out);

/* The same as a vector of f32. */
enum lm_status lm_load_vector(struct lm_loader *l, struct anl_device *device,
                              struct anl_buffer **out);

#endif
