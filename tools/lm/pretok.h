/*
 * Pre-tokenizers: the cutting of text into words, which BPE then encodes one by one.
 *
 * A model names its pre-tokenizer in tokenizer.ggml.pre; its patterns come from a table here, never
 * from the file. Each pattern of the list cuts the pieces that the one before it left: into what it
 * matches and what lies between. Patterns run in PCRE2 with UTF and UCP, so what is a letter or a
 * number follows the Unicode version of the PCRE2 that is linked.
 *
 * Text that is not UTF-8 is cut as well: each longest run of bytes that belong to no valid
 * character (by RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF) is one word, and
 * the valid text before and after it is cut as if it stood alone. So no byte is lost or changed.
 */
#ifndef LM_PRETOK_H
#define LM_PRETOK_H

#include "gguf.h"

struct pretok;

/* Makes the pre-tokenizer of this name; an unknown one is an error. */
int pretok_new(struct gguf_string name, struct pretok **out, struct gguf_error *err);
void pretok_free(struct pretok *p);

/* Whether a word that is a token as a whole is taken as it is, without looking at merges. */
bool pretok_whole_words(const struct pretok *p);

/* Whether models with this pre-tokenizer begin with BOS when the file does not say. */
bool pretok_adds_bos(const struct pretok *p);

/* Called with each word in turn, never empty. Nonzero stops. */
typedef int pretok_word(void *context, const uint8_t *bytes, size_t n);

/* Returns GGUF_OK, GGUF_FAIL with err filled, or what `word` returned. Any number of threads. */
int pretok_split(const struct pretok *p, const char *text, size_t len, pretok_word *word, void *context,
                 struct gguf_error *err);

#endif
