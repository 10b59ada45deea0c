/* Reads tensors, checks their shape against the hyperparameters and hands them to the device. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static enum lm_status device_failed(struct lm_loader *l, struct anl_device *device)
{
    snprintf(l->err->message, sizeof l->err->message, "%s", anl_device_message(device));
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

#define HUGE_PAGE ((uint64_t)2 << 20)

/* Makes room for a tensor. One block serves all of them, in huge pages where there are such: a page
 * that is seen for the first time costs more than to fill it. */
static int make_room(struct lm_loader *l, uint64_t bytes)
{
    uint64_t size = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;

    if (bytes <= l->room)
        return 0;
    free(l->data);
    l->room = 0;
    l->data = size < bytes || size > SIZE_MAX / 2 ? NULL : aligned_alloc(HUGE_PAGE, (size_t)size);
    if (!l->data)
        return -1;
#ifdef MADV_HUGEPAGE
    madvise(l->data, (size_t)size, MADV_HUGEPAGE);
#endif
    l->room = size;
    return 0;
}

enum lm_status lm_load_read(struct lm_loader *l, const char *name, int64_t n, int64_t k)
{
    const struct gguf_tensor *t;

    if (gguf_find_tensor(l->g, name, &t, l->err) != GGUF_OK)
        return LM_BAD_FILE;
    if (t->dim[0] != (uint64_t)k || gguf_n_rows(t) != (uint64_t)n) {
        snprintf(l->err->message, sizeof l->err->message,
                 "tensor %s has %llu rows of %llu, not %lld of %lld", name,
                 (unsigned long long)gguf_n_rows(t), (unsigned long long)t->dim[0], (long long)n,
                 (long long)k);
        return LM_BAD_FILE;
    }
    if (make_room(l, t->nbytes)) {
        snprintf(l->err->message, sizeof l->err->message, "tensor %s: out of memory", name);
        return LM_DEVICE;
    }
    if (gguf_tensor_read(l->g, t, 0, gguf_n_rows(t), l->data, l->err) != GGUF_OK)
        return LM_BAD_FILE;
    if (t->dtype == GGUF_F32 || t->dtype == GGUF_F16)
        to_host_order(l->data, t->nbytes, t->dtype == GGUF_F32 ? 4 : 2);
    l->done += t->nbytes;
    l->tensors++;
    if (l->progress)
        l->progress(l->user, l->done, l->total);
    l->tensor = t;
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

enum lm_status lm_load_weights(struct lm_loader *l, struct anl_device *device,
                               struct anl_weights **out)
{
    const struct gguf_tensor *t = l->tensor;
    const struct anl_weights_params p = { .size = sizeof p, .dtype = dtype_of(t->dtype),
                                          .n = (int64_t)gguf_n_rows(t), .k = (int64_t)t->dim[0],
                                          .data = l->data };
    return anl_weights_create(device, &p, out) ? device_failed(l, device) : LM_OK;
}

enum lm_status lm_load_vector(struct lm_loader *l, struct anl_device *device,
                              struct anl_buffer **out)
{
    const struct gguf_tensor *t = l->tensor;
    uint64_t bytes = t->dim[0] * sizeof(float);

    if (t->dtype != GGUF_F32) {
        snprintf(l->err->message, sizeof l->err->message, "tensor %.*s is of type %s, not F32",
                 (int)t->name_len, t->name, gguf_dtype_name(t->dtype));
        return LM_BAD_FILE;
    }
    if (anl_buffer_create(device, bytes, out) || anl_buffer_write(*out, 0, l->data, bytes))
        return device_failed(l, device);
    return LM_OK;
}
