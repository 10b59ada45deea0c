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

/* Rows [row, row + n) of one head, tight, to memory. */
static anl_status take_head(const struct anl_tensor *t, uint64_t at, int64_t n, char *to)
{
    uint64_t size = t->dtype == ANL_F32 ? 4 : 2, width = (uint64_t)t->dim[3] * size;
    uint64_t stride = (uint64_t)t->stride[2] * size;
    int tight = stride == width || n == 1;
    uint64_t piece = tight ? (uint64_t)n * width : width;
    anl_status s = ANL_OK;

    for (int64_t i = 0; !s && i < (tight ? 1 : n); i++, at += stride, to += width) {
        if (t->buffer->host)
            memcpy(to, (char *)t->buffer->host + at, (size_t)piece);
        else
            s = t->buffer->device->backend->buffer_read(t->buffer, at, to, piece);
    }
    return s;
}

/* Rows [row, row + n) of every head, in order, to memory. */
static anl_status take_rows(const struct anl_tensor *t, int64_t row, int64_t n, char *to)
{
    uint64_t size = t->dtype == ANL_F32 ? 4 : 2;
    anl_status s = ANL_OK;

    for (int64_t b = 0; b < t->dim[0]; b++)
        for (int64_t h = 0; !s && h < t->dim[1]; h++) {
            int64_t at = b * t->stride[0] + h * t->stride[1] + row * t->stride[2];
            s = take_head(t, t->offset + (uint64_t)at * size, n, to);
            to += (uint64_t)(n * t->dim[3]) * size;
        }
    return s;
}

/* Chunks that the rank is through with: computed with and sent on, as far as it does either (I3). */
static uint64_t through(const struct anl_ring_rank *r)
{
    uint64_t computed = r->step ? r->step - 1 : 0, forwards = r->n_out - r->n_own;
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

/* Into the slot: the next of the rank's own chunks, or the next that arrived. */
static anl_status fill(struct anl_ring_worker *w, const struct anl_ring_rank *r, void *slot,
                       const void *arrived, int64_t start, int64_t keys)
{
    const struct anl_ring_job *job = &w->ring->job;
    anl_status s;

    if (arrived) {
        memcpy(slot, arrived, (size_t)anl_ring_chunk_bytes(job, keys));
        return ANL_OK;
    }
    s = take_rows(&r->shard->k, start - r->start, keys, slot);
    if (!s)
        s = take_rows(&r->shard->v, start - r->start, keys,
                      (char *)slot + anl_ring_key_bytes(job, keys));
    return s;
}

int anl_ring_send(struct anl_ring_worker *w, struct anl_ring_rank *r)
{
    const struct anl_ring_transport *t = w->ring->transport;
    int any = 0;

    for (; r->sent < r->n_out; any = 1) {
        void *arrived = NULL, *slot;
        struct anl_ring_step step = { .kind = ANL_RING_SEND, .piece = r->piece };
        anl_status s;
        if (r->sent >= r->n_own && !(arrived = t->test(r->in, r->sent - r->n_own)))
            break;
        slot = t->slot(r->out);
        if (!slot || atomic_load(&w->ring->stop))
            break;
        step.begin = anl_ring_now();
        anl_ring_walk_next(&r->to_send, &step.start, &step.keys);
        s = fill(w, r, slot, arrived, step.start, step.keys);
        if (s) {
            failed(w, r, "sending", step.start, s);
            break;
        }
        t->isend(r->out);
        r->sent++;
        free_slots(w, r);
        w->account.bytes_out += anl_ring_chunk_bytes(&w->ring->job, step.keys);
        step.end = anl_ring_now();
        anl_ring_record(w, step);
    }
    return any;
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
    anl_status s;

    if (last)
        p.out = r->shard->out;
    s = anl_attn(w->device, &p);
    return s ? s : anl_device_finish(w->device);
}

/* Chunk number i as keys and values on the device: the slot itself, or a copy. */
static anl_status take_chunk(struct anl_ring_worker *w, struct anl_ring_rank *r, uint64_t i,
                             struct anl_kv_piece *piece, int64_t start, int64_t keys)
{
    const struct anl_ring_job *job = &w->ring->job;
    struct anl_ring_link *link = r->in;
    uint64_t bytes = anl_ring_chunk_bytes(job, keys);
    struct anl_buffer *buffer = link->staging ? link->staging : link->in_place[i % link->slots];
    anl_status s = ANL_OK;

    if (link->staging) {
        struct anl_ring_step step = { .kind = ANL_RING_TAKE, .piece = r->piece, .start = start,
                                      .keys = keys, .begin = anl_ring_now() };
        s = anl_buffer_write(buffer, 0, w->ring->transport->test(link, i), bytes);
        step.end = anl_ring_now();
        anl_ring_record(w, step);
    }
    w->account.bytes_in += bytes;
    w->account.chunks++;
    w->account.early += !w->waited;
    piece->k = anl_tensor_4d(buffer, 0, job->type, job->b, job->hkv, keys, job->d);
    piece->v = anl_tensor_4d(buffer, anl_ring_key_bytes(job, keys), job->type, job->b, job->hkv, keys,
                             job->dv);
    piece->start = start;
    return s;
}

/* Takes the chunks that are here and lie before each other without a gap, into the end of pieces, which
 * has room for RING_BATCH: one call of attention for all of them. Half the slots at most, so that others
 * may come meanwhile. Returns how many; step's keys become theirs. */
static int take_chunks(struct anl_ring_worker *w, struct anl_ring_rank *r, struct anl_kv_piece *pieces,
                       struct anl_ring_step *step, anl_status *status)
{
    unsigned half = r->in->staging ? 1 : r->in->slots / 2;
    uint64_t most = r->n_in - (r->step - 1), n = 0;

    most = most < half ? most : half;
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
    step.end = anl_ring_now();
    w->waited = 0;
    if (s) {
        failed(w, r, "computing", step.start, s);
        return;
    }
    anl_ring_record(w, step);
    r->left -= (double)r->queries * (double)step.keys / (!arrived && w->ring->job.p.causal ? 2 : 1);
    r->step += (uint64_t)n;
    free_slots(w, r);
}
