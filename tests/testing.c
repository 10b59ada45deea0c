/* tests/testing.c: see testing.h. */
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const struct testing_cpu cpus[] = {
    { ANL_ISA_GENERIC, 1, 0 }, { ANL_ISA_GENERIC, 2, 0 }, { ANL_ISA_GENERIC, 3, 0 },
    { ANL_ISA_AVX2, 1, 0 },    { ANL_ISA_AVX2, 2, 0 },    { ANL_ISA_AVX2, 3, 0 },
    { ANL_ISA_AVX512, 1, 0 },  { ANL_ISA_AVX512, 2, 0 },  { ANL_ISA_AVX512, 3, 0 },
    { ANL_ISA_NEON, 1, 0 },    { ANL_ISA_NEON, 2, 0 },    { ANL_ISA_NEON, 3, 0 },
    { ANL_ISA_AUTO, 3, 1 },    { ANL_ISA_AUTO, 0, 0 },
};

const struct testing_cpu *testing_cpus(int *count)
{
    *count = (int)(sizeof cpus / sizeof *cpus);
    return cpus;
}

struct anl_context *testing_context(void)
{
    struct anl_context *context = NULL;
    ck_assert_int_eq(anl_context_create(NULL, &context), ANL_OK);
    return context;
}

struct anl_device *testing_law(struct anl_context *context)
{
    struct anl_device *device = NULL;
    ck_assert_int_eq(anl_device_create_law(context, &device), ANL_OK);
    return device;
}

/* A caller's pool: each worker a fresh thread, the last worker started first. */
struct job {
    void (*task)(void *arg, int worker);
    void *arg;
    int worker;
    pthread_t thread;
};

static void *job_main(void *arg)
{
    struct job *job = arg;
    job->task(job->arg, job->worker);
    return NULL;
}

static void own_parallel(void *user, int workers, void (*task)(void *arg, int worker), void *arg)
{
    struct job *jobs = gen_alloc((size_t)workers, sizeof *jobs);
    (void)user;
    for (int i = workers - 1; i >= 0; i--) {
        jobs[i] = (struct job){ .task = task, .arg = arg, .worker = i };
        if (pthread_create(&jobs[i].thread, NULL, job_main, &jobs[i]) != 0)
            abort();
    }
    for (int i = 0; i < workers; i++)
        pthread_join(jobs[i].thread, NULL);
    free(jobs);
}

struct anl_device *testing_cpu_open(struct anl_context *context, const struct testing_cpu *cpu)
{
    char error[256] = "";
    struct anl_device *device = NULL;
    struct anl_cpu_params params = { .size = sizeof params, .threads = cpu->threads,
                                     .isa = cpu->isa, .error = error,
                                     .error_size = sizeof error };
    if (cpu->own_pool)
        params.parallel = own_parallel;
    anl_status status = anl_device_create_cpu(context, &params, &device);
    if (status == ANL_E_UNSUPPORTED) {
        ck_assert_msg(error[0] != 0, "a refusal without a reason");
        ck_assert_msg(cpu->isa != ANL_ISA_AUTO && cpu->isa != ANL_ISA_GENERIC, "%s", error);
        return NULL;
    }
    ck_assert_msg(status == ANL_OK, "%s: %s", anl_status_name(status), error);
    return device;
}

void testing_cpu_name(const struct testing_cpu *cpu, char *name, size_t size)
{
    static const char *const isa[] = { "auto", "generic", "avx2", "avx512", "neon" };
    snprintf(name, size, "cpu:%d:%s%s", cpu->threads, isa[cpu->isa],
             cpu->own_pool ? " own pool" : "");
}

int testing_cl_devices(void)
{
    struct anl_cl_entry entries[16];
    char error[200] = "";
    int n = 0, count = 0;
    anl_cl_list(NULL, NULL, entries, 16, &count, error, sizeof error);
    for (int i = 0; i < count && i < 16; i++)
        n += entries[i].platform == 0;
    return n;
}

void *testing_programs(struct anl_device *device, size_t *size)
{
    void *blob;
    ck_ok(anl_device_cache_get(device, NULL, 0, size), device);
    blob = malloc(*size);
    ck_assert_ptr_nonnull(blob);
    ck_ok(anl_device_cache_get(device, blob, *size, size), device);
    return blob;
}

void testing_same(const struct run_result *result, const struct run_result *law, const char *what)
{
    ck_assert_msg(law->status == ANL_OK, "%s: law: %s: %s", what, anl_status_name(law->status),
                  law->message);
    ck_assert_msg(result->status == ANL_OK, "%s: %s: %s", what, anl_status_name(result->status),
                  result->message);
    ck_assert_msg(!result->damaged, "%s: wrote outside of its result", what);
    for (int i = 0; i < law->arrays; i++) {
        const struct run_array *a = &result->array[i], *b = &law->array[i];
        for (size_t j = 0; j < b->count; j++) {
            uint32_t x = gen_bits(run_value(a, j)), y = gen_bits(run_value(b, j));
            ck_assert_msg(x == y, "%s: %s[%zu] is %08x (%.9g), by the law %08x (%.9g)", what,
                          b->name, j, x, (double)gen_float(x), y, (double)gen_float(y));
        }
    }
    ck_assert_msg(run_equal(result, law) && result->hash == law->hash, "%s: hash", what);
}

int testing_main(const char *name, const TTest *const *tests, int count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    for (int i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    /* in one process: OpenMP's threads do not outlive a fork */
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
