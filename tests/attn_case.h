/* tests/attn_case.h: the cases of attention, for tests, `verify` and the bench. */
#ifndef TESTS_ATTN_CASE_H
#define TESTS_ATTN_CASE_H

#include "tests/runner.h"

enum attn_state { ATTN_OUT = 0, ATTN_OUT_AND_STATE, ATTN_STATE };

struct attn_case {
    struct case_head head;
    int64_t b, h, hkv, sq, sk, d, dv;
    int causal;
    int has_offset;
    int64_t offset;
    float scale;      /* as in the params */
    int piece;        /* spans per piece; 0: one piece; -1: one and two spans in turn */
    anl_dtype kv, out;
    enum attn_state state;
    int cut;     /* pieces of a call, the state going on from one to the next; 0: one call. In ring
                  * order, for the one call's bits; negative: each call meets all the spans of its pieces */
    int states;  /* each span's state on its own, by calls of `cut` pieces, and then a merge */
    int witness; /* 1, 2: the data of a witness in place of head.kind */
};

/* Host arrays, row-major: q [B, H, SQ, D] f32; k [B, HKV, SK, D], v [B, HKV, SK, DV] of c->kv. */
struct attn_data {
    float *q;
    void *k, *v;
};

const struct attn_case *attn_case_at(int index);
void attn_data_make(const struct attn_case *c, struct attn_data *data);
void attn_data_free(struct attn_data *data);
void attn_run(struct anl_device *device, const struct attn_case *c, const struct attn_data *data,
              const struct place_options *options, struct run_result *result);

/* The position of query 0 and the scale that the law uses. */
int64_t attn_case_offset(const struct attn_case *c);

/* Element i of k or v as f32. */
float attn_kv_value(anl_dtype dtype, const void *array, size_t i);

#endif
