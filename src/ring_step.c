/* src/ring_step.c: the two things that a worker does for a rank: to send a chunk on, and to compute with
 * one. */
#include <assert.h>
#include <string.h>

#include "src/ring.h"

#define RING_BATCH 16 /* chunks that one call of attention meets, at most */

void anl_ring_record(struct anl_ring_worker *w, struct anl_ring_step step)
{
    struct anl_ring_job *job = &w->ring->job;
    double *const time[] = { &w->account.compute, &w->account.send, &w->account.take, &w->account.wait };
    size_t i;

    *time[step.kind] += step.end - step.begin;
    if (!job->p.n_steps)
        return;
    i = atomic_fetch_add_explicit(&job->n_steps, 1, memory_order_relaxed);
    step.device = w->index;
    step.begin -= job->began;
    step.end -= job->began;
    if (i < job->p.capacity)
        job->p.steps[i] = step;
}

static void failed(struct anl_ring_worker *w, const struct anl_ring_rank *r, const char *what,
                   int64_t start, anl_status status)
{
    anl_ring_fail(w->ring, status, "anl_ring_attn: device %d (%s), %s, piece %d, keys from %lld: %s", w->index,
                  w->device->info.name, what, r->piece, (long long)start, anl_device_message(w->device));
}

/* Bytes of a view's buffer, rows of width that lie pitch apart, to a slot's byte `to`, tight. */
static anl_status take_bytes(const struct anl_buffer *b, uint64_t at, uint64_t pitch, uint64_t width,
                             uint64_t rows, const struct anl_ring_slot *slot, uint64_t to)
{
    const struct anl_backend *be = b->device->backend;

    if (b->host) {
        for (uint64_t i = 0; i < (pitch == width ? 1 : rows); i++)
            memcpy(slot->memory + to + i * width, (char *)b->host + at + i * pitch,
                   (size_t)(pitch == width ? rows * width : width));
        return ANL_OK;
    }
    if (slot->memory)
        return be->fetch(b, at, pitch, width, rows, slot->memory + to);
    return be->copy(b, at, pitch, width, rows, slot->buffer, to);
}

/* Rows of one head, from byte at of the view's buffer on. */
static anl_status take_head(const struct anl_tensor *t, uint64_t at, int64_t rows,
                            const struct anl_ring_slot *slot, uint64_t to)
{
    uint64_t size = t->dtype == ANL_F32 ? 4 : 2, width = (uint64_t)t->dim[3] * size;
    uint64_t pitch = (uint64_t)t->stride[2] * size;
    anl_status s = ANL_OK;

    if (t->buffer->host || pitch >= width)
        return take_bytes(t->buffer, at, pitch, width, (uint64_t)rows, slot, to);
    /* rows of a view may overlap, or be one and the same: by rectangles they would not */
    for (int64_t i = 0; !s && i < rows; i++, at += pitch, to += width)
        s = take_bytes(t->buffer, at, width, width, 1, slot, to);
    return s;
}

/* Rows [row, row + n) of every head, in order. */
static anl_status take_rows(const struct anl_tensor *t, int64_t row, int64_t n,
                            const struct anl_ring_slot *slot, uint64_t to)
{
    uint64_t size = t->dtype == ANL_F32 ? 4 : 2;
    anl_status s = ANL_OK;

    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t h = 0; !s && h < t->dim[1]; h++) {
            int64_t at = b * t->stride[0] + h * t->stride[1] + row * t->stride[2];
            s = take_head(t, t->offset + (uint64_t)at * size, n, slot, to);
            to += (uint64_t)(n * t->dim[3]) * size;
        }
    return s;
}

/* Chunks that the rank is through with: computed with and sent on, as far as it does either (I3). */
static uint64_t through(const struct anl_ring_rank *r)
{
    /* what is queued still reads a slot, but not one that it has a copy of */
    uint64_t step = r->in && r->in->direct ? r->done : r->step;
    uint64_t computed = step ? step - 1 : 0, forwards = r->n_out - r->n_own;
    uint64_t sent = r->sent > r->n_own ? r->sent - r->n_own : 0;

    if (!r->steps || computed > r->n_in)
        computed = r->n_in;
    if (sent == forwards)
        sent = r->n_in;
    return computed < sent ? computed : sent;
}

static void free_slots(struct anl_ring_worker *w, struct anl_ring_rank *r)
{
    while (r->freed < through(r)) {
        assert(w->ring->transport->test(r->in, r->freed)); /* I2 */
        w->ring->transport->irecv(r->in);
        r->freed++;
    }
}

/* Waits for the copies that were begun, also where one could not be (s): they read and write memory that is
 * not theirs for long (I9). */
static anl_status settle(struct anl_device *d, anl_status s)
{
    anl_status settled = d->backend->settle ? d->backend->settle(d) : ANL_OK;

    return s ? s : settled;
}

