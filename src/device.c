/* src/device.c: what all devices have in common: life, account, message, and the check at the door of
 * every call. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "src/internal.h"

void *anl_device_alloc(struct anl_context *context, size_t size,
                       const struct anl_backend *backend)
{
    struct anl_device *d = anl_context_alloc(context, size, 64);
    if (!d)
        return NULL;
    memset(d, 0, size);
    d->backend = backend;
    d->context = context;
    d->info.backend = backend->kind;
    d->pid = (long)getpid();
    return d;
}

void anl_device_destroy(struct anl_device *device)
{
    if (!device)
        return;
    if (device->scratch)
        device->backend->buffer_destroy(device->scratch);
    device->backend->device_destroy(device);
}

anl_status anl_device_finish(struct anl_device *device)
{
    anl_status s = anl_enter(device, "anl_device_finish", NULL, 0);
    return s ? s : device->backend->device_finish(device);
}

void anl_device_get_info(const struct anl_device *device, struct anl_device_info *out)
{
    *out = device->info;
}

void anl_device_get_memory(const struct anl_device *device, struct anl_memory *out)
{
    *out = device->memory;
}

uint64_t anl_device_launches(const struct anl_device *device)
{
    return device->launches;
}

void anl_device_memory_reset_peak(struct anl_device *device)
{
    device->memory.peak = device->memory.live;
    device->memory.peak_scratch = device->memory.scratch;
}

const char *anl_device_message(const struct anl_device *device)
{
    return device ? device->message : "no device";
}

anl_status anl_device_cache_get(struct anl_device *device, void *data, size_t capacity,
                                size_t *needed)
{
    anl_status s = anl_enter(device, "anl_device_cache_get", needed, 0);
    if (s)
        return s;
    *needed = 0;
    return device->backend->cache_get ? device->backend->cache_get(device, data, capacity, needed)
                                      : ANL_OK;
}

anl_status anl_device_tiles_get(struct anl_device *device, char *text, size_t capacity, size_t *needed)
{
    anl_status s = anl_enter(device, "anl_device_tiles_get", NULL, 0);
    if (s)
        return s;
    if (!needed)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_device_tiles_get: needed is NULL");
    *needed = 0;
    return device->backend->tiles_get ? device->backend->tiles_get(device, text, capacity, needed)
                                      : ANL_OK;
}

anl_status anl_fail(struct anl_device *device, anl_status status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(device->message, sizeof device->message, format, args);
    va_end(args);
    anl_context_log(device->context, ANL_LOG_ERROR, "%s", device->message);
    return status;
}

void anl_account(struct anl_device *device, enum anl_purpose purpose, int64_t bytes)
{
    struct anl_memory *m = &device->memory;
    uint64_t *part = purpose == ANL_FOR_WEIGHTS   ? &m->weights
                     : purpose == ANL_FOR_SCRATCH ? &m->scratch
                                                  : &m->tensors;
    *part += (uint64_t)bytes;
    m->live += (uint64_t)bytes;
    if (m->live > m->peak)
        m->peak = m->live;
    if (m->scratch > m->peak_scratch)
        m->peak_scratch = m->scratch;
}

anl_status anl_enter(struct anl_device *device, const char *op, const void *params,
                     size_t minimum)
{
    size_t size;

    if (!device)
        return ANL_E_ARGUMENT;
    if (device->pid != (long)getpid())
        return anl_fail(device, ANL_E_FORKED, "%s: the device was made by another process", op);
    device->message[0] = 0;
    if (!minimum)
        return ANL_OK;
    if (!params)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: params is NULL", op);
    memcpy(&size, params, sizeof size);
    if (size < minimum)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: params.size is %zu, at least %zu is needed",
                        op, size, minimum);
    return ANL_OK;
}

anl_status anl_scratch(struct anl_device *device, uint64_t size, struct anl_buffer **out)
{
    const struct anl_backend *be = device->backend;

    if (device->scratch && device->scratch->size < size) {
        be->buffer_destroy(device->scratch);
        device->scratch = NULL;
    }
    if (!device->scratch) {
        anl_status s = be->buffer_create(device, size, ANL_FOR_SCRATCH, NULL, &device->scratch);
        if (s)
            return s;
    }
    *out = device->scratch;
    return ANL_OK;
}
