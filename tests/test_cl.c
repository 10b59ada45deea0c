/* tests/test_cl.c: every OpenCL device found here gives the law's bits: all cases where its grade is
 * exact, those without denormals where it is exact-normal (small ones: such devices emulate).
 * ANL_TEST_CL_PLATFORM, a part of a platform's name, leaves the others out. Exit status 77 (skipped)
 * where there is no device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/attn_case.h"
#include "tests/fake_cl.h"

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

/* Runs the cases that the device promises, of those with all flags of `only`; returns how many. */
static int compare_op(struct anl_device *device, struct anl_device *law, const struct case_op *op,
                      unsigned only, const char *where, const struct place_options *options)
{
    struct anl_device_info info;
    int run = 0;
    anl_device_get_info(device, &info);
    unsigned avoid = info.grade == ANL_EXACT ? 0 : CASE_DENORMAL | CASE_BIG;
    for (int i = 0; i < op->count; i++) {
        struct run_result expected = { 0 }, result = { 0 };
        char name[160], what[400];
        if (op->head(i)->flags & avoid || (op->head(i)->flags & only) != only)
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
        run += compare_op(device, law, op[o], 0, where, options);
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
    const struct place_options options = { .layout = PLACE_GAPS, .fill = 0x7fc12345 };
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

/* A decoded token: one launch for q, k and v, two for attention, one for what follows it, two for the
 * feedforward, with all norms, rope, activations and residuals. Each more costs time. */
static uint64_t launches_of(struct anl_device *device, const struct case_op *op,
                            const char *wanted_name)
{
    for (int i = 0; i < op->count; i++) {
        struct run_result result = { 0 };
        char name[160];
        uint64_t before = anl_device_launches(device);
        op->describe(i, name, sizeof name);
        if (strcmp(name, wanted_name) != 0)
            continue;
        case_run(op, device, i, NULL, &result);
        ck_assert_msg(result.status == ANL_OK, "%s: %s", name, result.message);
        run_free(&result);
        return anl_device_launches(device) - before;
    }
    ck_abort_msg("%s has no case %s", op->name, wanted_name);
    return 0;
}

START_TEST(launches_of_a_decoded_token)
{
    for (int i = 0; i < entry_count; i++) {
        struct anl_context *context = testing_context();
        struct anl_device *d = open_entry(context, &entries[i], ANL_CL_SHAPE_GPU);
        ck_assert_uint_eq(1, launches_of(d, &qkv_cases, "T1 M576 H9/3 D64 V64 q4_1 norm dims 64 at 509 "
                                                        "> f32 random"));
        ck_assert_uint_eq(2, launches_of(d, &attn_cases, "B1 H1/1 Q1 K5000 D8 V8 f32 > f32 random"));
        ck_assert_uint_eq(1, launches_of(d, &linear_cases, "T1 K576 N97 q4_1 norm > f32 random"));
        ck_assert_uint_eq(2, launches_of(d, &ffn_cases, "T1 M576 F96 q4_1 norm gated silu residual x "
                                                        "in place > f32 random"));
        anl_device_destroy(d);
        anl_context_destroy(context);
    }
}
END_TEST

/* Opens the entry GPU-shaped with these tiles; what the constructor says otherwise is in error. */
static anl_status open_tiles(struct anl_context *context, const struct anl_cl_entry *entry,
                             const char *tiles, const void *cache, size_t cache_size, char *error,
                             size_t error_size, struct anl_device **device)
{
    struct anl_cl_params params = { .size = sizeof params, .platform = entry->platform,
                                    .device = entry->device, .worst_grade = ANL_EXACT_NORMAL,
                                    .shape = ANL_CL_SHAPE_GPU, .tiles = tiles, .cache = cache,
                                    .cache_size = cache_size, .error = error,
                                    .error_size = error_size };
    return anl_device_create_cl(context, &params, device);
}

static void tiles_text(struct anl_device *device, char *text, size_t capacity)
{
    size_t size = 0;
    ck_ok(anl_device_tiles_get(device, text, capacity, &size), device);
    ck_assert_uint_gt(size, 1);
    ck_assert_uint_le(size, capacity);
    ck_assert_uint_eq(strlen(text) + 1, size);
}

/* Text, table, text; and the bits stay. */
static void tiles_round_trip(const struct anl_cl_entry *entry)
{
    static const char own[] = "linear bm32 bn64 tm4 tn8 bk8 uk2 groups3 speed77 tail60\n"
                              "linear bm64 bn32 tm4 tn4 bk16 uk1 groups64 speed1000 tail60\n"
                              "attn dv64 bq32 rq4 rk4 dc16 vc16 qres0 uq2 uv1 flow0\n"
                              "attn dv256 bq32 rq8 rk4 dc32 vc8 qres0 uq1 uv2 flow0\n";
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = open_entry(context, entry,
                                                                        ANL_CL_SHAPE_GPU);
    char first[1024], second[1024], error[512] = "", small[8] = "before";
    size_t size = 0, blob_size = 0;
    void *blob = testing_programs(device, &blob_size);
    tiles_text(device, first, sizeof first);
    ck_ok(anl_device_tiles_get(device, small, sizeof small, &size), device);
    ck_assert_uint_eq(size, strlen(first) + 1);
    ck_assert_str_eq(small, "before");
    ck_assert_int_eq(anl_device_tiles_get(device, small, sizeof small, NULL), ANL_E_ARGUMENT);
    anl_device_destroy(device);

    ck_assert_int_eq(open_tiles(context, entry, first, blob, blob_size, error, sizeof error, &device),
                     ANL_OK);
    tiles_text(device, second, sizeof second);
    ck_assert_str_eq(first, second);
    anl_device_destroy(device);

    anl_status status = open_tiles(context, entry, own, blob, blob_size, error, sizeof error, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s", entry->name, error);
    tiles_text(device, second, sizeof second);
    ck_assert_str_eq(own, second);
    for (int i = 0; i < 2; i++) {
        static const char *const names[] = { "T65 K29 N33 f32 > f32 random",
                                             "B1 H1/1 Q65 K65 D16 V16 f32 causal > f32 random" };
        const struct case_op *op = i == 0 ? &linear_cases : &attn_cases;
        for (int k = 0; k < op->count; k++) {
            struct run_result expected = { 0 }, result = { 0 };
            char name[160];
            op->describe(k, name, sizeof name);
            if (strcmp(name, names[i]) != 0)
                continue;
            case_run(op, law, k, NULL, &expected);
            case_run(op, device, k, NULL, &result);
            testing_same(&result, &expected, name);
            run_free(&expected);
            run_free(&result);
        }
    }
    anl_device_destroy(device);
    ck_ok(anl_device_tiles_get(law, NULL, 0, &size), law);
    ck_assert_uint_eq(size, 0);
    anl_device_destroy(law);
    anl_context_destroy(context);
    free(blob);
}

START_TEST(tiles_as_text)
{
    for (int i = 0; i < entry_count; i++)
        tiles_round_trip(&entries[i]);
}
END_TEST

/* Texts that are none, and lines that no device can have. */
START_TEST(tiles_that_are_none)
{
    static const char *const bad[] = {
        "linear", "frob bm64", "\n", "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4",
        "linear bn64 bm64 tm4 tn4 bk16 uk4 groups4 speed100 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60 more",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed-100",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed99999 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed0 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups65 speed100 tail60",
        "linear bm48 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60",
        "linear bm512 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60",
        "linear bm64 bn64 tm2 tn4 bk16 uk4 groups4 speed100 tail60",
        "linear bm64 bn64 tm4 tn4 bk12 uk4 groups4 speed100 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk17 groups4 speed100 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk0 groups4 speed100 tail60",
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60\nlinear",
        "attn dv64 bq64 rq4 rk4 dc32 vc32 qres0 uq4",
        "attn dv60 bq64 rq4 rk4 dc32 vc32 qres0 uq4 uv4 flow0",
        "attn dv320 bq64 rq4 rk4 dc32 vc8 qres0 uq4 uv4 flow0",
        "attn dv64 bq64 rq4 rk4 dc32 vc32 qres2 uq4 uv4 flow0",
        "attn dv64 bq64 rq4 rk4 dc24 vc32 qres0 uq4 uv4 flow0",
        "attn dv256 bq32 rq8 rk4 dc32 vc1 qres0 uq1 uv1 flow0",
        "attn dv256 bq32 rq8 rk4 dc32 vc2 qres0 uq1 uv1 flow0",
        "attn dv64 bq64 rq5 rk4 dc32 vc32 qres0 uq4 uv4 flow0",
        "attn dv64 bq128 rq4 rk4 dc32 vc32 qres0 uq4 uv4 flow0",
        "attn dv64 bq64 rq4 rk4 dc32 vc32 qres0 uq33 uv4 flow0",
        "attn dv64 bq64 rq4 rk4 dc32 vc32 qres0 uq4 uv4 flow0\n\n",
        "attn dv64 bq64 rq8 rk8 dc16 vc16 qres1 uq4 uv8",
        "attn dv64 bq64 rq8 rk8 dc16 vc16 qres1 uq4 uv8 flow2",
        "attn dv64 bq64 rq8 rk8 dc16 vc8 qres1 uq4 uv8 flow1",
        "attn dv64 bq64 rq8 rk8 dc16 vc16 qres0 uq4 uv8 flow1",
        "attn dv64 bq32 rq8 rk8 dc16 vc16 qres1 uq4 uv8 flow1",
        "attn dv128 bq64 rq8 rk8 dc8 vc8 qres0 uq9 uv8 flow1",
        "attn dv192 bq64 rq8 rk8 dc8 vc8 qres0 uq8 uv8 flow1",
    };
    struct anl_context *context = testing_context();
    char many[512] = "";
    for (int i = 0; i < 5; i++)
        strcat(many, "linear bm32 bn32 tm4 tn4 bk16 uk4 groups4 speed100 tail60\n");
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        const char *text = i < sizeof bad / sizeof *bad ? bad[i] : many;
        struct anl_device *device = NULL;
        char error[512] = "";
        anl_status status = open_tiles(context, &entries[0], text, NULL, 0, error, sizeof error,
                                       &device);
        ck_assert_msg(status == ANL_E_ARGUMENT, "'%s': %s", text, anl_status_name(status));
        ck_assert_msg(strncmp(error, "tiles: ", 7) == 0, "'%s': %s", text, error);
        ck_assert_ptr_null(device);
    }
    anl_context_destroy(context);
}
END_TEST

/* The verdict is kept with the programs, but only about the tiles that it was found with. */
START_TEST(other_tiles_are_probed)
{
    static const char *const tiles[] = {
        NULL, NULL, "attn dv64 bq32 rq4 rk4 dc16 vc16 qres0 uq2 uv1 flow0\n",
        "attn dv64 bq32 rq4 rk4 dc16 vc16 qres0 uq2 uv1 flow0\n", NULL
    };
    static const int probed[] = { 1, 0, 1, 0, 1 };
    for (int i = 0; i < entry_count; i++) {
        struct anl_context *context = testing_context();
        void *blob = NULL;
        size_t size = 0;
        for (int k = 0; k < 5; k++) {
            struct anl_device *device = NULL;
            char error[512] = "";
            anl_status status = open_tiles(context, &entries[i], tiles[k], blob, size, error,
                                           sizeof error, &device);
            ck_assert_msg(status == ANL_OK, "%s: %s", entries[i].name, error);
            ck_assert_int_eq(anl_device_launches(device) > 0, probed[k]);
            free(blob);
            blob = testing_programs(device, &size);
            anl_device_destroy(device);
        }
        free(blob);
        anl_context_destroy(context);
    }
}
END_TEST

/* Kernels whose registers do not do for a work-group as large as the device's: smaller ones give the
 * same bits. */
static void small_groups(const struct anl_cl_entry *entry, size_t max_group)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = NULL;
    char error[512] = "", where[160];
    int ops;
    const struct case_op *const *op = case_ops(&ops);
    fake_reset();
    fake.max_group = max_group;
    anl_status status = fake_open(context, entry, NULL, error, sizeof error, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s", entry->name, error);
    snprintf(where, sizeof where, "%s (work-groups of %zu)", entry->name, max_group);
    for (int o = 0; o < ops; o++)
        compare_op(device, law, op[o], CASE_QUICK, where, NULL);
    ck_assert_uint_le(fake.largest, max_group);
    ck_assert_uint_gt(fake.largest, max_group / 2);
    anl_device_destroy(device);
    anl_device_destroy(law);
    anl_context_destroy(context);
}

/* Values that are not finite: of keys that some rows of a block may not see, and some may. */
static void hidden_of(struct anl_device *device, struct anl_device *law, const char *where)
{
    static const struct attn_case cases[] = {
        { .b = 1, .h = 2, .hkv = 1, .sq = 70, .sk = 600, .d = 64, .dv = 64, .causal = 1 },
        { .b = 1, .h = 1, .hkv = 1, .sq = 70, .sk = 600, .d = 128, .dv = 100, .causal = 1 },
        { .b = 1, .h = 1, .hkv = 1, .sq = 40, .sk = 130, .d = 8, .dv = 200, .causal = 1, .kv = ANL_F16,
          .state = ATTN_OUT_AND_STATE },
    };
    static const float poison[] = { NAN, INFINITY, -INFINITY };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct attn_case *c = &cases[i];
        struct run_result got = { 0 }, expected = { 0 };
        struct attn_data data;
        attn_data_make(c, &data);
        for (int j = 0; j < 3; j++)
            for (int64_t e = 0; e < c->dv; e++)
                gen_store(c->kv, &poison[j], 1,
                          (uint8_t *)data.v + (size_t)((c->sk - 3 - 17 * j) * c->dv + e) *
                                                  gen_dtype_size(c->kv));
        attn_run(law, c, &data, NULL, &expected);
        attn_run(device, c, &data, NULL, &got);
        testing_same(&got, &expected, where);
        run_free(&got);
        run_free(&expected);
        attn_data_free(&data);
    }
}

/* The tiles of other families than this device's own: kernels that the cases would not meet here. */
static void family(const struct anl_cl_entry *entry, uint32_t vendor)
{
    const struct case_op *const ops[] = { &linear_cases, &attn_cases, &ffn_cases, &qkv_cases };
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = NULL;
    char error[512] = "", where[160];
    fake_reset();
    fake.vendor = vendor;
    anl_status status = fake_open(context, entry, NULL, error, sizeof error, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s", entry->name, error);
    snprintf(where, sizeof where, "%s (tiles of vendor %x)", entry->name, (unsigned)vendor);
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        compare_op(device, law, ops[o], CASE_QUICK, where, NULL);
    hidden_of(device, law, where);
    anl_device_destroy(device);
    anl_device_destroy(law);
    anl_context_destroy(context);
}

START_TEST(other_families)
{
    static const uint32_t vendors[] = { 0x10de, 0x1002, 0x8086 };
    for (int i = 0; i < entry_count; i++) {
        struct anl_device_info info;
        struct anl_context *context = testing_context();
        struct anl_device *device = NULL;
        char error[512] = "";
        fake_reset();
        ck_assert_int_eq(fake_open(context, &entries[i], NULL, error, sizeof error, &device), ANL_OK);
        anl_device_get_info(device, &info);
        anl_device_destroy(device);
        anl_context_destroy(context);
        /* one that is slow to compile for, and knows no subnormals, need not do it three times */
        for (size_t v = 0; v < 3 && info.grade == ANL_EXACT; v++)
            family(&entries[i], vendors[v]);
    }
}
END_TEST

START_TEST(small_work_groups)
{
    for (int i = 0; i < entry_count; i++) {
        struct anl_context *context = testing_context();
        struct anl_device *device = NULL;
        char error[512] = "";
        small_groups(&entries[i], 200);
        small_groups(&entries[i], 64);
        fake_reset();
        fake.max_group = 32; /* too few for any kernel: not asked for, but refused */
        ck_assert_int_eq(fake_open(context, &entries[i], NULL, error, sizeof error, &device),
                         ANL_E_UNSUPPORTED);
        ck_assert_msg(strstr(error, "refuses work-groups of 64 work-items") != NULL, "%s", error);
        anl_context_destroy(context);
    }
}
END_TEST

/* A norm of a token is a launch. */
static void norms(struct anl_device *device, struct anl_buffer *buffer, int count)
{
    struct anl_norm_params norm = { .size = sizeof norm, .eps = 1 };
    norm.x = norm.out = anl_tensor_2d(buffer, 0, ANL_F32, 1, 16);
    norm.w = anl_tensor_1d(buffer, 64, ANL_F32, 16);
    for (int i = 0; i < count; i++)
        ck_ok(anl_norm(device, &norm), device);
}

/* Of so many launches one fails. The next wait tells, once, and what follows is well. */
static void one_fails(struct anl_device *device, struct anl_buffer *buffer, int launches, long which,
                      int by_read)
{
    float data[32];
    fake.fails_in = which;
    norms(device, buffer, launches);
    anl_status status = by_read ? anl_buffer_read(buffer, 0, data, sizeof data)
                                : anl_device_finish(device);
    ck_assert_msg(status == ANL_E_DEVICE, "launch %ld of %d: %s", which, launches,
                  anl_status_name(status));
    ck_assert_ptr_nonnull(strstr(anl_device_message(device), "CL_OUT_OF_RESOURCES"));
    ck_ok(anl_device_finish(device), device);
    norms(device, buffer, 3);
    ck_ok(anl_buffer_read(buffer, 0, data, sizeof data), device);
}

START_TEST(late_errors_are_told)
{
    for (int i = 0; i < entry_count; i++) {
        struct anl_context *context = testing_context();
        struct anl_device *device = NULL;
        struct anl_buffer *buffer = NULL;
        const float zeros[32] = { 0 };
        char error[512] = "";
        fake_reset();
        anl_status status = fake_open(context, &entries[i], NULL, error, sizeof error, &device);
        ck_assert_msg(status == ANL_OK, "%s: %s", entries[i].name, error);
        ck_ok(anl_buffer_create(device, sizeof zeros, &buffer), device);
        ck_ok(anl_buffer_write(buffer, 0, zeros, sizeof zeros), device);
        for (int by_read = 0; by_read < 2; by_read++) {
            one_fails(device, buffer, 1, 1, by_read);
            one_fails(device, buffer, 40, 1, by_read);
            one_fails(device, buffer, 40, 39, by_read);
            one_fails(device, buffer, 700, 7, by_read); /* long out of the ring */
        }
        /* told by writes and destroyed buffers to those that wait afterwards */
        fake.fails_in = 2;
        norms(device, buffer, 3);
        ck_ok(anl_buffer_write(buffer, 0, zeros, sizeof zeros), device);
        anl_buffer_destroy(buffer);
        ck_assert_int_eq(anl_device_finish(device), ANL_E_DEVICE);
        /* where no event tells, the driver's wait has to: known of one driver only */
        if (strcmp(entries[i].platform_name, "NVIDIA CUDA") != 0)
            ck_assert_int_eq(fake.failures_in_waits, 0);
        anl_device_destroy(device);
        anl_context_destroy(context);
    }
}
END_TEST

/* A tile that is wrong is found when the device is made, though no operation would choose it soon. */
START_TEST(wrong_tiles_are_refused)
{
    static const char *const tiles[] = {
        "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60\n"
        "linear bm32 bn32 tm8 tn4 bk16 uk4 groups1 speed1 tail4000\n",
        "attn dv64 bq64 rq8 rk8 dc32 vc32 qres0 uq4 uv4 flow0\n"
        "attn dv64 bq16 rq4 rk8 dc16 vc16 qres0 uq1 uv1 flow0\n",
    };
    static const char *const probes[] = { "linear layer in each of its tiles",
                                          "attention in each of its tiles" };
    for (int i = 0; i < entry_count * 2; i++) {
        const struct anl_cl_entry *entry = &entries[i / 2];
        struct anl_context *context = testing_context();
        struct anl_device *device = NULL;
        char error[512] = "";
        fake_reset();
        anl_status status = fake_open(context, entry, tiles[i % 2], error, sizeof error, &device);
        ck_assert_msg(status == ANL_OK, "%s: %s", entry->name, error);
        anl_device_destroy(device);
        fake.dropped = 32; /* work-items of the second line's tile */
        ck_assert_int_eq(fake_open(context, entry, tiles[i % 2], error, sizeof error, &device),
                         ANL_E_UNSUPPORTED);
        ck_assert_msg(strstr(error, probes[i % 2]) != NULL, "%s", error);
        anl_context_destroy(context);
    }
}
END_TEST

/* So many queries of 4 heads meet so many spans of keys, which are all the same 512 bytes. */
static void long_attention(struct anl_device *device, int64_t sq, int64_t spans)
{
    struct anl_buffer *buffer = NULL;
    struct anl_attn_params p = { .size = sizeof p, .n_pieces = 1 };
    struct anl_kv_piece piece = { .start = 0 };
    ck_ok(anl_buffer_create(device, 4 * 16 * 256 * sizeof(float), &buffer), device);
    p.q = p.out = anl_tensor_4d(buffer, 0, ANL_F32, 1, 4, sq, 256);
    piece.k = anl_tensor_4d(buffer, 0, ANL_F32, 1, 1, spans * 512, 256);
    piece.k.stride[0] = piece.k.stride[1] = piece.k.stride[2] = 0;
    piece.v = piece.k;
    p.pieces = &piece;
    ck_ok(anl_attn(device, &p), device);
    anl_buffer_destroy(buffer);
}

static size_t seen(const char *name, size_t *all)
{
    int i = 0;
    while (fake.kernel[i].name[0] && strcmp(fake.kernel[i].name, name) != 0)
        i++;
    *all = fake.kernel[i].all;
    return fake.kernel[i].groups;
}

/* No launch of attention does more than 1e10 fma where the device is a CPU, and all of it is done. */
START_TEST(launches_are_bounded)
{
    for (int i = 0; i < entry_count; i++) {
        struct anl_context *context = testing_context();
        struct anl_device *device = NULL;
        char error[512] = "";
        size_t groups, all;
        fake_reset();
        fake.cpu = 1;
        anl_status status = fake_open(context, &entries[i], NULL, error, sizeof error, &device);
        ck_assert_msg(status == ANL_OK, "%s: %s", entries[i].name, error);
        fake.dry = 1;
        memset(fake.kernel, 0, sizeof fake.kernel);
        long_attention(device, 15, 6000);
        groups = seen("attn_row", &all);
        ck_assert_uint_eq(all, 4 * 15 * 6000);
        ck_assert_double_le((double)groups * 512 * (256 + 256), 1e10);
        ck_assert_uint_eq(seen("attn_merge", &all), ((15 * 256) + 63) / 64);
        memset(fake.kernel, 0, sizeof fake.kernel);
        long_attention(device, 15, 30);
        ck_assert_uint_eq(seen("attn_row", &all), 4 * 15 * 30); /* one launch does */
        memset(fake.kernel, 0, sizeof fake.kernel);
        long_attention(device, 16, 20000);
        groups = seen("attn_scan", &all);
        ck_assert_uint_eq(all, 20000 * 8);
        ck_assert_double_le((double)groups * 64 * 256, 1e10 / 8);
        anl_device_destroy(device);
        anl_context_destroy(context);
    }
}
END_TEST

int main(void)
{
    /* llvmpipe gets 16-wide vectors wrong: the probes refuse its CPU tiles, which it is never given
     * unless it is asked for them */
    int without_cpu_tiles = getenv("ANL_TEST_CL_NO_CPU_TILES") != NULL;
    const TTest *tests[] = { launches_of_a_decoded_token, tiles_that_are_none, tiles_as_text,
                             other_tiles_are_probed, wrong_tiles_are_refused, other_families,
                             small_work_groups,
                             late_errors_are_told, launches_are_bounded, tight, gpu_tiles_and_gaps,
                             cpu_tiles };
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
