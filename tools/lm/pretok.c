/* Pre-tokenizers; see pretok.h. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "pretok.h"

#include "gguf_impl.h"

#include <pcre2.h>
#include <stdlib.h>

enum { MAX_PATTERNS = 4 };

/*
 * White space is written out: PCRE2's \s also takes U+180E, which left that class in Unicode 6.3.
 * "(?!\S)" and "[^\s..." of the published patterns become their negation.
 */
#define SPACE "\\t-\\r\\x{85}\\p{Z}"
#define END_OR_SPACE "(?![^" SPACE "])"
#define OTHER "[^" SPACE "\\p{L}\\p{N}]"
#define GPT2                                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?" OTHER "+|"                                        \
    "[" SPACE "]+" END_OR_SPACE "|[" SPACE "]+"
#define LLAMA3(numbers)                                                                                \
    "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|"                                           \
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?" OTHER "+[\\r\\n]*|"                                 \
    "[" SPACE "]*[\\r\\n]+|[" SPACE "]+" END_OR_SPACE "|[" SPACE "]+"

struct table_row {
    const char *name;
    const char *pattern[MAX_PATTERNS];
    bool whole_words;
    bool adds_bos;
};

static const struct table_row table[] = {
    { "default", { "[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" }, false, false },
    { "gpt-2", { GPT2 }, false, false },
    { "smollm", { "\\p{N}", GPT2 }, false, false },
    { "starcoder", { "\\p{N}", GPT2 }, false, false },
    { "refact", { "\\p{N}", GPT2 }, false, false },
    { "command-r", { "\\p{N}", GPT2 }, false, false },
    { "qwen2", { LLAMA3("\\p{N}") }, false, false },
    { "llama-bpe", { LLAMA3("\\p{N}{1,3}") }, true, true },
    { "llama3", { LLAMA3("\\p{N}{1,3}") }, true, true },
    { "llama-v3", { LLAMA3("\\p{N}{1,3}") }, true, true },
};

struct pretok {
    const struct table_row *row;
    pcre2_code *code[MAX_PATTERNS];
    size_t n;
    pcre2_match_context *limits;
};

static const struct table_row *find_row(struct gguf_string name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (gguf_string_is(name, table[i].name))
            return &table[i];
    }
    return NULL;
}

int pretok_new(struct gguf_string name, struct pretok **out, struct gguf_error *err)
{
    const struct table_row *row = find_row(name);
    struct pretok *p;

    *out = NULL;
    if (row == NULL)
        return gguf_fail(err, "key 'tokenizer.ggml.pre': the pre-tokenizer %s is not known",
                         gguf_quote(name.bytes, name.len).text);
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return gguf_fail(err, "no memory for a pre-tokenizer");
    p->row = row;
    for (; p->n < MAX_PATTERNS && row->pattern[p->n] != NULL; p->n++) {
        int code;
        PCRE2_SIZE at;
        p->code[p->n] = pcre2_compile((PCRE2_SPTR)row->pattern[p->n], PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        if (p->code[p->n] == NULL) {
            gguf_fail(err, "pattern %zu of the pre-tokenizer '%s': PCRE2 error %d at %zu", p->n,
                      row->name, code, (size_t)at);
            goto fail;
        }
    }
    p->limits = pcre2_match_context_create(NULL);
    if (p->limits == NULL) {
        gguf_fail(err, "no memory for a pre-tokenizer");
        goto fail;
    }
    /* The patterns are ours and take linear time; the default would fail on 10 million spaces. */
    pcre2_set_match_limit(p->limits, UINT32_MAX);
    *out = p;
    return GGUF_OK;
fail:
    pretok_free(p);
    return GGUF_FAIL;
}

void pretok_free(struct pretok *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < MAX_PATTERNS; i++)
        pcre2_code_free(p->code[i]);
    pcre2_match_context_free(p->limits);
    free(p);
}

bool pretok_whole_words(const struct pretok *p)
{
    return p->row->whole_words;
}

bool pretok_adds_bos(const struct pretok *p)
{
    return p->row->adds_bos;
}

struct split {
    const struct pretok *p;
    pcre2_match_data *match;
    pretok_word *word;
    void *context;
    struct gguf_error *err;
};

/* Cuts valid text with the patterns from `level` on. Goes MAX_PATTERNS deep at most. */
static int split_level(struct split *s, size_t level, const uint8_t *text, size_t len)
{
    size_t pos = 0;

    if (level >= MAX_PATTERNS || level == s->p->n)
        return s->word(s->context, text, len);
    while (pos < len) {
        size_t begin = len;
        size_t end = len;
        int rc = pcre2_match(s->p->code[level], text, len, pos, PCRE2_NO_UTF_CHECK, s->match,
                             s->p->limits);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
            return gguf_fail(s->err, "the pre-tokenizer '%s' fails on the text: PCRE2 error %d",
                             s->p->row->name, rc);
        if (rc > 0) {
            const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->match);
            begin = found[0];
            end = found[1];
        }
        if (begin > pos) {
            rc = split_level(s, level + 1, text + pos, begin - pos);
            if (rc != 0)
                return rc;
        }
        if (end > begin) {
            rc = split_level(s, level + 1, text + begin, end - begin);
            if (rc != 0)
                return rc;
        }
        pos = end;
    }
    return GGUF_OK;
}

/* Bytes of the valid UTF-8 character at the start of text, or 0. */
static size_t character(const uint8_t *text, size_t len)
{
    size_t n = text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;

    if (text[0] < 0x80)
        return 1;
    if (text[0] < 0xc2 || text[0] > 0xf4 || n > len)
        return 0;
    if (text[0] == 0xe0)
        low = 0xa0;
    else if (text[0] == 0xed)
        high = 0x9f;
    else if (text[0] == 0xf0)
        low = 0x90;
    else if (text[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < n; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return n;
}

int pretok_split(const struct pretok *p, const char *text, size_t len, pretok_word *word, void *context,
                 struct gguf_error *err)
{
    struct split s = { p, NULL, word, context, err };
    const uint8_t *bytes = (const uint8_t *)text;
    int rc = GGUF_OK;

    if (len == 0)
        return GGUF_OK;
    s.match = pcre2_match_data_create(1, NULL);
    if (s.match == NULL)
        return gguf_fail(err, "no memory for the pre-tokenizer");
    for (size_t pos = 0; rc == 0 && pos < len;) {
        size_t end = pos;
        size_t n;
        while (end < len && (n = character(bytes + end, len - end)) > 0)
            end += n;
        if (end > pos)
            rc = split_level(&s, 0, bytes + pos, end - pos);
        pos = end;
        while (end < len && character(bytes + end, len - end) == 0)
            end++;
        if (rc == 0 && end > pos)
            rc = word(context, bytes + pos, end - pos);
        pos = end;
    }
    pcre2_match_data_free(s.match);
    return rc;
}
