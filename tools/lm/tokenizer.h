/*
 * Byte-level BPE tokenizers (tokenizer.ggml.model "gpt2"), built from a model file's metadata.
 *
 * The text is first searched for special tokens (leftmost, longest), what lies between is cut into
 * words (pretok.h) and each word is encoded (bpe.h). Bytes that are no valid UTF-8 are words of
 * their own and come back as they were. A byte for which the vocabulary has no token is left out,
 * as in the models' reference, unless TOK_STRICT asks for an error.
 *
 * A tokenizer copies what it needs: the file may be closed. It does not change after it was made:
 * any number of threads may use one at a time.
 */
#ifndef LM_TOKENIZER_H
#define LM_TOKENIZER_H

#include "gguf.h"

enum {
    TOK_MAX_TEXT = 256 * 1024 * 1024,
    TOK_MAX_SPECIAL = 512 /* bytes of a special token's text */
};

/* Flags of tok_encode(). */
enum {
    /* Find control and unknown tokens in the text; user-defined tokens are always found. */
    TOK_PARSE_SPECIAL = 1,
    /* Begin with BOS where the model asks for it. */
    TOK_ADD_BOS = 2,
    /* A byte without a token is an error. */
    TOK_STRICT = 4
};

struct tok;

int tok_new(const struct gguf *g, struct tok **out, struct gguf_error *err);
void tok_free(struct tok *tok); /* NULL is fine */

/* On success the caller frees *ids, which may be NULL where *n is 0; on failure it is NULL. */
int tok_encode(const struct tok *tok, const char *text, size_t len, unsigned flags, int32_t **ids,
               size_t *n, struct gguf_error *err);

/* The bytes that a token stands for, not terminated; they may be a part of a character. */
int tok_piece(const struct tok *tok, int32_t id, const char **bytes, size_t *len);

uint32_t tok_vocab_size(const struct tok *tok);

/* Ids of special tokens, -1 where the model has none. EOT ends a turn of a chat. */
int32_t tok_bos(const struct tok *tok);
int32_t tok_eos(const struct tok *tok);
int32_t tok_eot(const struct tok *tok);

/* Whether generation ends at this token: EOS, EOT and control tokens known by their text. */
bool tok_is_end(const struct tok *tok, int32_t id);

#endif
