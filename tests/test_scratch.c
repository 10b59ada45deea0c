/* tests/test_scratch.c: the scratch that the device's account shows is what is claimed: attention's at
 * most linear in the sequence, whether queries are many or one; that of the feedforward and of qkv the
 * same for any number of tokens. On the CPU backend; with the argument `cl` on every OpenCL device found,
 * with kernels of its own shape and of a GPU's, and exit status 77 (skipped) where there is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/testing.h"

enum { SIZES = 3 };

/* The bytes of scratch that a device has held after a shape of each size, in turn: the number of this
 * name, and the rest of the shape. */
static void measure(struct anl_device *device, const struct case_op *op, const char *name,
                    const char *rest, const int *sizes, uint64_t *scratch)
{
    for (int i = 0; i < SIZES; i++) {
        char shape[100], error[200] = "";
        struct run_result result = { 0 };
        struct anl_memory memory;
        snprintf(shape, sizeof shape, "%s%d %s", name, sizes[i], rest);
        void *c = case_from_shape(op->form, shape, error, sizeof error);
        ck_assert_msg(c != NULL, "%s: %s", shape, error);
        void *data = op->form->make(c);
        op->form->run(device, c, data, NULL, &result);
        ck_assert_msg(result.status == ANL_OK, "%s: %s", shape, result.message);
        anl_device_get_memory(device, &memory);
        scratch[i] = memory.peak_scratch;
        printf("    %-5s %-32s %10llu bytes of scratch\n", op->name, shape,
               (unsigned long long)scratch[i]);
        run_free(&result);
        op->drop(data);
        free(c);
    }
}

/* What opens a fresh device: scratch stays with a device once it has it. */
struct opener {
    struct anl_context *context;
    const struct anl_cl_entry *entry; /* NULL: the CPU */
    anl_cl_shape shape;
    const int *sizes, *token_sizes; /* of sequences; of what must not grow with them */
};

static struct anl_device *open_fresh(const struct opener *o)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    char error[512] = "";
    struct anl_device *device = NULL;
    if (o->entry == NULL)
        return testing_cpu_open(o->context, &cpu);
    struct anl_cl_params params = { .size = sizeof params, .platform = o->entry->platform,
                                    .device = o->entry->device, .shape = o->shape,
                                    .worst_grade = ANL_EXACT_NORMAL,
                                    .error = error, .error_size = sizeof error };
    anl_status status = anl_device_create_cl(o->context, &params, &device);
    ck_assert_msg(status == ANL_OK, "%s: %s", o->entry->name, error);
    return device;
}

static void check_attn(const struct opener *o, const char *name, const char *rest)
{
    uint64_t scratch[SIZES];
    struct anl_device *device = open_fresh(o);
    measure(device, &attn_cases, name, rest, o->sizes, scratch);
    for (int i = 1; i < SIZES; i++)
        ck_assert_msg(scratch[i] <= 2 * scratch[i - 1], "%s: %llu bytes, then %llu", rest,
                      (unsigned long long)scratch[i - 1], (unsigned long long)scratch[i]);
    ck_assert_uint_gt(scratch[0], 0);
    anl_device_destroy(device);
}

static void check_tokens(const struct opener *o, const struct case_op *op, const char *rest)
{
    uint64_t scratch[SIZES];
    struct anl_device *device = open_fresh(o);
    measure(device, op, "t", rest, o->token_sizes, scratch);
    for (int i = 1; i < SIZES; i++)
        ck_assert_uint_eq(scratch[i], scratch[0]);
    ck_assert_uint_gt(scratch[0], 0);
    anl_device_destroy(device);
}

static void check_all(const struct opener *o)
{
    check_attn(o, "sq", "h2 d8");
    check_attn(o, "sq", "h2 d8 causal");
    check_attn(o, "sk", "sq1 h2 hkv1 d16 causal");
    check_tokens(o, &ffn_cases, "dm16 dff48 swiglu");
    check_tokens(o, &ffn_cases, "dm16 dff48 gelu");
    check_tokens(o, &qkv_cases, "dm16 h2 hkv1 d8");
}

START_TEST(cpu)
{
    static const int sizes[SIZES] = { 4096, 8192, 16384 };
    struct opener o = { .context = testing_context(), .sizes = sizes, .token_sizes = sizes };
    printf("cpu\n");
    check_all(&o);
    anl_context_destroy(o.context);
}
END_TEST

static struct anl_cl_entry entries[8];
static int entry_count;

/* As many tokens as are a tile's at most, and more. */
static const int cl_tokens[SIZES] = { 8192, 16384, 32768 };

static void on_each_cl(anl_cl_shape shape, const int *sizes)
{
    struct opener o = { .context = testing_context(), .shape = shape, .sizes = sizes,
                        .token_sizes = cl_tokens };
    for (int i = 0; i < entry_count; i++) {
        printf("%s%s\n", entries[i].name, shape == ANL_CL_SHAPE_GPU ? ", GPU-shaped" : "");
        o.entry = &entries[i];
        check_all(&o);
    }
    anl_context_destroy(o.context);
}

START_TEST(cl)
{
    static const int sizes[SIZES] = { 4096, 8192, 16384 };
    on_each_cl(ANL_CL_SHAPE_AUTO, sizes);
}
END_TEST

START_TEST(cl_gpu)
{
    static const int sizes[SIZES] = { 1024, 2048, 4096 };
    on_each_cl(ANL_CL_SHAPE_GPU, sizes);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = { cpu }, *cl_tests[] = { cl, cl_gpu };
    char error[256] = "";
    if (argc < 2 || strcmp(argv[1], "cl") != 0)
        return testing_main("scratch", tests, 1);
    anl_cl_list(NULL, NULL, entries, 8, &entry_count, error, sizeof error);
    entry_count = entry_count < 8 ? entry_count : 8;
    if (entry_count > 0)
        return testing_main("scratch", cl_tests, 2);
    printf("skipped: no OpenCL device: %s\n", error);
    return 77;
}
