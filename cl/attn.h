/* cl/attn.h: what cl/attn.c (tiles of queries) and cl/attn_rows.c (few queries) share. */
#ifndef ANL_CL_ATTN_H
#define ANL_CL_ATTN_H

#include "cl/cl.h"
#include "law/scalar.h"

#include "law/num.h"

#define SPAN LAW_SPAN

struct anl_cl_attn_tiles {
    int dp, dvp, bq, threads, cpu, flow;
    int part_o; /* columns of o that registers hold at a time; 0: all */
    char options[192];
};

struct anl_cl_attn_job {
    struct anl_cl_device *d;
    const struct anl_attn_params *p;
    int64_t sq, sk, offset, heads, group, dim, dv;
    int64_t span0, spans; /* the first that the pieces hold, and how many */
    int phases;           /* bits 1, 2: those that the call is to go through */
    float c;
    struct anl_cl_attn_tiles t;
    cl_mem scratch_o, scratch_ml, odd;
};

/* cl/attn.c: a call, all but the tiles. */
struct anl_cl_attn_job anl_cl_attn_job(struct anl_cl_device *d, const struct anl_attn_params *p);
anl_dtype anl_cl_attn_kv_type(const struct anl_attn_params *p);
/* Queries, keys and values may be read 16 bytes at a time. */
int anl_cl_attn_aligned(const struct anl_attn_params *p);
/* Bytes that the states of one launch may take, and spans that one of so many rows may go through. */
int64_t anl_cl_attn_state_bytes(const struct anl_cl_device *d);
int64_t anl_cl_attn_launch_spans(const struct anl_cl_attn_job *j, int64_t rows);
/* Scratch for so many rows of states. */
anl_status anl_cl_attn_scratch(struct anl_cl_attn_job *j, int64_t rows);
/* The running states of n_heads times head_rows rows from row state0 of scratch on, the first of a head
 * being query i0: the caller's, or fresh. */
anl_status anl_cl_attn_begin(struct anl_cl_attn_job *j, int64_t state0, int64_t head0, int64_t n_heads,
                             int64_t head_rows, int64_t i0);
void anl_cl_attn_result_args(struct anl_cl_call *c, const struct anl_attn_params *p);

/* cl/attn_rows.c */
anl_status anl_cl_attn_rows(struct anl_cl_attn_job *j);

#endif
