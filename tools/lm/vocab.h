/*
 * The vocabulary of a byte-level BPE model: token texts, their types, the bytes that each stands
 * for, and the search for a token by its text.
 *
 * In such a vocabulary a text is written in an alphabet of 256 printable characters, one for each
 * byte ("G with dot" for a space, and so on), encoded in UTF-8. A normal token's piece is its text
 * taken back to bytes; control, unknown and user-defined tokens stand for their text as it is, and
 * so does a normal token whose text is not in the alphabet.
 */
#ifndef LM_VOCAB_H
#define LM_VOCAB_H

#include "gguf.h"

/* tokenizer.ggml.token_type, values as in the file */
enum token_type {
    TOKEN_UNDEFINED = 0,
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6
};

enum { VOCAB_NONE = -1 };

struct vocab {
    uint32_t n;
    uint32_t *text_at; /* n + 1 offsets into text */
    char *text;
    uint32_t *piece_at; /* n + 1 offsets into piece */
    char *piece;
    uint8_t *type;
    uint32_t *slot; /* hash table: id + 1, or 0 */
    uint32_t mask;
    uint64_t seed;     /* of this hash and others: see vocab.c */
    int32_t byte[256]; /* the token of each single byte, or VOCAB_NONE */
};

/* Reads tokenizer.ggml.tokens and .token_type. After a failure vocab_free() is due as well. */
int vocab_init(struct vocab *v, const struct gguf *g, struct gguf_error *err);
void vocab_free(struct vocab *v);

/* The id of the token with this text as in the file, or VOCAB_NONE. */
int32_t vocab_find(const struct vocab *v, const char *text, size_t len);

struct gguf_string vocab_text(const struct vocab *v, uint32_t id);
struct gguf_string vocab_piece(const struct vocab *v, uint32_t id);

/* Writes the alphabet's character for a byte; returns its length, 1 or 2. */
size_t vocab_spell(uint8_t byte, char spelled[2]);

/* Slots of a hash table for n entries: a power of two, at most 3/4 full. n is below 2^30. */
uint32_t vocab_table_size(uint32_t n);

#endif
