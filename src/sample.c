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

/* The largest, ties to the lowest index; no NaN. The maximum first, by lanes that a compiler can keep
 * in vectors, then where it is. */
static int32_t argmax(const float *logits, int64_t n)
{
    float lane[16], m = -INFINITY;
    int64_t i = 0;

    for (int j = 0; j < 16; j++)
        lane[j] = -INFINITY;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            lane[j] = logits[i + j] > lane[j] ? logits[i + j] : lane[j];
    for (; i < n; i++)
        m = logits[i] > m ? logits[i] : m;
    for (int j = 0; j < 16; j++)
        m = lane[j] > m ? lane[j] : m;
    for (i = 0; i < n - 1 && logits[i] != m; i++)
        ;
    return (int32_t)i;
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

/* Moves to the front the words of weight >= 2^e, e as large as lets them weigh need or more, and
 * returns how many they are: few, as a rule. No other word comes before one of them in the order. */
static int64_t heaviest(struct word *words, int64_t n, uint64_t need)
{
    uint64_t sums[64] = { 0 }, sum = 0;
    int64_t count = 0;
    int e = 63;

    for (int64_t i = 0; i < n; i++)
        if (words[i].weight)
            sums[63 - __builtin_clzll(words[i].weight)] += words[i].weight;
    for (; e > 0 && (sum += sums[e]) < need; e--)
        ;
    for (int64_t i = 0; i < n; i++)
        if (words[i].weight >> e)
            words[count++] = words[i];
    return count;
}

/* The first word, by falling probability, at which the running sum passes the point that the random
 * bits choose inside the top-p set. */
static int32_t choose(const struct anl_sample_params *p, struct word *words, uint64_t sum)
{
    uint64_t bits = random_bits(p->seed, p->step), point, run = 0, limit = sum;
    uint64_t want = p->top_p > 0 && p->top_p < 1 ? fraction(p->top_p, sum) : 0;
    int64_t count, i = 0;

    point = (uint64_t)(((unsigned __int128)limit * bits) >> 64);
    /* the point of a smaller set lies before its end, so inside these too */
    count = heaviest(words, p->n, want ? want : point + 1);
    qsort(words, (size_t)count, sizeof *words, by_weight);
    if (p->top_p > 0 && p->top_p < 1) {
        int64_t all = count;
        limit = 0;
        for (count = 0; count < all && (count == 0 || limit < want); count++)
            limit += words[count].weight;
        point = (uint64_t)(((unsigned __int128)limit * bits) >> 64);
    }
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
