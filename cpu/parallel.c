/* cpu/parallel.c: tasks on threads: OpenMP's, or the caller's own.
 *
 * Workers draw task numbers from one counter, so it does not matter how many of the threads asked
 * for really come. */
#include <stdatomic.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "law/fpenv.h"

#include "cpu/cpu.h"

struct job {
    atomic_llong next;
    int64_t n;
    void (*task)(void *arg, int64_t i, char *work);
    void *arg;
    struct cpu_device *device;
};

static void worker(void *arg, int index)
{
    struct job *job = arg;
    struct law_fpenv env = law_fpenv_enter();
    char *work = job->device->work + (size_t)index * job->device->work_size;

    for (;;) {
        int64_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->n)
            break;
        job->task(job->arg, i, work);
    }
    law_fpenv_leave(env);
}

static anl_status grow(struct cpu_device *d, size_t size)
{
    size_t total = (size_t)d->threads * anl_cpu_pad(size);

    if (size <= d->work_size)
        return ANL_OK;
    if (d->work) {
        anl_account(&d->base, ANL_FOR_SCRATCH, -(int64_t)(d->work_size * (size_t)d->threads));
        anl_context_free(d->base.context, d->work);
        d->work_size = 0;
    }
    d->work = anl_context_alloc(d->base.context, total, 64);
    if (!d->work)
        return anl_fail(&d->base, ANL_E_MEMORY, "%zu bytes of scratch: out of memory", total);
    d->work_size = anl_cpu_pad(size);
    anl_account(&d->base, ANL_FOR_SCRATCH, (int64_t)total);
    return ANL_OK;
}

anl_status anl_cpu_run(struct cpu_device *device, int64_t n,
                       void (*task)(void *arg, int64_t i, char *work), void *arg,
                       size_t work_size, double cost)
{
    struct job job = { .n = n, .task = task, .arg = arg, .device = device };
    int workers = n < device->threads ? (int)n : device->threads;
    anl_status s = grow(device, work_size);

    if (s)
        return s;
    atomic_init(&job.next, 0);
    if (workers <= 1 || cost < CPU_SMALL)
        worker(&job, 0);
    else if (device->params.parallel)
        device->params.parallel(device->params.parallel_user, workers, worker, &job);
    else {
#ifdef _OPENMP
/* always all of them: libgomp ends the threads that a smaller team leaves over */
#pragma omp parallel num_threads(device->threads)
        worker(&job, omp_get_thread_num());
#else
        worker(&job, 0);
#endif
    }
    return ANL_OK;
}
