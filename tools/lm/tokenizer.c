/* Byte-level BPE tokenizers; see tokenizer.h. */
#include "tokenizer.h"

#include "bpe.h"
#include "gguf_impl.h"
#include "index_sort.h"
#include "pretok.h"
#include "vocab.h"

#include <stdlib.h>
#include <string.h>

/* Control tokens that end a turn or a text; of those that a model has, the first is its EOT. */
static const char *const end_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
};

enum { N_END_TEXTS = sizeof end_texts / sizeof end_texts[0] };

struct tok {
    struct vocab vocab;
    struct bpe bpe;
    struct pretok *pretok;
    uint32_t *special; /* ids of control, unknown and user-defined tokens in the order of bytes */
    size_t n_special;
    bool begins_special[256]; /* whether a special token begins with this byte */
    bool add_bos;
    int32_t bos;
    int32_t eos;
    int32_t eot;
    int32_t end[N_END_TEXTS];
};

static bool is_special(uint8_t type)
{
    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED;
}

/* As in a dictionary: by bytes, a text before those that it begins. */
static int text_order(const void *context, uint32_t a, uint32_t b)
{
    struct gguf_string x = vocab_text(context, a);
    struct gguf_string y = vocab_text(context, b);
    int order = memcmp(x.bytes, y.bytes, x.len < y.len ? x.len : y.len);

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static int collect_special(struct tok *tok, struct gguf_error *err)
{
    const struct vocab *v = &tok->vocab;
    size_t count = 0;

    for (uint32_t i = 0; i < v->n; i++)
        count += is_special(v->type[i]);
    tok->special = malloc((count + 1) * sizeof *tok->special);
    if (tok->special == NULL)
        return gguf_fail(err, "no memory for %zu special tokens", count);
    for (uint32_t i = 0; i < v->n; i++) {
        struct gguf_string s = vocab_text(v, i);
        if (!is_special(v->type[i]) || s.len == 0)
            continue;
        /* The search for special tokens takes this many steps at each byte of a text. */
        if (s.len > TOK_MAX_SPECIAL)
            return gguf_fail(err,
                             "key 'tokenizer.ggml.tokens': the special token %u has %zu "
                             "bytes, more than %d",
                             (unsigned)i, s.len, TOK_MAX_SPECIAL);
        tok->special[tok->n_special++] = i;
        tok->begins_special[(unsigned char)s.bytes[0]] = true;
    }
    index_sort(tok->special, tok->n_special, text_order, v);
    return GGUF_OK;
}

static int read_id(const struct tok *tok, const struct gguf *g, const char *key, int32_t *id,
                   struct gguf_error *err)
{
    uint32_t value;
    int rc = gguf_get_u32(g, key, &value, err);

    *id = VOCAB_NONE;
    if (rc == GGUF_ABSENT)
        return GGUF_OK;
    if (rc != GGUF_OK)
        return rc;
    if (value >= tok->vocab.n)
        return gguf_fail(err, "key '%s' is %u, but there are %u tokens", key, (unsigned)value,
                         (unsigned)tok->vocab.n);
    *id = (int32_t)value;
    return GGUF_OK;
}

static int read_ids(struct tok *tok, const struct gguf *g, struct gguf_error *err)
{
    const struct vocab *v = &tok->vocab;

    if (read_id(tok, g, "tokenizer.ggml.bos_token_id", &tok->bos, err) != GGUF_OK ||
        read_id(tok, g, "tokenizer.ggml.eos_token_id", &tok->eos, err) != GGUF_OK ||
        read_id(tok, g, "tokenizer.ggml.eot_token_id", &tok->eot, err) != GGUF_OK)
        return GGUF_FAIL;
    for (size_t i = 0; i < N_END_TEXTS; i++) {
        int32_t id = vocab_find(v, end_texts[i], strlen(end_texts[i]));
        if (id >= 0 && v->type[id] != TOKEN_CONTROL)
            id = VOCAB_NONE;
        tok->end[i] = id;
        if (tok->eot < 0)
            tok->eot = id;
    }
    tok->add_bos = pretok_adds_bos(tok->pretok);
    if (gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &tok->add_bos, err) == GGUF_FAIL)
        return GGUF_FAIL;
    if (tok->add_bos && tok->bos < 0)
        return gguf_fail(err, "key 'tokenizer.ggml.bos_token_id' is missing, but BOS is asked for");
    return GGUF_OK;
}

