/* src/ring_worker.c: the threads: one for each device, at rest between calls. */
#include <errno.h>
#include <time.h>

#include "src/ring.h"

void anl_ring_wake(void *worker)
{
    struct anl_ring_worker *w = worker;

    pthread_mutex_lock(&w->lock);
    w->pending = 1;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void anl_ring_order(struct anl_ring_worker *w, enum anl_ring_order order)
{
    pthread_mutex_lock(&w->lock);
    w->order = order;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* What wakes a worker does not come from its device: with work in flight it looks for itself so often. */
#define LOOK_NS 100000

/* Sleeps until something may have changed. What changed since the last sleep counts, so that nothing is
 * missed between a look and the sleep (I7). */
static void sleep_until_woken(struct anl_ring_worker *w)
{
    struct anl_ring_step step = { .kind = ANL_RING_WAIT, .piece = -1, .begin = anl_ring_now() };
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&w->lock);
    while (!w->pending) {
        if (!w->flying)
            pthread_cond_wait(&w->wake, &w->lock);
        else if (pthread_cond_timedwait(&w->wake, &w->lock, &until) == ETIMEDOUT)
            break;
    }
    w->pending = 0;
    pthread_mutex_unlock(&w->lock);
    step.end = anl_ring_now();
    if (w->flying)
        return; /* the device was at work */
    w->waited = 1;
    anl_ring_record(w, step);
}

/* Of the ranks with something to compute, the one with more work left; NULL: none has. */
static struct anl_ring_rank *pick(const struct anl_ring_worker *w)
{
    struct anl_ring_rank *best = NULL;

    for (int i = 0; i < w->n_ranks; i++)
        if (anl_ring_ready(w, w->rank[i]) && (!best || w->rank[i]->left > best->left))
            best = w->rank[i];
    return best;
}

static int all_done(const struct anl_ring_worker *w)
{
    for (int i = 0; i < w->n_ranks; i++) {
        const struct anl_ring_rank *r = w->rank[i];
        if (r->step < r->steps || r->sent < r->n_out)
            return 0;
    }
    return 1;
}

/* So long a device may take to say that what it had queued when it failed has ended. */
#define LOST_SECONDS 10

/* What is queued is waited for (I9), since its marks are the worker's. After a failure an error that comes so
 * late is not the first; and a device that is lost may never come to its marks. */
static void come_to_rest(struct anl_ring_worker *w)
{
    anl_status s = w->device->backend->mark ? anl_device_finish(w->device) : ANL_OK;
    double until = anl_ring_now() + LOST_SECONDS;

    if (s)
        anl_ring_fail(w->ring, s, "anl_ring_attn: device %d (%s), finishing: %s", w->index,
                      w->device->info.name, anl_device_message(w->device));
    for (anl_ring_land(w); w->flying && anl_ring_now() < until; anl_ring_land(w))
        sleep_until_woken(w);
    for (; w->flying; w->flying--, w->first = (w->first + 1) % RING_FLIGHTS)
        w->device->backend->forget(w->device, &w->flight[w->first].mark);
}

/* A chunk of each rank, the later one first: the rank behind that has more to do. Or one chunk in all, if the
 * device may need work meanwhile. */
static int send_some(struct anl_ring_worker *w)
{
    int sent = 0;

    for (int i = w->n_ranks - 1; i >= 0 && !(sent && w->device->backend->mark); i--)
        sent |= anl_ring_send(w, w->rank[i]);
    return sent;
}

/* What is here is sent on before it is computed with, so that it travels meanwhile; but a device that queues
 * its operations is given work first, and sends while it is at it. */
static void attend(struct anl_ring_worker *w)
{
    unsigned most = w->device->backend->mark ? RING_FLIGHTS : 1;

    w->landed = 0;
    while (!atomic_load(&w->ring->stop)) {
        struct anl_ring_rank *rank;
        int sent = 0;
        anl_ring_land(w);
        if (most == 1 || w->flying)
            sent = send_some(w);
        if (sent && most == 1)
            continue;
        rank = w->flying < most ? pick(w) : NULL;
        if (rank)
            anl_ring_compute(w, rank);
        else if (all_done(w) && !w->flying)
            break;
        else if (!sent && !send_some(w))
            sleep_until_woken(w);
    }
    come_to_rest(w);
}

static void each(struct anl_ring_worker *w)
{
    struct anl_ring *ring = w->ring;
    anl_status s = ring->task(ring->task_user, w->index, w->device);

    if (!s)
        s = anl_device_finish(w->device);
    if (s)
        anl_ring_fail(ring, s, "anl_ring_each: device %d (%s): %s", w->index, w->device->info.name,
                      anl_device_message(w->device));
}

/* What was queued before the call must be there before copies go on beside the queue. */
static void begin_attention(struct anl_ring_worker *w)
{
    anl_status s = w->device->backend->mark ? anl_device_finish(w->device) : ANL_OK;

    if (s)
        anl_ring_fail(w->ring, s, "anl_ring_attn: device %d (%s), before the first chunk: %s", w->index,
                      w->device->info.name, anl_device_message(w->device));
    attend(w);
}

static void report_done(struct anl_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    if (--ring->running == 0)
        pthread_cond_signal(&ring->done);
    pthread_mutex_unlock(&ring->lock);
}

static void *worker_main(void *arg)
{
    struct anl_ring_worker *w = arg;

    for (;;) {
        enum anl_ring_order order;
        pthread_mutex_lock(&w->lock);
        while (w->order == RING_REST)
            pthread_cond_wait(&w->wake, &w->lock);
        order = w->order;
        w->order = RING_REST;
        pthread_mutex_unlock(&w->lock);
        if (order == RING_QUIT)
            return NULL;
        if (order == RING_ATTN)
            begin_attention(w);
        else
            each(w);
        w->account.total = anl_ring_now() - w->ring->job.began;
        report_done(w->ring);
    }
}

anl_status anl_ring_start(struct anl_ring *ring)
{
    for (int i = 0; i < ring->n; i++) {
        struct anl_ring_worker *w = &ring->workers[i];
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->wake, NULL);
        if (pthread_create(&w->thread, NULL, worker_main, w)) {
            pthread_cond_destroy(&w->wake);
            pthread_mutex_destroy(&w->lock);
            return ANL_E_MEMORY;
        }
        ring->started++;
    }
    return ANL_OK;
}
