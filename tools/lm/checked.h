/*
 * Checked arithmetic on numbers that came from a file.
 *
 * Every product, sum and rounding of such numbers goes through these three, so that no count times
 * size can wrap. They return false, and leave *out alone, where the result does not fit.
 */
#ifndef LM_CHECKED_H
#define LM_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* Rounds a up to a multiple of alignment, which must be a power of two. */
static inline bool checked_align(uint64_t a, uint64_t alignment, uint64_t *out)
{
    uint64_t sum;

    if (!checked_add(a, alignment - 1, &sum))
        return false;
    *out = sum & ~(alignment - 1);
    return true;
}

#endif
