/* tests/test_sample.c: sampling: the largest logit and its ties, probabilities that follow the
 * logits, top-p, one sequence for a seed on every machine, bad arguments. */
#include <math.h>
#include <stdio.h>

#include "tests/testing.h"

static int32_t draw(const float *logits, int64_t n, float temperature, float top_p, uint64_t seed,
                    uint64_t step)
{
    const struct anl_sample_params params = { sizeof params, logits, n, temperature, top_p, seed,
                                              step };
    int32_t token = -1;
    ck_assert_int_eq(anl_sample(&params, &token), ANL_OK);
    ck_assert_int_ge(token, 0);
    ck_assert_int_lt(token, n);
    return token;
}

START_TEST(temperature_zero)
{
    const float logits[] = { -INFINITY, 1, 3, -2, 3, 2.5f };
    const float none[] = { -INFINITY, -INFINITY }, top[] = { 1, INFINITY, INFINITY };
    for (uint64_t seed = 0; seed < 20; seed++)
        ck_assert_int_eq(draw(logits, 6, 0, 0, seed, seed), 2); /* ties to the lowest index */
    ck_assert_int_eq(draw(logits, 1, 0, 0, 1, 1), 0);
    ck_assert_int_eq(draw(none, 2, 0, 0, 1, 1), 0);
    ck_assert_int_eq(draw(none, 2, 1, 0.5f, 1, 1), 0);
    ck_assert_int_eq(draw(top, 3, 1, 0, 1, 1), 1);
}
END_TEST

/* Counts lie within five standard deviations of the softmax. */
static void frequencies(const float *logits, int n, float temperature, float top_p,
                        const double *expected)
{
    enum { DRAWS = 20000 };
    int count[8] = { 0 };
    for (int i = 0; i < DRAWS; i++)
        count[draw(logits, n, temperature, top_p, 99, (uint64_t)i)]++;
    for (int i = 0; i < n; i++) {
        double p = expected[i], deviation = sqrt(DRAWS * p * (1 - p));
        ck_assert_msg(fabs(count[i] - DRAWS * p) <= 5 * deviation + 1e-9,
                      "token %d drawn %d times, %.1f expected", i, count[i], DRAWS * p);
    }
}

START_TEST(follows_the_logits)
{
    const float logits[5] = { 0.5f, 2, -1, 1.25f, -INFINITY };
    const float temperatures[] = { 0.5f, 1, 3 };
    for (int k = 0; k < 3; k++) {
        double p[5], sum = 0;
        for (int i = 0; i < 5; i++)
            sum += p[i] = exp((double)logits[i] / (double)temperatures[k]);
        for (int i = 0; i < 5; i++)
            p[i] /= sum;
        frequencies(logits, 5, temperatures[k], 0, p);
        frequencies(logits, 5, temperatures[k], 1, p);
    }
}
END_TEST

START_TEST(top_p)
{
    /* probabilities 1/2, 1/4, 1/8, 1/8: ties keep the lower index */
    const float logits[4] = { 0.69314718f, 0, -0.69314718f, -0.69314718f };
    frequencies(logits, 4, 1, 0.3f, (const double[]){ 1, 0, 0, 0 });
    frequencies(logits, 4, 1, 0.6f, (const double[]){ 2.0 / 3, 1.0 / 3, 0, 0 });
    frequencies(logits, 4, 1, 0.8f, (const double[]){ 4.0 / 7, 2.0 / 7, 1.0 / 7, 0 });
    frequencies(logits, 4, 1, 0.9f, (const double[]){ 0.5, 0.25, 0.125, 0.125 });
}
END_TEST

/* The sequence of one seed, which no machine and no rounding mode may change. */
START_TEST(one_sequence)
{
    static const int32_t expected[16] = { 992, 630, 333, 742, 710, 333, 828, 710,
                                          711, 286, 710, 536, 681, 489, 489, 333 };
    float logits[1000];
    struct gen g = gen_seed(7, 1);
    gen_floats(&g, GEN_RANDOM, 2, logits, 1000);
    for (int i = 0; i < 16; i++) {
        int32_t token = draw(logits, 1000, 0.8f, 0.95f, 1234, (uint64_t)i);
        ck_assert_msg(token == expected[i], "token %d is %d, not %d", i, token, expected[i]);
    }
}
END_TEST

START_TEST(arguments)
{
    const float logits[2] = { 0, NAN }, fine[2] = { 0, 1 };
    const struct anl_sample_params good = { sizeof good, fine, 2, 1, 0.5f, 0, 0 };
    int32_t token = -7;
    ck_assert_int_eq(anl_sample(NULL, &token), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_sample(&good, NULL), ANL_E_ARGUMENT);
    for (int i = 0; i < 11; i++) {
        struct anl_sample_params p = good;
        switch (i) {
        case 0: p.size = 4; break;
        case 1: p.logits = NULL; break;
        case 2: p.n = 0; break;
        case 3: p.n = INT64_C(1) << 31; break;
        case 4: p.temperature = -1; break;
        case 5: p.temperature = NAN; break;
        case 6: p.temperature = 0x1p-21f; break;
        case 7: p.temperature = 0x1p21f; break;
        case 8: p.top_p = 1.5f; break;
        case 9: p.top_p = NAN; break;
        default: p.logits = logits; break;
        }
        ck_assert_msg(anl_sample(&p, &token) == ANL_E_ARGUMENT, "fault %d passed", i);
        ck_assert_int_eq(token, -7);
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = { temperature_zero, follows_the_logits, top_p, one_sequence, arguments };
    return testing_main("sample", tests, sizeof tests / sizeof *tests);
}
