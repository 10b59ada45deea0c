/* tools/tune/device.h: tiles tried on an OpenCL device, one slot of the table at a time: an operation
 * with the shape that it is timed in. */
#ifndef TUNE_DEVICE_H
#define TUNE_DEVICE_H

#include "tests/runner.h"
#include "tools/cli.h"
#include "tools/tune/tune.h"

/* A device that is open with one tile. */
struct tune_held {
    int open;
    struct tune_tile tile;
    struct anl_context *context;
    struct anl_device *device;
};

struct tune_device {
    struct anl_cl_entry entry;
    anl_cl_shape shape;
    anl_grade grade;
    /* All programs built so far and the probes' verdict, so that no tile is compiled twice. */
    void *blob;
    size_t blob_size;
    struct tune_held held[2];
    struct anl_context *law_context;
    struct anl_device *law;
    /* the slot */
    const struct case_op *op;
    int dv; /* attn */
    const char *const *checks; /* names of cases of op's table, up to a NULL */
    void *c, *data; /* the shape's case */
    char shape_text[160];
    uint64_t hash; /* what it must compute */
    struct tune_tile confirmed;   /* the last that passed all cases of its operation */
    double begun, deadline;       /* of the whole search, and of the slot's: tune_now() */
    struct cli_progress progress; /* milliseconds of the whole search */
};

/* Seconds from some point on. */
double tune_now(void);

/* Opens the law only, yet. blob is the program cache to begin with (malloc'ed, or NULL); it becomes the
 * device's unless this fails. An exit code. */
int tune_device_begin(struct tune_device *d, void *blob, size_t blob_size);
void tune_device_end(struct tune_device *d);

/* Of these shapes, up to a NULL, the smallest first, the largest of which the device makes a call in good
 * time with this tile. Its case is made and its hash known or computed. An exit code; if no tile of
 * those given runs, why says what became of the last. */
int tune_slot_begin(struct tune_device *d, const struct case_op *op, int dv, const char *const *checks,
                    const char *const *shapes, const struct tune_tile *tiles, int count, char *why,
                    size_t why_size);
void tune_slot_end(struct tune_device *d);

/* A runner whose user is the device. */
struct tune_runner tune_device_runner(struct tune_device *d);

#endif
