/* tools/bench/gauge_cpu.c: the CPU's gauge: the kernels on as many threads as the device has. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench/gauge_impl.h"

#define MIB ((size_t)1 << 20)
#define WINDOW (1.0e-2) /* seconds that one measurement shall take, or a little more */

struct cpu_gauge {
    struct gauge base;
    int threads;
    gauge_fma *fma;
    gauge_read *read;
    uint8_t *memory;
    size_t bytes, at, step; /* step: read at a time; at: where the next one begins */
    int64_t turns;          /* that fill a window */
    volatile uint32_t sink;
};

double gauge_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double measure_fma(struct cpu_gauge *g)
{
    double flop = 0, start = gauge_now();
    float sum = 0;
#ifdef _OPENMP
#pragma omp parallel for num_threads(g->threads) schedule(static, 1) reduction(+ : flop, sum)
#endif
    for (int i = 0; i < g->threads; i++) {
        double mine;
        sum += g->fma(g->turns, (float)i, &mine);
        flop += mine;
    }
    double seconds = gauge_now() - start;
    g->sink += sum > 0;
    return flop / seconds;
}

/* As many turns as take one thread a window, at the best of a few tries: a thread that had to wait
 * for its core must not pass for a slow one. */
static void fill_window(struct cpu_gauge *g)
{
    double best = 0, flop;
    for (g->turns = 1 << 12; best < WINDOW && g->turns < (int64_t)1 << 40; g->turns *= 2) {
        best = 1;
        for (int i = 0; i < 3; i++) {
            double start = gauge_now();
            g->sink += g->fma(g->turns, 1, &flop) > 0;
            double seconds = gauge_now() - start;
            best = seconds < best ? seconds : best;
        }
    }
    g->turns /= 2;
}

static double flops(struct gauge *gauge)
{
    return measure_fma((struct cpu_gauge *)gauge);
}

/* The next part of the memory: by the time it comes round again the caches have forgotten it. */
static double bandwidth(struct gauge *gauge)
{
    struct cpu_gauge *g = (struct cpu_gauge *)gauge;
    size_t part = g->step / (size_t)g->threads / 4096 * 4096;
    uint32_t sum = 0;
    if (g->at + g->step > g->bytes)
        g->at = 0;
    const uint8_t *from = g->memory + g->at;
    double start = gauge_now();
#ifdef _OPENMP
#pragma omp parallel for num_threads(g->threads) schedule(static, 1) reduction(+ : sum)
#endif
    for (int i = 0; i < g->threads; i++)
        sum += g->read(from + (size_t)i * part, part);
    double seconds = gauge_now() - start;
    g->sink += sum;
    g->at += g->step;
    return (double)part * g->threads / seconds;
}

static void close_cpu(struct gauge *gauge)
{
    struct cpu_gauge *g = (struct cpu_gauge *)gauge;
    if (g->memory != NULL)
        munmap(g->memory, g->bytes);
    free(g);
}

static const struct gauge_kind kind = { flops, bandwidth, close_cpu };

/* Eight times the last cache, 512 MiB where that is not known, but not all of the machine. */
static size_t memory_wanted(void)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), pages = sysconf(_SC_PHYS_PAGES);
    size_t all = pages > 0 ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 4096 * MIB;
    size_t want = cache > 0 ? (size_t)cache * 8 : 0;
    want = want < 512 * MIB ? 512 * MIB : want > 4096 * MIB ? 4096 * MIB : want;
    return (want < all / 8 ? want : all / 8) / (2 * MIB) * (2 * MIB);
}

static void choose_kernels(struct cpu_gauge *g, const char *isa)
{
    g->fma = gauge_fma_generic;
    g->read = gauge_read_generic;
#ifdef ANL_CPU_HAS_AVX2
    if (strcmp(isa, "avx2") == 0) {
        g->fma = gauge_fma_avx2;
        g->read = gauge_read_avx2;
    } else if (strcmp(isa, "avx512") == 0) {
        g->fma = gauge_fma_avx512;
        g->read = gauge_read_avx512;
    }
#endif
#ifdef ANL_CPU_HAS_NEON
    if (strcmp(isa, "neon") == 0) {
        g->fma = gauge_fma_neon;
        g->read = gauge_read_neon;
    }
#endif
    (void)isa;
}

struct gauge *gauge_open_cpu(const struct anl_device_info *info)
{
    struct cpu_gauge *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    g->base.kind = &kind;
    g->threads = info->threads > 0 ? info->threads : 1;
    choose_kernels(g, info->detail);
    g->bytes = memory_wanted();
    g->step = g->bytes / 4 < 256 * MIB ? g->bytes / 4 : 256 * MIB;
    g->memory = mmap(NULL, g->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->memory == MAP_FAILED) {
        free(g);
        return NULL;
    }
    /* large pages if the system has them: what is measured is the memory, not the page tables */
    madvise(g->memory, g->bytes, MADV_HUGEPAGE);
    memset(g->memory, 1, g->bytes);
    fill_window(g);
    return &g->base;
}

void gauge_close(struct gauge *gauge)
{
    if (gauge != NULL)
        gauge->kind->close(gauge);
}

struct gauge_cl gauge_handles(const struct gauge *gauge)
{
    return gauge->cl;
}

double gauge_flops(struct gauge *gauge)
{
    return gauge->kind->flops(gauge);
}

double gauge_bandwidth(struct gauge *gauge)
{
    return gauge->kind->bandwidth(gauge);
}
