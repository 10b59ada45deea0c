/* src/ring_local.c: links between threads of one process: slots in memory that both reach. */
#include <assert.h>

#include "src/ring.h"

static anl_status open_link(struct anl_ring_link *link)
{
    struct anl_device *p = link->pinner;
    void *memory = NULL;
    uint64_t bytes;
    anl_status s = ANL_E_MEMORY;

    atomic_init(&link->sent, 0);
    atomic_init(&link->posted, link->slots);
    if (__builtin_mul_overflow(link->slot_bytes, link->slots, &bytes) || bytes > SIZE_MAX / 2)
        return ANL_E_MEMORY;
    if (link->direct)
        return ANL_OK;
    if (p)
        s = p->backend->pin(p, bytes, &memory, &link->pinned);
    if (s) { /* a device may have little memory that it can pin: any will do */
        link->pinner = NULL;
        memory = anl_context_alloc(link->context, (size_t)bytes, 64);
    }
    link->memory = memory;
    return memory ? ANL_OK : ANL_E_MEMORY;
}

static void close_link(struct anl_ring_link *link)
{
    if (link->pinner)
        link->pinner->backend->unpin(link->pinner, link->memory, link->pinned);
    else
        anl_context_free(link->context, link->memory);
    link->pinner = NULL;
    link->memory = NULL;
}

static struct anl_ring_slot *slot_of(const struct anl_ring_link *link, uint64_t i)
{
    return &link->slot[i % link->slots];
}

static struct anl_ring_slot *slot(struct anl_ring_link *link)
{
    uint64_t i = atomic_load_explicit(&link->sent, memory_order_relaxed);

    /* acquire: the receiver has read what was in the slot (I3) */
    return i < atomic_load_explicit(&link->posted, memory_order_acquire) ? slot_of(link, i) : NULL;
}

static void isend(struct anl_ring_link *link)
{
    assert(slot(link)); /* I3 */
    atomic_fetch_add_explicit(&link->sent, 1, memory_order_release);
    link->wake(link->receiver);
}

static struct anl_ring_slot *test(struct anl_ring_link *link, uint64_t i)
{
    return i < atomic_load_explicit(&link->sent, memory_order_acquire) ? slot_of(link, i) : NULL;
}

static void irecv(struct anl_ring_link *link)
{
    atomic_fetch_add_explicit(&link->posted, 1, memory_order_release);
    link->wake(link->sender);
}

const struct anl_ring_transport anl_ring_local = { open_link, close_link, slot, isend, test, irecv };
