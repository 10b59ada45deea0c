/*
 * tests/test_tokenizer.c: byte-level BPE: the cutting into words, merges against a plain quadratic
 * encoder, special tokens, bytes that are no UTF-8; and, where the environment variable
 * ANNULET_TEST_MODEL names SmolLM2's file, the ids that its reference tokenizer gives
 * (token_case.h). ANNULET_TEST_DIR is the folder of the tests.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/blob.h"
#include "tests/token_case.h"
#include "tools/lm/pretok.h"
#include "tools/lm/tokenizer.h"
#include "tools/lm/vocab.h"

enum { N_BYTES = 256, N_MERGES = 300, MAX_TEXT = 200, MAX_PIECE = 64 };

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

static struct tok *open_tok(const char *path)
{
    struct gguf_error err = { "" };
    struct gguf *g;
    struct tok *tok;

    ck_assert_msg(gguf_open(path, &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_msg(tok_new(g, &tok, &err) == GGUF_OK, "%s", err.message);
    gguf_close(g);
    return tok;
}

static struct tok *open_small(void)
{
    return open_tok(ANNULET_TEST_DIR "/faults/vocabulary-only.gguf");
}

static int32_t *encode(const struct tok *tok, const char *text, size_t len, unsigned flags, size_t *n)
{
    struct gguf_error err = { "" };
    int32_t *ids;

    ck_assert_msg(tok_encode(tok, text, len, flags, &ids, n, &err) == GGUF_OK, "%s", err.message);
    return ids;
}

/* The ids must be these, given as text with spaces. */
static void check_ids(const struct tok *tok, const char *text, unsigned flags, const char *expected)
{
    char found[1024] = "";
    size_t n;
    int32_t *ids = encode(tok, text, strlen(text), flags, &n);

    for (size_t i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), i ? " %d" : "%d", ids[i]);
    ck_assert_msg(strcmp(found, expected) == 0, "\"%s\": %s, not %s", text, found, expected);
    free(ids);
}

/* The pieces of the ids must join to the text. */
static void check_round_trip(const struct tok *tok, const char *text, size_t len)
{
    size_t n;
    size_t at = 0;
    int32_t *ids = encode(tok, text, len, TOK_STRICT, &n);

    for (size_t i = 0; i < n; i++) {
        const char *piece;
        size_t piece_len;
        ck_assert_int_eq(tok_piece(tok, ids[i], &piece, &piece_len), GGUF_OK);
        ck_assert_uint_le(at + piece_len, len);
        ck_assert_mem_eq(piece, text + at, piece_len);
        at += piece_len;
    }
    ck_assert_uint_eq(at, len);
    free(ids);
}

struct joined {
    char text[256];
    size_t len;
};

static int join_word(void *context, const uint8_t *bytes, size_t n)
{
    struct joined *j = context;

    ck_assert_uint_gt(n, 0);
    ck_assert_uint_lt(j->len + n + 1, sizeof j->text);
    memcpy(j->text + j->len, bytes, n);
    j->text[j->len + n] = '|';
    j->len += n + 1;
    return 0;
}

/* Words as the reference cuts them, each closed by a bar. */
static const struct {
    const char *pre;
    const char *text;
    const char *words;
} word_cases[] = {
    { "gpt-2", "Hello  world's 123!?\n\n  x", "Hello| | world|'s| 123|!?|\n\n | x|" },
    { "gpt-2",
      "a\xc2\xa0"
      "b \xe1\xa0\x8e"
      "c  ",
      "a|\xc2\xa0|b| \xe1\xa0\x8e|c|  |" },
    { "gpt-2", "I'LL \xf0\x9f\x9a\x80\xc3\xa9\xd9\xa3", "I|'|LL| \xf0\x9f\x9a\x80|\xc3\xa9|\xd9\xa3|" },
    { "smollm", "ab12 34  5", "ab|1|2| |3|4|  |5|" },
    { "smollm", "x\xc2\xbd y", "x|\xc2\xbd| y|" },
    { "starcoder", "a12", "a|1|2|" },
    { "llama-bpe", "I'LL say(hi)  12345\n\n x", "I|'LL| say|(hi|)| | |123|45|\n\n| x|" },
    { "llama-bpe", "a \r\n b...\n!", "a| \r\n| b|...\n|!|" },
    { "qwen2", "x 12\tab", "x| |1|2|\tab|" },
    { "default", "a,b<=1234 c'd", "a|,|b|<=|123|4| c|'|d|" },
    { "gpt-2",
      "a\xff\xfe"
      "b\xe2\x82",
      "a|\xff\xfe|b|\xe2\x82|" },
    { "gpt-2", "\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80 ", "\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80| |" },
    { "gpt-2", " \xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf",
      " \xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf|" },
    { "gpt-2",
      "a\xe0\x81\x81"
      "b\xf0\x80\x81\x81"
      "c",
      "a|\xe0\x81\x81|b|\xf0\x80\x81\x81|c|" },
    { "gpt-2", "", "" },
};

