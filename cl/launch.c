/* cl/launch.c: kernel calls, and the errors that come late. */
#include <string.h>

#include "cl/cl.h"

#define FLUSH_LAUNCHES 8

anl_status anl_cl_fail(struct anl_cl_device *d, const char *call, cl_int code)
{
    anl_status s = ANL_E_DEVICE;

    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY)
        s = ANL_E_MEMORY;
    return anl_fail(&d->base, s, "%s: %s (%d)", call, anl_cl_error_name(code), (int)code);
}

void anl_cl_begin(struct anl_cl_call *call, struct anl_cl_device *d, enum anl_cl_unit unit,
                  const char *options, const char *name)
{
    struct anl_cl_kernel *k = NULL;

    *call = (struct anl_cl_call){ d, NULL, 0, 0, ANL_OK, name };
    call->status = anl_cl_kernel(d, unit, options, name, &k);
    if (call->status)
        return;
    /* what was freed since may have come again as another object with the same handle */
    if (k->freed != d->freed)
        memset(k->args, 0, sizeof k->args);
    k->freed = d->freed;
    call->kernel = k;
}

static void set_arg(struct anl_cl_call *call, size_t size, const void *value)
{
    struct anl_cl_kernel *k = call->kernel;
    cl_uint i = call->n_args++;

    if (call->status || call->error)
        return;
    if (k->args[i].size == size && !memcmp(k->args[i].bytes, value, size))
        return;
    call->error = call->device->api.clSetKernelArg(k->handle, i, size, value);
    k->args[i].size = call->error ? 0 : (unsigned char)size;
    memcpy(k->args[i].bytes, value, size);
}

void anl_cl_arg_mem(struct anl_cl_call *call, cl_mem mem)
{
    set_arg(call, sizeof mem, &mem);
}

void anl_cl_arg_int(struct anl_cl_call *call, int32_t value)
{
    cl_int v = value;
    set_arg(call, sizeof v, &v);
}

void anl_cl_arg_long(struct anl_cl_call *call, int64_t value)
{
    cl_long v = value;
    set_arg(call, sizeof v, &v);
}

void anl_cl_arg_float(struct anl_cl_call *call, float value)
{
    cl_float v = value;
    set_arg(call, sizeof v, &v);
}

void anl_cl_arg_long4(struct anl_cl_call *call, int64_t x, int64_t y, int64_t z, int64_t w)
{
    cl_long4 v = { { x, y, z, w } };
    set_arg(call, sizeof v, &v);
}

void anl_cl_arg_tensor(struct anl_cl_call *call, const struct anl_tensor *t,
                       const struct anl_tensor *instead)
{
    int64_t element = t->dtype == ANL_F32 ? 4 : 2;

    if (!t->buffer) {
        anl_cl_arg_mem(call, anl_cl_mem(instead->buffer));
        anl_cl_arg_long4(call, 0, 0, 0, 0);
        return;
    }
    anl_cl_arg_mem(call, anl_cl_mem(t->buffer));
    anl_cl_arg_long4(call, (int64_t)t->offset / element, t->stride[0], t->stride[1], t->stride[2]);
}

int anl_cl_aligned(const struct anl_tensor *t)
{
    int64_t element = t->dtype == ANL_F32 ? 4 : 2;

    for (int i = 0; i < t->ndim - 1; i++)
        if (t->stride[i] * element % 16)
            return 0;
    return t->offset % 16 == 0;
}

static void keep_late(struct anl_cl_device *d, const char *call, cl_int code)
{
    if (!code || d->late)
        return;
    d->late = code;
    d->late_call = call;
}

/* The oldest event, which is done, leaves the ring; its error is kept. */
static void take_event(struct anl_cl_device *d)
{
    cl_event *e = &d->events[d->events_from++ % ANL_CL_EVENTS];
    cl_int status = CL_COMPLETE, code;

    if (!*e) /* of a launch that was refused */
        return;
    code = d->api.clGetEventInfo(*e, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    keep_late(d, "a queued kernel", code ? code : status < 0 ? status : 0);
    d->api.clReleaseEvent(*e);
    *e = NULL;
}

/* The next launch's event, or NULL: one in launches_per_event has one. The launch of ANL_CL_EVENTS
 * launches ago must be done, which bounds the queue. */
static cl_event *next_event(struct anl_cl_device *d)
{
    if (d->base.launches++ % d->launches_per_event)
        return NULL;
    if (d->events_to - d->events_from == ANL_CL_EVENTS / d->launches_per_event) {
        cl_event *oldest = &d->events[d->events_from % ANL_CL_EVENTS];
        cl_int code = *oldest ? d->api.clWaitForEvents(1, oldest) : 0;
        take_event(d); /* its status says more than the wait's code does */
        keep_late(d, "clWaitForEvents", code);
    }
    return &d->events[d->events_to++ % ANL_CL_EVENTS];
}

/* The first launch after a wait is sent at once, so that the device begins while the host goes on;
 * later ones a few at a time. */
static void flush(struct anl_cl_device *d)
{
    if (d->unflushed++ % FLUSH_LAUNCHES == 0)
        d->api.clFlush(d->queue);
}

int anl_cl_fits(const struct anl_cl_call *call, size_t items)
{
    return call->status || items <= call->kernel->max_group;
}

anl_status anl_cl_launch(struct anl_cl_call *call, int dims, const size_t *groups, const size_t *group)
{
    struct anl_cl_device *d = call->device;
    size_t global[3], items = 1;
    cl_int code;

    if (call->status)
        return call->status;
    if (call->error)
        return anl_cl_fail(d, call->name, call->error);
    for (int i = 0; i < dims; i++) {
        global[i] = groups[i] * group[i];
        items *= group[i];
    }
    code = d->api.clEnqueueNDRangeKernel(d->queue, call->kernel->handle, (cl_uint)dims, NULL, global,
                                         group, 0, NULL, next_event(d));
    if (code == CL_INVALID_WORK_GROUP_SIZE)
        return anl_fail(&d->base, ANL_E_UNSUPPORTED,
                        "%s: the driver refuses work-groups of %zu work-items", call->name, items);
    if (code)
        return anl_cl_fail(d, call->name, code);
    flush(d);
    return ANL_OK;
}

void anl_cl_waited(struct anl_cl_device *d, const char *call, cl_int code)
{
    d->unflushed = 0;
    while (d->events_from != d->events_to)
        take_event(d);
    keep_late(d, call, code);
}

anl_status anl_cl_tell_late(struct anl_cl_device *d)
{
    cl_int code = d->late;

    d->late = 0;
    return code ? anl_cl_fail(d, d->late_call, code) : ANL_OK;
}
