/* src/ring.c: one sequence over several devices. docs/ring.md tells how; here is what always holds.
 *
 * A sequence is cut into pieces at multiples of 512. Those that are not empty are the ranks of a call,
 * numbered along the sequence; causal, a device has up to two of them. Queries stay. A rank computes with its own
 * piece, and then with the pieces before it, nearest first, and, unless causal, with those behind it,
 * last first, and at last with its own spans above each query's: in ring order (docs/numerics.md). They
 * come over one link, from the rank before (from the last rank to the first: unless causal), which sends
 * its own piece and then passes on what it got. Pieces travel in chunks, the last of a piece first.
 *
 * A chunk, seen by one rank:
 *
 *                          +--> computed with ---+
 *     free slot --> arrived                      +--> free slot
 *        ^   (isend)       +--> sent on ---------+   (irecv)
 *        |                      (where it goes on)
 *      open
 *
 * A worker, one for each device:
 *
 *     rest --order--> look --> send what can be sent --> compute one step --+
 *      ^               ^ ^        nothing to do:  sleep --woken--+          |
 *      |               | +---------------------------------------+          |
 *      |               +----------------------------------------------------+
 *      +--- all steps done and all chunks sent, or stop is set
 *
 * I1  Over a link, chunks arrive in the order in which they were sent, and none is lost or doubled. So both
 *     ends know which chunk is which from its number alone.
 * I2  freed <= computed, freed <= sent on, both <= arrived <= freed + slots.
 * I3  The sender alone touches a slot from its being freed until isend, the receiver alone from then
 *     until irecv; the receiver frees it when it is through with the chunk.
 * I4  Of a rank's own chunks none is sent after one that it passes on; and a rank computes with chunks in
 *     the order of their arrival: so the spans join each query's state in ring order.
 * I5  From a call's beginning to its end a device is used by its own worker only, and the job is not
 *     changed but for the worker's own ranks.
 * I6  In a closed ring a piece's chunks are fewer than a link's slots. So all own chunks are sent at once,
 *     there are fewer chunks than slots from then on, some link has a free one, and some chunk can move.
 *     An open one (causal) moves since its last rank only takes.
 * I7  Whoever changes what a worker looks at wakes it afterwards; a worker that is woken looks again
 *     before it sleeps.
 * I8  The first failure is kept, with its message; after it no step begins, and all workers come to rest.
 * I9  When a call returns, all workers are at rest, and their devices finished; but a lost one that does not
 *     end what it has queued within ten seconds is left to itself.
 * I10 A device that queues its operations has two steps queued at most, and they end in order: so the chunk
 *     before the last of a link is computed with when the next one is copied to where it lay. A slot that is
 *     in the device's memory is read where it is, and is free when the step that reads it has ended. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/ring.h"

double anl_ring_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void anl_ring_fail(struct anl_ring *ring, anl_status status, const char *format, ...)
{
    char message[sizeof ring->message];
    int first;
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    pthread_mutex_lock(&ring->lock);
    first = ring->busy && !ring->status; /* I8 */
    if (first) {
        ring->status = status;
        memcpy(ring->message, message, sizeof message);
        atomic_store(&ring->stop, 1);
    }
    pthread_mutex_unlock(&ring->lock);
    if (!first)
        return;
    anl_context_log(ring->context, ANL_LOG_ERROR, "%s", message);
    for (int i = 0; i < ring->started; i++)
        anl_ring_wake(&ring->workers[i]);
}

const char *anl_ring_message(const struct anl_ring *ring)
{
    return ring ? ring->message : "the ring is NULL";
}

void anl_ring_cancel(struct anl_ring *ring)
{
    anl_ring_fail(ring, ANL_E_CANCELLED, "cancelled by the caller");
}

/* Every call begins here. */
static anl_status enter(struct anl_ring *ring, const char *op)
{
    if (!ring)
        return ANL_E_ARGUMENT;
    if (ring->pid != (long)getpid()) {
        snprintf(ring->message, sizeof ring->message, "%s: the ring was made by another process", op);
        return ANL_E_FORKED;
    }
    pthread_mutex_lock(&ring->lock);
    ring->message[0] = 0;
    ring->status = ANL_OK;
    ring->busy = 1;
    atomic_store(&ring->stop, 0);
    pthread_mutex_unlock(&ring->lock);
    return ANL_OK;
}