START_TEST(words)
{
    struct gguf_string pre = { word_cases[_i].pre, strlen(word_cases[_i].pre) };
    const char *text = word_cases[_i].text;
    struct joined j = { "", 0 };
    struct gguf_error err = { "" };
    struct pretok *p;

    ck_assert_msg(pretok_new(pre, &p, &err) == GGUF_OK, "%s", err.message);
    ck_assert_int_eq(pretok_split(p, text, strlen(text), join_word, &j, &err), GGUF_OK);
    j.text[j.len] = '\0';
    ck_assert_str_eq(j.text, word_cases[_i].words);
    pretok_free(p);
}
END_TEST

static int stop_at_once(void *context, const uint8_t *bytes, size_t n)
{
    (void)bytes;
    (void)n;
    ++*(int *)context;
    return 42;
}

START_TEST(words_stop)
{
    struct gguf_string pre = { "smollm", 6 };
    struct gguf_error err = { "" };
    struct pretok *p;
    int calls = 0;

    ck_assert_int_eq(pretok_new(pre, &p, &err), GGUF_OK);
    ck_assert_int_eq(pretok_split(p,
                                  "a b\xff"
                                  "1",
                                  5, stop_at_once, &calls, &err),
                     42);
    ck_assert_int_eq(calls, 1);
    pretok_free(p);
}
END_TEST

START_TEST(alphabet)
{
    char spelled[2];

    ck_assert_uint_eq(vocab_spell('a', spelled), 1);
    ck_assert_mem_eq(spelled, "a", 1);
    ck_assert_uint_eq(vocab_spell(' ', spelled), 2);
    ck_assert_mem_eq(spelled, "\304\240", 2); /* U+0120 */
    ck_assert_uint_eq(vocab_spell(0x7f, spelled), 2);
    ck_assert_mem_eq(spelled, "\304\241", 2); /* U+0121 */
    ck_assert_uint_eq(vocab_spell(0xad, spelled), 2);
    ck_assert_mem_eq(spelled, "\305\203", 2); /* U+0143 */
    ck_assert_uint_eq(vocab_spell(0xff, spelled), 2);
    ck_assert_mem_eq(spelled, "\303\277", 2); /* U+00FF */
}
END_TEST

/* The vocabulary of faults/make.py: 3 control tokens, then a = 3, b = 4 ... */
START_TEST(small)
{
    struct tok *tok = open_small();
    struct gguf_error err = { "" };
    const char *piece;
    int32_t *ids;
    size_t n;

    ck_assert_uint_eq(tok_vocab_size(tok), 24);
    ck_assert_int_eq(tok_bos(tok), 1);
    ck_assert_int_eq(tok_eos(tok), 2);
    ck_assert_int_eq(tok_eot(tok), 2);
    ck_assert(tok_is_end(tok, 0) && !tok_is_end(tok, 1) && tok_is_end(tok, 2));
    ck_assert(!tok_is_end(tok, -1) && !tok_is_end(tok, 24));
    check_ids(tok, "", 0, "");
    check_ids(tok, "abc", 0, "13");
    check_ids(tok, "aabb", 0, "3 12 4");
    check_ids(tok, "cde", 0, "5 14"); /* "d e" comes before "c d" in the list */
    check_ids(tok, "cd", 0, "23");
    check_ids(tok, " a ab abc", 0, "15 16 8 13"); /* in " abc" the a goes with the b first */
    check_ids(tok, "\303\244", 0, "20");
    check_ids(tok, "12", 0, "10 11");
    check_ids(tok, "\n  a", 0, "9 8 15");
    check_ids(tok, "a", TOK_ADD_BOS, "3"); /* the file does not ask for it */

    /* A byte without a token is left out, or an error on request; it separates its neighbours. */
    check_ids(tok, "azb", 0, "3 4");
    ck_assert_int_eq(tok_encode(tok, "azb", 3, TOK_STRICT, &ids, &n, &err), GGUF_FAIL);
    ck_assert_ptr_null(ids);
    ck_assert_ptr_nonnull(strstr(err.message, "no token stands for"));

    ck_assert_int_eq(tok_piece(tok, 16, &piece, &n), GGUF_OK);
    ck_assert_uint_eq(n, 3);
    ck_assert_mem_eq(piece, " ab", 3);
    ck_assert_int_eq(tok_piece(tok, 0, &piece, &n), GGUF_OK);
    ck_assert_uint_eq(n, 13);
    ck_assert_mem_eq(piece, "<|endoftext|>", 13);
    ck_assert_int_eq(tok_piece(tok, 24, &piece, &n), GGUF_FAIL);
    ck_assert_int_eq(tok_piece(tok, -1, &piece, &n), GGUF_FAIL);
    tok_free(tok);
}
END_TEST

