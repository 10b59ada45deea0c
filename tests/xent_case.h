/* tests/xent_case.h: the cases of xent, for tests, `verify` and the bench. */
#ifndef TESTS_XENT_CASE_H
#define TESTS_XENT_CASE_H

#include "tests/runner.h"

struct xent_case {
    struct case_head head;
    int64_t t, n;
};

struct xent_data {
    float *logits;
    int32_t *targets;
};

const struct xent_case *xent_case_at(int index);
void xent_data_make(const struct xent_case *c, struct xent_data *data);
void xent_data_free(struct xent_data *data);
void xent_run(struct anl_device *device, const struct xent_case *c, const struct xent_data *data,
              const struct place_options *options, struct run_result *result);

#endif
