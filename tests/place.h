/* tests/place.h: puts host arrays into views of device memory and takes them out again, on the
 * public API alone. Errors are sticky: after the first one every call does nothing. */
#ifndef TESTS_PLACE_H
#define TESTS_PLACE_H

#include "tests/gen.h"

enum place_layout {
    PLACE_TIGHT = 0, /* contiguous at offset 0 */
    PLACE_GAPS,      /* an offset, padded rows, the middle dimensions of four exchanged */
    PLACE_WRAPPED    /* as PLACE_GAPS, in the caller's own memory aligned to 4 bytes only */
};

struct place;

#define PLACE_OUTS 3

/* An operation that is ready to be called, as often as one likes unless it works in place. */
struct place_call {
    anl_status (*op)(struct anl_device *device, const void *params);
    const void *params;
    int outs;
    const struct anl_tensor *out[PLACE_OUTS]; /* the results, each in a buffer of its own */
};

struct place_options {
    enum place_layout layout;
    uint32_t fill; /* every word of a buffer before its live elements are written */
    /* Done instead of the one call, for who wants to time it; NULL: none. */
    void (*instead)(void *user, struct place *p, const struct place_call *call);
    void *user;
};

#define PLACE_MAX 288

struct place {
    struct anl_device *device;
    struct place_options options;
    anl_status status;
    char message[256]; /* the device's, of the first error */
    int damaged; /* bytes outside of a view were changed */
    int count;
    struct anl_buffer *buffer[PLACE_MAX];
    void *memory[PLACE_MAX]; /* of wrapped buffers */
};

void place_begin(struct place *p, struct anl_device *device, const struct place_options *options);

/* Notes the status of a call on the device, with the device's message. */
void place_note(struct place *p, anl_status status);

/* Calls op once, or hands it to options.instead; nothing after an error. The second is for several
 * results, at most PLACE_OUTS. */
void place_run(struct place *p, anl_status (*op)(struct anl_device *device, const void *params),
               const void *params, const struct anl_tensor *out);
void place_run_outs(struct place *p, anl_status (*op)(struct anl_device *device, const void *params),
                    const void *params, struct anl_tensor *const *out, int outs);

/* A view of fresh memory with these dimensions, filled with row-major host data, or with
 * options.fill where host is NULL (results). */
struct anl_tensor place_tensor(struct place *p, const void *host, anl_dtype dtype, int ndim,
                               const int64_t *dim);

/* Takes out a view row-major, and sees whether the bytes around it still hold options.fill. */
void place_fetch(struct place *p, const struct anl_tensor *tensor, void *host);

/* Packs weights whose rows follow each other in memory, by way of padded rows where the layout has
 * gaps. The caller destroys them. */
struct anl_weights *place_weights(struct place *p, anl_dtype dtype, int64_t n, int64_t k,
                                  const void *data);

/* Frees the buffers; returns the first error. */
anl_status place_end(struct place *p);

#endif
