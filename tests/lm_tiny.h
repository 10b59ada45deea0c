/* tests/lm_tiny.h: writes a tiny llama-architecture model file with a byte-level vocabulary and
 * random weights that are the same everywhere; and the same file with one thing wrong. */
#ifndef TESTS_LM_TINY_H
#define TESTS_LM_TINY_H

#include <stdint.h>

#include "tests/blob.h"

struct lm_tiny {
    uint32_t blocks, dm, heads, kv_heads, dff, context;
    uint32_t head_dim, rope_dims; /* 0: the key is left out, and both are dm / heads */
    int own_head;                 /* output.weight instead of the embedding */
    uint32_t seed;
};

/* What is wrong; all zero: nothing. */
struct lm_tiny_fault {
    const char *key; /* has these four bytes as its value, whatever else the file holds */
    uint32_t bits;
    const char *missing;   /* a tensor or key that is left out */
    const char *misshapen; /* a matrix with a row too many, or a vector with an element too many */
    const char *halved;    /* a vector stored as F16 */
};

enum {
    LM_TINY_TEXT = 256, /* tokens of one byte each, by byte; then merges, and one special token */
    LM_TINY_END = 256 + 320,
    LM_TINY_VOCAB = LM_TINY_END + 1
};

/* Three blocks, all weight types. */
extern const struct lm_tiny lm_tiny_plain;

/* What the plain one lacks: sums longer than 512, heads narrower than dm / heads, a rope over a
 * part of them, a head matrix of its own. */
extern const struct lm_tiny lm_tiny_wide;

/* The file's bytes; the caller frees the blob's data. fault may be NULL. */
struct blob lm_tiny_bytes(const struct lm_tiny *tiny, const struct lm_tiny_fault *fault);

/* Writes a temporary file and leaves its path; the caller removes it. */
void lm_tiny_write(const struct blob *bytes, char path[64]);

#endif
