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

/* The device's scratch buffer, of at least size bytes. */
anl_status anl_scratch(struct anl_device *device, uint64_t size, struct anl_buffer **out);

#endif
