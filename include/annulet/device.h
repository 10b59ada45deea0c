/* annulet/device.h: something that computes: the law backend, the CPU, or (annulet/opencl.h) an
 * OpenCL device.
 *
 * Threads: one thread at a time per device and everything made from it; different devices are
 * independent. After fork() a child gets ANL_E_FORKED from every call on its parent's devices and
 * must not destroy them. It may make devices of its own; but gcc's OpenMP hangs in a child whose
 * parent has used it: give such a child's CPU device threads = 1 or a parallel function.
 *
 * Completion: an operation on the law or CPU backend is complete when it returns. On OpenCL it is
 * queued in order; anl_buffer_read() and anl_device_finish() wait, and late errors are theirs: what
 * fails after its call has returned is told by the next of these, the first error only, once, and
 * what was written since the last of them is undefined then. For that the state of every kernel is
 * looked at; but NVIDIA's own driver tells of failed kernels when it is waited for, and is trusted
 * to.
 * Params and the small arrays in them are copied by the call; tensors must live until finish. */
#ifndef ANNULET_DEVICE_H
#define ANNULET_DEVICE_H

#include <annulet/base.h>
#include <annulet/context.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_device;

typedef enum anl_backend_kind { ANL_LAW = 0, ANL_CPU, ANL_CL } anl_backend_kind;

/* The promise of bits that a device keeps, found by probes when it is made (docs/numerics.md). */
typedef enum anl_grade {
    ANL_EXACT = 0,        /* the law's bits, always */
    ANL_EXACT_NORMAL = 1, /* the law's bits while no operand or result is subnormal */
    ANL_FAST = 2          /* no promise */
} anl_grade;

typedef enum anl_isa {
    ANL_ISA_AUTO = 0, /* the best that this machine and build have */
    ANL_ISA_GENERIC,
    ANL_ISA_AVX2, /* AVX2 and FMA */
    ANL_ISA_AVX512,
    ANL_ISA_NEON
} anl_isa;

struct anl_cpu_params {
    size_t size; /* sizeof(struct anl_cpu_params) */
    int threads; /* 0: one per core that this process may use; at most 1024 */
    anl_isa isa;
    /* The caller's own pool instead of OpenMP, or NULL. Must call task(arg, worker) once for each
     * worker in [0, workers), each on a thread of its own or one after another, and return when
     * all have returned. */
    void (*parallel)(void *user, int workers, void (*task)(void *arg, int worker), void *arg);
    void *parallel_user;
    char *error; /* NULL, or where a failing constructor writes its reason */
    size_t error_size;
};

struct anl_device_info {
    anl_backend_kind backend;
    anl_grade grade;
    char name[128];         /* the machine's own name for it */
    char detail[64];        /* instruction set, or OpenCL version */
    char failed_probe[128]; /* why the grade is not ANL_EXACT; else empty */
    int threads;            /* worker threads, or compute units */
    int unified;            /* host memory can be wrapped with no copy */
    uint64_t memory;        /* bytes; 0 if unknown */
    uint64_t max_alloc;     /* largest single buffer, bytes */
};

/* Bytes that a device holds now and at most held since anl_device_memory_reset_peak(). */
struct anl_memory {
    uint64_t live, peak;
    uint64_t tensors, weights, scratch; /* live, by purpose */
    uint64_t peak_scratch;
};

/* The law backend: plain scalar C on the calling thread, slow. The caller owns *out. */
ANL_API anl_status anl_device_create_law(struct anl_context *context, struct anl_device **out);

/* The CPU backend. params may be NULL. The caller owns *out. ANL_E_UNSUPPORTED: this machine or
 * build lacks the instruction set asked for. */
ANL_API anl_status anl_device_create_cpu(struct anl_context *context,
                                         const struct anl_cpu_params *params,
                                         struct anl_device **out);

/* Destroy buffers, weights and tables of the device first. NULL is allowed. */
ANL_API void anl_device_destroy(struct anl_device *device);

/* Waits until all queued work is done; returns the first late error that was not told yet. */
ANL_API anl_status anl_device_finish(struct anl_device *device);

ANL_API void anl_device_get_info(const struct anl_device *device, struct anl_device_info *out);
ANL_API void anl_device_get_memory(const struct anl_device *device, struct anl_memory *out);
ANL_API void anl_device_memory_reset_peak(struct anl_device *device);

/* Kernels that an OpenCL device was given since it was made; each costs its host some microseconds. 0
 * on other devices. */
ANL_API uint64_t anl_device_launches(const struct anl_device *device);

/* Why the last failing call on this device failed: names the argument and its value. Valid until
 * the next call on the device; never NULL. */
ANL_API const char *anl_device_message(const struct anl_device *device);

#ifdef __cplusplus
}
#endif
#endif
