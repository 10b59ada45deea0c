/* tools/bench/bench.h: what the parts of `annulet bench` share: its options, one thing to be timed, and
 * what came of it. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "tests/runner.h"
#include "tools/bench/gauge.h"
#include "tools/cli.h"

struct bench {
    const char *op, *shape, *spec, *isa, *model;
    int64_t rounds, tokens; /* 0: not given */
    double seconds;         /* for the rounds of a case, if their number is not given */
    int json, paced, quick;
    struct gauge *gauge;
    struct anl_cl_entry entry; /* of an OpenCL device */
    struct anl_context *context; /* of the case that runs */
    struct anl_device *device;
    struct anl_device_info info;
    int titled;      /* the table's heading has been printed */
    int bad;         /* hashes that were wrong */
};

/* Something to be timed. Calls return 0, or -1 after they have printed why not. */
struct bench_task {
    const char *op, *shape;
    double flop, bytes;   /* of one call; 0: not counted */
    int64_t tokens;       /* of one call; 0: no tokens */
    int has_golden;
    uint64_t golden;
    int (*prepare)(void *user); /* before a round, not timed; may be NULL */
    int (*call)(void *user);    /* may leave work queued on the device */
    int (*hash)(void *user, uint64_t *out); /* of what the last call computed */
    void *user;
    int single; /* a round is one call: prepare is needed before each */
};

#define BENCH_MAX_ROUNDS 1000

/* Of the rounds done. */
struct bench_result {
    int rounds;
    double seconds[BENCH_MAX_ROUNDS]; /* per call */
    double peak[BENCH_MAX_ROUNDS], bandwidth[BENCH_MAX_ROUNDS];
    uint64_t hash;
    int hash_ok;
};

/* Opens a fresh device for a case, so that its memory is the case's alone. Exit codes. */
int bench_open_device(struct bench *b);
void bench_close_device(struct bench *b);

/* Warms up, does the rounds, prints the result. An exit code; CLI_OK also where a hash was wrong,
 * which b->bad counts. */
int bench_rounds(struct bench *b, const struct bench_task *task);

/* Prints a line of JSON or of the table. */
int bench_report(struct bench *b, const struct bench_task *task, const struct bench_result *result);

/* The line that says that a paced bench is warm, and the one of each round. */
int bench_report_ready(const struct bench *b, const struct bench_task *task);
int bench_report_round(double seconds, double peak);

/* The cases of an operation, or the shape's. */
int bench_op(struct bench *b, const struct case_op *op);

/* Float operations (an fma is two) and bytes that one call cannot do without. */
void bench_work(const char *op, const void *c, double *flop, double *bytes);

/* Bytes of all inputs and results, also of those that a call does not read. */
double bench_room(const char *op, const void *c);

/* The language model: prefill of b->tokens tokens, or decoding after as many. */
int bench_lm(struct bench *b, int decode);

/* The gauge alone. */
int bench_peak(struct bench *b);

#endif
