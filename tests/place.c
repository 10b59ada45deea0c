/* tests/place.c: see place.h. */
#include "tests/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void place_begin(struct place *p, struct anl_device *device, const struct place_options *options)
{
    memset(p, 0, sizeof *p);
    p->device = device;
    if (options != NULL)
        p->options = *options;
}

void place_note(struct place *p, anl_status status)
{
    if (p->status != ANL_OK || status == ANL_OK)
        return;
    p->status = status;
    snprintf(p->message, sizeof p->message, "%s", anl_device_message(p->device));
}

static void run_call(struct place *p, const struct place_call *call)
{
    if (p->status != ANL_OK)
        return;
    if (p->options.instead != NULL)
        p->options.instead(p->options.user, p, call);
    else
        place_note(p, call->op(p->device, call->params));
}

void place_run(struct place *p, anl_status (*op)(struct anl_device *device, const void *params),
               const void *params, const struct anl_tensor *out)
{
    const struct place_call call = { op, params, 1, { out } };
    run_call(p, &call);
}

void place_run_outs(struct place *p, anl_status (*op)(struct anl_device *device, const void *params),
                    const void *params, struct anl_tensor *const *out, int outs)
{
    struct place_call call = { op, params, outs, { NULL } };
    for (int i = 0; i < outs; i++)
        call.out[i] = out[i];
    run_call(p, &call);
}

/* Strides and offset of the layout; returns the bytes that the buffer needs. */
static uint64_t lay_out(struct anl_tensor *t, enum place_layout layout)
{
    uint64_t size = gen_dtype_size(t->dtype);
    int order[4] = { 0, 1, 2, 3 }; /* outermost first in memory */
    int64_t stride = 1, pad = layout == PLACE_TIGHT ? 0 : 3;
    if (pad != 0 && t->ndim == 4) {
        order[1] = 2;
        order[2] = 1;
    }
    for (int i = t->ndim - 1; i >= 0; i--) {
        int d = order[i];
        t->stride[d] = stride;
        stride *= t->dim[d] > 0 ? t->dim[d] : 1;
        if (i == t->ndim - 1)
            stride += pad;
    }
    t->offset = layout == PLACE_TIGHT ? 0 : 3 * size;
    return ((uint64_t)stride * size + t->offset + 8) & ~(uint64_t)3;
}

static struct anl_buffer *new_buffer(struct place *p, uint64_t size)
{
    struct anl_buffer *buffer = NULL;
    if (p->count == PLACE_MAX) {
        place_note(p, ANL_E_ARGUMENT);
        return NULL;
    }
    if (p->options.layout == PLACE_WRAPPED) {
        /* one word past an aligned address */
        uint32_t *memory = gen_alloc(1, (size_t)size + 4);
        p->memory[p->count] = memory;
        place_note(p, anl_buffer_wrap(p->device, memory + 1, size, &buffer));
    } else {
        place_note(p, anl_buffer_create(p->device, size, &buffer));
    }
    p->buffer[p->count++] = buffer;
    return buffer;
}

/* Visits the rows (along the last dimension) of a view in row-major order. */
struct row_walk {
    int64_t index[4];
    int64_t rows, row;
};

static void walk_begin(struct row_walk *w, const struct anl_tensor *t)
{
    memset(w, 0, sizeof *w);
    w->rows = 1;
    for (int i = 0; i < t->ndim - 1; i++)
        w->rows *= t->dim[i];
}

static uint64_t walk_offset(const struct row_walk *w, const struct anl_tensor *t)
{
    int64_t at = 0;
    for (int i = 0; i < t->ndim - 1; i++)
        at += w->index[i] * t->stride[i];
    return t->offset + (uint64_t)at * gen_dtype_size(t->dtype);
}

static void walk_next(struct row_walk *w, const struct anl_tensor *t)
{
    w->row++;
    for (int i = t->ndim - 2; i >= 0; i--) {
        if (++w->index[i] < t->dim[i])
            return;
        w->index[i] = 0;
    }
}

static void fill_words(uint8_t *image, uint64_t bytes, uint32_t word)
{
    for (uint64_t i = 0; i < bytes; i += 4)
        memcpy(image + i, &word, 4);
}

struct anl_tensor place_tensor(struct place *p, const void *host, anl_dtype dtype, int ndim,
                               const int64_t *dim)
{
    struct anl_tensor t = { NULL, 0, dtype, ndim, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } };
    memcpy(t.dim, dim, (size_t)ndim * sizeof *dim);
    uint64_t bytes = lay_out(&t, p->options.layout);
    if (p->status != ANL_OK || (t.buffer = new_buffer(p, bytes)) == NULL)
        return t;
    uint8_t *image = gen_alloc(1, (size_t)bytes);
    fill_words(image, bytes, p->options.fill);
    size_t row_bytes = (size_t)dim[ndim - 1] * gen_dtype_size(dtype);
    struct row_walk w;
    walk_begin(&w, &t);
    for (; host != NULL && row_bytes > 0 && w.row < w.rows; walk_next(&w, &t))
        memcpy(image + walk_offset(&w, &t), (const uint8_t *)host + (size_t)w.row * row_bytes,
               row_bytes);
    place_note(p, anl_buffer_write(t.buffer, 0, image, bytes));
    free(image);
    return t;
}

void place_fetch(struct place *p, const struct anl_tensor *t, void *host)
{
    if (p->status != ANL_OK)
        return;
    uint64_t bytes = anl_buffer_size(t->buffer);
    uint8_t *image = gen_alloc(1, (size_t)bytes), *around = gen_alloc(1, (size_t)bytes);
    place_note(p, anl_buffer_read(t->buffer, 0, image, bytes));
    fill_words(around, bytes, p->options.fill);
    size_t row_bytes = (size_t)t->dim[t->ndim - 1] * gen_dtype_size(t->dtype);
    struct row_walk w;
    walk_begin(&w, t);
    for (; row_bytes > 0 && w.row < w.rows; walk_next(&w, t)) {
        uint64_t at = walk_offset(&w, t);
        memcpy((uint8_t *)host + (size_t)w.row * row_bytes, image + at, row_bytes);
        memcpy(around + at, image + at, row_bytes);
    }
    if (memcmp(image, around, (size_t)bytes) != 0)
        p->damaged = 1;
    free(image);
    free(around);
}

struct anl_weights *place_weights(struct place *p, anl_dtype dtype, int64_t n, int64_t k,
                                  const void *data)
{
    struct anl_weights *weights = NULL;
    size_t tight = gen_row_bytes(dtype, k);
    struct anl_weights_params params = { .size = sizeof params, .dtype = dtype, .n = n, .k = k,
                                         .data = data };
    uint8_t *padded = NULL;
    if (p->status != ANL_OK)
        return NULL;
    if (p->options.layout != PLACE_TIGHT) {
        size_t row = tight + 4 * gen_dtype_size(dtype);
        padded = gen_alloc((size_t)n, row);
        memset(padded, 0xff, (size_t)n * row);
        for (int64_t i = 0; i < n; i++)
            memcpy(padded + (size_t)i * row, (const uint8_t *)data + (size_t)i * tight, tight);
        params.data = padded;
        params.row_bytes = row;
    }
    place_note(p, anl_weights_create(p->device, &params, &weights));
    free(padded);
    return weights;
}

anl_status place_end(struct place *p)
{
    for (int i = 0; i < p->count; i++) {
        anl_buffer_destroy(p->buffer[i]);
        free(p->memory[i]);
    }
    p->count = 0;
    return p->status;
}
