/* tests/test_fpenv.c: rounding modes and flush-to-zero that the caller left behind change no bit,
 * whichever thread computes, and are his again after the call. */
#include <fenv.h>
#include <stdio.h>

#include "tests/testing.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* The ways in which a host application may leave the environment. */
struct hostile {
    const char *name;
    int round;
    unsigned flush; /* bits of MXCSR: flush to zero, denormals are zero */
};

static const struct hostile hostiles[] = {
    { "upward", FE_UPWARD, 0 },
    { "downward", FE_DOWNWARD, 0 },
    { "toward zero, denormals flushed", FE_TOWARDZERO, 0x8040 },
    { "denormals flushed", FE_TONEAREST, 0x8040 },
};

static void environment_set(const struct hostile *h)
{
    fesetround(h->round);
#if defined(__SSE__)
    _mm_setcsr(_mm_getcsr() | h->flush);
#endif
}

static int environment_is(const struct hostile *h)
{
#if defined(__SSE__)
    if ((_mm_getcsr() & 0x8040) != h->flush)
        return 0;
#endif
    return fegetround() == h->round;
}

static void environment_reset(void)
{
    fesetenv(FE_DFL_ENV);
#if defined(__SSE__)
    _mm_setcsr(0x1f80);
#endif
}

/* Sees the environment at work: a test that sets nothing could not fail. */
static void environment_works(const struct hostile *h)
{
    volatile float tiny = 0x1p-126f, half = 0.5f, one = 1, ulp = 0x1p-30f;
    volatile float product, above, below;
    environment_set(h);
    product = tiny * half;
    above = one + ulp;
    below = one - ulp;
    environment_reset();
#if defined(__SSE__)
    ck_assert_int_eq(gen_bits(product) == 0, h->flush != 0);
#endif
    ck_assert_int_eq(above > one || below < one, h->round != FE_TONEAREST);
}

static void compare(struct anl_device *device, const struct case_op *op, int index,
                    const struct hostile *h, const char *where)
{
    struct run_result expected = { 0 }, result = { 0 };
    char name[160], what[300];
    void *data = op->make(index);
    op->describe(index, name, sizeof name);
    snprintf(what, sizeof what, "%s %s on %s, %s", op->name, name, where, h->name);
    op->run(device, index, data, NULL, &expected);
    environment_set(h);
    op->run(device, index, data, NULL, &result);
    int kept = environment_is(h);
    environment_reset();
    testing_same(&result, &expected, what);
    ck_assert_msg(kept, "%s: the caller's environment was not given back", what);
    op->drop(data);
    run_free(&expected);
    run_free(&result);
}

static void compare_device(struct anl_device *device, const char *where)
{
    int ops;
    const struct case_op *const *op = case_ops(&ops);
    for (size_t h = 0; h < sizeof hostiles / sizeof *hostiles; h++) {
        for (int o = 0; o < ops; o++) {
            for (int i = 0; i < op[o]->count; i++) {
                if (op[o]->head(i)->flags & (CASE_QUICK | CASE_DENORMAL))
                    compare(device, op[o], i, &hostiles[h], where);
            }
        }
    }
}

START_TEST(the_test_itself)
{
    for (size_t h = 0; h < sizeof hostiles / sizeof *hostiles; h++)
        environment_works(&hostiles[h]);
}
END_TEST

START_TEST(law)
{
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_law(context);
    compare_device(device, "law");
    anl_device_destroy(device);
    anl_context_destroy(context);
}
END_TEST

/* The device is made, and its threads start, under the hostile environment: workers inherit it. */
START_TEST(cpu)
{
    static const struct testing_cpu cpus[] = { { ANL_ISA_GENERIC, 1, 0 }, { ANL_ISA_AUTO, 3, 0 },
                                               { ANL_ISA_AUTO, 3, 1 } };
    struct anl_context *context = testing_context();
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        char name[40];
        environment_set(&hostiles[2]);
        struct anl_device *device = testing_cpu_open(context, &cpus[i]);
        environment_reset();
        testing_cpu_name(&cpus[i], name, sizeof name);
        compare_device(device, name);
        anl_device_destroy(device);
    }
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { the_test_itself, law, cpu };
    return testing_main("fpenv", tests, sizeof tests / sizeof *tests);
}