/* A chunk that arrived, to the next slot. */
static anl_status pass_on(struct anl_device *d, const struct anl_ring_slot *from,
                          const struct anl_ring_slot *to, uint64_t bytes)
{
    if (!from->memory)
        return take_bytes(from->buffer, 0, bytes, bytes, 1, to, 0);
    if (!to->memory)
        return d->backend->put(d, to->buffer, from->memory, bytes);
    memcpy(to->memory, from->memory, (size_t)bytes);
    return ANL_OK;
}

/* Into the slot: the next of the rank's own chunks, or the next that arrived. */
static anl_status fill(struct anl_ring_worker *w, const struct anl_ring_rank *r,
                       const struct anl_ring_slot *slot, const struct anl_ring_slot *arrived,
                       int64_t start, int64_t keys)
{
    const struct anl_ring_job *job = &w->ring->job;
    anl_status s;

    if (arrived) {
        s = pass_on(w->device, arrived, slot, anl_ring_chunk_bytes(job, keys));
    } else {
        s = take_rows(&r->shard->k, start - r->start, keys, slot, 0);
        if (!s)
            s = take_rows(&r->shard->v, start - r->start, keys, slot, anl_ring_key_bytes(job, keys));
    }
    return settle(w->device, s);
}

int anl_ring_send(struct anl_ring_worker *w, struct anl_ring_rank *r)
{
    const struct anl_ring_transport *t = w->ring->transport;
    struct anl_ring_step step = { .kind = ANL_RING_SEND, .piece = r->piece };
    const struct anl_ring_slot *arrived = NULL, *slot;
    anl_status s;

    if (r->sent == r->n_out || (r->sent >= r->n_own && !(arrived = t->test(r->in, r->sent - r->n_own))))
        return 0;
    slot = t->slot(r->out);
    if (!slot)
        return 0;
    step.begin = anl_ring_now();
    anl_ring_walk_next(&r->to_send, &step.start, &step.keys);
    s = fill(w, r, slot, arrived, step.start, step.keys);
    if (s) {
        failed(w, r, "sending", step.start, s);
        return 1;
    }
    t->isend(r->out);
    r->sent++;
    free_slots(w, r);
    w->account.bytes_out += anl_ring_chunk_bytes(&w->ring->job, step.keys);
    step.end = anl_ring_now();
    anl_ring_record(w, step);
    return 1;
}

int anl_ring_ready(const struct anl_ring_worker *w, const struct anl_ring_rank *r)
{
    if (r->step == r->steps)
        return 0;
    return r->step == 0 || r->step > r->n_in || w->ring->transport->test(r->in, r->step - 1) != NULL;
}

/* One call of attention of the rank's queries: spans of the pieces, in ring order, join the state. */
static anl_status attend(struct anl_ring_worker *w, const struct anl_ring_rank *r,
                         const struct anl_kv_piece *pieces, int n, anl_attn_spans spans, int last)
{
    const struct anl_ring_job *job = &w->ring->job;
    int64_t offset = r->start + r->shard->first;
    struct anl_attn_params p = { .size = sizeof p,
                                 .q = r->shard->q,
                                 .pieces = pieces,
                                 .n_pieces = n,
                                 .scale = job->p.scale,
                                 .causal = job->p.causal,
                                 .offset = &offset,
                                 .m = r->m,
                                 .l = r->l,
                                 .o = r->o,
                                 .keys = job->tokens,
                                 .spans = spans,
                                 .resume = r->step > 0 };

    if (last)
        p.out = r->shard->out;
    return anl_attn(w->device, &p);
}

/* The step's operations are queued: it ends when they are done. */
static anl_status take_off(struct anl_ring_worker *w, struct anl_ring_rank *r, uint64_t steps,
                           const struct anl_ring_step *step)
{
    struct anl_ring_flight *f = &w->flight[(w->first + w->flying) % RING_FLIGHTS];
    anl_status s;

    f->step = *step;
    f->rank = r;
    f->steps = steps;
    s = w->device->backend->mark(w->device, &f->mark);
    w->flying += !s;
    return s;
}

void anl_ring_land(struct anl_ring_worker *w)
{
    for (; w->flying; w->flying--, w->first = (w->first + 1) % RING_FLIGHTS) {
        struct anl_ring_flight *f = &w->flight[w->first];
        int reached = w->device->backend->reached(w->device, &f->mark);
        if (!reached)
            return;
        if (reached < 0)
            anl_ring_fail(w->ring, ANL_E_DEVICE,
                          "anl_ring_attn: device %d (%s), computing, piece %d, keys from %lld: the driver "
                          "reports a failure",
                          w->index, w->device->info.name, f->step.piece, (long long)f->step.start);
        if (f->step.begin < w->landed)
            f->step.begin = w->landed;
        f->step.end = w->landed = anl_ring_now();
        anl_ring_record(w, f->step);
        f->rank->done += f->steps;
        free_slots(w, f->rank);
    }
}

