/* tests/fake_cl.h: the system's OpenCL, found by the caller's own getter, with some answers changed and the
 * launches noted. Its types are those of the C interface, since a test needs none of OpenCL's headers. */
#ifndef TESTS_FAKE_CL_H
#define TESTS_FAKE_CL_H

#include "tests/testing.h"

typedef int fake_info(void *object, uint32_t what, size_t size, void *value, size_t *size_out);
typedef int fake_group_info(void *kernel, void *device, uint32_t what, size_t size, void *value,
                            size_t *size_out);
typedef int fake_launch(void *queue, void *kernel, uint32_t dims, const size_t *offset,
                        const size_t *global, const size_t *local, uint32_t waits, void *const *wait,
                        void **event);
typedef int fake_finish(void *queue);
typedef int fake_read(void *queue, void *mem, uint32_t blocking, size_t offset, size_t size, void *data,
                      uint32_t waits, void *const *wait, void **event);

#define FAKE_KERNELS 32 /* names of kernels that are told apart */

struct fake {
    void *library;
    fake_info *device_info, *event_info, *kernel_info;
    fake_group_info *group_info;
    fake_launch *launch;
    fake_finish *finish;
    fake_read *read;
    /* what is changed */
    size_t max_group; /* of any kernel, or 0 */
    int cpu;          /* the device's type is that */
    uint32_t vendor;  /* the device's, or 0 */
    int dry;          /* launches are not made */
    size_t dropped;   /* launches of tiles of so many work-items are not made */
    long fails_in;    /* so many launches from now one fails; 0: none */
    /* what was seen */
    size_t largest; /* work-group */
    void *failed;   /* the event of the launch that fails; */
    int failure;    /* where it has none: what the next wait returns */
    int failures_in_waits;
    struct {
        char name[32];
        size_t groups; /* of one launch, at most, and of all */
        size_t all;
    } kernel[FAKE_KERNELS];
};

extern struct fake fake;

/* Nothing is changed any more, and nothing seen. */
void fake_reset(void);

/* A GPU-shaped device; what is changed is set before. */
anl_status fake_open(struct anl_context *context, const struct anl_cl_entry *entry, const char *tiles,
                     char *error, size_t error_size, struct anl_device **device);

#endif
