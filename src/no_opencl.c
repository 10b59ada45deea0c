/* src/no_opencl.c: annulet/opencl.h in a build without the OpenCL backend: the calls exist and say so. */
#include <stdio.h>

#include "src/internal.h"

static const char reason[] = "this build of annulet has no OpenCL backend";

anl_status anl_cl_list(void *(*get_symbol)(void *user, const char *name), void *user,
                       struct anl_cl_entry *entries, int capacity, int *count, char *error,
                       size_t error_size)
{
    (void)get_symbol;
    (void)user;
    (void)entries;
    (void)capacity;
    if (count)
        *count = 0;
    if (error && error_size)
        snprintf(error, error_size, "%s", reason);
    return ANL_E_NO_DEVICE;
}

anl_status anl_device_create_cl(struct anl_context *context, const struct anl_cl_params *params,
                                struct anl_device **out)
{
    if (out)
        *out = NULL;
    anl_constructor_error(context, params ? params->error : NULL, params ? params->error_size : 0,
                          "%s", reason);
    return ANL_E_NO_DEVICE;
}

anl_status anl_buffer_wrap_cl(struct anl_device *device, void *cl_mem, uint64_t size,
                              struct anl_buffer **out)
{
    anl_status s = anl_enter(device, "anl_buffer_wrap_cl", NULL, 0);
    (void)cl_mem;
    (void)size;
    if (out)
        *out = NULL;
    return s ? s : anl_fail(device, ANL_E_UNSUPPORTED, "anl_buffer_wrap_cl: %s", reason);
}
