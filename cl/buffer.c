/* cl/buffer.c: device memory: buffers, the scratch arena, uploads of small arrays. */
#include <string.h>
#include <unistd.h>

#include "cl/cl.h"

static anl_status refused(struct anl_cl_device *d, uint64_t size, cl_int code)
{
    return anl_fail(&d->base, ANL_E_MEMORY, "%llu bytes of device memory: %s (%d)",
                    (unsigned long long)size, anl_cl_error_name(code), (int)code);
}

static anl_status create_mem(struct anl_cl_device *d, uint64_t size, void *copy,
                             enum anl_purpose purpose, cl_mem *out)
{
    cl_mem_flags flags = CL_MEM_READ_WRITE | (copy ? CL_MEM_COPY_HOST_PTR : 0);
    cl_int code = CL_INVALID_BUFFER_SIZE;

    *out = NULL;
    if (size <= d->base.info.max_alloc)
        *out = d->api.clCreateBuffer(d->context, flags, size ? (size_t)size : 4, copy, &code);
    if (!*out)
        return refused(d, size, code);
    anl_account(&d->base, purpose, (int64_t)size);
    return ANL_OK;
}

anl_status anl_cl_alloc(struct anl_cl_device *d, uint64_t size, enum anl_purpose purpose, cl_mem *out)
{
    return create_mem(d, size, NULL, purpose, out);
}

void anl_cl_free(struct anl_cl_device *d, cl_mem mem, uint64_t size, enum anl_purpose purpose)
{
    if (!mem)
        return;
    d->api.clReleaseMemObject(mem);
    d->freed++;
    anl_account(&d->base, purpose, -(int64_t)size);
}

anl_status anl_cl_scratch(struct anl_cl_device *d, int slot, uint64_t size, cl_mem *out)
{
    cl_mem *mem = &d->scratch[slot].mem;
    anl_status s = ANL_OK;

    if (!*mem || d->scratch[slot].size < size) {
        anl_cl_free(d, *mem, d->scratch[slot].size, ANL_FOR_SCRATCH);
        *mem = NULL;
        d->scratch[slot].size = size;
        s = create_mem(d, size, NULL, ANL_FOR_SCRATCH, mem);
    }
    *out = *mem;
    return s;
}

anl_status anl_cl_upload(struct anl_cl_device *d, const void *data, uint64_t size, cl_mem *out)
{
    void *copy;

    memcpy(&copy, &data, sizeof copy); /* OpenCL only reads it, but takes a void * */
    return create_mem(d, size, copy, ANL_FOR_SCRATCH, out);
}

anl_status anl_cl_buffer_create(struct anl_device *device, uint64_t size, enum anl_purpose purpose,
                                void *wrapped, struct anl_buffer **out)
{
    struct anl_cl_device *d = anl_cl(device);
    struct anl_cl_buffer *b;
    anl_status s;

    if (wrapped)
        return anl_fail(device, ANL_E_UNSUPPORTED, "an OpenCL device cannot wrap host memory");
    b = anl_context_alloc(device->context, sizeof *b, 64);
    if (!b)
        return anl_fail(device, ANL_E_MEMORY, "a buffer's handle: out of memory");
    *b = (struct anl_cl_buffer){ { device, size, NULL, (int)purpose, 1 }, NULL };
    s = create_mem(d, size, NULL, purpose, &b->mem);
    if (s) {
        anl_context_free(device->context, b);
        return s;
    }
    *out = &b->base;
    return ANL_OK;
}

anl_status anl_buffer_wrap_cl(struct anl_device *device, void *mem, uint64_t size,
                              struct anl_buffer **out)
{
    struct anl_cl_buffer *b;
    cl_int code;

    if (!device || device->pid != (long)getpid())
        return device ? ANL_E_FORKED : ANL_E_ARGUMENT;
    if (!out || !mem)
        return anl_fail(device, ANL_E_ARGUMENT, "anl_buffer_wrap_cl: %s is NULL",
                        out ? "cl_mem" : "out");
    *out = NULL;
    if (device->backend != &anl_cl_backend)
        return anl_fail(device, ANL_E_UNSUPPORTED, "anl_buffer_wrap_cl: not an OpenCL device");
    b = anl_context_alloc(device->context, sizeof *b, 64);
    if (!b)
        return anl_fail(device, ANL_E_MEMORY, "a buffer's handle: out of memory");
    *b = (struct anl_cl_buffer){ { device, size, NULL, ANL_FOR_TENSORS, 0 }, mem };
    code = anl_cl(device)->api.clRetainMemObject(mem);
    if (code) {
        anl_context_free(device->context, b);
        return anl_cl_fail(anl_cl(device), "clRetainMemObject", code);
    }
    *out = &b->base;
    return ANL_OK;
}

void anl_cl_buffer_destroy(struct anl_buffer *buffer)
{
    struct anl_cl_buffer *b = (struct anl_cl_buffer *)buffer;
    struct anl_cl_device *d = anl_cl(buffer->device);

    anl_cl_waited(d, "clFinish", d->api.clFinish(d->queue));
    d->api.clReleaseMemObject(b->mem);
    d->freed++;
    if (buffer->owned)
        anl_account(&d->base, (enum anl_purpose)buffer->purpose, -(int64_t)buffer->size);
    anl_context_free(d->base.context, b);
}

anl_status anl_cl_write(struct anl_cl_device *d, cl_mem mem, uint64_t offset, const void *data,
                        uint64_t size)
{
    cl_int code = d->api.clEnqueueWriteBuffer(d->queue, mem, CL_TRUE, (size_t)offset, (size_t)size,
                                              data, 0, NULL, NULL);

    anl_cl_waited(d, NULL, 0);
    return code ? anl_cl_fail(d, "clEnqueueWriteBuffer", code) : ANL_OK;
}

anl_status anl_cl_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                               uint64_t size)
{
    return anl_cl_write(anl_cl(buffer->device), anl_cl_mem(buffer), offset, data, size);
}

anl_status anl_cl_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    struct anl_cl_device *d = anl_cl(buffer->device);
    cl_int code = d->api.clEnqueueReadBuffer(d->queue, anl_cl_mem(buffer), CL_TRUE, (size_t)offset,
                                             (size_t)size, data, 0, NULL, NULL);

    anl_cl_waited(d, "clEnqueueReadBuffer", code);
    return anl_cl_tell_late(d);
}
