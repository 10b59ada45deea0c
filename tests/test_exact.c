/* tests/test_exact.c: the second leg of proof: the CPU backend gives the law's bits on every case,
 * for every instruction set here, 1, 2 and 3 threads, and the caller's own threads. */
#include <stdio.h>

#include "tests/testing.h"

#define MAX_CPUS 16

static void compare(struct anl_device *const *device, const struct testing_cpu *cpu, int count,
                    struct anl_device *law, const struct case_op *op, int index)
{
    struct run_result expected = { 0 };
    char name[160], what[256], cpu_name[40];
    void *data = op->make(index);
    op->describe(index, name, sizeof name);
    op->run(law, index, data, NULL, &expected);
    for (int i = 0; i < count; i++) {
        struct run_result result = { 0 };
        if (device[i] == NULL)
            continue;
        testing_cpu_name(&cpu[i], cpu_name, sizeof cpu_name);
        snprintf(what, sizeof what, "%s %s on %s", op->name, name, cpu_name);
        op->run(device[i], index, data, NULL, &result);
        testing_same(&result, &expected, what);
        run_free(&result);
    }
    run_free(&expected);
    op->drop(data);
}

static void op_is_exact(const struct case_op *op)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device[MAX_CPUS] = { NULL };
    int count, open = 0;
    const struct testing_cpu *cpu = testing_cpus(&count);
    ck_assert_int_le(count, MAX_CPUS);
    for (int i = 0; i < count; i++)
        open += (device[i] = testing_cpu_open(context, &cpu[i])) != NULL;
    for (int i = 0; i < op->count; i++)
        compare(device, cpu, count, law, op, i);
    printf("%-6s %d cases on %d CPU devices\n", op->name, op->count, open);
    for (int i = 0; i < count; i++)
        anl_device_destroy(device[i]);
    anl_device_destroy(law);
    anl_context_destroy(context);
}

START_TEST(linear)
{
    op_is_exact(&linear_cases);
}
END_TEST

START_TEST(attn)
{
    op_is_exact(&attn_cases);
}
END_TEST

START_TEST(norm)
{
    op_is_exact(&norm_cases);
}
END_TEST

START_TEST(rope)
{
    op_is_exact(&rope_cases);
}
END_TEST

START_TEST(ffn)
{
    op_is_exact(&ffn_cases);
}
END_TEST

START_TEST(qkv)
{
    op_is_exact(&qkv_cases);
}
END_TEST

START_TEST(embed)
{
    op_is_exact(&embed_cases);
}
END_TEST

START_TEST(xent)
{
    op_is_exact(&xent_cases);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { linear, attn, norm, rope, ffn, qkv, embed, xent };
    return testing_main("exact", tests, sizeof tests / sizeof *tests);
}
