/* src/buffer.c: buffers: the checks before a backend, and the host memory that two backends share. */
#include <string.h>

#include "src/internal.h"

static anl_status create(struct anl_device *device, uint64_t size, void *wrapped,
                         struct anl_buffer **out, const char *op)
{
    anl_status s;

    if (out)
        *out = NULL;
    s = anl_enter(device, op, NULL, 0);
    if (s)
        return s;
    if (!out)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: out is NULL", op);
    if (size > (uint64_t)INT64_MAX)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: size %llu is too large", op,
                        (unsigned long long)size);
    return device->backend->buffer_create(device, size, ANL_FOR_TENSORS, wrapped, out);
}

anl_status anl_buffer_create(struct anl_device *device, uint64_t size, struct anl_buffer **out)
{
    return create(device, size, NULL, out, "anl_buffer_create");
}

anl_status anl_buffer_wrap(struct anl_device *device, void *memory, uint64_t size,
                           struct anl_buffer **out)
{
    const char *op = "anl_buffer_wrap";
    anl_status s = anl_enter(device, op, NULL, 0);
    if (s)
        return s;
    if (!memory || ((uintptr_t)memory & 3))
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: memory %p is NULL or not aligned to 4 bytes", op, memory);
    return create(device, size, memory, out, op);
}

void anl_buffer_destroy(struct anl_buffer *buffer)
{
    if (buffer)
        buffer->device->backend->buffer_destroy(buffer);
}

uint64_t anl_buffer_size(const struct anl_buffer *buffer)
{
    return buffer->size;
}

void *anl_buffer_host(struct anl_buffer *buffer)
{
    return buffer->host;
}

static anl_status check_span(struct anl_buffer *buffer, uint64_t offset, const void *data,
                             uint64_t size, const char *op)
{
    anl_status s;
    if (!buffer)
        return ANL_E_ARGUMENT;
    s = anl_enter(buffer->device, op, NULL, 0);
    if (s)
        return s;
    if (offset > buffer->size || size > buffer->size - offset)
        return anl_fail(buffer->device, ANL_E_ARGUMENT,
                        "%s: offset %llu and size %llu pass the end of a buffer of %llu bytes", op,
                        (unsigned long long)offset, (unsigned long long)size,
                        (unsigned long long)buffer->size);
    if (!data && size)
        return anl_fail(buffer->device, ANL_E_ARGUMENT, "%s: data is NULL", op);
    return ANL_OK;
}

anl_status anl_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                            uint64_t size)
{
    anl_status s = check_span(buffer, offset, data, size, "anl_buffer_write");
    if (s || !size)
        return s;
    return buffer->device->backend->buffer_write(buffer, offset, data, size);
}

anl_status anl_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    anl_status s = check_span(buffer, offset, data, size, "anl_buffer_read");
    if (s || !size)
        return s;
    return buffer->device->backend->buffer_read(buffer, offset, data, size);
}

anl_status anl_host_buffer_create(struct anl_device *device, uint64_t size,
                                  enum anl_purpose purpose, void *wrapped,
                                  struct anl_buffer **out)
{
    struct anl_buffer *b = anl_context_alloc(device->context, sizeof *b, 64);
    if (!b)
        return anl_fail(device, ANL_E_MEMORY, "a buffer of %llu bytes: out of memory",
                        (unsigned long long)size);
    *b = (struct anl_buffer){ device, size, wrapped, (int)purpose, !wrapped };
    if (b->owned) {
        b->host = size > SIZE_MAX - 64 ? NULL
                                       : anl_context_alloc(device->context, (size_t)size, 64);
        if (!b->host) {
            anl_context_free(device->context, b);
            return anl_fail(device, ANL_E_MEMORY, "a buffer of %llu bytes: out of memory",
                            (unsigned long long)size);
        }
        anl_account(device, purpose, (int64_t)size);
    }
    *out = b;
    return ANL_OK;
}

void anl_host_buffer_destroy(struct anl_buffer *buffer)
{
    struct anl_device *device = buffer->device;
    if (buffer->owned) {
        anl_account(device, (enum anl_purpose)buffer->purpose, -(int64_t)buffer->size);
        anl_context_free(device->context, buffer->host);
    }
    anl_context_free(device->context, buffer);
}

anl_status anl_host_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                                 uint64_t size)
{
    memcpy((char *)buffer->host + offset, data, (size_t)size);
    return ANL_OK;
}

anl_status anl_host_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data,
                                uint64_t size)
{
    memcpy(data, (char *)buffer->host + offset, (size_t)size);
    return ANL_OK;
}
