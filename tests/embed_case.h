/* tests/embed_case.h: the cases of embed, for tests, `verify` and the bench. */
#ifndef TESTS_EMBED_CASE_H
#define TESTS_EMBED_CASE_H

#include "tests/runner.h"

struct embed_case {
    struct case_head head;
    int64_t t, n, dm;
    anl_dtype w;
};

struct embed_data {
    int32_t *ids;
    void *w;
};

const struct embed_case *embed_case_at(int index);
void embed_data_make(const struct embed_case *c, struct embed_data *data);
void embed_data_free(struct embed_data *data);
void embed_run(struct anl_device *device, const struct embed_case *c, const struct embed_data *data,
               const struct place_options *options, struct run_result *result);

#endif
