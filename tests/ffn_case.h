/* tests/ffn_case.h: the cases of ffn, for tests, `verify` and the bench. */
#ifndef TESTS_FFN_CASE_H
#define TESTS_FFN_CASE_H

#include "tests/runner.h"

struct ffn_case {
    struct case_head head;
    int64_t t, dm, dff;
    anl_dtype w;
    int gated, bias;
    anl_act act;
    int residual; /* 2: in place; 3: x is residual and out */
    anl_dtype out;
    uint64_t scratch_limit;
    int norm;
    int gate_f16; /* the gate's weights, whatever those of the others */
};

/* Absent arrays are NULL. */
struct ffn_data {
    float *x, *norm, *residual, *gate_bias, *up_bias, *down_bias;
    void *gate, *up, *down;
};

const struct ffn_case *ffn_case_at(int index);
void ffn_data_make(const struct ffn_case *c, struct ffn_data *data);
anl_dtype ffn_gate_dtype(const struct ffn_case *c);
void ffn_data_free(struct ffn_data *data);

/* *scratch (if not NULL) becomes what anl_ffn_scratch() says. */
void ffn_run(struct anl_device *device, const struct ffn_case *c, const struct ffn_data *data,
             const struct place_options *options, struct run_result *result, uint64_t *scratch);

#endif