START_TEST(special)
{
    struct tok *tok = open_small();
    const char *piece;
    size_t n;

    check_ids(tok, "<|im_end|>ab<|im_start|>", TOK_PARSE_SPECIAL, "2 12 1");
    check_ids(tok, "a<|im_start|><|im_start|>b", TOK_PARSE_SPECIAL, "3 1 1 4");
    check_ids(tok, "ab<|im_end|", TOK_PARSE_SPECIAL, "12 7 6"); /* not whole: e and d are letters */
    check_ids(tok, "a<|im_end|>b", 0, "3 7 6 4");
    tok_free(tok);

    /* Two spaces, user-defined, are 24; "<|im", "<|im_end|>a" and one more, control, 25 to 27. */
    tok = open_tok(ANNULET_TEST_DIR "/faults/special.gguf");
    check_ids(tok, "a  b", 0, "3 24 4");
    check_ids(tok, "a    b", TOK_PARSE_SPECIAL, "3 24 24 4");
    check_ids(tok, "<|im_end|>ab", TOK_PARSE_SPECIAL, "26 4");
    check_ids(tok, "<|im_end|>b", TOK_PARSE_SPECIAL, "2 4");
    check_ids(tok, "<|im_end|<|im", TOK_PARSE_SPECIAL, "25 7 6 25");
    check_ids(tok, "<|im_end|>  a", 0, "7 6 24 3");
    check_ids(tok, "a", TOK_ADD_BOS, "1 3");
    check_ids(tok, "", TOK_ADD_BOS, "1");
    check_ids(tok, "ca", 0, "28");     /* a token as a whole, with no merge */
    check_ids(tok, " abc", 0, "8 13"); /* the merge of a and b counts where it comes first */
    ck_assert_int_eq(tok_piece(tok, 27, &piece, &n), GGUF_OK);
    ck_assert_uint_eq(n, 6);
    ck_assert_mem_eq(piece, "<|\304\240|>", 6);
    tok_free(tok);
}
END_TEST

/* Tokens as bytes: the 256 single ones and then one for each merge. */
struct invented {
    int n;
    unsigned char piece[N_BYTES + N_MERGES][MAX_PIECE];
    int len[N_BYTES + N_MERGES];
    int left[N_MERGES];
    int right[N_MERGES];
};

static void put_spelled(struct blob *f, const struct invented *v, int id)
{
    for (int i = 0; i < v->len[id]; i++) {
        char spelled[2];
        blob_put(f, spelled, vocab_spell(v->piece[id][i], spelled));
    }
}

static size_t spelled_len(const struct invented *v, int id)
{
    char spelled[2];
    size_t len = 0;

    for (int i = 0; i < v->len[id]; i++)
        len += vocab_spell(v->piece[id][i], spelled);
    return len;
}

static bool is_there(const struct invented *v, const unsigned char *piece, int len)
{
    for (int i = 0; i < v->n; i++) {
        if (v->len[i] == len && memcmp(v->piece[i], piece, (size_t)len) == 0)
            return true;
    }
    return false;
}

