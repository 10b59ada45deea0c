/* tests/lm_oracle.h: what a llama-architecture model says in double precision: its own unpacking of
 * the file's weights, libm's functions, sums in whatever order. Shares nothing with annulet but the
 * reader of the file. */
#ifndef TESTS_LM_ORACLE_H
#define TESTS_LM_ORACLE_H

#include "tools/lm/gguf.h"

/* Evaluates n tokens from position 0. nll (n - 1 of them): the cross-entropy, in nats, of each
 * token but the first; hidden: final normed states, [n][embedding_length]. The caller frees both.
 * Fails the test where the file is not whole. */
struct lm_oracle {
    double *nll, *hidden;
    int64_t dm;
};

struct lm_oracle lm_oracle(const struct gguf *g, const int32_t *ids, int64_t n);

#endif
