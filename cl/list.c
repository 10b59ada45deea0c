/* cl/list.c: which OpenCL devices there are. */
#include <stdio.h>
#include <string.h>

#include "cl/list.h"

static void copy_info(char *out, size_t size, const char *text)
{
    while (*text == ' ')
        text++;
    snprintf(out, size, "%s", text);
}

cl_int anl_cl_platforms(const struct anl_cl_api *api, cl_platform_id *out, int *count)
{
    cl_uint n = 0;
    cl_int code = api->clGetPlatformIDs(ANL_CL_MAX_LIST, out, &n);

    *count = code ? 0 : (int)(n < ANL_CL_MAX_LIST ? n : ANL_CL_MAX_LIST);
    return code;
}

int anl_cl_devices(const struct anl_cl_api *api, cl_platform_id platform, cl_device_id *out)
{
    cl_uint n = 0;

    if (api->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, ANL_CL_MAX_LIST, out, &n))
        return 0;
    return (int)(n < ANL_CL_MAX_LIST ? n : ANL_CL_MAX_LIST);
}

void anl_cl_device_text(const struct anl_cl_api *api, cl_device_id id, cl_device_info what, char *out,
                        size_t size)
{
    char text[512] = "";
    size_t n = 0;

    if (api->clGetDeviceInfo(id, what, sizeof text - 1, text, &n))
        text[0] = 0;
    copy_info(out, size, text);
}

void anl_cl_platform_name(const struct anl_cl_api *api, cl_platform_id id, char *out, size_t size)
{
    char text[512] = "";

    if (api->clGetPlatformInfo(id, CL_PLATFORM_NAME, sizeof text - 1, text, NULL))
        text[0] = 0;
    copy_info(out, size, text);
}

anl_status anl_cl_list(void *(*get_symbol)(void *user, const char *name), void *user,
                       struct anl_cl_entry *entries, int capacity, int *count, char *error,
                       size_t error_size)
{
    struct anl_cl_api api;
    cl_platform_id platforms[ANL_CL_MAX_LIST];
    cl_device_id devices[ANL_CL_MAX_LIST];
    char none[1];
    int n_platforms;
    cl_int code;

    if (!error || !error_size) {
        error = none;
        error_size = sizeof none;
    }
    error[0] = 0;
    if (!count || capacity < 0 || (capacity && !entries))
        return ANL_E_ARGUMENT;
    *count = 0;
    if (!anl_cl_api_open(&api, get_symbol, user, error, error_size))
        return ANL_E_NO_DEVICE;
    code = anl_cl_platforms(&api, platforms, &n_platforms);
    if (!n_platforms) {
        snprintf(error, error_size, "no OpenCL driver (ICD) is installed: %s (%d)",
                 anl_cl_error_name(code), (int)code);
        return ANL_E_NO_DEVICE;
    }
    for (int p = 0; p < n_platforms; p++) {
        int n = anl_cl_devices(&api, platforms[p], devices);
        for (int i = 0; i < n; i++, (*count)++) {
            struct anl_cl_entry *e = &entries[*count];
            if (*count >= capacity)
                continue;
            e->platform = p;
            e->device = i;
            anl_cl_platform_name(&api, platforms[p], e->platform_name, sizeof e->platform_name);
            anl_cl_device_text(&api, devices[i], CL_DEVICE_NAME, e->name, sizeof e->name);
            anl_cl_device_text(&api, devices[i], CL_DEVICE_VERSION, e->version, sizeof e->version);
            anl_cl_device_text(&api, devices[i], CL_DRIVER_VERSION, e->driver, sizeof e->driver);
        }
    }
    if (*count)
        return ANL_OK;
    snprintf(error, error_size, "%d OpenCL platforms, but no device", n_platforms);
    return ANL_E_NO_DEVICE;
}
