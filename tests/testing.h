/* tests/testing.h: what the Check programs share: devices to test, and running a suite. */
#ifndef TESTS_TESTING_H
#define TESTS_TESTING_H

#include <check.h>

#include "tests/runner.h"

/* ck_assert for statuses, with the device's reason. */
#define ck_ok(status, device)                                                                \
    do {                                                                                     \
        anl_status ck_status = (status);                                                     \
        ck_assert_msg(ck_status == ANL_OK, "%s: %s: %s", #status, anl_status_name(ck_status), \
                      anl_device_message(device));                                           \
    } while (0)

/* A CPU device to try: its instruction set, threads, and whose threads they are. */
struct testing_cpu {
    anl_isa isa;
    int threads;
    int own_pool; /* the caller's parallel-for in place of OpenMP */
};

/* Every combination that this machine can run; *count of them. */
const struct testing_cpu *testing_cpus(int *count);

/* Contexts that log nothing; end the test where they fail. */
struct anl_context *testing_context(void);
struct anl_device *testing_law(struct anl_context *context);

/* NULL where the machine or the build lacks the instruction set. */
struct anl_device *testing_cpu_open(struct anl_context *context, const struct testing_cpu *cpu);
void testing_cpu_name(const struct testing_cpu *cpu, char *name, size_t size);

/* How many OpenCL devices the first platform has. */
int testing_cl_devices(void);

/* What anl_device_cache_get() gives; the caller frees it. */
void *testing_programs(struct anl_device *device, size_t *size);

/* Fails the test unless both results are well and equal bit for bit. */
void testing_same(const struct run_result *result, const struct run_result *law, const char *what);

/* Runs one test case of this name with these tests, prints, and gives main()'s exit status. */
int testing_main(const char *name, const TTest *const *tests, int count);

#endif
