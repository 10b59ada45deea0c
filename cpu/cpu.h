/* cpu/cpu.h: what the CPU backend's files share: its device, its way to run tasks, its weights. */
#ifndef ANL_CPU_CPU_H
#define ANL_CPU_CPU_H

#include "src/backend.h"

#include "cpu/kernels.h"

#define CPU_MAX_THREADS 1024

struct cpu_device {
    struct anl_device base;
    const struct cpu_kernels *k;
    int threads;
    struct anl_cpu_params params; /* for the caller's parallel-for */
    /* One block of memory per worker, grown on demand, freed with the device. */
    char *work;
    size_t work_size; /* of one worker's block */
    struct cpu_chunk *chunk; /* of weights, the one that is filled, or NULL (cpu/pool.c) */
};

/* Panels of NR rows of the matrix (cpu/weights.c), padded with zero rows. */
struct cpu_weights {
    struct anl_weights base;
    char *panel;
    uint64_t panel_bytes;
    struct cpu_chunk *chunk; /* that holds them */
};

extern const struct anl_backend anl_cpu_backend;

#define CPU_DECLARE(op) \
    anl_status anl_cpu_##op(struct anl_device *device, const struct anl_##op##_params *params);
ANL_OPS(CPU_DECLARE)
#undef CPU_DECLARE

/* Several products of one x: see src/backend.h. */
anl_status anl_cpu_linears(struct anl_device *device, const struct anl_linear_params *params, int n);

anl_status anl_cpu_weights_create(struct anl_device *device,
                                  const struct anl_weights_params *params,
                                  struct anl_weights **out);
void anl_cpu_weights_destroy(struct anl_weights *weights);

/* Memory for weights, aligned to 64, and the chunk that holds it, by which it is given back. NULL: none
 * is left. */
void *anl_cpu_pool_alloc(struct cpu_device *device, size_t bytes, struct cpu_chunk **chunk);
void anl_cpu_pool_free(struct cpu_device *device, struct cpu_chunk *chunk);

/* Below this many multiply-adds (or the like) waking the other threads costs more than it saves. */
#define CPU_SMALL 200e3

/* Runs task(arg, i, work) for every i in [0, n), each on one of the device's threads, in the law's
 * floating-point environment; work is that thread's own block of at least work_size bytes,
 * aligned to 64. cost: about how many multiply-adds it all is; little work stays on the calling
 * thread. Which thread takes which task changes no bit. */
anl_status anl_cpu_run(struct cpu_device *device, int64_t n,
                       void (*task)(void *arg, int64_t i, char *work), void *arg,
                       size_t work_size, double cost);

/* Rounds up to a multiple of 64 bytes. */
static inline size_t anl_cpu_pad(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

#endif
