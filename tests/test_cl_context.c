/* tests/test_cl_context.c: OpenCL devices of one platform in one context: the law's bits on each, whichever
 * is destroyed first, and programs that a later run may have in a context of its own. Needs a platform
 * with two devices (POCL_DEVICES="pthread pthread"); exit status 77 (skipped) where the first has fewer. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/attn_case.h"
#include "tests/testing.h"

static struct anl_cl_params params_of(int device, char *error, size_t size)
{
    return (struct anl_cl_params){ .size = sizeof(struct anl_cl_params), .device = device,
                                   .worst_grade = ANL_EXACT_NORMAL, .error = error, .error_size = size };
}

static struct anl_device *open_device(struct anl_context *context, struct anl_cl_params p)
{
    char error[300] = "";
    struct anl_device *device = NULL;
    p.error = error;
    p.error_size = sizeof error;
    anl_status status = anl_device_create_cl(context, &p, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s", anl_status_name(status), error);
    return device;
}

static uint64_t attention(struct anl_device *device)
{
    const struct attn_case c = { .b = 1, .h = 2, .hkv = 1, .sq = 40, .sk = 700, .d = 20, .dv = 20, .causal = 1 };
    struct attn_data data;
    struct run_result result = { 0 };
    uint64_t hash;
    attn_data_make(&c, &data);
    attn_run(device, &c, &data, NULL, &result);
    ck_assert_msg(result.status == ANL_OK, "%s", result.message);
    hash = result.hash;
    run_free(&result);
    attn_data_free(&data);
    return hash;
}

static void open_two(struct anl_context *context, struct anl_device *two[2])
{
    const int second = 1;
    struct anl_cl_params p = params_of(0, NULL, 0);
    p.beside = &second;
    p.n_beside = 1;
    two[0] = open_device(context, p);
    p = params_of(1, NULL, 0);
    p.share = two[0];
    two[1] = open_device(context, p);
}

START_TEST(either_may_go_first)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *two[2];
    uint64_t expected = attention(law);
    for (int first = 0; first < 2; first++) {
        open_two(context, two);
        ck_assert_uint_eq(attention(two[0]), expected);
        ck_assert_uint_eq(attention(two[1]), expected);
        anl_device_destroy(two[first]);
        ck_assert_uint_eq(attention(two[1 - first]), expected);
        anl_device_destroy(two[1 - first]);
    }
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

/* A struct of before there was beside. */
START_TEST(older_params)
{
    struct anl_context *context = testing_context();
    struct anl_device *device = NULL;
    struct anl_cl_params p = params_of(0, NULL, 0);
    p.n_beside = 77; /* not read */
    p.size = offsetof(struct anl_cl_params, beside);
    ck_assert_int_eq(anl_device_create_cl(context, &p, &device), ANL_OK);
    anl_device_destroy(device);
    p.size--;
    ck_assert_int_eq(anl_device_create_cl(context, &p, &device), ANL_E_ARGUMENT);
    ck_assert_ptr_null(device);
    anl_context_destroy(context);
}
END_TEST

/* A program of a context of two has two binaries, of which the blob holds the device's own: so a device that
 * is alone takes it, builds nothing anew, and hands on the same. */
START_TEST(programs_for_a_later_run)
{
    struct anl_context *context = testing_context();
    struct anl_device *two[2];
    open_two(context, two);
    uint64_t expected = attention(two[0]);
    for (int i = 0; i < 2; i++) {
        size_t size, again;
        ck_assert_uint_eq(attention(two[i]), expected);
        void *blob = testing_programs(two[i], &size);
        struct anl_cl_params p = params_of(i, NULL, 0);
        p.cache = blob;
        p.cache_size = size;
        struct anl_device *alone = open_device(context, p);
        void *same = testing_programs(alone, &again); /* its programs are those of the blob, not used yet */
        ck_assert_uint_eq(again, size);
        ck_assert_int_eq(memcmp(blob, same, size), 0);
        ck_assert_uint_eq(attention(alone), expected);
        anl_device_destroy(alone);
        free(blob);
        free(same);
    }
    anl_device_destroy(two[0]);
    anl_device_destroy(two[1]);
    anl_context_destroy(context);
}
END_TEST

START_TEST(what_cannot_be)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *alone = open_device(context, params_of(0, NULL, 0));
    const int none = 4000, second = 1;
    for (int k = 0; k < 6; k++) {
        char error[300] = "";
        struct anl_device *device = alone;
        struct anl_cl_params p = params_of(k < 3 ? 0 : 1, error, sizeof error);
        static const char *const text[] = { "beside", "n_beside is 1", "n_beside is -1", "share's context", "share",
                                            "one is allowed" };
        p.beside = k == 0 ? &none : k == 1 ? NULL : &second;
        p.n_beside = k == 2 ? -1 : k < 3 || k == 5;
        p.share = k == 3 || k == 5 ? alone : k == 4 ? law : NULL;
        ck_assert_int_eq(anl_device_create_cl(context, &p, &device), ANL_E_ARGUMENT);
        ck_assert_msg(strstr(error, text[k]) != NULL, "%d: %s", k, error);
        ck_assert_ptr_null(device);
    }
    anl_device_destroy(alone);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { either_may_go_first, programs_for_a_later_run, what_cannot_be, older_params };
    if (testing_cl_devices() < 2) {
        printf("the first platform has fewer than two devices\n");
        return 77;
    }
    return testing_main("cl context", tests, sizeof tests / sizeof *tests);
}