/* Chunk number i as keys and values on the device: the slot's buffer, or a copy. */
static anl_status take_chunk(struct anl_ring_worker *w, struct anl_ring_rank *r, uint64_t i,
                             struct anl_kv_piece *piece, int64_t start, int64_t keys)
{
    const struct anl_ring_job *job = &w->ring->job;
    struct anl_ring_link *link = r->in;
    uint64_t bytes = anl_ring_chunk_bytes(job, keys);
    const struct anl_ring_slot *slot = w->ring->transport->test(link, i);
    struct anl_buffer *buffer = slot->buffer ? slot->buffer : link->staging[i % RING_FLIGHTS]; /* I10 */
    anl_status s = ANL_OK;

    if (!slot->buffer) {
        struct anl_ring_step step = { .kind = ANL_RING_TAKE, .piece = r->piece, .start = start,
                                      .keys = keys, .begin = anl_ring_now() };
        s = settle(w->device, w->device->backend->put(w->device, buffer, slot->memory, bytes));
        step.end = anl_ring_now();
        anl_ring_record(w, step);
    }
    w->account.bytes_in += bytes;
    w->account.chunks++;
    w->account.early += !w->waited || w->flying;
    piece->k = anl_tensor_4d(buffer, 0, job->type, job->b, job->hkv, keys, job->d);
    piece->v = anl_tensor_4d(buffer, anl_ring_key_bytes(job, keys), job->type, job->b, job->hkv, keys,
                             job->dv);
    piece->start = start;
    return s;
}

/* Takes the chunks that are here and lie before each other without a gap, into the end of pieces, which
 * has room for RING_BATCH: one call of attention for all of them. Half the slots at most, so that others
 * may come meanwhile; one in a closed ring of more than two, where a device that is long at it keeps all
 * others waiting for what it should pass on. Returns how many; step's keys become theirs. */
static int take_chunks(struct anl_ring_worker *w, struct anl_ring_rank *r, struct anl_kv_piece *pieces,
                       struct anl_ring_step *step, anl_status *status)
{
    int one = w->device->backend->mark || (!w->ring->job.p.causal && r->n_out > r->n_own);
    unsigned limit = one ? 1 : r->in->slots / 2;
    uint64_t most = r->n_in - (r->step - 1), n = 0;

    most = most < limit ? most : limit;
    most = most < RING_BATCH ? most : RING_BATCH;
    for (*status = ANL_OK; !*status && n < most; n++) {
        struct anl_ring_walk walk = r->to_meet;
        int64_t start, keys;
        if (!w->ring->transport->test(r->in, r->step - 1 + n))
            break;
        anl_ring_walk_next(&walk, &start, &keys);
        if (n && start + keys != step->start)
            break;
        r->to_meet = walk;
        step->keys = n ? step->keys + keys : keys;
        step->start = start;
        *status = take_chunk(w, r, r->step - 1 + n, &pieces[RING_BATCH - 1 - n], start, keys);
    }
    return (int)n;
}

void anl_ring_compute(struct anl_ring_worker *w, struct anl_ring_rank *r)
{
    struct anl_kv_piece pieces[RING_BATCH];
    struct anl_ring_step step = { .kind = ANL_RING_COMPUTE, .piece = r->piece, .start = r->start,
                                  .keys = r->length };
    int arrived = r->step > 0 && r->step <= r->n_in, n = 1;
    anl_attn_spans spans = r->step == 0 && r->n_in ? ANL_SPANS_TO_OWN
                           : arrived || !r->step   ? ANL_SPANS_ALL
                                                   : ANL_SPANS_ABOVE;
    anl_status s = ANL_OK;

    pieces[RING_BATCH - 1] = (struct anl_kv_piece){ r->shard->k, r->shard->v, r->start };
    if (arrived)
        n = take_chunks(w, r, pieces, &step, &s);
    step.begin = anl_ring_now();
    if (!s)
        s = attend(w, r, pieces + RING_BATCH - n, n, spans, r->step + (uint64_t)n == r->steps);
    if (!s)
        s = w->device->backend->mark ? take_off(w, r, (uint64_t)n, &step) : anl_device_finish(w->device);
    step.end = anl_ring_now();
    w->waited = 0;
    if (s) {
        failed(w, r, "computing", step.start, s);
        return;
    }
    if (!w->device->backend->mark) {
        anl_ring_record(w, step);
        r->done += (uint64_t)n;
    }
    r->left -= (double)r->queries * (double)step.keys / (!arrived && w->ring->job.p.causal ? 2 : 1);
    r->step += (uint64_t)n;
    free_slots(w, r);
}
