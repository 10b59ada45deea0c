/* Reads tensors, checks their shape against the hyperparameters and hands them to the device. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static enum lm_status device_failed(struct lm_loader *l)
{
    snprintf(l->err->message, sizeof l->err->message, "%s", anl_device_message(l->device));
    return LM_DEVICE;
}

/* Floats lie little-endian in the file and are wanted in the host's order. */
static void to_host_order(void *data, uint64_t bytes, size_t width)
{
    const uint16_t one = 1;
    uint8_t *p = data;

    if (*(const uint8_t *)&one)
        return;
    for (uint64_t i = 0; i < bytes; i += width)
        for (size_t a = 0, b = width - 1; a < b; a++, b--) {
            uint8_t t = p[i + a];
            p[i + a] = p[i + b];
            p[i + b] = t;
        }
}

/* The tensor's bytes, if it has exactly n rows of k; the caller frees *data. */
static enum lm_status read_tensor(struct lm_loader *l, const char *name, int64_t n, int64_t k,
                                  const struct gguf_tensor **tensor, void **data)
{
    const struct gguf_tensor *t;

    *data = NULL;
    if (gguf_find_tensor(l->g, name, &t, l->err) != GGUF_OK)
        return LM_BAD_FILE;
    if (t->dim[0] != (uint64_t)k || gguf_n_rows(t) != (uint64_t)n) {
        snprintf(l->err->message, sizeof l->err->message,
                 "tensor %s has %llu rows of %llu, not %lld of %lld", name,
                 (unsigned long long)gguf_n_rows(t), (unsigned long long)t->dim[0], (long long)n,
                 (long long)k);
        return LM_BAD_FILE;
    }
    *data = malloc(t->nbytes ? t->nbytes : 1);
    if (!*data) {
        snprintf(l->err->message, sizeof l->err->message, "tensor %s: out of memory", name);
        return LM_DEVICE;
    }
    if (gguf_tensor_read(l->g, t, 0, gguf_n_rows(t), *data, l->err) != GGUF_OK)
        return LM_BAD_FILE;
    if (t->dtype == GGUF_F32 || t->dtype == GGUF_F16)
        to_host_order(*data, t->nbytes, t->dtype == GGUF_F32 ? 4 : 2);
    l->done += t->nbytes;
    l->tensors++;
    if (l->progress)
        l->progress(l->user, l->done, l->total);
    *tensor = t;
    return LM_OK;
}

static anl_dtype dtype_of(enum gguf_dtype d)
{
    switch (d) {
    case GGUF_F32:
        break;
    case GGUF_F16:
        return ANL_F16;
    case GGUF_Q4_0:
        return ANL_Q4_0;
    case GGUF_Q4_1:
        return ANL_Q4_1;
    case GGUF_Q8_0:
        return ANL_Q8_0;
    }
    return ANL_F32;
}

enum lm_status lm_load_weights(struct lm_loader *l, const char *name, int64_t n, int64_t k,
                               struct anl_weights **out)
{
    const struct gguf_tensor *t = NULL;
    void *data;
    enum lm_status s = read_tensor(l, name, n, k, &t, &data);

    if (!s) {
        struct anl_weights_params p = { .size = sizeof p, .dtype = dtype_of(t->dtype), .n = n,
                                        .k = k, .data = data };
        if (anl_weights_create(l->device, &p, out))
            s = device_failed(l);
    }
    free(data);
    return s;
}

enum lm_status lm_load_vector(struct lm_loader *l, const char *name, int64_t n,
                              struct anl_buffer **out)
{
    const struct gguf_tensor *t = NULL;
    void *data;
    enum lm_status s = read_tensor(l, name, 1, n, &t, &data);

    if (!s && t->dtype != GGUF_F32) {
        snprintf(l->err->message, sizeof l->err->message, "tensor %s is of type %s, not F32", name,
                 gguf_dtype_name(t->dtype));
        s = LM_BAD_FILE;
    }
    if (!s && (anl_buffer_create(l->device, (uint64_t)n * sizeof(float), out) ||
               anl_buffer_write(*out, 0, data, (uint64_t)n * sizeof(float))))
        s = device_failed(l);
    free(data);
    return s;
}
