/* tests/test_fma.c: the law's own fma, for machines without the instruction, against the
 * instruction: random bits, sums near a tie, cancellation, denormals, infinities. Skipped (77) where
 * there is no instruction to compare with. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "law/scalar.h"
#include "tests/gen.h"

#define CASES 30000000

#if defined(__x86_64__)
__attribute__((target("fma"))) static float hard_fmaf(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
static int have_hard(void)
{
    return __builtin_cpu_supports("fma") != 0;
}
#elif defined(__FP_FAST_FMAF)
static float hard_fmaf(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
static int have_hard(void)
{
    return 1;
}
#else
static float hard_fmaf(float a, float b, float c)
{
    return law_fmaf_soft(a, b, c);
}
static int have_hard(void)
{
    return 0;
}
#endif

struct triple {
    float a, b, c;
};

/* A float with few set bits: products and sums of such come to lie on ties and beside them. */
static float sparse(struct gen *g, int low, int high)
{
    uint32_t mantissa = 0, n = gen_below(g, 4);
    for (uint32_t i = 0; i < n; i++)
        mantissa ^= 1u << gen_below(g, 23);
    if (gen_below(g, 2))
        mantissa = (0u - mantissa) & 0x7fffff;
    uint32_t e = (uint32_t)low + gen_below(g, (uint32_t)(high - low + 1));
    return gen_float(gen_below(g, 2) << 31 | e << 23 | mantissa);
}

static struct triple make(struct gen *g)
{
    struct triple t;
    uint64_t r = gen_next(g);
    switch (gen_below(g, 5)) {
    case 0: /* any bits */
        t = (struct triple){ gen_float((uint32_t)r), gen_float((uint32_t)(r >> 32)),
                             gen_float((uint32_t)gen_next(g)) };
        break;
    case 1: /* few bits, near exponents */
        t = (struct triple){ sparse(g, 120, 134), sparse(g, 120, 134), sparse(g, 90, 160) };
        break;
    case 2: /* products and sums around the denormals */
        t = (struct triple){ sparse(g, 30, 80), sparse(g, 30, 80), sparse(g, 0, 30) };
        break;
    case 3: /* cancellation to the last bits */
        t = (struct triple){ gen_normal(g), gen_normal(g), 0 };
        t.c = gen_float(gen_bits(-(t.a * t.b)) + gen_below(g, 3) - 1);
        break;
    default: /* an addend far below or above the product's last bit */
        t = (struct triple){ sparse(g, 100, 154), gen_normal(g), 0 };
        t.c = sparse(g, 70, 184);
        break;
    }
    return t;
}

static int check(struct triple t)
{
    uint32_t soft = gen_bits(law_fmaf_soft(t.a, t.b, t.c));
    uint32_t hard = gen_bits(hard_fmaf(t.a, t.b, t.c));
    int both_nan = (soft & 0x7fffffff) > 0x7f800000 && (hard & 0x7fffffff) > 0x7f800000;
    if (soft == hard || both_nan)
        return 0;
    printf("fma(%08x, %08x, %08x): instruction %08x, ours %08x\n", gen_bits(t.a), gen_bits(t.b),
           gen_bits(t.c), hard, soft);
    return 1;
}

int main(void)
{
    struct gen g = gen_seed(1, 1);
    /* wrong in two libms */
    uint32_t known = gen_bits(
        law_fmaf_soft(gen_float(0x97000800), gen_float(0x1cfff001), gen_float(0x00010002)));
    int bad = known != 0x00010001;
    if (bad)
        printf("fma(97000800, 1cfff001, 00010002) is %08x, not 00010001\n", known);
    if (!have_hard()) {
        printf("no fma instruction to compare with\n");
        return bad ? EXIT_FAILURE : 77;
    }
    for (int i = 0; i < CASES && bad < 20; i++)
        bad += check(make(&g));
    printf("%d cases, %d wrong\n", CASES, bad);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
