/* tests/test_cl.c: every OpenCL device found here gives the law's bits: all cases where its grade is
 * exact, those without denormals where it is exact-normal (small ones: such devices emulate).
 * ANL_TEST_CL_PLATFORM, a part of a platform's name, leaves the others out. Exit status 77 (skipped)
 * where there is no device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testing.h"

#define MAX_DEVICES 16

static struct anl_cl_entry entries[MAX_DEVICES];
static int entry_count;

static int wanted(const struct anl_cl_entry *entry)
{
    const char *part = getenv("ANL_TEST_CL_PLATFORM");
    return part == NULL || strstr(entry->platform_name, part) != NULL;
}

static struct anl_device *open_entry(struct anl_context *context, const struct anl_cl_entry *entry,
                                     anl_cl_shape shape)
{
    char error[512] = "";
    struct anl_device *device = NULL;
    struct anl_cl_params params = { .size = sizeof params, .platform = entry->platform,
                                    .device = entry->device, .worst_grade = ANL_EXACT_NORMAL,
                                    .shape = shape, .error = error, .error_size = sizeof error };
    anl_status status = anl_device_create_cl(context, &params, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s: %s", entry->name, anl_status_name(status), error);
    return device;
}

/* Runs the cases that the device promises; returns how many. */
static int compare_op(struct anl_device *device, struct anl_device *law, const struct case_op *op,
                      const char *where, const struct place_options *options)
{
    struct anl_device_info info;
    int run = 0;
    anl_device_get_info(device, &info);
    unsigned avoid = info.grade == ANL_EXACT ? 0 : CASE_DENORMAL | CASE_BIG;
    for (int i = 0; i < op->count; i++) {
        struct run_result expected = { 0 }, result = { 0 };
        char name[160], what[400];
        if (op->head(i)->flags & avoid)
            continue;
        op->describe(i, name, sizeof name);
        snprintf(what, sizeof what, "%s %s on %s", op->name, name, where);
        case_run(op, law, i, NULL, &expected);
        case_run(op, device, i, options, &result);
        testing_same(&result, &expected, what);
        run_free(&expected);
        run_free(&result);
        run++;
    }
    return run;
}

static void compare_device(const struct anl_cl_entry *entry, anl_cl_shape shape,
                           const struct place_options *options)
{
    static const char *const shapes[] = { "auto", "gpu", "cpu" };
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = open_entry(context, entry, shape);
    struct anl_device_info info;
    char where[160];
    int ops, run = 0;
    const struct case_op *const *op = case_ops(&ops);
    anl_device_get_info(device, &info);
    snprintf(where, sizeof where, "%s (%s tiles)", entry->name, shapes[shape]);
    for (int o = 0; o < ops; o++)
        run += compare_op(device, law, op[o], where, options);
    printf("%s: %s, %d cases; %s\n", where, info.grade == ANL_EXACT ? "exact" : "exact-normal", run,
           info.failed_probe);
    ck_assert_int_gt(run, 0);
    anl_device_destroy(device);
    anl_device_destroy(law);
    anl_context_destroy(context);
}

START_TEST(tight)
{
    for (int i = 0; i < entry_count; i++)
        compare_device(&entries[i], ANL_CL_SHAPE_AUTO, NULL);
}
END_TEST

/* The other tiles than the device's type suggests, and views with gaps full of NaN. */
START_TEST(gpu_tiles_and_gaps)
{
    const struct place_options options = { PLACE_GAPS, 0x7fc12345 };
    for (int i = 0; i < entry_count; i++)
        compare_device(&entries[i], ANL_CL_SHAPE_GPU, &options);
}
END_TEST

START_TEST(cpu_tiles)
{
    for (int i = 0; i < entry_count; i++)
        compare_device(&entries[i], ANL_CL_SHAPE_CPU, NULL);
}
END_TEST

int main(void)
{
    /* llvmpipe gets 16-wide vectors wrong: the probes refuse its CPU tiles, which it is never given
     * unless it is asked for them */
    int without_cpu_tiles = getenv("ANL_TEST_CL_NO_CPU_TILES") != NULL;
    const TTest *tests[] = { tight, gpu_tiles_and_gaps, cpu_tiles };
    struct anl_cl_entry all[MAX_DEVICES];
    char error[256] = "";
    int count = 0;
    anl_cl_list(NULL, NULL, all, MAX_DEVICES, &count, error, sizeof error);
    for (int i = 0; i < count && i < MAX_DEVICES; i++) {
        if (wanted(&all[i]))
            entries[entry_count++] = all[i];
    }
    if (entry_count == 0) {
        printf("skipped: no OpenCL device: %s\n", error[0] ? error : "none on this platform");
        return 77;
    }
    return testing_main("cl", tests, sizeof tests / sizeof *tests - without_cpu_tiles);
}