static int read_pretok(struct tok *tok, const struct gguf *g, struct gguf_error *err)
{
    struct gguf_string model;
    struct gguf_string pre = { "default", strlen("default") };

    if (gguf_get_string(g, "tokenizer.ggml.model", &model, err) != GGUF_OK ||
        gguf_get_string(g, "tokenizer.ggml.pre", &pre, err) == GGUF_FAIL)
        return GGUF_FAIL;
    if (!gguf_string_is(model, "gpt2"))
        return gguf_fail(err, "key 'tokenizer.ggml.model' is %s: only 'gpt2' is supported",
                         gguf_quote(model.bytes, model.len).text);
    return pretok_new(pre, &tok->pretok, err);
}

int tok_new(const struct gguf *g, struct tok **out, struct gguf_error *err)
{
    struct tok *tok = calloc(1, sizeof *tok);

    *out = NULL;
    if (tok == NULL)
        return gguf_fail(err, "no memory for a tokenizer");
    if (read_pretok(tok, g, err) != GGUF_OK || vocab_init(&tok->vocab, g, err) != GGUF_OK ||
        bpe_init(&tok->bpe, &tok->vocab, g, err) != GGUF_OK || collect_special(tok, err) != GGUF_OK ||
        read_ids(tok, g, err) != GGUF_OK) {
        tok_free(tok);
        return GGUF_FAIL;
    }
    *out = tok;
    return GGUF_OK;
}

void tok_free(struct tok *tok)
{
    if (tok == NULL)
        return;
    pretok_free(tok->pretok);
    bpe_free(&tok->bpe);
    vocab_free(&tok->vocab);
    free(tok->special);
    free(tok);
}

/* One call of tok_encode(). */
struct encoding {
    const struct tok *tok;
    unsigned flags;
    struct bpe_work work;
    char *spelled; /* of a word, where whole words are looked up */
    size_t spelled_size;
    int32_t *ids;
    size_t n;
    size_t capacity;
    struct gguf_error *err;
};

static int emit(void *context, int32_t id)
{
    struct encoding *e = context;

    if (id == VOCAB_NONE && (e->flags & TOK_STRICT) != 0)
        return gguf_fail(e->err, "the text has a byte that no token stands for");
    if (id == VOCAB_NONE)
        return GGUF_OK;
    if (e->n == e->capacity) {
        size_t capacity = e->capacity < 256 ? 256 : 2 * e->capacity;
        int32_t *grown = realloc(e->ids, capacity * sizeof *grown);
        if (grown == NULL)
            return gguf_fail(e->err, "no memory for %zu tokens", capacity);
        e->ids = grown;
        e->capacity = capacity;
    }
    e->ids[e->n++] = id;
    return GGUF_OK;
}

/* Finds the token that is this word; *id is VOCAB_NONE where there is none. */
static int find_word(struct encoding *e, const uint8_t *bytes, size_t n, int32_t *id)
{
    size_t len = 0;

    if (e->spelled_size < 2 * n) {
        char *grown = realloc(e->spelled, 2 * n);
        if (grown == NULL)
            return gguf_fail(e->err, "no memory for a word of %zu bytes", n);
        e->spelled = grown;
        e->spelled_size = 2 * n;
    }
    for (size_t i = 0; i < n; i++)
        len += vocab_spell(bytes[i], e->spelled + len);
    *id = vocab_find(&e->tok->vocab, e->spelled, len);
    return GGUF_OK;
}

static int encode_word(void *context, const uint8_t *bytes, size_t n)
{
    struct encoding *e = context;
    const struct tok *tok = e->tok;
    int32_t id = tok->vocab.byte[bytes[0]];

    if (n == 1)
        return emit(e, id);
    if (pretok_whole_words(tok->pretok)) {
        if (find_word(e, bytes, n, &id) != GGUF_OK)
            return GGUF_FAIL;
        if (id != VOCAB_NONE)
            return emit(e, id);
    }
    return bpe_word(&tok->bpe, &tok->vocab, &e->work, bytes, n, emit, e, e->err);
}

