/*
 * The vocabulary of a byte-level BPE model; see vocab.h.
 *
 * The hash is seeded with a hash of all the token texts, so that nobody can write a file whose
 * tokens collide: changing one changes the seed of all. It is the same on every run and host.
 */
#include "vocab.h"

#include "gguf_impl.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char tokens_key[] = "tokenizer.ggml.tokens";
static const char types_key[] = "tokenizer.ggml.token_type";

/* Characters of the alphabet: a byte that is printable in Latin-1 is itself, the others follow. */
enum { ALPHABET_END = 256 + 68 };

static bool spells_itself(unsigned c)
{
    return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

/* The number of bytes below this one that do not spell themselves. */
static unsigned rank_of_hidden(unsigned byte)
{
    if (byte <= 0x20)
        return byte;
    if (byte <= 0xa0)
        return 33 + byte - 0x7f;
    return 67;
}

size_t vocab_spell(uint8_t byte, char spelled[2])
{
    unsigned c = spells_itself(byte) ? byte : 256 + rank_of_hidden(byte);

    if (c < 0x80) {
        spelled[0] = (char)c;
        return 1;
    }
    spelled[0] = (char)(0xc0 | c >> 6);
    spelled[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

/* The byte that a character stands for, or -1. */
static int unspell(unsigned c)
{
    unsigned hidden = c - 256;

    if (c < 256)
        return spells_itself(c) ? (int)c : -1;
    if (c >= ALPHABET_END)
        return -1;
    if (hidden <= 0x20)
        return (int)hidden;
    return hidden < 67 ? (int)(hidden - 33 + 0x7f) : 0xad;
}

/* Takes a text back to bytes. Returns their number, or -1 where it is not in the alphabet. */
static int64_t decode(const char *text, size_t len, char *bytes)
{
    int64_t n = 0;

    for (size_t i = 0; i < len;) {
        unsigned c = (unsigned char)text[i++];
        int byte;
        if (c >= 0x80) {
            /* The alphabet lies below U+0800: other characters than those of two bytes have no
               place in it. */
            if (c < 0xc2 || c > 0xdf || i == len || ((unsigned char)text[i] & 0xc0) != 0x80)
                return -1;
            c = (c & 0x1f) << 6 | ((unsigned char)text[i++] & 0x3f);
        }
        byte = unspell(c);
        if (byte < 0)
            return -1;
        bytes[n++] = (char)byte;
    }
    return n;
}

uint32_t vocab_table_size(uint32_t n)
{
    uint32_t size = 4;

    while (size - size / 4 < n)
        size *= 2;
    return size;
}

struct gguf_string vocab_text(const struct vocab *v, uint32_t id)
{
    struct gguf_string s = { v->text + v->text_at[id], v->text_at[id + 1] - v->text_at[id] };

    return s;
}

struct gguf_string vocab_piece(const struct vocab *v, uint32_t id)
{
    struct gguf_string s = { v->piece + v->piece_at[id], v->piece_at[id + 1] - v->piece_at[id] };

    return s;
}

/* The slot that holds this text, or the empty one where it belongs. */
static uint32_t find_slot(const struct vocab *v, const char *text, size_t len)
{
    uint32_t at = (uint32_t)XXH3_64bits_withSeed(text, len, v->seed) & v->mask;

    while (v->slot[at] != 0) {
        struct gguf_string s = vocab_text(v, v->slot[at] - 1);
        if (s.len == len && memcmp(s.bytes, text, len) == 0)
            break;
        at = (at + 1) & v->mask;
    }
    return at;
}

int32_t vocab_find(const struct vocab *v, const char *text, size_t len)
{
    uint32_t at = find_slot(v, text, len);

    return v->slot[at] != 0 ? (int32_t)(v->slot[at] - 1) : VOCAB_NONE;
}

/* Allocates for the tokens of the file: their total length is below the header's cap. */
static int allocate(struct vocab *v, struct gguf_strings tokens, struct gguf_error *err)
{
    size_t total = 0;
    uint32_t slots;

    for (uint64_t i = 0; i < tokens.count; i++)
        total += gguf_strings_next(&tokens).len;
    v->n = (uint32_t)tokens.count;
    slots = vocab_table_size(v->n);
    v->mask = slots - 1;
    v->text_at = malloc(((size_t)v->n + 1) * sizeof *v->text_at);
    v->piece_at = malloc(((size_t)v->n + 1) * sizeof *v->piece_at);
    v->text = malloc(total + 1);
    v->piece = malloc(total + 1);
    v->type = malloc(v->n);
    v->slot = calloc(slots, sizeof *v->slot);
    if (v->text_at == NULL || v->piece_at == NULL || v->text == NULL || v->piece == NULL ||
        v->type == NULL || v->slot == NULL)
        return gguf_fail(err, "no memory for %u tokens", (unsigned)v->n);
    return GGUF_OK;
}

static int read_types(struct vocab *v, const struct gguf *g, struct gguf_error *err)
{
    struct gguf_numbers types;
    int rc = gguf_get_i32s(g, types_key, &types, err);

    if (rc == GGUF_FAIL)
        return rc;
    if (rc == GGUF_ABSENT) {
        memset(v->type, TOKEN_NORMAL, v->n);
        return GGUF_OK;
    }
    if (types.count != v->n)
        return gguf_fail(err, "key '%s' has %llu elements for %u tokens", types_key,
                         (unsigned long long)types.count, (unsigned)v->n);
    for (uint32_t i = 0; i < v->n; i++) {
        int32_t type = gguf_i32_at(&types, i);
        if (type < TOKEN_UNDEFINED || type > TOKEN_BYTE)
            return gguf_fail(err, "key '%s': token %u has the unknown type %ld", types_key, (unsigned)i,
                             (long)type);
        v->type[i] = (uint8_t)type;
    }
    return GGUF_OK;
}

static void read_texts(struct vocab *v, struct gguf_strings tokens)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < v->n; i++) {
        struct gguf_string s = gguf_strings_next(&tokens);
        v->text_at[i] = end;
        memcpy(v->text + end, s.bytes, s.len);
        end += (uint32_t)s.len;
    }
    v->text_at[v->n] = end;
    v->seed = XXH3_64bits(v->text, end);
}

static bool is_literal(uint8_t type)
{
    return type == TOKEN_UNKNOWN || type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED;
}

static void make_pieces(struct vocab *v)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < v->n; i++) {
        struct gguf_string s = vocab_text(v, i);
        int64_t n = is_literal(v->type[i]) ? -1 : decode(s.bytes, s.len, v->piece + end);
        v->piece_at[i] = end;
        if (n < 0) {
            memcpy(v->piece + end, s.bytes, s.len);
            n = (int64_t)s.len;
        }
        end += (uint32_t)n;
    }
    v->piece_at[v->n] = end;
}