static anl_status leave(struct anl_ring *ring)
{
    anl_status s;

    pthread_mutex_lock(&ring->lock);
    assert(ring->running == 0); /* I9 */
    ring->busy = 0;
    s = ring->status;
    pthread_mutex_unlock(&ring->lock);
    return s;
}

/* Gives the order to those workers that have something to do, and waits for them. */
static void run(struct anl_ring *ring, enum anl_ring_order order)
{
    pthread_mutex_lock(&ring->lock);
    for (int i = 0; i < ring->n; i++)
        ring->running += order == RING_EACH || ring->workers[i].n_ranks;
    pthread_mutex_unlock(&ring->lock);
    ring->job.began = anl_ring_now();
    for (int i = 0; i < ring->n; i++)
        if (order == RING_EACH || ring->workers[i].n_ranks)
            anl_ring_order(&ring->workers[i], order);
    pthread_mutex_lock(&ring->lock);
    while (ring->running)
        pthread_cond_wait(&ring->done, &ring->lock);
    pthread_mutex_unlock(&ring->lock);
}

anl_status anl_ring_attn(struct anl_ring *ring, const struct anl_ring_attn_params *params)
{
    struct anl_ring_job *job;
    anl_status s = enter(ring, "anl_ring_attn");

    if (s)
        return s;
    job = &ring->job;
    for (int i = 0; i < ring->n; i++)
        ring->workers[i].account = (struct anl_ring_account){ 0 };
    atomic_store(&job->n_steps, 0);
    s = anl_ring_check(ring, params, job);
    if (s)
        return leave(ring);
    if (job->b > 0 && job->h > 0 && job->tokens > 0 && !anl_ring_set_up(ring))
        run(ring, RING_ATTN);
    for (int i = 0; params->accounts && i < ring->n; i++)
        params->accounts[i] = ring->workers[i].account;
    if (params->n_steps)
        *params->n_steps = atomic_load(&job->n_steps);
    return leave(ring);
}

anl_status anl_ring_each(struct anl_ring *ring,
                         anl_status (*task)(void *user, int index, struct anl_device *device), void *user)
{
    anl_status s = enter(ring, "anl_ring_each");

    if (s)
        return s;
    if (task) {
        ring->task = task;
        ring->task_user = user;
        run(ring, RING_EACH);
    } else {
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_each: task is NULL");
    }
    return leave(ring);
}

anl_status anl_ring_plan(struct anl_ring *ring, int64_t tokens, int causal, struct anl_ring_piece *pieces)
{
    anl_status s = ring && ring->pid == (long)getpid() ? anl_ring_calibrate(ring) : ANL_OK;

    if (!s)
        s = enter(ring, "anl_ring_plan");
    if (s)
        return s;
    if (anl_ring_cut(ring->weights, ring->n, tokens, causal, pieces))
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_plan: tokens is %lld, pieces %p", (long long)tokens,
                      (void *)pieces);
    return leave(ring);
}

static anl_status check_params(struct anl_context *context, const struct anl_ring_params *p)
{
    const char *op = "anl_ring_create";
    double sum = 0;

    if (p->n_devices < 1 || p->n_devices > ANL_RING_MAX_DEVICES || !p->devices ||
        (p->slots && (p->slots < 2 || p->slots > 4096)) || p->chunk_spans < 0) {
        anl_constructor_error(context, p->error, p->error_size,
                              "%s: n_devices is %d (1 to %d) with devices %p, slots %d (0, or 2 to 4096), "
                              "chunk_spans %d",
                              op, p->n_devices, ANL_RING_MAX_DEVICES, (const void *)p->devices, p->slots,
                              p->chunk_spans);
        return ANL_E_ARGUMENT;
    }
    for (int i = 0; i < p->n_devices; i++) {
        double w = p->weights ? p->weights[i] : 1;
        int bad = !p->devices[i] || !(w >= 0) || isinf(w);
        for (int k = 0; k < i; k++)
            bad |= p->devices[k] == p->devices[i];
        if (bad) {
            anl_constructor_error(context, p->error, p->error_size,
                                  "%s: devices[%d] is %p (each once) with weight %g", op, i,
                                  (void *)p->devices[i], w);
            return ANL_E_ARGUMENT;
        }
        sum += w;
    }
    if (sum > 0 && !isinf(sum))
        return ANL_OK;
    anl_constructor_error(context, p->error, p->error_size, "%s: the weights' sum is %g", op, sum);
    return ANL_E_ARGUMENT;
}

