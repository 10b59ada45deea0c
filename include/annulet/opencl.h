/* annulet/opencl.h: OpenCL devices. Needs no OpenCL headers and no libOpenCL to compile or link:
 * the library is opened at run time, and handles are passed as void *.
 *
 * Nothing here reads the environment: the ICD loader does, as its own manual says. */
#ifndef ANNULET_OPENCL_H
#define ANNULET_OPENCL_H

#include <annulet/buffer.h>
#include <annulet/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum anl_cl_shape {
    ANL_CL_SHAPE_AUTO = 0, /* by the device's type */
    ANL_CL_SHAPE_GPU,      /* work-groups share tiles through local memory */
    ANL_CL_SHAPE_CPU       /* one work-item computes a whole tile */
} anl_cl_shape;

struct anl_cl_params {
    size_t size; /* sizeof(struct anl_cl_params) */
    int platform, device; /* indices as anl_cl_list() gives them */
    /* The caller's own cl_context, cl_device_id and in-order cl_command_queue, or all NULL. They
     * are retained, and platform and device above are not looked at. */
    void *cl_context, *cl_device, *cl_queue;
    /* Finds an OpenCL function by its name, or NULL to open the system's libOpenCL. */
    void *(*get_symbol)(void *user, const char *name);
    void *get_symbol_user;
    anl_grade worst_grade; /* refuse a device whose probes give less (default ANL_EXACT) */
    anl_cl_shape shape;
    /* A blob that anl_device_cache_get() gave in an earlier run, or NULL. One that is damaged or of
     * another device, driver or version is passed over in silence. Copied. */
    const void *cache;
    size_t cache_size;
    char *error; /* NULL, or where a failing constructor writes its reason */
    size_t error_size;
};

struct anl_cl_entry {
    int platform, device;
    char platform_name[64];
    char name[128];
    char version[64]; /* CL_DEVICE_VERSION */
};

/* Fills at most capacity entries; *count becomes the number there are. get_symbol may be NULL.
 * ANL_E_NO_DEVICE, with *count 0 and the reason in error (if error_size > 0): no libOpenCL, no ICD,
 * or an ICD without devices. Thread-safe if the ICD loader is. */
ANL_API anl_status anl_cl_list(void *(*get_symbol)(void *user, const char *name), void *user,
                               struct anl_cl_entry *entries, int capacity, int *count,
                               char *error, size_t error_size);

/* The caller owns *out. */
ANL_API anl_status anl_device_create_cl(struct anl_context *context,
                                        const struct anl_cl_params *params,
                                        struct anl_device **out);

/* The programs built so far and the probes' verdict, to be handed to a later
 * anl_device_create_cl(). Writes at most capacity bytes; *needed becomes the size. data may be NULL
 * to ask for the size. Other backends: *needed = 0. */
ANL_API anl_status anl_device_cache_get(struct anl_device *device, void *data, size_t capacity,
                                        size_t *needed);

/* A buffer over the caller's cl_mem (retained) of at least size bytes, of the device's context. */
ANL_API anl_status anl_buffer_wrap_cl(struct anl_device *device, void *cl_mem, uint64_t size,
                                      struct anl_buffer **out);

#ifdef __cplusplus
}
#endif
#endif
