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
     * another device, driver or version is passed over in silence; of one that was made with other tiles
     * the programs are taken, but the probes run again. Copied. */
    const void *cache;
    size_t cache_size;
    /* Tiles for many tokens or queries, in place of those of the device's family, or NULL. They change
     * the time of an operation, never a bit of its result. Copied. GPU-shaped devices only; others
     * look at the text all the same. A text that is not of this form, or with lines that the device
     * cannot have, is ANL_E_ARGUMENT. A line is an operation, and all of its numbers with their names,
     * a blank between them, in this order:
     *
     *   linear bm128 bn128 tm16 tn8 bk16 uk16 groups2 speed100 tail180
     *     bm, bn   tokens and features of a work-group's tile: powers of two, 32 to 256
     *     tm, tn   and of a work-item's part of it: powers of two, 4 to 16
     *     bk, uk   features of x held in local memory at a time (8, 16 or 32), and how far the loop over
     *              them is unrolled (1 to bk)
     *     groups   work-groups that a compute unit has at a time, 1 to 64; speed: how fast it is then,
     *              beside the other lines, 1 to 1000; tail: how many steps along x's features its
     *              beginning and end are worth. Of up to 4 lines that is taken for a matrix for which
     *              ceil(work-groups / (compute units * groups)) * bm * bn * groups / speed * (k + tail)
     *              is least.
     *   attn dv64 bq64 rq8 rk8 dc64 vc64 qres1 uq8 uv8 flow0
     *     dv       for values of up to so many features: 64, 128, 192 or 256. Of up to 4 lines the first
     *              that suits an operation's heads is taken, and where none does a tile for any device.
     *     bq       queries of a work-group: a power of two, 16 to 128
     *     rq, rk   queries (4, 8 or 16) and keys (4 or 8) of a work-item's scores
     *     dc, vc   features of K (16, 32, 48 or 64), and keys of V (a power of two, 4 to 64), that are
     *              held in local memory at a time; qres: 1 if Q is as well, else 0
     *     uq, uv   how far the loops over dc and vc are unrolled (1 to dc, 1 to vc); where registers hold a
     *              part of the sums only (Intel, AMD and unknown devices) uq divides dc
     *     flow     1: K and V flow through two small tiles, for devices with some 250 registers for a
     *              work-item: dv64 or dv128, bq64 rq8 rk8, dc and vc both 8 or both 16, qres1 with dv64
     *              alone; else 0
     *
     * Without linear lines the family's hold, and so with attn. The probes try each line; where a kernel
     * needs more registers than so many work-items can have, a tile for any device takes its place. */
    const char *tiles;
    char *error; /* NULL, or where a failing constructor writes its reason */
    size_t error_size;
    /* Devices of one platform that are to work together (annulet/ring.h) are best in one context: memory
     * that is made for fast copies in one context is ordinary memory to another. The first device's beside
     * are the numbers on the platform of the devices to come (copied); share, for each of those, is the
     * first device. Either may be destroyed first. A driver may hold a buffer
     * on every device of its context. Else 0 and NULLs. */
    const int *beside;
    int n_beside;
    struct anl_device *share;
};

struct anl_cl_entry {
    int platform, device;
    char platform_name[64];
    char name[128];
    char version[64]; /* CL_DEVICE_VERSION */
    char driver[64];  /* CL_DRIVER_VERSION */
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

/* The tiles that the device chooses from, as a text that anl_cl_params.tiles takes: those given there, or
 * its family's. *needed becomes the text's size with its final 0, or 0 where there is no such table: on
 * CPU-shaped devices and other backends. Writes nothing if that is more than capacity; text may be
 * NULL then. */
ANL_API anl_status anl_device_tiles_get(struct anl_device *device, char *text, size_t capacity,
                                        size_t *needed);

/* A buffer over the caller's cl_mem (retained) of at least size bytes, of the device's context. Its
 * memory must be aligned to 16 bytes: one made with CL_MEM_USE_HOST_PTR may be where the host's is. */
ANL_API anl_status anl_buffer_wrap_cl(struct anl_device *device, void *cl_mem, uint64_t size,
                                      struct anl_buffer **out);

#ifdef __cplusplus
}
#endif
#endif
