/*
 * Byte-pair encoding of one word: the merges of a model, by pairs of token ids, and the loop that
 * applies the first merge of the list that fits, leftmost first, until none does. A word of n bytes
 * takes n log n steps.
 */
#ifndef LM_BPE_H
#define LM_BPE_H

#include "vocab.h"

struct bpe_merge {
    uint32_t left;
    uint32_t right;
    uint32_t merged;
};

struct bpe {
    struct bpe_merge *merge; /* by rank */
    uint32_t n;
    uint32_t *slot; /* hash table: rank + 1, or 0 */
    uint32_t mask;
    uint64_t seed;
};

/* Scratch of one encoding, grown to its longest word. Begin with all zero, end with free. */
struct bpe_work {
    struct bpe_symbol *symbol;
    struct bpe_candidate *heap;
    size_t capacity; /* in bytes of a word */
};

/* Called with each token of a word in turn; VOCAB_NONE for a byte that has none. Nonzero stops. */
typedef int bpe_emit(void *context, int32_t id);

/*
 * Reads tokenizer.ggml.merges. A merge of tokens that are not in the vocabulary, or into one that
 * is not, is an error; one that is there twice counts where it comes first. After a failure
 * bpe_free() is due as well.
 */
int bpe_init(struct bpe *b, const struct vocab *v, const struct gguf *g, struct gguf_error *err);
void bpe_free(struct bpe *b);

/* Encodes a word of 1 to 2^31 - 1 bytes. Returns GGUF_FAIL without memory, or emit's result. */
int bpe_word(const struct bpe *b, const struct vocab *v, struct bpe_work *work, const uint8_t *bytes,
             size_t n, bpe_emit *emit, void *context, struct gguf_error *err);
void bpe_work_free(struct bpe_work *work);

#endif
