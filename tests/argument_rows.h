/* tests/argument_rows.h: for tests/test_arguments.c: what can be wrong with the arguments of each operation. */
#ifndef TESTS_ARGUMENT_ROWS_H
#define TESTS_ARGUMENT_ROWS_H

#include "tests/testing.h"

/* Views that all operations share: one buffer of results, one of everything else. */
struct fixture {
    struct anl_context *context;
    struct anl_device *device, *other;
    struct anl_buffer *in, *out, *foreign;
    struct anl_weights *w, *square, *foreign_w; /* [6, 4], [4, 4] */
    struct anl_rope_table *table;
    int64_t far;
    struct anl_kv_piece pieces[2];
    int64_t spans[2];
};

#define OUT_BYTES 4096

/* A valid call of each operation. */
union params {
    struct anl_linear_params linear;
    struct anl_attn_params attn;
    struct anl_attn_states_params states;
    struct anl_attn_merge_params merge;
    struct anl_norm_params norm;
    struct anl_rope_params rope;
    struct anl_ffn_params ffn;
    struct anl_embed_params embed;
    struct anl_xent_params xent;
};

/* One row an operation: a valid call, its views, and its own faults. */
struct row {
    const char *name;
    void (*valid)(union params *p, struct fixture *f);
    anl_status (*call)(struct anl_device *device, const union params *p);
    struct anl_tensor *(*view)(union params *p, int i);        /* NULL: no more */
    const char *(*spoil)(union params *p, struct fixture *f, int what); /* NULL: no more */
};

extern const struct row argument_rows[];
extern const int argument_row_count;

#endif
