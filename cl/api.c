/* cl/api.c: finds the OpenCL functions; names the error codes. */
#include "cl/api.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *from_library(void *user, const char *name)
{
    return dlsym(user, name);
}

int anl_cl_api_open(struct anl_cl_api *api, void *(*get_symbol)(void *user, const char *name),
                    void *user, char *error, size_t error_size)
{
    void *symbol;

    if (!get_symbol) {
        user = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!user)
            user = dlopen("libOpenCL.so", RTLD_NOW | RTLD_LOCAL);
        if (!user) {
            const char *reason = dlerror();
            snprintf(error, error_size, "no libOpenCL: %s", reason ? reason : "cannot be opened");
            return 0;
        }
        get_symbol = from_library;
    }
#define FIND(f)                                                                                        \
    symbol = get_symbol(user, #f);                                                                     \
    if (!symbol) {                                                                                     \
        snprintf(error, error_size, "libOpenCL has no %s", #f);                                        \
        return 0;                                                                                      \
    }                                                                                                  \
    memcpy(&api->f, &symbol, sizeof symbol);
    ANL_CL_FUNCTIONS(FIND)
#undef FIND
    return 1;
}

const char *anl_cl_error_name(cl_int code)
{
    switch (code) {
#define NAME(c)                                                                                        \
    case c:                                                                                            \
        return #c;
        NAME(CL_DEVICE_NOT_FOUND)
        NAME(CL_DEVICE_NOT_AVAILABLE)
        NAME(CL_COMPILER_NOT_AVAILABLE)
        NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
        NAME(CL_OUT_OF_RESOURCES)
        NAME(CL_OUT_OF_HOST_MEMORY)
        NAME(CL_BUILD_PROGRAM_FAILURE)
        NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
        NAME(CL_INVALID_VALUE)
        NAME(CL_INVALID_PLATFORM)
        NAME(CL_INVALID_DEVICE)
        NAME(CL_INVALID_CONTEXT)
        NAME(CL_INVALID_COMMAND_QUEUE)
        NAME(CL_INVALID_MEM_OBJECT)
        NAME(CL_INVALID_BINARY)
        NAME(CL_INVALID_BUILD_OPTIONS)
        NAME(CL_INVALID_PROGRAM)
        NAME(CL_INVALID_PROGRAM_EXECUTABLE)
        NAME(CL_INVALID_KERNEL_NAME)
        NAME(CL_INVALID_KERNEL)
        NAME(CL_INVALID_ARG_INDEX)
        NAME(CL_INVALID_ARG_VALUE)
        NAME(CL_INVALID_ARG_SIZE)
        NAME(CL_INVALID_KERNEL_ARGS)
        NAME(CL_INVALID_WORK_DIMENSION)
        NAME(CL_INVALID_WORK_GROUP_SIZE)
        NAME(CL_INVALID_WORK_ITEM_SIZE)
        NAME(CL_INVALID_GLOBAL_OFFSET)
        NAME(CL_INVALID_OPERATION)
        NAME(CL_INVALID_BUFFER_SIZE)
        NAME(CL_INVALID_GLOBAL_WORK_SIZE)
#undef NAME
    case -1001:
        return "CL_PLATFORM_NOT_FOUND_KHR";
    default:
        return "OpenCL error";
    }
}