/* Empty texts stay out of the table: several tokens may have one, and no text ever gives them. */
static int make_table(struct vocab *v, struct gguf_error *err)
{
    for (uint32_t i = 0; i < v->n; i++) {
        struct gguf_string s = vocab_text(v, i);
        uint32_t at = find_slot(v, s.bytes, s.len);
        if (v->slot[at] != 0)
            return gguf_fail(err, "key '%s': tokens %u and %u are both %s", tokens_key,
                             (unsigned)(v->slot[at] - 1), (unsigned)i, gguf_quote(s.bytes, s.len).text);
        if (s.len > 0)
            v->slot[at] = i + 1;
    }
    for (unsigned b = 0; b < 256; b++) {
        char spelled[2];
        size_t len = vocab_spell((uint8_t)b, spelled);
        v->byte[b] = vocab_find(v, spelled, len);
    }
    return GGUF_OK;
}

int vocab_init(struct vocab *v, const struct gguf *g, struct gguf_error *err)
{
    struct gguf_strings tokens;

    memset(v, 0, sizeof *v);
    if (gguf_get_strings(g, tokens_key, &tokens, err) != GGUF_OK)
        return GGUF_FAIL;
    if (tokens.count == 0)
        return gguf_fail(err, "key '%s' is empty", tokens_key);
    if (allocate(v, tokens, err) != GGUF_OK || read_types(v, g, err) != GGUF_OK)
        return GGUF_FAIL;
    read_texts(v, tokens);
    make_pieces(v);
    return make_table(v, err);
}

void vocab_free(struct vocab *v)
{
    free(v->text_at);
    free(v->text);
    free(v->piece_at);
    free(v->piece);
    free(v->type);
    free(v->slot);
    memset(v, 0, sizeof *v);
}
