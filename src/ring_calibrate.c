/* src/ring_calibrate.c: how fast the devices of a ring are, where the caller does not say: each computes
 * attention for a moment, all of them at once, since devices may share a machine. */
#include <string.h>

#include "src/ring.h"

#define MOMENT 0.03 /* seconds */

/* A device is measured at the first size that takes it MOMENT / 4, or at the last one. */
static const struct size {
    int64_t heads, queries, keys;
} sizes[] = { { 1, 64, 512 }, { 1, 512, 1024 }, { 4, 1024, 2048 }, { 8, 2048, 4096 },
            { 16, 4096, 8192 } };
#define SIZES (int)(sizeof sizes / sizeof *sizes)
#define DIM 64

struct call {
    struct anl_buffer *q, *k, *v, *out;
    struct anl_kv_piece piece;
    struct anl_attn_params p;
};

static anl_status zeros(struct anl_device *d, int64_t heads, int64_t rows, struct anl_buffer **buffer,
                        struct anl_tensor *view)
{
    const uint64_t part = 1 << 20, bytes = (uint64_t)(heads * rows * DIM) * sizeof(float);
    char *zero = anl_context_alloc(d->context, part, 64);
    anl_status s = zero ? d->backend->buffer_create(d, bytes, ANL_FOR_SCRATCH, NULL, buffer) : ANL_E_MEMORY;

    if (zero)
        memset(zero, 0, part);
    for (uint64_t at = 0; !s && at < bytes; at += part)
        s = anl_buffer_write(*buffer, at, zero, bytes - at < part ? bytes - at : part);
    anl_context_free(d->context, zero);
    *view = anl_tensor_4d(*buffer, 0, ANL_F32, 1, heads, rows, DIM);
    return s;
}

static anl_status make_call(struct anl_device *d, const struct size *size, struct call *c)
{
    anl_status s;

    *c = (struct call){ .p = { .size = sizeof c->p, .pieces = &c->piece, .n_pieces = 1 } };
    s = zeros(d, size->heads, size->queries, &c->q, &c->p.q);
    if (!s)
        s = zeros(d, size->heads, size->queries, &c->out, &c->p.out);
    if (!s)
        s = zeros(d, size->heads, size->keys, &c->k, &c->piece.k);
    return s ? s : zeros(d, size->heads, size->keys, &c->v, &c->piece.v);
}

static void free_call(struct call *c)
{
    anl_buffer_destroy(c->q);
    anl_buffer_destroy(c->k);
    anl_buffer_destroy(c->v);
    anl_buffer_destroy(c->out);
}

/* Calls for at least so many seconds; *rate is that of all of them. */
static anl_status repeat(struct anl_device *d, const struct size *size, const struct call *c, double least,
                         double *rate)
{
    double begin = anl_ring_now(), seconds, calls = 0;
    anl_status s = ANL_OK;

    do {
        s = anl_attn(d, &c->p);
        if (!s)
            s = anl_device_finish(d);
        calls++;
        seconds = anl_ring_now() - begin;
    } while (!s && seconds < least);
    *rate = calls * (double)(size->heads * size->queries * size->keys) / (seconds > 1e-9 ? seconds : 1e-9);
    return s;
}

/* The device's size; programs are built and memory is touched on the way. */
static anl_status find_size(void *user, int index, struct anl_device *d)
{
    struct anl_ring_trial *t = &((struct anl_ring *)user)->workers[index].trial;
    anl_status s = ANL_OK;

    for (int i = 0; !s && i < SIZES; i++) {
        const struct size *size = &sizes[i];
        struct call c;
        double rate = 0;
        s = make_call(d, size, &c);
        for (int round = 0; !s && round < 2; round++) /* the first one is the slower */
            s = repeat(d, size, &c, 0, &rate);
        free_call(&c);
        if (s == ANL_E_MEMORY && i > 0)
            return ANL_OK;
        t->size = i;
        if (!s && (double)(size->heads * size->queries * size->keys) / rate >= MOMENT / 4)
            break;
    }
    return s;
}

static anl_status measure(void *user, int index, struct anl_device *d)
{
    struct anl_ring_trial *t = &((struct anl_ring *)user)->workers[index].trial;
    struct call c;
    anl_status s = make_call(d, &sizes[t->size], &c);

    if (!s)
        s = repeat(d, &sizes[t->size], &c, MOMENT, &t->rate);
    free_call(&c);
    return s;
}

/* Devices of one kind and name count as equally fast. */
static int all_alike(const struct anl_ring *ring)
{
    const struct anl_device_info *first = &ring->workers[0].device->info;

    for (int i = 1; i < ring->n; i++) {
        const struct anl_device_info *info = &ring->workers[i].device->info;
        if (info->backend != first->backend || info->threads != first->threads ||
            strcmp(info->name, first->name) || strcmp(info->detail, first->detail))
            return 0;
    }
    return 1;
}

anl_status anl_ring_calibrate(struct anl_ring *ring)
{
    int alike = all_alike(ring);
    anl_status s;

    if (ring->weighed)
        return ANL_OK;
    s = alike ? ANL_OK : anl_ring_each(ring, find_size, ring);
    if (!s && !alike)
        s = anl_ring_each(ring, measure, ring);
    for (int i = 0; !s && !alike && i < ring->n; i++)
        ring->weights[i] = ring->workers[i].trial.rate;
    ring->weighed = !s;
    return s;
}
