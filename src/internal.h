/* src/internal.h: what src keeps to itself: argument checks shared by the operations. */
#ifndef ANL_SRC_INTERNAL_H
#define ANL_SRC_INTERNAL_H

#include "src/backend.h"

/* Every public call on a device begins here: not NULL, not forked, params of a size that this
 * library knows; clears the message. minimum: the smallest struct of this type ever published. */
anl_status anl_enter(struct anl_device *device, const char *op, const void *params,
                     size_t minimum);

/* A view as the operation's table of arguments wants it. */
struct anl_expect {
    const char *name; /* for the message */
    const struct anl_tensor *tensor;
    int ndim;
    int64_t dim[4]; /* -1: any */
    int optional;   /* buffer may be NULL */
    int types;      /* bits 1 << anl_dtype */
    int output;     /* elements may not lie on each other */
};
#define ANL_T_F32 (1 << ANL_F32)
#define ANL_T_FLOATS (1 << ANL_F32 | 1 << ANL_F16 | 1 << ANL_BF16)

/* Checks each of n views: type, shape, strides, bounds, device. */
anl_status anl_check(struct anl_device *device, const char *op, const struct anl_expect *expect,
                     int n);

/* The norm's weights (which may be absent) and eps that come with an x of dm features. */
anl_status anl_check_norm(struct anl_device *device, const char *op, const struct anl_tensor *norm,
                          float eps, int64_t dm);

/* Attention's pieces of keys (which with keys may have gaps, or only begin later), against dims: B, H, D,
 * DV. *sk: SK. */
anl_status anl_check_pieces(struct anl_device *device, const char *op,
                            const struct anl_kv_piece *pieces, int n_pieces, int64_t keys, int gaps,
                            const int64_t *dims, int64_t *sk);

/* 1 / sqrt(D), whatever rounding mode the caller left behind. */
float anl_attn_scale(int64_t d);

/* The device's scratch buffer, of at least size bytes. */
anl_status anl_scratch(struct anl_device *device, uint64_t size, struct anl_buffer **out);

/* What composed operations share (src/compose.c). They go tile by tile: so many of t tokens at a time
 * that row_bytes each of scratch keep limit, or, with limit 0, suit the device; at least one. */
int64_t anl_tile_rows(const struct anl_device *device, uint64_t row_bytes, uint64_t limit, int64_t t);

/* Tokens [t, t + n) of a view whose first dimension is tokens; absent stays absent. */
struct anl_tensor anl_rows(struct anl_tensor v, int64_t t, int64_t n);

/* What the backend's linear is to read for x: x itself, or x normed into scratch at byte offset at,
 * where there is a norm that linear does not take. *norm becomes absent then. */
anl_status anl_norm_x(struct anl_device *device, struct anl_tensor *x, struct anl_tensor *norm,
                      float eps, struct anl_buffer *scratch, uint64_t at);

/* Linears of the same x: see the backend's linears. */
anl_status anl_linears(struct anl_device *device, const struct anl_linear_params *params, int n);

#endif
