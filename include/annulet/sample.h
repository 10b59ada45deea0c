/* annulet/sample.h: choose a token from logits, on the host, by the law: a seed gives one sequence
 * whatever device made the logits (docs/numerics.md, section 6). */
#ifndef ANNULET_SAMPLE_H
#define ANNULET_SAMPLE_H

#include <annulet/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_sample_params {
    size_t size;         /* sizeof(struct anl_sample_params) */
    const float *logits; /* n of them, host memory */
    int64_t n;           /* 1 to 2^31 - 1 */
    float temperature;   /* 0: the largest logit, ties to the lowest index; else 2^-20 to 2^20 */
    float top_p;         /* the smallest set of largest probabilities that reaches it; 0 or 1: all */
    uint64_t seed;       /* of the whole text */
    uint64_t step;       /* index of this token in it */
};

/* ANL_E_ARGUMENT also for a logit that is NaN. Thread-safe; allocates n * 16 bytes while it runs. */
ANL_API anl_status anl_sample(const struct anl_sample_params *params, int32_t *token);

#ifdef __cplusplus
}
#endif
#endif
