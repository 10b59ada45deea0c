/* tests/rope_case.h: the cases of rope, for tests, `verify` and the bench. */
#ifndef TESTS_ROPE_CASE_H
#define TESTS_ROPE_CASE_H

#include "tests/runner.h"

struct rope_case {
    struct case_head head;
    int64_t t, h, d;
    int dims;
    double base;
    int64_t positions, position; /* of the table, of token 0 */
    anl_rope_pairs pairs;
    int in_place;
    anl_dtype out;
};

struct rope_data {
    float *x;
};

const struct rope_case *rope_case_at(int index);
void rope_data_make(const struct rope_case *c, struct rope_data *data);
void rope_data_free(struct rope_data *data);
void rope_run(struct anl_device *device, const struct rope_case *c, const struct rope_data *data,
              const struct place_options *options, struct run_result *result);

#endif
