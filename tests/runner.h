/* tests/runner.h: runs a case of the tables on a device, through the public API alone, and hashes
 * what comes out: XXH3-64 over little-endian bytes, row-major, arrays one after another. The tests,
 * `annulet verify` and the cross-compiled check share it. */
#ifndef TESTS_RUNNER_H
#define TESTS_RUNNER_H

#include "tests/place.h"
#include "tests/shape.h"

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

/* A case of the bench; its hash is in golden_bench.c. Slow ones are left out of `bench --quick`. */
struct case_bench {
    const char *shape;
    int slow;
};

/* What every operation gives besides its table: cases from a shape, of the same data and run in the
 * same way. A case is zeroed before shape_parse(), and settled after. */
struct case_form {
    size_t size; /* of a case */
    const struct shape_field *fields;
    int n_fields;
    const struct case_bench *bench;
    int n_bench;
    /* What was not given becomes its default; -1: the numbers do not fit, error says why. */
    int (*settle)(void *c, char *error, size_t error_size);
    void *(*make)(const void *c); /* to be dropped by case_op.drop */
    void (*run)(struct anl_device *device, const void *c, const void *data,
                const struct place_options *options, struct run_result *result);
};

/* The case of a shape, to be freed; NULL: error says what is wrong with it. */
void *case_from_shape(const struct case_form *form, const char *shape, char *error,
                      size_t error_size);

/* For settle(): whether a number is still 0, and whether quantised blocks of 32 do not fit it; both
 * say so in error. */
int case_missing(const char *name, int64_t value, char *error, size_t error_size);
int case_blocks(anl_dtype dtype, const char *name, int64_t value, char *error, size_t error_size);

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
    const struct case_form *form;
};

extern const struct case_op linear_cases, attn_cases, norm_cases, rope_cases, ffn_cases,
    qkv_cases, embed_cases, xent_cases;

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

/* For who makes a call that was handed to him (place_options.instead), in tight layout: declares its
 * results; covers them on the device with ones, so that each call has to write its own; takes them out and
 * hashes them as run_finish() does. */
void run_call_begin(const struct place_call *call, struct run_result *result);
anl_status run_call_cover(const struct place_call *call, struct run_result *result);
anl_status run_call_fetch(const struct place_call *call, struct run_result *result);

/* XXH3-64 of an array's elements, little-endian. */
uint64_t run_hash(anl_dtype dtype, size_t count, const void *data);

/* Frees the arrays and makes it ready for another run. */
void run_free(struct run_result *result);

/* Whether two results have the same arrays, bit for bit (not by hash). */
int run_equal(const struct run_result *a, const struct run_result *b);

/* Element i of an array as f32. */
float run_value(const struct run_array *array, size_t i);

#endif
