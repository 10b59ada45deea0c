/* cl/launch.c: kernel calls, and the errors that come late. */
#include "cl/cl.h"

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
    *call = (struct anl_cl_call){ d, NULL, 0, 0, ANL_OK, name };
    call->status = anl_cl_kernel(d, unit, options, name, &call->kernel);
}

static void set_arg(struct anl_cl_call *call, size_t size, const void *value)
{
    if (call->status || call->error)
        return;
    call->error = call->device->api.clSetKernelArg(call->kernel, call->n_args++, size, value);
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

/* The slot of the next launch's event: the one of ANL_CL_EVENTS launches ago must be done. */
static cl_event *next_event(struct anl_cl_device *d)
{
    cl_event *e = &d->events[d->n_launches % ANL_CL_EVENTS];

    if (*e) {
        cl_int code = d->api.clWaitForEvents(1, e);
        if (code && !d->late)
            d->late = code;
        d->api.clReleaseEvent(*e);
        *e = NULL;
    }
    d->n_launches++;
    return e;
}

anl_status anl_cl_launch(struct anl_cl_call *call, int dims, const size_t *groups, const size_t *group)
{
    struct anl_cl_device *d = call->device;
    size_t global[3];
    cl_int code;

    if (call->status)
        return call->status;
    if (call->error)
        return anl_cl_fail(d, call->name, call->error);
    for (int i = 0; i < dims; i++)
        global[i] = groups[i] * group[i];
    code = d->api.clEnqueueNDRangeKernel(d->queue, call->kernel, (cl_uint)dims, NULL, global, group, 0,
                                         NULL, next_event(d));
    return code ? anl_cl_fail(d, call->name, code) : ANL_OK;
}

void anl_cl_collect(struct anl_cl_device *d, int wait)
{
    for (unsigned i = 0; i < ANL_CL_EVENTS; i++) {
        cl_int status = CL_COMPLETE, code;
        if (!d->events[i])
            continue;
        code = d->api.clGetEventInfo(d->events[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
                                     &status, NULL);
        if (!code && status > CL_COMPLETE && !wait)
            continue;
        if (!code && status < 0)
            code = status;
        if (code && !d->late)
            d->late = code;
        d->api.clReleaseEvent(d->events[i]);
        d->events[i] = NULL;
    }
}
