/* tests/golden.h: the law's hashes of the quick cases, the same on every machine there is. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden {
    const char *op, *name;
    uint64_t hash;
};

extern const struct golden golden_table[];
extern const size_t golden_count;

/* The same of the bench's cases, named by their shapes: large ones, of which tests compute the smallest. */
extern const struct golden golden_bench[];
extern const size_t golden_bench_count;
const struct golden *golden_bench_find(const char *op, const char *shape);

/* NULL: no such case. */
const struct golden *golden_find(const char *op, const char *name);

#endif
