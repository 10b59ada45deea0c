/* src/sample.c: anl_sample(): temperature and top-p by the law, on the host.
 *
 * Probabilities are p2 of the scaled logits below their ceiling, turned into 32-bit fixed point, so
 * that their sums are exact in any order; the choice is a comparison of integers. */
#include <math.h>
#include <stdlib.h>

#include "law/fpenv.h"
#include "law/scalar.h"

#include "law/num.h"

#include "src/internal.h"

struct word {
    uint64_t weight; /* p * 2^32: n of them fit 64 bits */
    int32_t id;
};

static int by_weight(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id; /* ties to the lowest index */
}

static int32_t argmax(const float *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* 64 random bits of (seed, step): SplitMix64 (Steele, Lea, Flood 2014) as a hash. */
static uint64_t random_bits(uint64_t seed, uint64_t step)
{
    uint64_t z = seed * UINT64_C(0xd1342543de82ef95) + (step + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Weights of all words, and their sum. */
__attribute__((noinline)) static uint64_t weigh(const struct anl_sample_params *p,
                                                struct word *words)
{
    float c = LAW_LOG2E * law_recip(p->temperature), m = -INFINITY;
    uint64_t sum = 0;

    for (int64_t i = 0; i < p->n; i++) {
        float s = v_fma(p->logits[i], c, 0.0f);
        m = s > m ? s : m;
    }
    m = ceilf(m);
    for (int64_t i = 0; i < p->n; i++) {
        float s = v_fma(p->logits[i], c, 0.0f);
        float w = s == -INFINITY ? 0 : law_p2(s, m) * 0x1p32f;
        words[i] = (struct word){ w == w ? (uint64_t)w : 0, (int32_t)i };
        sum += words[i].weight;
    }
    return sum;
}

/* x in [0, 1] of sum, by integers: x has 24 significant bits. */
static uint64_t fraction(float x, uint64_t sum)
{
    uint64_t x24 = (uint64_t)((double)x * 0x1p24);
    return (uint64_t)(((unsigned __int128)sum * x24) >> 24);
}

/* The first word, by falling probability, at which the running sum passes the point that the random
 * bits choose inside the top-p set. */
static int32_t choose(const struct anl_sample_params *p, struct word *words, uint64_t sum)
{
    uint64_t point, run = 0, limit = sum;
    int64_t count = p->n, i = 0;

    qsort(words, (size_t)p->n, sizeof *words, by_weight);
    if (p->top_p > 0 && p->top_p < 1) {
        uint64_t want = fraction(p->top_p, sum);
        limit = 0;
        for (count = 0; count < p->n && (count == 0 || limit < want); count++)
            limit += words[count].weight;
    }
    point = (uint64_t)(((unsigned __int128)limit * random_bits(p->seed, p->step)) >> 64);
    for (i = 0; i < count - 1; i++) {
        run += words[i].weight;
        if (run > point)
            break;
    }
    return words[i].id;
}

anl_status anl_sample(const struct anl_sample_params *params, int32_t *token)
{
    const struct anl_sample_params *p = params;
    struct law_fpenv env;
    struct word *words;
    uint64_t sum;

    if (!p || p->size < sizeof *p || !token || !p->logits || p->n < 1 || p->n > INT32_MAX)
        return ANL_E_ARGUMENT;
    if (p->temperature != 0 && !(p->temperature >= 0x1p-20f && p->temperature <= 0x1p20f))
        return ANL_E_ARGUMENT;
    if (!(p->top_p >= 0 && p->top_p <= 1))
        return ANL_E_ARGUMENT;
    for (int64_t i = 0; i < p->n; i++)
        if (isnan(p->logits[i]))
            return ANL_E_ARGUMENT;
    if (p->temperature == 0) {
        *token = argmax(p->logits, p->n);
        return ANL_OK;
    }
    words = malloc((size_t)p->n * sizeof *words);
    if (!words)
        return ANL_E_MEMORY;
    env = law_fpenv_enter();
    sum = weigh(p, words);
    law_fpenv_leave(env);
    /* +inf logits, or none above -inf, leave no distribution: the largest is the answer */
    *token = sum ? choose(p, words, sum) : argmax(p->logits, p->n);
    free(words);
    return ANL_OK;
}
