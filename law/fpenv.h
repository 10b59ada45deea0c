/* law/fpenv.h: the floating-point environment of the law: round to nearest, denormals honoured, no
 * traps. A host application may have left another one behind (a library linked with -ffast-math
 * sets flush-to-zero when it is loaded), so every thread that computes enters this one and leaves it
 * again. Put the arithmetic behind a call that is not inlined: compilers move pure arithmetic across
 * these functions. */
#ifndef ANL_LAW_FPENV_H
#define ANL_LAW_FPENV_H

#if defined(__SSE__)
#include <xmmintrin.h>
struct law_fpenv {
    unsigned csr;
};
static inline struct law_fpenv law_fpenv_enter(void)
{
    struct law_fpenv e = { _mm_getcsr() };
    _mm_setcsr(0x1f80u); /* all masked, nearest, no FTZ, no DAZ */
    return e;
}
static inline void law_fpenv_leave(struct law_fpenv e)
{
    _mm_setcsr(e.csr);
}
#elif defined(__aarch64__)
struct law_fpenv {
    unsigned long fpcr;
};
static inline struct law_fpenv law_fpenv_enter(void)
{
    struct law_fpenv e;
    __asm__ volatile("mrs %0, fpcr" : "=r"(e.fpcr));
    __asm__ volatile("msr fpcr, %0" : : "r"(0ul));
    return e;
}
static inline void law_fpenv_leave(struct law_fpenv e)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(e.fpcr));
}
#else
#include <fenv.h>
struct law_fpenv {
    int round;
};
static inline struct law_fpenv law_fpenv_enter(void)
{
    struct law_fpenv e = { fegetround() };
    fesetround(FE_TONEAREST);
    return e;
}
static inline void law_fpenv_leave(struct law_fpenv e)
{
    fesetround(e.round);
}
#endif

#endif
