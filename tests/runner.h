/* tests/runner.h: runs a case of the tables on a device, through the public API alone, and hashes
 * what comes out: XXH3-64 over little-endian bytes, row-major, arrays one after another. The tests,
 * `annulet verify` and the cross-compiled check share it. */
#ifndef TESTS_RUNNER_H
#define TESTS_RUNNER_H

#include "tests/place.h"

enum case_flags {
    CASE_QUICK = 1,    /* part of `verify --quick`; its hash is in golden.h */
    CASE_DENORMAL = 2, /* has subnormal operands or results: not for grade exact-normal */
    CASE_BIG = 4       /* left out on slow devices */
};

/* Begins every case of every table. */
struct case_head {
    unsigned flags;
    enum gen_kind kind;
    uint32_t seed;
};

#define RUN_ARRAYS 4

struct run_array {
    const char *name; /* of the params field */
    anl_dtype dtype;
    size_t count;
    void *data; /* row-major, the host's byte order */
};

struct run_result {
    anl_status status;
    char message[256]; /* the device's, if status is not ANL_OK */
    uint64_t hash;
    int damaged; /* bytes around an output were written */
    int arrays;
    struct run_array array[RUN_ARRAYS];
};

/* What every operation gives: its table by number. */
struct case_op {
    const char *name;
    int count;
    const struct case_head *(*head)(int index);
    void (*describe)(int index, char *name, size_t size);
    void *(*make)(int index); /* the case's data, to be dropped */
    void (*drop)(void *data);
    void (*run)(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result);
};

extern const struct case_op linear_cases, attn_cases, norm_cases, rope_cases, ffn_cases,
    embed_cases, xent_cases;

/* All of them, in the order of the library's own list; *count of them. */
const struct case_op *const *case_ops(int *count);

/* make, run, drop. options may be NULL. The result is to be freed. */
void case_run(const struct case_op *op, struct anl_device *device, int index,
              const struct place_options *options, struct run_result *result);

/* For the runs themselves: declares a result array of count elements; its data is zeroed. */
struct run_array *run_add(struct run_result *result, const char *name, anl_dtype dtype,
                          size_t count);

/* Ends a run: frees the places, notes status and message, hashes the arrays. */
void run_finish(struct run_result *result, struct place *p);

/* Frees the arrays and makes it ready for another run. */
void run_free(struct run_result *result);

/* Whether two results have the same arrays, bit for bit (not by hash). */
int run_equal(const struct run_result *a, const struct run_result *b);

/* Element i of an array as f32. */
float run_value(const struct run_array *array, size_t i);

#endif
