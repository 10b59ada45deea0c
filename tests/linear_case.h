/* tests/linear_case.h: the cases of linear, for tests, `verify` and the bench. */
#ifndef TESTS_LINEAR_CASE_H
#define TESTS_LINEAR_CASE_H

#include "tests/runner.h"

struct linear_case {
    struct case_head head;
    int64_t t, k, n;
    anl_dtype w;
    int norm, bias;
    anl_act act;
    int gate, residual; /* 1: a tensor of its own, 2: the same view as out (at most one of them) */
    anl_dtype out;
};

/* Host arrays of a case, row-major; norm, bias, gate and residual NULL where the case has none. */
struct linear_data {
    float *x, *norm, *bias, *gate, *residual;
    void *w;
};

const struct linear_case *linear_case_at(int index);
void linear_data_make(const struct linear_case *c, struct linear_data *data);
void linear_data_free(struct linear_data *data);
void linear_run(struct anl_device *device, const struct linear_case *c,
                const struct linear_data *data, const struct place_options *options,
                struct run_result *result);

/* Used by ffn_case.c and qkv_case.c too: eps of a norm that is part of an operation. */
#define CASE_EPS 1e-5f
const char *act_name(anl_act act);

#endif
