/* tools/bench/gauge_kernel.c: the inner loops of the CPU's gauge, compiled once per instruction set
 * with -ffp-contract=fast: where there is no fma, a product and a sum take its place. */
#include "tools/bench/gauge_impl.h"

/* More chains than the latency of an fma times the units that run it; few enough that compilers keep
 * each in a register. */
#if defined(ANL_CPU_ISA_AVX512)
enum { BYTES = 64, CHAINS = 12 };
#elif defined(ANL_CPU_ISA_AVX2)
enum { BYTES = 32, CHAINS = 12 };
#elif defined(ANL_CPU_ISA_NEON)
enum { BYTES = 16, CHAINS = 20 };
#else
enum { BYTES = 16, CHAINS = 12 };
#endif

typedef float floats __attribute__((vector_size(BYTES)));
typedef uint32_t words __attribute__((vector_size(BYTES)));

#define JOIN(a, b) a##b
#define NAMED(a, name) JOIN(a, name)

/* Unrolled, so that each chain gets a register of its own. */
static inline __attribute__((always_inline)) void turn(floats *a, floats x, floats y)
{
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++)
        a[i] = a[i] * x + y;
}

float NAMED(gauge_fma_, GAUGE_NAME)(int64_t turns, float start, double *flop)
{
    floats a[CHAINS], x = (floats){ 0 } + 0.999f, y = (floats){ 0 } + 0.001f;
    float sum = 0;
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++)
        a[i] = (floats){ 0 } + (start + (float)i);
    for (int64_t t = 0; t < turns; t++)
        turn(a, x, y);
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++)
        sum += a[i][0];
    *flop = 2.0 * (double)turns * CHAINS * (BYTES / sizeof(float));
    return sum;
}

uint32_t NAMED(gauge_read_, GAUGE_NAME)(const void *memory, size_t bytes)
{
    const words *p = memory;
    words sum[8] = { { 0 } };
    uint32_t all = 0;
    for (size_t i = 0; i < bytes / BYTES; i += 8) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
            sum[j] += p[i + (size_t)j];
    }
    for (int j = 0; j < 8; j++)
        all += sum[j][0];
    return all;
}