static void *zeroed(struct anl_context *context, size_t count, size_t size)
{
    void *memory = anl_context_alloc(context, count * size, 64);

    if (memory)
        memset(memory, 0, count * size);
    return memory;
}

static anl_status make(struct anl_ring *ring, const struct anl_ring_params *p)
{
    size_t n = (size_t)p->n_devices;

    ring->weights = zeroed(ring->context, n, sizeof *ring->weights);
    ring->workers = zeroed(ring->context, n, sizeof *ring->workers);
    ring->links = zeroed(ring->context, 2 * n, sizeof *ring->links);
    ring->states = zeroed(ring->context, 2 * n, sizeof *ring->states);
    ring->job.rank = zeroed(ring->context, 2 * n, sizeof *ring->job.rank);
    if (!ring->weights || !ring->workers || !ring->links || !ring->states || !ring->job.rank)
        return ANL_E_MEMORY;
    ring->n = p->n_devices;
    ring->weighed = p->weights != NULL;
    for (int i = 0; i < ring->n; i++) {
        ring->weights[i] = p->weights ? p->weights[i] : 1;
        ring->workers[i].ring = ring;
        ring->workers[i].device = p->devices[i];
        ring->workers[i].index = i;
    }
    return anl_ring_start(ring);
}

static unsigned pick_slots(const struct anl_ring_params *p)
{
    unsigned slots = p->slots ? (unsigned)p->slots : RING_SLOTS;

    for (int i = 0; !p->slots && i < p->n_devices; i++)
        if (p->devices[i]->backend->mark)
            slots = RING_SLOTS_QUEUED;
    return slots;
}

anl_status anl_ring_create(struct anl_context *context, const struct anl_ring_params *params,
                           struct anl_ring **out)
{
    struct anl_ring *ring;
    anl_status s;

    if (!out)
        return ANL_E_ARGUMENT;
    *out = NULL;
    if (!context || !params || params->size < sizeof *params)
        return ANL_E_ARGUMENT;
    s = check_params(context, params);
    if (s)
        return s;
    ring = zeroed(context, 1, sizeof *ring);
    if (!ring) {
        anl_constructor_error(context, params->error, params->error_size,
                              "anl_ring_create: out of memory");
        return ANL_E_MEMORY;
    }
    ring->context = context;
    ring->transport = &anl_ring_local;
    ring->pid = (long)getpid();
    ring->slots = pick_slots(params);
    ring->chunk_spans = params->chunk_spans;
    pthread_mutex_init(&ring->lock, NULL);
    pthread_cond_init(&ring->done, NULL);
    s = make(ring, params);
    if (!s) {
        *out = ring;
        return ANL_OK;
    }
    anl_constructor_error(context, params->error, params->error_size,
                          "anl_ring_create: out of memory or threads");
    anl_ring_destroy(ring);
    return s;
}

void anl_ring_destroy(struct anl_ring *ring)
{
    struct anl_context *context = ring ? ring->context : NULL;

    if (!ring)
        return;
    for (int i = 0; i < ring->started; i++) {
        anl_ring_order(&ring->workers[i], RING_QUIT);
        pthread_join(ring->workers[i].thread, NULL);
        pthread_cond_destroy(&ring->workers[i].wake);
        pthread_mutex_destroy(&ring->workers[i].lock);
    }
    anl_ring_free_memory(ring);
    pthread_cond_destroy(&ring->done);
    pthread_mutex_destroy(&ring->lock);
    anl_context_free(context, ring->job.rank);
    anl_context_free(context, ring->states);
    anl_context_free(context, ring->links);
    anl_context_free(context, ring->workers);
    anl_context_free(context, ring->weights);
    anl_context_free(context, ring);
}
