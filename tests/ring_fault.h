/* tests/ring_fault.h: a device between whose calls and the backend something goes wrong: a call that fails, a
 * delay. The one test that knows src/backend.h, since it puts a table of its own before the backend's. */
#ifndef TESTS_RING_FAULT_H
#define TESTS_RING_FAULT_H

#include "tests/gen.h"

struct ring_fault;

/* From here on the device's calls of attention, copies, marks and finish are counted, and call number
 * fail_at (from 1; 0: none) and, if lost, all after it give ANL_E_DEVICE. Each may take up to delay_us
 * microseconds longer. The device may not be destroyed before ring_fault_end(). */
struct ring_fault *ring_fault_begin(struct anl_device *device, long fail_at, int lost, unsigned delay_us,
                                    uint64_t seed);
/* Calls counted. */
long ring_fault_end(struct ring_fault *fault);

#endif
