/* tests/verify_quick.c: the quick cases on the law and on the CPU backend, against each other and
 * against the hashes that other machines gave: a small program to be cross-compiled and run on
 * machines of other instruction sets and byte orders. `verify_quick [generic]`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden.h"
#include "tests/runner.h"

/* Returns whether the case is right on both. */
static int check(struct anl_device *law, struct anl_device *cpu, const struct case_op *op, int index)
{
    struct run_result expected = { 0 }, result = { 0 };
    char name[160];
    void *data = op->make(index);
    op->describe(index, name, sizeof name);
    op->run(law, index, data, NULL, &expected);
    op->run(cpu, index, data, NULL, &result);
    op->drop(data);
    const struct golden *golden = golden_find(op->name, name);
    int right = golden != NULL && expected.hash == golden->hash && expected.status == ANL_OK &&
                run_equal(&result, &expected);
    printf("%-6s %-60s %016llx %016llx%s\n", op->name, name, (unsigned long long)result.hash,
           (unsigned long long)expected.hash, right ? "" : "  DIFFERENT");
    run_free(&expected);
    run_free(&result);
    return right;
}

int main(int argc, char **argv)
{
    struct anl_context *context = NULL;
    struct anl_device *law = NULL, *cpu = NULL;
    struct anl_cpu_params params = { .size = sizeof params };
    int ops, run = 0, wrong = 0;
    const struct case_op *const *op = case_ops(&ops);
    if (argc > 1 && strcmp(argv[1], "generic") == 0)
        params.isa = ANL_ISA_GENERIC;
    if (anl_context_create(NULL, &context) != ANL_OK ||
        anl_device_create_law(context, &law) != ANL_OK ||
        anl_device_create_cpu(context, &params, &cpu) != ANL_OK) {
        fprintf(stderr, "no device\n");
        return EXIT_FAILURE;
    }
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++) {
            if (!(op[o]->head(i)->flags & CASE_QUICK))
                continue;
            wrong += !check(law, cpu, op[o], i);
            run++;
        }
    }
    printf("%d cases, %d different\n", run, wrong);
    anl_device_destroy(law);
    anl_device_destroy(cpu);
    anl_context_destroy(context);
    return wrong > 0 || run == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
