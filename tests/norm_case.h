/* tests/norm_case.h: the cases of norm, for tests, `verify` and the bench. */
#ifndef TESTS_NORM_CASE_H
#define TESTS_NORM_CASE_H

#include "tests/runner.h"

struct norm_case {
    struct case_head head;
    int64_t t, dm;
    float eps; /* 0: 1e-5 */
    int in_place;
};

struct norm_data {
    float *x, *w;
};

const struct norm_case *norm_case_at(int index);
float norm_case_eps(const struct norm_case *c);
void norm_data_make(const struct norm_case *c, struct norm_data *data);
void norm_data_free(struct norm_data *data);
void norm_run(struct anl_device *device, const struct norm_case *c, const struct norm_data *data,
              const struct place_options *options, struct run_result *result);

#endif
