/* cl/beside.c: what a ring needs: copies that go on beside queued operations, on a queue of their own, and
 * word of when those are done. */
#include "cl/cl.h"

static anl_status beside(struct anl_cl_device *d)
{
    cl_int code = 0;

    if (!d->beside)
        d->beside = d->api.clCreateCommandQueue(d->context, d->id, 0, &code);
    return d->beside ? ANL_OK : anl_cl_fail(d, "clCreateCommandQueue", code);
}

/* A rectangle's beginning, offset bytes into memory whose rows are pitch apart. */
static void origin(uint64_t offset, uint64_t pitch, size_t out[3])
{
    out[0] = (size_t)(offset % pitch);
    out[1] = (size_t)(offset / pitch);
    out[2] = 0;
}

anl_status anl_cl_fetch(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                        uint64_t rows, void *to)
{
    struct anl_cl_device *d = anl_cl(buffer->device);
    const size_t none[3] = { 0, 0, 0 }, region[3] = { (size_t)width, (size_t)rows, 1 };
    cl_mem mem = anl_cl_mem(buffer);
    anl_status s = beside(d);
    size_t from[3];
    cl_int code;

    if (s)
        return s;
    origin(offset, pitch, from);
    if (pitch == width || rows == 1)
        code = d->api.clEnqueueReadBuffer(d->beside, mem, CL_FALSE, (size_t)offset, (size_t)(width * rows), to,
                                          0, NULL, NULL);
    else
        code = d->api.clEnqueueReadBufferRect(d->beside, mem, CL_FALSE, from, none, region, (size_t)pitch, 0,
                                              (size_t)width, 0, to, 0, NULL, NULL);
    return code ? anl_cl_fail(d, "clEnqueueReadBuffer beside the queue", code) : ANL_OK;
}

anl_status anl_cl_copy(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                       uint64_t rows, struct anl_buffer *to, uint64_t at)
{
    struct anl_cl_device *d = anl_cl(buffer->device);
    const size_t region[3] = { (size_t)width, (size_t)rows, 1 };
    cl_mem mem = anl_cl_mem(buffer), out = anl_cl_mem(to);
    const int tight = pitch == width || rows == 1;
    anl_status s = beside(d);
    size_t from[3], there[3];
    cl_int code = 0;

    if (s)
        return s;
    origin(offset, pitch, from);
    origin(at, width, there);
    if (!tight && !there[0])
        code = d->api.clEnqueueCopyBufferRect(d->beside, mem, out, from, there, region, (size_t)pitch, 0,
                                              (size_t)width, 0, 0, NULL, NULL);
    /* also rows that begin inside a row of what they are copied to */
    for (uint64_t i = 0; !code && (tight || there[0]) && i < (tight ? 1 : rows); i++)
        code = d->api.clEnqueueCopyBuffer(d->beside, mem, out, (size_t)(offset + i * pitch),
                                          (size_t)(at + i * width), (size_t)(tight ? width * rows : width), 0,
                                          NULL, NULL);
    return code ? anl_cl_fail(d, "clEnqueueCopyBuffer beside the queue", code) : ANL_OK;
}

anl_status anl_cl_put(struct anl_device *device, struct anl_buffer *buffer, const void *data, uint64_t size)
{
    struct anl_cl_device *d = anl_cl(device);
    anl_status s = beside(d);
    cl_int code;

    if (s)
        return s;
    code = d->api.clEnqueueWriteBuffer(d->beside, anl_cl_mem(buffer), CL_FALSE, 0, (size_t)size, data, 0, NULL,
                                       NULL);
    return code ? anl_cl_fail(d, "clEnqueueWriteBuffer beside the queue", code) : ANL_OK;
}

/* Devices of one context could write to each other's buffers too; but NVIDIA's driver then moves a buffer
 * to and fro between its GPUs, at some 1 GB/s: pinned host memory is the faster way. */
int anl_cl_reaches(const struct anl_device *device, const struct anl_device *other)
{
    return device == other;
}

anl_status anl_cl_settle(struct anl_device *device)
{
    struct anl_cl_device *d = anl_cl(device);
    cl_int code = d->beside ? d->api.clFinish(d->beside) : 0;

    return code ? anl_cl_fail(d, "clFinish beside the queue", code) : ANL_OK;
}

anl_status anl_cl_mark(struct anl_device *device, struct anl_mark *mark)
{
    struct anl_cl_device *d = anl_cl(device);
    cl_event event = NULL;
    cl_int code = d->api.clEnqueueMarkerWithWaitList(d->queue, 0, NULL, &event);

    if (code)
        return anl_cl_fail(d, "clEnqueueMarkerWithWaitList", code);
    mark->event = event;
    d->api.clFlush(d->queue);
    return ANL_OK;
}

/* Asked for, since NVIDIA's driver looks for events with callbacks every 20 ms only. */
int anl_cl_reached(struct anl_device *device, struct anl_mark *mark)
{
    struct anl_cl_device *d = anl_cl(device);
    cl_int status = CL_COMPLETE, code = d->api.clGetEventInfo(mark->event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                              sizeof status, &status, NULL);

    if (!code && status > CL_COMPLETE)
        return 0;
    d->api.clReleaseEvent(mark->event);
    mark->event = NULL;
    return code || status < 0 ? -1 : 1;
}

void anl_cl_forget(struct anl_device *device, struct anl_mark *mark)
{
    anl_cl(device)->api.clReleaseEvent(mark->event);
    mark->event = NULL;
}

anl_status anl_cl_pin(struct anl_device *device, uint64_t size, void **memory, void **handle)
{
    struct anl_cl_device *d = anl_cl(device);
    cl_int code = 0;
    cl_mem mem;
    anl_status s = beside(d);

    if (s)
        return s;
    mem = d->api.clCreateBuffer(d->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, (size_t)size, NULL, &code);
    if (!mem)
        return anl_cl_fail(d, "clCreateBuffer of host memory", code);
    *memory = d->api.clEnqueueMapBuffer(d->beside, mem, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, (size_t)size, 0,
                                        NULL, NULL, &code);
    if (!*memory) {
        d->api.clReleaseMemObject(mem);
        return anl_cl_fail(d, "clEnqueueMapBuffer", code);
    }
    *handle = mem;
    return ANL_OK;
}

void anl_cl_unpin(struct anl_device *device, void *memory, void *handle)
{
    struct anl_cl_device *d = anl_cl(device);

    d->api.clEnqueueUnmapMemObject(d->beside, handle, memory, 0, NULL, NULL);
    d->api.clFinish(d->beside);
    d->api.clReleaseMemObject(handle);
    d->freed++;
}
