/* tests/test_law.c: the first leg of proof: the law backend against fp64, within a stated bound for
 * every element; its witnesses; and the golden hashes. */
#include <stdio.h>
#include <string.h>

#include "tests/attn_case.h"
#include "tests/golden.h"
#include "tests/oracle.h"
#include "tests/testing.h"

/* The worst of an operation's cases, by kind of data. */
struct worst {
    double ratio;
    char name[160];
};

/* Prints what lies outside of its bound; returns whether anything does. */
static int check_case(struct anl_device *law, const struct oracle_op *op, int index,
                      struct worst *worst)
{
    struct oracle_report report = { 0 };
    struct run_result result = { 0 };
    char name[160];
    op->op->describe(index, name, sizeof name);
    case_run(op->op, law, index, NULL, &result);
    ck_assert_msg(result.status == ANL_OK, "%s %s: %s", op->op->name, name, result.message);
    op->check(index, &result, &report);
    if (report.bad > 0)
        printf("%s %s: %zu of %zu outside; worst %s[%zu]: law %.9g, exact %.9g, %.2f x the bound\n",
               op->op->name, name, report.bad, report.checked, report.array, report.index,
               report.law, report.reference, report.worst);
    worst += op->op->head(index)->kind;
    if (report.worst > worst->ratio) {
        worst->ratio = report.worst;
        memcpy(worst->name, name, sizeof name);
    }
    run_free(&result);
    return report.bad > 0;
}

START_TEST(law_is_the_oracle)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    int bad = 0;
    for (int o = 0; o < oracle_op_count; o++) {
        const struct oracle_op *op = &oracle_ops[o];
        struct worst worst[GEN_KINDS] = { { 0, "" } };
        for (int i = 0; i < op->op->count; i++)
            bad += check_case(law, op, i, worst);
        for (int k = 0; k < GEN_KINDS; k++) {
            if (worst[k].ratio > 0)
                printf("%-6s %-11s worst %.3f of the bound: %s\n", op->op->name,
                       gen_kind_name((enum gen_kind)k), worst[k].ratio, worst[k].name);
            if (op->check == oracle_attn && k != GEN_CONSTANT)
                printf("       that is C = %.2f\n", worst[k].ratio * ORACLE_ATTN_C);
        }
    }
    anl_device_destroy(law);
    anl_context_destroy(context);
    ck_assert_int_eq(bad, 0);
}
END_TEST

START_TEST(witnesses)
{
    static const uint32_t expected[2] = { 0x00000000, 0x3c9e00dd };
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    int seen = 0;
    for (int i = 0; i < attn_cases.count; i++) {
        int witness = attn_case_at(i)->witness;
        if (witness == 0)
            continue;
        struct run_result result = { 0 };
        case_run(&attn_cases, law, i, NULL, &result);
        ck_assert_uint_eq(gen_bits(run_value(&result.array[0], 0)), expected[witness - 1]);
        run_free(&result);
        seen |= witness;
    }
    ck_assert_int_eq(seen, 3);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

/* Names tell cases apart, and the hashes are those that every other machine gave. */
START_TEST(golden)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    int ops, bad = 0;
    size_t seen = 0;
    const struct case_op *const *op = case_ops(&ops);
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++) {
            struct run_result result = { 0 };
            char name[160];
            if (!(op[o]->head(i)->flags & CASE_QUICK))
                continue;
            op[o]->describe(i, name, sizeof name);
            case_run(op[o], law, i, NULL, &result);
            const struct golden *g = golden_find(op[o]->name, name);
            if (g == NULL || g->hash != result.hash) {
                printf("    { \"%s\", \"%s\", 0x%016llx },\n", op[o]->name, name,
                       (unsigned long long)result.hash);
                bad++;
            }
            seen++;
            run_free(&result);
        }
    }
    anl_device_destroy(law);
    anl_context_destroy(context);
    ck_assert_msg(bad == 0, "%d hashes differ from tests/golden.c: a change of the law?", bad);
    ck_assert_uint_eq(seen, golden_count);
}
END_TEST

START_TEST(names_are_unique)
{
    int ops;
    const struct case_op *const *op = case_ops(&ops);
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++) {
            char a[160], b[160];
            op[o]->describe(i, a, sizeof a);
            for (int j = 0; j < i; j++) {
                op[o]->describe(j, b, sizeof b);
                ck_assert_msg(strcmp(a, b) != 0, "%s: two cases %s", op[o]->name, a);
            }
        }
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = { names_are_unique, witnesses, law_is_the_oracle, golden };
    return testing_main("law", tests, sizeof tests / sizeof *tests);
}
