/* cl/handles.c: the context and the queue of a device: made, or shared with another device, or the
 * caller's. */
#include "cl/list.h"

static const char *callers(struct anl_cl_device *d, const struct anl_cl_params *p, cl_int *code)
{
    d->id = p->cl_device;
    *code = d->api.clRetainContext(p->cl_context);
    if (*code)
        return "clRetainContext";
    d->context = p->cl_context;
    *code = d->api.clRetainCommandQueue(p->cl_queue);
    if (*code)
        return "clRetainCommandQueue";
    d->queue = p->cl_queue;
    return NULL;
}

static int holds(const cl_device_id *ids, cl_uint n, cl_device_id id)
{
    for (cl_uint i = 0; i < n; i++)
        if (ids[i] == id)
            return 1;
    return 0;
}

/* The context of params' share, if it holds the device. */
static const char *shared_context(struct anl_cl_device *d, const struct anl_cl_params *p, cl_int *code)
{
    cl_device_id in[ANL_CL_MAX_LIST + 1];
    cl_context context = anl_cl(p->share)->context;
    size_t size = 0;

    *code = d->api.clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof in, in, &size);
    if (*code)
        return "clGetContextInfo";
    if (!holds(in, (cl_uint)(size / sizeof *in), d->id))
        return "share's context was not made for this device";
    *code = d->api.clRetainContext(context);
    if (*code)
        return "clRetainContext";
    d->context = context;
    return NULL;
}

/* A context of the device and those of params' beside. */
static const char *make_context(struct anl_cl_device *d, const struct anl_cl_params *p,
                                const cl_device_id *devices, int n, cl_int *code)
{
    cl_device_id all[ANL_CL_MAX_LIST + 1] = { d->id };
    cl_uint count = 1;

    for (int i = 0; i < p->n_beside; i++) {
        int k = p->beside[i];
        if (k < 0 || k >= n)
            return "no such OpenCL device in beside";
        if (!holds(all, count, devices[k]))
            all[count++] = devices[k];
    }
    d->context = d->api.clCreateContext(NULL, count, all, NULL, NULL, code);
    return d->context ? NULL : "clCreateContext";
}

const char *anl_cl_open_handles(struct anl_cl_device *d, const struct anl_cl_params *p,
                                anl_status *status, cl_int *code)
{
    cl_platform_id platforms[ANL_CL_MAX_LIST];
    cl_device_id devices[ANL_CL_MAX_LIST];
    const char *why;
    int n;

    if (p->cl_context)
        return callers(d, p, code);
    *status = ANL_E_NO_DEVICE;
    *code = anl_cl_platforms(&d->api, platforms, &n);
    if (p->platform < 0 || p->platform >= n)
        return "no such OpenCL platform";
    n = anl_cl_devices(&d->api, platforms[p->platform], devices);
    if (p->device < 0 || p->device >= n)
        return "no such OpenCL device";
    d->id = devices[p->device];
    why = p->share ? shared_context(d, p, code) : make_context(d, p, devices, n, code);
    if (why && !*code)
        *status = ANL_E_ARGUMENT;
    else
        *status = ANL_E_DEVICE;
    if (why)
        return why;
    d->queue = d->api.clCreateCommandQueue(d->context, d->id, 0, code);
    return d->queue ? NULL : "clCreateCommandQueue";
}
