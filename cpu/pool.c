/* cpu/pool.c: where packed weights lie: one behind the other in chunks that are large enough for huge
 * pages, which the context's allocator asks for. A model of small matrices that lay each on its own
 * would take a page fault for every 4 KiB when it is loaded, and misses of the TLB ever after.
 *
 * A chunk goes when the last block in it is given back; room inside it is not used twice. */
#include "cpu/cpu.h"

#define SMALL ((size_t)64 << 10) /* less than this does not begin a chunk of its own */
#define FIRST ((size_t)4 << 20)
#define MOST ((size_t)32 << 20)

struct cpu_chunk {
    char *memory;
    size_t size, used;
    int64_t blocks; /* alive */
};

/* The newest chunk is the one that is filled. Each is as large as all before it, up to MOST. */
static struct cpu_chunk *begin_chunk(struct cpu_device *d, size_t bytes)
{
    struct cpu_chunk *c = anl_context_alloc(d->base.context, sizeof *c, 64);
    size_t size = d->chunk ? 2 * d->chunk->size : FIRST;

    size = size < MOST ? size : MOST;
    if (bytes < SMALL || bytes > size / 2)
        size = bytes;
    if (!c)
        return NULL;
    *c = (struct cpu_chunk){ anl_context_alloc(d->base.context, size, 64), size, 0, 0 };
    if (!c->memory) {
        anl_context_free(d->base.context, c);
        return NULL;
    }
    if (size > bytes)
        d->chunk = c;
    return c;
}

void *anl_cpu_pool_alloc(struct cpu_device *device, size_t bytes, struct cpu_chunk **chunk)
{
    struct cpu_chunk *c = device->chunk;
    char *memory;

    bytes = anl_cpu_pad(bytes);
    if (!c || bytes > c->size - c->used)
        c = begin_chunk(device, bytes);
    if (!c)
        return NULL;
    memory = c->memory + c->used;
    c->used += bytes;
    c->blocks++;
    *chunk = c;
    return memory;
}

void anl_cpu_pool_free(struct cpu_device *device, struct cpu_chunk *chunk)
{
    if (!chunk || --chunk->blocks > 0)
        return;
    if (chunk == device->chunk)
        device->chunk = NULL;
    anl_context_free(device->base.context, chunk->memory);
    anl_context_free(device->base.context, chunk);
}