/* Draws merges of tokens made of the letters a to d, so that a text of these is one word. */
static void invent(struct invented *v, uint64_t seed)
{
    memset(v, 0, sizeof *v);
    for (v->n = 0; v->n < N_BYTES; v->n++) {
        v->piece[v->n][0] = (unsigned char)v->n;
        v->len[v->n] = 1;
    }
    while (v->n < N_BYTES + N_MERGES) {
        int known = v->n - N_BYTES;
        int part[2];
        int len;
        for (int i = 0; i < 2; i++) {
            uint32_t pick = draw(&seed, (uint32_t)known + 8);
            part[i] = pick < 8 ? 'a' + (int)pick % 4 : N_BYTES + (int)pick - 8;
        }
        len = v->len[part[0]] + v->len[part[1]];
        if (len > MAX_PIECE)
            continue;
        memcpy(v->piece[v->n], v->piece[part[0]], (size_t)v->len[part[0]]);
        memcpy(v->piece[v->n] + v->len[part[0]], v->piece[part[1]], (size_t)v->len[part[1]]);
        if (is_there(v, v->piece[v->n], len))
            continue;
        v->len[v->n] = len;
        v->left[known] = part[0];
        v->right[known] = part[1];
        v->n++;
    }
}

static struct tok *make_tok(const struct invented *v)
{
    struct gguf_error err = { "" };
    struct blob f = { 0 };
    struct gguf *g;
    struct tok *tok;

    blob_head(&f, 0, 4);
    blob_text_key(&f, "tokenizer.ggml.model", "gpt2");
    blob_text_key(&f, "tokenizer.ggml.pre", "gpt-2");
    blob_array_key(&f, "tokenizer.ggml.tokens", (uint64_t)v->n);
    for (int i = 0; i < v->n; i++) {
        blob_int(&f, spelled_len(v, i), 8);
        put_spelled(&f, v, i);
    }
    blob_array_key(&f, "tokenizer.ggml.merges", (uint64_t)v->n - N_BYTES);
    for (int i = 0; i < v->n - N_BYTES; i++) {
        blob_int(&f, spelled_len(v, v->left[i]) + 1 + spelled_len(v, v->right[i]), 8);
        put_spelled(&f, v, v->left[i]);
        blob_put(&f, " ", 1);
        put_spelled(&f, v, v->right[i]);
    }
    ck_assert_msg(gguf_from_memory(f.data, f.size, &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_msg(tok_new(g, &tok, &err) == GGUF_OK, "%s", err.message);
    gguf_close(g);
    free(f.data);
    return tok;
}

/* The definition: merge the leftmost of the pairs of lowest rank until there is none. */
static size_t encode_plainly(const struct invented *v, const char *text, size_t len, int32_t *ids)
{
    for (size_t i = 0; i < len; i++)
        ids[i] = (unsigned char)text[i];
    for (;;) {
        int best = N_MERGES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < len; i++) {
            for (int m = 0; m < best; m++) {
                if (v->left[m] == ids[i] && v->right[m] == ids[i + 1]) {
                    best = m;
                    at = i;
                }
            }
        }
        if (best == N_MERGES)
            return len;
        ids[at] = N_BYTES + best;
        memmove(ids + at + 1, ids + at + 2, (len - at - 2) * sizeof *ids);
        len--;
    }
}

START_TEST(merges)
{
    static struct invented v;
    int32_t plain[MAX_TEXT];
    uint64_t state = (uint64_t)_i;
    struct tok *tok;

    invent(&v, (uint64_t)_i + 1);
    tok = make_tok(&v);
    for (int round = 0; round < 40; round++) {
        char text[MAX_TEXT];
        size_t len = 1 + draw(&state, MAX_TEXT);
        size_t n;
        int32_t *ids;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + draw(&state, 1 + (uint32_t)round % 4));
        ids = encode(tok, text, len, 0, &n);
        ck_assert_uint_eq(n, encode_plainly(&v, text, len, plain));
        ck_assert_mem_eq(ids, plain, n * sizeof *ids);
        free(ids);
    }
    tok_free(tok);
}
END_TEST

START_TEST(any_bytes)
{
    static struct invented v;
    uint64_t state = 9;
    struct tok *tok;

    invent(&v, 1);
    tok = make_tok(&v);
    for (int round = 0; round < 2000; round++) {
        char text[MAX_TEXT];
        size_t len = draw(&state, MAX_TEXT);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(draw(&state, 2) ? draw(&state, 256) : 'a' + draw(&state, 4));
        check_round_trip(tok, text, len);
    }
    tok_free(tok);
}
END_TEST