/* The first place of [first, last) whose token has a byte above c (or equal to it) at depth. */
static size_t narrow(const struct tok *tok, size_t first, size_t last, size_t depth, unsigned char c,
                     bool or_equal)
{
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        struct gguf_string s = vocab_text(&tok->vocab, tok->special[middle]);
        unsigned char at = (unsigned char)s.bytes[depth];
        if (at > c || (or_equal && at == c))
            last = middle;
        else
            first = middle + 1;
    }
    return first;
}

/*
 * The longest special token that text begins with, or VOCAB_NONE. The sorted list is narrowed byte
 * by byte to the tokens that go on like the text; one that ends here is the first of these.
 */
static int32_t match_special(const struct encoding *e, const char *text, size_t len)
{
    const struct tok *tok = e->tok;
    int32_t best = VOCAB_NONE;
    size_t first = 0;
    size_t last = tok->n_special;

    for (size_t depth = 0; first < last; depth++) {
        uint32_t id = tok->special[first];
        if (vocab_text(&tok->vocab, id).len == depth) {
            if ((e->flags & TOK_PARSE_SPECIAL) != 0 || tok->vocab.type[id] == TOKEN_USER_DEFINED)
                best = (int32_t)id;
            first++;
        }
        if (depth == len)
            break;
        first = narrow(tok, first, last, depth, (unsigned char)text[depth], true);
        last = narrow(tok, first, last, depth, (unsigned char)text[depth], false);
    }
    return best;
}

static int encode_text(struct encoding *e, const char *text, size_t len)
{
    const struct tok *tok = e->tok;
    size_t begin = 0;
    int rc = GGUF_OK;

    for (size_t pos = 0; rc == 0 && pos < len;) {
        int32_t id = VOCAB_NONE;
        if (tok->begins_special[(unsigned char)text[pos]])
            id = match_special(e, text + pos, len - pos);
        if (id == VOCAB_NONE) {
            pos++;
            continue;
        }
        rc = pretok_split(tok->pretok, text + begin, pos - begin, encode_word, e, e->err);
        if (rc == 0)
            rc = emit(e, id);
        pos += vocab_text(&tok->vocab, (uint32_t)id).len;
        begin = pos;
    }
    if (rc == 0)
        rc = pretok_split(tok->pretok, text + begin, len - begin, encode_word, e, e->err);
    return rc;
}

int tok_encode(const struct tok *tok, const char *text, size_t len, unsigned flags, int32_t **ids,
               size_t *n, struct gguf_error *err)
{
    struct encoding e = { .tok = tok, .flags = flags, .err = err };
    int rc = GGUF_OK;

    *ids = NULL;
    *n = 0;
    if (len > TOK_MAX_TEXT)
        return gguf_fail(err, "the text has %zu bytes, more than %d", len, TOK_MAX_TEXT);
    if ((flags & TOK_ADD_BOS) != 0 && tok->add_bos)
        rc = emit(&e, tok->bos);
    if (rc == 0)
        rc = encode_text(&e, text, len);
    bpe_work_free(&e.work);
    free(e.spelled);
    if (rc != 0) {
        free(e.ids);
        return rc;
    }
    *ids = e.ids;
    *n = e.n;
    return GGUF_OK;
}

int tok_piece(const struct tok *tok, int32_t id, const char **bytes, size_t *len)
{
    struct gguf_string s;

    if (id < 0 || (uint32_t)id >= tok->vocab.n)
        return GGUF_FAIL;
    s = vocab_piece(&tok->vocab, (uint32_t)id);
    *bytes = s.bytes;
    *len = s.len;
    return GGUF_OK;
}

uint32_t tok_vocab_size(const struct tok *tok)
{
    return tok->vocab.n;
}

int32_t tok_bos(const struct tok *tok)
{
    return tok->bos;
}

int32_t tok_eos(const struct tok *tok)
{
    return tok->eos;
}

int32_t tok_eot(const struct tok *tok)
{
    return tok->eot;
}

bool tok_is_end(const struct tok *tok, int32_t id)
{
    if (id < 0)
        return false;
    for (size_t i = 0; i < N_END_TEXTS; i++) {
        if (tok->end[i] == id)
            return true;
    }
    return id == tok->eos || id == tok->eot;
}
