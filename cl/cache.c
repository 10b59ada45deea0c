/* cl/cache.c: the blob that carries built programs and the probes' verdict to a later run.
 *
 *   head     magic, identity of device, driver and all our sources, verdict, the tiles that it is
 *            about, number of entries
 *   entries  key, size, bytes of a program's binary; each padded to 8 bytes
 *   tail     XXH3-64 of all before it
 *
 * Anything unexpected means: no blob. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cl/list.h"

struct head {
    char magic[8];
    uint64_t identity;
    uint64_t tiles;
    int32_t grade;
    uint32_t entries;
    char failed_probe[128];
};

struct entry {
    uint64_t key, size;
};

static const char magic[8] = "ANLCL 2";

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* Other tiles are other kernels: what was found with some says nothing of the rest. */
static uint64_t tiles_hash(const struct anl_cl_device *d)
{
    return d->cpu_shaped ? 0 : XXH3_64bits(&d->tiles, sizeof d->tiles);
}

static struct head read_head(const struct anl_cl_device *d)
{
    struct head h;
    memcpy(&h, d->cache, sizeof h);
    return h;
}

void anl_cl_cache_load(struct anl_cl_device *d, const void *data, size_t size)
{
    struct head h;
    uint64_t sum;

    if (!data || size < sizeof h + sizeof sum)
        return;
    memcpy(&h, data, sizeof h);
    memcpy(&sum, (const char *)data + size - sizeof sum, sizeof sum);
    if (memcmp(h.magic, magic, sizeof magic) || h.identity != d->identity ||
        h.failed_probe[sizeof h.failed_probe - 1] || sum != XXH3_64bits(data, size - sizeof sum))
        return;
    d->cache = anl_context_alloc(d->base.context, size, 64);
    if (!d->cache)
        return;
    memcpy(d->cache, data, size);
    d->cache_size = size;
}

/* Entry number i at *at, which moves on to the next; 0 at the end. */
static int next_entry(const struct anl_cl_device *d, size_t *at, struct entry *e)
{
    size_t left;

    if (!d->cache)
        return 0;
    if (!*at)
        *at = sizeof(struct head);
    left = d->cache_size - sizeof(uint64_t) - *at;
    if (left < sizeof *e)
        return 0;
    memcpy(e, d->cache + *at, sizeof *e);
    if (e->size > left - sizeof *e || padded((size_t)e->size) > left - sizeof *e)
        return 0;
    *at += sizeof *e + padded((size_t)e->size);
    return 1;
}

const unsigned char *anl_cl_cache_find(const struct anl_cl_device *d, uint64_t key, size_t *size)
{
    struct entry e;
    size_t at = 0;

    while (next_entry(d, &at, &e))
        if (e.key == key) {
            *size = (size_t)e.size;
            return d->cache + at - padded(*size);
        }
    return NULL;
}

int anl_cl_cache_verdict(struct anl_cl_device *d)
{
    struct head h;

    if (!d->cache)
        return 0;
    h = read_head(d);
    if (h.grade < ANL_EXACT || h.grade > ANL_FAST || h.tiles != tiles_hash(d))
        return 0;
    d->base.info.grade = (anl_grade)h.grade;
    memcpy(d->base.info.failed_probe, h.failed_probe, sizeof h.failed_probe);
    return 1;
}

struct writer {
    unsigned char *data;
    size_t capacity, size;
};

static void put(struct writer *w, const void *data, size_t size)
{
    static const char zero[8] = { 0 };

    if (w->size + padded(size) <= w->capacity) {
        memcpy(w->data + w->size, data, size);
        memcpy(w->data + w->size + size, zero, padded(size) - size);
    }
    w->size += padded(size);
}

static int is_built(const struct anl_cl_device *d, uint64_t key)
{
    for (const struct anl_cl_program *p = d->programs; p; p = p->next)
        if (p->key == key)
            return 1;
    return 0;
}

/* The binaries of a program are those of all its context's devices, though it was built for one: *which. */
static anl_status binary_sizes(struct anl_cl_device *d, const struct anl_cl_program *p, size_t *sizes,
                               size_t *n, size_t *which)
{
    cl_device_id ids[ANL_CL_MAX_LIST + 1];
    size_t bytes = 0;
    cl_int code = d->api.clGetProgramInfo(p->handle, CL_PROGRAM_DEVICES, sizeof ids, ids, &bytes);

    if (!code)
        code = d->api.clGetProgramInfo(p->handle, CL_PROGRAM_BINARY_SIZES, (ANL_CL_MAX_LIST + 1) * sizeof *sizes,
                                       sizes, NULL);
    if (code)
        return anl_cl_fail(d, "clGetProgramInfo", code);
    *n = bytes / sizeof *ids;
    for (*which = 0; *which < *n; ++*which)
        if (ids[*which] == d->id)
            return ANL_OK;
    return anl_fail(&d->base, ANL_E_DEVICE, "clGetProgramInfo: a program is not for its own device");
}

static anl_status put_program(struct anl_cl_device *d, const struct anl_cl_program *p, struct writer *w)
{
    unsigned char *binaries[ANL_CL_MAX_LIST + 1] = { NULL };
    struct entry e = { p->key, 0 };
    size_t sizes[ANL_CL_MAX_LIST + 1] = { 0 }, n = 0, which = 0;
    anl_status s = binary_sizes(d, p, sizes, &n, &which);
    cl_int code;

    if (s)
        return s;
    /* all have room, though a driver may pass over those that are NULL */
    for (size_t i = 0; i < n; i++) {
        binaries[i] = anl_context_alloc(d->base.context, sizes[i] ? sizes[i] : 1, 64);
        if (!binaries[i]) {
            s = anl_fail(&d->base, ANL_E_MEMORY, "a program's binary: out of memory");
            goto done;
        }
    }
    code = d->api.clGetProgramInfo(p->handle, CL_PROGRAM_BINARIES, n * sizeof *binaries, binaries, NULL);
    if (code) {
        s = anl_cl_fail(d, "clGetProgramInfo", code);
        goto done;
    }
    e.size = sizes[which];
    put(w, &e, sizeof e);
    put(w, binaries[which], sizes[which]);
done:
    for (size_t i = 0; i < n; i++)
        anl_context_free(d->base.context, binaries[i]);
    return s;
}

anl_status anl_cl_cache_get(struct anl_device *device, void *data, size_t capacity, size_t *needed)
{
    struct anl_cl_device *d = anl_cl(device);
    struct writer w = { data, data ? capacity : 0, 0 };
    struct head h;
    struct entry e;
    size_t at = 0;
    uint64_t sum = 0;

    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.identity = d->identity;
    h.tiles = tiles_hash(d);
    h.grade = (int32_t)device->info.grade;
    memcpy(h.failed_probe, device->info.failed_probe, sizeof h.failed_probe);
    put(&w, &h, sizeof h);
    for (const struct anl_cl_program *p = d->programs; p; p = p->next) {
        anl_status s = put_program(d, p, &w);
        if (s)
            return s;
        h.entries++;
    }
    /* what an earlier run built and this one had no use for */
    while (next_entry(d, &at, &e))
        if (!is_built(d, e.key)) {
            put(&w, &e, sizeof e);
            put(&w, d->cache + at - padded((size_t)e.size), (size_t)e.size);
            h.entries++;
        }
    *needed = w.size + sizeof sum;
    if (!data || *needed > capacity)
        return ANL_OK;
    memcpy(w.data, &h, sizeof h);
    sum = XXH3_64bits(w.data, w.size);
    put(&w, &sum, sizeof sum);
    return ANL_OK;
}
