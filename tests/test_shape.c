/* tests/test_shape.c: cases from a shape: what is taken, what is refused and with which words; that
 * the bench's cases have their golden hashes; that a case from a shape is the law's on the CPU. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden.h"
#include "tests/testing.h"

/* The text of a case that a shape gives; empty if it is refused. */
static void text_of(const struct case_op *op, const char *shape, char *text, size_t size)
{
    char error[400] = "";
    void *c = case_from_shape(op->form, shape, error, sizeof error);
    ck_assert_msg(c != NULL, "%s '%s': %s", op->name, shape, error);
    shape_print(op->form->fields, op->form->n_fields, c, text, size);
    free(c);
}

START_TEST(bench_cases_are_golden)
{
    int ops;
    size_t seen = 0;
    const struct case_op *const *op = case_ops(&ops);
    for (int o = 0; o < ops; o++) {
        ck_assert_int_gt(op[o]->form->n_bench, 0);
        for (int i = 0; i < op[o]->form->n_bench; i++, seen++) {
            char text[160], again[160];
            text_of(op[o], op[o]->form->bench[i].shape, text, sizeof text);
            text_of(op[o], text, again, sizeof again);
            ck_assert_str_eq(text, again);
            ck_assert_msg(golden_bench_find(op[o]->name, text) != NULL, "%s %s: no golden hash",
                          op[o]->name, text);
        }
    }
    ck_assert_uint_eq(seen, golden_bench_count);
    for (size_t i = 0; i < golden_bench_count; i++)
        ck_assert_ptr_eq(golden_bench_find(golden_bench[i].op, golden_bench[i].name),
                         &golden_bench[i]);
}
END_TEST

START_TEST(defaults)
{
    char text[160];
    text_of(&attn_cases, "d64,h8  sq100", text, sizeof text);
    ck_assert_str_eq(text, "b1 h8 hkv8 sq100 sk100 d64 dv64 f32");
    text_of(&attn_cases, "sq1 sk9 d64 dv3 hkv2 h4 bf16 causal b2", text, sizeof text);
    ck_assert_str_eq(text, "b2 h4 hkv2 sq1 sk9 d64 dv3 bf16 causal");
    text_of(&ffn_cases, "t1 dm32 dff64 swiglu q4_1", text, sizeof text);
    ck_assert_str_eq(text, "t1 dm32 dff64 q4_1 swiglu");
    text_of(&rope_cases, "half d8 t3", text, sizeof text);
    ck_assert_str_eq(text, "t3 h1 d8 half");
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const struct case_op *op;
        const char *shape, *word;
    } wrong[] = {
        { &attn_cases, "", "sq is missing" },
        { &attn_cases, "sq4", "d is missing" },
        { &attn_cases, "sq4 d64 x9", "'x9' is none of" },
        { &attn_cases, "sq4 d64 sk", "'sk' is none of" },
        { &attn_cases, "sq4 d257", "from 1 to 256" },
        { &attn_cases, "sq0 d8", "from 1 to" },
        { &attn_cases, "sq-4 d8", "from 1 to" },
        { &attn_cases, "sq4 d8x", "'d8x'" },
        { &attn_cases, "sq99999999999999999999 d8", "from 1 to" },
        { &attn_cases, "sq4 sq5 d8", "'sq5' after 'sq'" },
        { &attn_cases, "sq4 d8 f16 bf16", "'bf16' after 'f16'" },
        { &attn_cases, "sq4 d8 q4_1", "'q4_1' is none of" },
        { &attn_cases, "sq4 d8 h5 hkv2", "multiple of hkv" },
        { &linear_cases, "t3 n4 k40 q4_1", "multiple of 32" },
        { &ffn_cases, "t3 dm32 dff33 q8_0", "multiple of 32" },
        { &ffn_cases, "t3 dm32 dff33 gelu swiglu", "after 'gelu'" },
        { &rope_cases, "t3 d9", "even" },
        { &xent_cases, "t3", "n is missing" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char error[400] = "";
        void *c = case_from_shape(wrong[i].op->form, wrong[i].shape, error, sizeof error);
        ck_assert_msg(c == NULL, "'%s' was taken", wrong[i].shape);
        ck_assert_msg(strstr(error, wrong[i].word) != NULL, "'%s': %s", wrong[i].shape, error);
    }
}
END_TEST

/* place_options.instead, as the bench has it: twice, with all that was there covered in between. */
static void call_twice(void *user, struct place *p, const struct place_call *call)
{
    const struct run_result *expected = user;
    struct run_result result = { 0 };
    run_call_begin(call, &result);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run_call_cover(call, &result), ANL_OK);
        ck_assert_int_eq(call->op(p->device, call->params), ANL_OK);
        ck_assert_int_eq(run_call_fetch(call, &result), ANL_OK);
        ck_assert_uint_eq(result.hash, expected->hash);
        ck_assert_int_eq(run_equal(&result, expected), 1);
    }
    run_free(&result);
}

START_TEST(cases_are_exact)
{
    static const struct {
        const struct case_op *op;
        const char *shape;
    } cases[] = {
        { &linear_cases, "t5 n33 k64 q4_1" }, { &attn_cases, "h4 hkv2 sq3 sk700 d16 causal" },
        { &norm_cases, "t3 dm600" },          { &rope_cases, "t5 h2 d16" },
        { &ffn_cases, "t9 dm20 dff50 swiglu" }, { &embed_cases, "t9 n20 dm32 q8_0" },
        { &xent_cases, "t3 n600" },          { &qkv_cases, "t3 dm64 h4 hkv2 d16 q8_0" },
    };
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = testing_cpu_open(context, &cpu);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct case_form *form = cases[i].op->form;
        struct run_result result = { 0 }, again = { 0 }, expected = { 0 };
        const struct place_options timed = { .instead = call_twice, .user = &expected };
        char error[400] = "";
        void *c = case_from_shape(form, cases[i].shape, error, sizeof error);
        ck_assert_msg(c != NULL, "%s", error);
        void *data = form->make(c);
        form->run(law, c, data, NULL, &expected);
        form->run(device, c, data, NULL, &result);
        testing_same(&result, &expected, cases[i].shape);
        form->run(device, c, data, &timed, &again);
        run_free(&again);
        run_free(&result);
        run_free(&expected);
        cases[i].op->drop(data);
        free(c);
    }
    anl_device_destroy(device);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { bench_cases_are_golden, defaults, refused, cases_are_exact };
    return testing_main("shape", tests, sizeof tests / sizeof *tests);
}
