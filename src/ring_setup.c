/* src/ring_setup.c: what a call needs before the workers go: its ranks, the links between them, and the
 * states on their devices. Memory stays with the ring for calls to come. */
#include "src/ring.h"

static uint64_t element(anl_dtype type)
{
    return type == ANL_F32 ? 4 : 2;
}

static uint64_t pad(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

uint64_t anl_ring_key_bytes(const struct anl_ring_job *job, int64_t keys)
{
    return pad((uint64_t)(job->b * job->hkv * keys * job->d) * element(job->type));
}

uint64_t anl_ring_chunk_bytes(const struct anl_ring_job *job, int64_t keys)
{
    return anl_ring_key_bytes(job, keys) +
           pad((uint64_t)(job->b * job->hkv * keys * job->dv) * element(job->type));
}

/* The pieces that are not empty, and who has them. */
static void make_ranks(struct anl_ring *ring)
{
    struct anl_ring_job *job = &ring->job;
    int64_t start = 0;

    job->n = 0;
    for (int i = 0; i < ring->n; i++)
        ring->workers[i].n_ranks = 0;
    for (int i = 0; i < job->p.n_shards; i++) {
        const struct anl_ring_shard *s = &job->p.shards[i];
        struct anl_ring_worker *w = &ring->workers[anl_ring_device(ring, i, job->p.causal)];
        struct anl_ring_rank *r = &job->rank[job->n];
        if (!s->k.buffer || !s->k.dim[2])
            continue;
        *r = (struct anl_ring_rank){ .shard = s, .device = w->device, .piece = i, .start = start };
        r->length = s->k.dim[2];
        r->queries = s->q.buffer ? s->q.dim[2] : 0;
        start += r->length;
        w->rank[w->n_ranks++] = r;
        job->n++;
    }
}

/* Chunks such that a link's slots hold the largest piece and one chunk more. The one more keeps a closed
 * ring moving (I6); a causal one is open, and may have fewer. */
static void size_chunks(struct anl_ring *ring)
{
    struct anl_ring_job *job = &ring->job;
    int64_t most = 1, chunk = ring->chunk_spans, slots = ring->slots;

    for (int r = 0; r < job->n; r++)
        most = job->rank[r].length > most ? job->rank[r].length : most;
    most = (most + RING_SPAN - 1) / RING_SPAN;
    if (!chunk)
        chunk = (most + slots - 2) / (slots - 1);
    chunk = chunk < most ? chunk : most;
    most = (most + chunk - 1) / chunk + 1;
    job->chunk = chunk * RING_SPAN;
    job->slots = (unsigned)(job->p.causal && slots < most ? slots : most);
}

static void count_chunks(struct anl_ring_job *job, int rank)
{
    struct anl_ring_rank *r = &job->rank[rank];
    int next = (rank + 1) % job->n, before = rank ? rank - 1 : job->n - 1;
    int in = anl_ring_carried(job, rank);
    int out = job->n == 1 || (job->p.causal && !next) ? 0 : anl_ring_carried(job, next);

    r->n_own = anl_ring_chunks(job, rank, out ? 1 : 0);
    r->n_out = anl_ring_chunks(job, rank, out);
    r->n_in = anl_ring_chunks(job, before, in);
    anl_ring_walk_begin(&r->to_send, job, rank, out);
    anl_ring_walk_begin(&r->to_meet, job, before, in);
    /* without causal the piece's own spans above a query's come last */
    r->steps = r->queries ? 1 + r->n_in + (!job->p.causal && r->n_in) : 0;
    r->left = (double)r->queries * (double)r->length / (job->p.causal ? 2 : 1);
    for (int k = 0; k < in; k++)
        r->left += (double)r->queries * (double)job->rank[(before + job->n - k) % job->n].length;
}

static void drop_link(struct anl_ring *ring, struct anl_ring_link *link)
{
    if (!link->device)
        return;
    for (unsigned i = 0; link->slot && i < link->slots; i++)
        anl_buffer_destroy(link->slot[i].buffer);
    anl_context_free(ring->context, link->slot);
    for (int i = 0; i < RING_FLIGHTS; i++)
        anl_buffer_destroy(link->staging[i]);
    if (link->memory)
        anl_account(link->device, ANL_FOR_SCRATCH, -(int64_t)(link->slots * link->slot_bytes));
    ring->transport->close(link);
    *link = (struct anl_ring_link){ 0 };
}

/* The slots, as the receiver reads them: in place, or by way of buffers of its device. */
static anl_status open_slots(struct anl_ring *ring, struct anl_ring_link *link)
{
    struct anl_device *d = link->device;
    const struct anl_backend *be = d->backend;
    anl_status s = ANL_OK;

    link->slot = anl_context_alloc(ring->context, link->slots * sizeof *link->slot, 64);
    if (!link->slot)
        return anl_fail(d, ANL_E_MEMORY, "%u slots: out of memory", link->slots);
    for (unsigned i = 0; i < link->slots; i++)
        link->slot[i] = (struct anl_ring_slot){ link->direct ? NULL : link->memory + i * link->slot_bytes, NULL };
    for (unsigned i = 0; !s && (link->direct || !be->mark) && i < link->slots; i++)
        s = be->buffer_create(d, link->slot_bytes, ANL_FOR_SCRATCH, link->slot[i].memory,
                              &link->slot[i].buffer);
    for (int i = 0; !s && !link->direct && be->mark && i < RING_FLIGHTS; i++)
        s = be->buffer_create(d, link->slot_bytes, ANL_FOR_SCRATCH, NULL, &link->staging[i]);
    return s;
}

/* The link to a rank. One of an earlier call serves if it is the same but for larger slots. */
static anl_status link_to(struct anl_ring *ring, int rank)
{
    struct anl_ring_job *job = &ring->job;
    struct anl_ring_link *link = &ring->links[rank];
    struct anl_device *d = job->rank[rank].device, *from = job->rank[rank ? rank - 1 : job->n - 1].device;
    const int direct = from->backend == d->backend && d->backend->reaches && d->backend->reaches(from, d);
    struct anl_device *pinner = direct ? NULL : d->backend->pin ? d : from->backend->pin ? from : NULL;
    uint64_t bytes = anl_ring_chunk_bytes(job, job->chunk);
    anl_status s;

    if (link->device == d && link->sends_from == from && link->slots == job->slots &&
        link->slot_bytes >= bytes) {
        atomic_store(&link->sent, 0);
        atomic_store(&link->posted, link->slots);
        return ANL_OK;
    }
    drop_link(ring, link);
    *link = (struct anl_ring_link){ .context = ring->context, .slots = job->slots, .slot_bytes = bytes,
                                    .pinner = pinner, .device = d, .sends_from = from,
                                    .direct = direct };
    s = ring->transport->open(link);
    if (s) {
        s = anl_fail(d, s, "%u slots of %llu bytes: out of memory", job->slots, (unsigned long long)bytes);
    } else {
        if (link->memory)
            anl_account(d, ANL_FOR_SCRATCH, (int64_t)(link->slots * link->slot_bytes));
        s = open_slots(ring, link);
    }
    if (s)
        drop_link(ring, link);
    return s;
}

/* Where a rank keeps its running state: the caller's views; or in the ring's memory, but for o if out can
 * hold it. */
static anl_status state_of(struct anl_ring *ring, int rank)
{
    struct anl_ring_job *job = &ring->job;
    struct anl_ring_rank *r = &job->rank[rank];
    struct anl_buffer **b = &ring->states[rank];
    int64_t rows = job->b * job->h * r->queries;
    int in_out = r->shard->out.buffer && r->shard->out.dtype == ANL_F32;
    uint64_t part = pad((uint64_t)rows * 4);
    uint64_t bytes = 2 * part + (in_out ? 0 : pad((uint64_t)(rows * job->dv) * 4));
    anl_status s = ANL_OK;

    if (r->shard->m.buffer) {
        r->m = r->shard->m;
        r->l = r->shard->l;
        r->o = r->shard->o;
        return ANL_OK;
    }
    if (r->steps < 2)
        return ANL_OK;
    if (*b && ((*b)->device != r->device || (*b)->size < bytes)) {
        anl_buffer_destroy(*b);
        *b = NULL;
    }
    if (!*b)
        s = r->device->backend->buffer_create(r->device, bytes, ANL_FOR_SCRATCH, NULL, b);
    if (s)
        return s;
    r->m = anl_tensor_4d(*b, 0, ANL_F32, job->b, job->h, r->queries, 1);
    r->l = anl_tensor_4d(*b, part, ANL_F32, job->b, job->h, r->queries, 1);
    r->o = in_out ? r->shard->out
                  : anl_tensor_4d(*b, 2 * part, ANL_F32, job->b, job->h, r->queries, job->dv);
    return ANL_OK;
}

static void connect(struct anl_ring *ring, int rank)
{
    struct anl_ring_job *job = &ring->job;
    struct anl_ring_rank *to = &job->rank[rank], *from = &job->rank[rank ? rank - 1 : job->n - 1];
    struct anl_ring_link *link = &ring->links[rank];
    struct anl_ring_worker *receiver = &ring->workers[anl_ring_device(ring, to->piece, job->p.causal)];

    link->wake = anl_ring_wake;
    link->sender = &ring->workers[anl_ring_device(ring, from->piece, job->p.causal)];
    link->receiver = receiver;
    receiver->account.slot_bytes += link->slot_bytes * (link->slots + (link->staging[0] ? RING_FLIGHTS : 0));
    to->in = from->out = link;
}

anl_status anl_ring_set_up(struct anl_ring *ring)
{
    struct anl_ring_job *job = &ring->job;
    anl_status s = ANL_OK;

    make_ranks(ring);
    size_chunks(ring);
    for (int i = 0; !s && i < job->n; i++) {
        count_chunks(job, i);
        if (job->rank[i].n_in) {
            s = link_to(ring, i);
            connect(ring, i);
        }
        if (!s && job->rank[i].steps)
            s = state_of(ring, i);
        if (s)
            anl_ring_fail(ring, s, "anl_ring_attn: device %d, before the first chunk: %s",
                          anl_ring_device(ring, job->rank[i].piece, job->p.causal),
                          anl_device_message(job->rank[i].device));
    }
    return s;
}

void anl_ring_free_memory(struct anl_ring *ring)
{
    for (int i = 0; i < 2 * ring->n; i++) {
        drop_link(ring, &ring->links[i]);
        anl_buffer_destroy(ring->states[i]);
    }
}
