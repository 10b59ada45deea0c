/* tests/qkv_case.h: the cases of qkv, for tests, `verify` and the bench. */
#ifndef TESTS_QKV_CASE_H
#define TESTS_QKV_CASE_H

#include "tests/runner.h"

struct qkv_case {
    struct case_head head;
    int64_t t, dm, h, hkv, d, dv;
    anl_dtype w;
    int v_f16; /* the weights of v, whatever those of the others */
    int norm, bias;
    int dims; /* 0: not turned */
    double base;
    int64_t positions, position; /* of the table, of token 0 */
    anl_rope_pairs pairs;
    anl_dtype kv;
};

/* By q, k, v; absent arrays are NULL. */
struct qkv_data {
    float *x, *norm, *bias[3];
    void *w[3];
};

const struct qkv_case *qkv_case_at(int index);
anl_dtype qkv_dtype(const struct qkv_case *c, int i); /* of the weights of q, k, v */
void qkv_data_make(const struct qkv_case *c, struct qkv_data *data);
void qkv_data_free(struct qkv_data *data);

/* parts: by calls of anl_norm(), anl_linear() and anl_rope() in place of anl_qkv(). */
void qkv_run(struct anl_device *device, const struct qkv_case *c, const struct qkv_data *data,
             const struct place_options *options, int parts, struct run_result *result);

#endif
