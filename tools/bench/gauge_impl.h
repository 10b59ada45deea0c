/* tools/bench/gauge_impl.h: the kinds of gauges, and the CPU's kernels, which are compiled once per
 * instruction set. */
#ifndef BENCH_GAUGE_IMPL_H
#define BENCH_GAUGE_IMPL_H

#include "tools/bench/gauge.h"

struct gauge_kind {
    double (*flops)(struct gauge *gauge);
    double (*bandwidth)(struct gauge *gauge);
    void (*close)(struct gauge *gauge);
};

/* Begins every gauge. */
struct gauge {
    const struct gauge_kind *kind;
    struct gauge_cl cl;
};

/* All chains of one thread, this many turns; *flop becomes what that is in float operations. The
 * result keeps compilers from leaving it out. */
typedef float gauge_fma(int64_t turns, float start, double *flop);

/* Reads bytes, a multiple of 4,096, from memory aligned to 64. */
typedef uint32_t gauge_read(const void *memory, size_t bytes);

gauge_fma gauge_fma_generic, gauge_fma_avx2, gauge_fma_avx512, gauge_fma_neon;
gauge_read gauge_read_generic, gauge_read_avx2, gauge_read_avx512, gauge_read_neon;

#endif