/* Class 12: one word of a million bytes that merges at every level. */
START_TEST(long_word)
{
    static struct invented v;
    size_t len = 1 << 20;
    char *text = malloc(len);
    clock_t start = clock();
    struct tok *tok;
    size_t n;

    ck_assert_ptr_nonnull(text);
    memset(text, 'a', len);
    invent(&v, 1);
    for (int i = 0; i < 6; i++) {
        int id = N_BYTES + i;
        v.left[i] = v.right[i] = i == 0 ? 'a' : id - 1;
        v.len[id] = 2 << i;
        memset(v.piece[id], 'a', (size_t)v.len[id]);
    }
    v.n = N_BYTES + 6;
    tok = make_tok(&v);
    free(encode(tok, text, len, 0, &n));
    ck_assert_uint_eq(n, len / 64);
    ck_assert_msg((double)(clock() - start) / CLOCKS_PER_SEC < 10, "quadratic time");
    tok_free(tok);
    free(text);
}
END_TEST

static uint64_t digest(const int32_t *ids, size_t n)
{
    uint64_t h = 0;

    for (size_t i = 0; i < n; i++)
        h = h * 1000003 + (uint64_t)ids[i] + 1;
    return h;
}

START_TEST(reference)
{
    struct tok *tok = open_tok(getenv("ANNULET_TEST_MODEL"));

    ck_assert_uint_eq(tok_vocab_size(tok), 49152);
    for (size_t c = 0; c < sizeof token_cases / sizeof token_cases[0]; c++) {
        const struct token_case *t = &token_cases[c];
        size_t n;
        int32_t *ids = encode(tok, t->text, t->len, t->special ? TOK_PARSE_SPECIAL : 0, &n);
        ck_assert_msg(n == t->n, "%s: %zu tokens, not %zu", t->name, n, t->n);
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(ids[i] == token_ids[t->first + i], "%s: token %zu is %d, not %d", t->name, i,
                          ids[i], token_ids[t->first + i]);
        free(ids);
    }
    tok_free(tok);
}
END_TEST

START_TEST(reference_long)
{
    static char text[TOKEN_LONG_BYTES + 1];
    struct tok *tok = open_tok(getenv("ANNULET_TEST_MODEL"));
    FILE *file = fopen(token_long_file, "rb");
    uint64_t state = 1;
    size_t len = 0;
    size_t n;
    int32_t *ids;

    for (int i = 0; i < TOKEN_DRAWS; i++) {
        const char *drawn = token_pool[draw(&state, sizeof token_pool / sizeof token_pool[0])];
        memcpy(text + len, drawn, strlen(drawn));
        len += strlen(drawn);
    }
    ck_assert_uint_eq(len, TOKEN_DRAWN_BYTES);
    ids = encode(tok, text, len, 0, &n);
    ck_assert_uint_eq(n, TOKEN_DRAWN_COUNT);
    ck_assert_uint_eq(digest(ids, n), token_drawn_digest);
    free(ids);
    check_round_trip(tok, text, len);

    /* The file is Debian's; another size is another text. */
    len = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file != NULL)
        fclose(file);
    if (len == TOKEN_LONG_BYTES) {
        ids = encode(tok, text, len, 0, &n);
        ck_assert_uint_eq(n, TOKEN_LONG_COUNT);
        ck_assert_uint_eq(digest(ids, n), token_long_digest);
        free(ids);
    }
    tok_free(tok);
}
END_TEST

/* Bytes that are no UTF-8 come back from the real vocabulary too, but for those it has not. */
START_TEST(reference_bytes)
{
    static const char bad[] = "a\x80\xbf b\xe2\x82 c\xc3(\xed\xa0\x80)\xf0\x9f\x9a 1\xf4\x90\x80\x80";
    struct tok *tok = open_tok(getenv("ANNULET_TEST_MODEL"));
    size_t n;

    check_round_trip(tok, bad, sizeof bad - 1);
    free(encode(tok, "a\xff\xc0\x04", 4, 0, &n));
    ck_assert_uint_eq(n, 1);
    tok_free(tok);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer");
    TCase *tests = tcase_create("tokenizer");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, words, 0, (int)(sizeof word_cases / sizeof word_cases[0]));
    tcase_add_test(tests, words_stop);
    tcase_add_test(tests, alphabet);
    tcase_add_test(tests, small);
    tcase_add_test(tests, special);
    tcase_add_loop_test(tests, merges, 0, 8);
    tcase_add_test(tests, any_bytes);
    tcase_add_test(tests, long_word);
    if (getenv("ANNULET_TEST_MODEL") != NULL) {
        tcase_add_test(tests, reference);
        tcase_add_test(tests, reference_long);
        tcase_add_test(tests, reference_bytes);
    } else {
        printf("ANNULET_TEST_MODEL is not set: the reference's ids are not compared\n");
    }
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
