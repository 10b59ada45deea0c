/*
 * tests/test_gguf.c: the reader of model files and the chat templates: what good files hold, what
 * each faulty file of tests/faults says, and that no cut or changed file does worse than an error.
 * ANNULET_TEST_DIR is the folder of the tests.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/blob.h"
#include "tests/fault_case.h"
#include "tools/lm/chat.h"
#include "tools/lm/checked.h"
#include "tools/lm/gguf.h"
#include "tools/lm/tokenizer.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char *fault_path(const char *file)
{
    static char path[1024];

    snprintf(path, sizeof path, "%s/faults/%s", ANNULET_TEST_DIR, file);
    return path;
}

static struct blob read_file(const char *path)
{
    struct blob b = { 0 };
    unsigned char part[4096];
    size_t n;
    FILE *file = fopen(path, "rb");

    ck_assert_msg(file != NULL, "cannot open %s", path);
    while ((n = fread(part, 1, sizeof part, file)) > 0)
        blob_put(&b, part, n);
    fclose(file);
    return b;
}

/* Writes a temporary file and leaves its path in the argument. */
static void write_temporary(const struct blob *b, char path[64])
{
    FILE *file;
    int fd;

    snprintf(path, 64, "/tmp/annulet-gguf-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    file = fdopen(fd, "wb");
    ck_assert_ptr_nonnull(file);
    if (b->size > 0) /* data may be NULL then */
        ck_assert_uint_eq(fwrite(b->data, 1, b->size, file), b->size);
    ck_assert_int_eq(fclose(file), 0);
}

/* The first stage that refuses an open file, and its message; FAULT_NONE where none does. */
static enum fault_stage try_stages(const struct gguf *g, struct gguf_error *err)
{
    struct tok *tok;
    char *prompt;
    size_t len;

    if (tok_new(g, &tok, err) != GGUF_OK) {
        ck_assert_ptr_null(tok);
        return FAULT_TOKENIZER;
    }
    tok_free(tok);
    if (chat_format(g, "abc", 3, &prompt, &len, err) != GGUF_OK) {
        ck_assert_ptr_null(prompt);
        return FAULT_CHAT;
    }
    ck_assert_uint_eq(strlen(prompt), len);
    free(prompt);
    return FAULT_NONE;
}

/* The stage that refuses a copy of just these bytes, so that ASan sees any step over the end. */
static enum fault_stage try_bytes(const unsigned char *data, size_t size, struct gguf_error *err)
{
    unsigned char *copy = malloc(size + (size == 0));
    enum fault_stage stage = FAULT_GGUF;
    struct gguf *g;

    ck_assert_ptr_nonnull(copy);
    if (size > 0)
        memcpy(copy, data, size);
    err->message[0] = '\0';
    if (gguf_from_memory(copy, size, &g, err) == GGUF_OK)
        stage = try_stages(g, err);
    else
        ck_assert_ptr_null(g);
    gguf_close(g);
    free(copy);
    if (stage != FAULT_NONE)
        ck_assert_msg(err->message[0] != '\0', "an error without a message");
    return stage;
}

START_TEST(faults)
{
    const struct fault_case *c = &fault_cases[_i];
    enum fault_stage expected = c->stage == FAULT_MODEL ? FAULT_NONE : c->stage;
    enum fault_stage stage = FAULT_GGUF;
    struct gguf_error err = { "" };
    struct gguf_error again = { "" };
    struct blob b = read_file(fault_path(c->file));
    struct gguf *g;

    if (gguf_open(fault_path(c->file), &g, &err) == GGUF_OK)
        stage = try_stages(g, &err);
    gguf_close(g);
    ck_assert_msg(stage == expected, "%s: stage %d, not %d: %s", c->file, stage, expected, err.message);
    ck_assert_int_eq(try_bytes(b.data, b.size, &again), expected);
    if (expected != FAULT_NONE) {
        ck_assert_msg(strstr(err.message, c->says) != NULL, "%s says: %s\nand not: %s", c->file,
                      err.message, c->says);
        ck_assert_str_eq(err.message, again.message);
    }
    free(b.data);
}
END_TEST

START_TEST(getters)
{
    struct gguf_error err = { "" };
    struct gguf *g;
    struct gguf_string s;
    struct gguf_strings strings;
    struct gguf_numbers numbers;
    uint32_t u = 5;
    uint64_t wide = 5;
    int32_t i = 5;
    float f = 5;
    bool b = true;

    ck_assert_msg(gguf_open(fault_path("valid.gguf"), &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_int_eq(gguf_get_string(g, "general.architecture", &s, &err), GGUF_OK);
    ck_assert(gguf_string_is(s, "llama"));
    ck_assert(!gguf_string_is(s, "llam"));
    ck_assert_int_eq(gguf_get_u32(g, "llama.context_length", &u, &err), GGUF_OK);
    ck_assert_uint_eq(u, 64);
    ck_assert_int_eq(gguf_get_f32(g, "llama.rope.freq_base", &f, &err), GGUF_OK);
    ck_assert(f == 10000.0f);
    ck_assert_int_eq(gguf_get_strings(g, "tokenizer.ggml.merges", &strings, &err), GGUF_OK);
    ck_assert_uint_eq(strings.count, 9);
    gguf_strings_next(&strings);
    ck_assert(gguf_string_is(gguf_strings_next(&strings), "\304\240 a"));
    ck_assert_int_eq(gguf_get_i32s(g, "tokenizer.ggml.token_type", &numbers, &err), GGUF_OK);
    ck_assert_int_eq(gguf_i32_at(&numbers, 2), 3);
    ck_assert_int_eq(gguf_i32_at(&numbers, 3), 1);

    /* Absent or of another type: an error that names the key, and the value stays. */
    ck_assert_int_eq(gguf_get_u32(g, "llama.context", &u, &err), GGUF_ABSENT);
    ck_assert_str_eq(err.message, "key 'llama.context' is missing");
    ck_assert_int_eq(gguf_get_u64(g, "llama.context_length", &wide, &err), GGUF_FAIL);
    ck_assert_str_eq(err.message, "key 'llama.context_length' is of type u32, not u64");
    ck_assert_int_eq(gguf_get_i32(g, "llama.context_length", &i, &err), GGUF_FAIL);
    ck_assert_int_eq(gguf_get_f32(g, "llama.context_length", &f, &err), GGUF_FAIL);
    ck_assert_int_eq(gguf_get_bool(g, "llama.context_length", &b, &err), GGUF_FAIL);
    ck_assert_int_eq(gguf_get_f32s(g, "tokenizer.ggml.token_type", &numbers, &err), GGUF_FAIL);
    ck_assert_int_eq(gguf_get_string(g, "tokenizer.ggml.tokens", &s, &err), GGUF_FAIL);
    ck_assert(u == 64 && wide == 5 && i == 5 && f == 10000.0f && b);
    gguf_close(g);
}
END_TEST

START_TEST(tensor_rows)
{
    struct gguf_error err = { "" };
    const struct gguf_tensor *t = NULL;
    unsigned char whole[24 * 34];
    unsigned char part[2 * 34];
    struct blob b = read_file(fault_path("valid.gguf"));
    struct gguf *g;

    ck_assert_msg(gguf_open(fault_path("valid.gguf"), &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_uint_eq(gguf_n_tensors(g), 11);
    for (size_t n = 0; n < gguf_n_tensors(g); n++) {
        const struct gguf_tensor *at = gguf_tensor_at(g, n);
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)at->name_len, at->name);
        ck_assert_int_eq(gguf_find_tensor(g, name, &t, &err), GGUF_OK);
        ck_assert_ptr_eq(t, at);
    }
    ck_assert_int_eq(gguf_find_tensor(g, "token_embd", &t, &err), GGUF_ABSENT);
    ck_assert_str_eq(err.message, "tensor 'token_embd' is missing");

    ck_assert_int_eq(gguf_find_tensor(g, "token_embd.weight", &t, &err), GGUF_OK);
    ck_assert_int_eq(t->dtype, GGUF_Q8_0);
    ck_assert_str_eq(gguf_dtype_name(t->dtype), "Q8_0");
    ck_assert_uint_eq(t->n_dims, 2);
    ck_assert(t->dim[0] == 32 && t->dim[1] == 24 && t->dim[2] == 1 && t->dim[3] == 1);
    ck_assert_uint_eq(gguf_row_bytes(t), 34);
    ck_assert_uint_eq(gguf_n_rows(t), 24);
    ck_assert_uint_eq(t->nbytes, sizeof whole);
    ck_assert_int_eq(gguf_tensor_read(g, t, 0, 24, whole, &err), GGUF_OK);
    ck_assert_mem_eq(whole, b.data + t->offset, sizeof whole);
    ck_assert_int_eq(gguf_tensor_read(g, t, 22, 2, part, &err), GGUF_OK);
    ck_assert_mem_eq(part, whole + 22 * 34, sizeof part);
    ck_assert_int_eq(gguf_tensor_read(g, t, 24, 0, part, &err), GGUF_OK);

    ck_assert_int_eq(gguf_tensor_read(g, t, 23, 2, part, &err), GGUF_FAIL);
    ck_assert_ptr_nonnull(strstr(err.message, "tensor 'token_embd.weight': rows 23 and 2 more"));
    ck_assert_int_eq(gguf_tensor_read(g, t, 25, 0, part, &err), GGUF_FAIL);
    ck_assert_int_eq(gguf_tensor_read(g, t, 1, UINT64_MAX, part, &err), GGUF_FAIL);
    gguf_close(g);
    free(b.data);
}
END_TEST

/* Class 16: another process cuts the file while it is open. */
START_TEST(cut_while_open)
{
    struct blob b = read_file(fault_path("valid.gguf"));
    const struct gguf_tensor *t = NULL;
    struct gguf_error err = { "" };
    unsigned char rows[128];
    char path[64];
    struct gguf *g;

    write_temporary(&b, path);
    ck_assert_msg(gguf_open(path, &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_int_eq(truncate(path, (off_t)b.size - 100), 0);
    ck_assert_int_eq(gguf_find_tensor(g, "output_norm.weight", &t, &err), GGUF_OK);
    memset(rows, 0xab, sizeof rows);
    ck_assert_int_eq(gguf_tensor_read(g, t, 0, 1, rows, &err), GGUF_FAIL);
    ck_assert_ptr_nonnull(strstr(err.message, "tensor 'output_norm.weight': the file was cut"));
    for (size_t n = 0; n < sizeof rows; n++)
        ck_assert_uint_eq(rows[n], 0);
    gguf_close(g);
    unlink(path);
    free(b.data);
}
END_TEST

START_TEST(not_a_file)
{
    char path[64] = "/tmp/annulet-fifo-XXXXXX";
    struct gguf_error err = { "" };
    struct gguf *g;

    ck_assert_int_eq(gguf_open("/nonexistent/model.gguf", &g, &err), GGUF_FAIL);
    ck_assert_ptr_nonnull(strstr(err.message, "cannot open the model file"));
    ck_assert_int_eq(gguf_open("/", &g, &err), GGUF_FAIL);
    ck_assert_ptr_nonnull(strstr(err.message, "not a regular file"));
    ck_assert_int_eq(gguf_open("/dev/null", &g, &err), GGUF_FAIL);
    ck_assert_ptr_nonnull(strstr(err.message, "not a regular file"));
    ck_assert_ptr_nonnull(mkdtemp(path));
    strcat(path, "/fifo");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(gguf_open(path, &g, &err), GGUF_FAIL); /* and does not wait for a writer */
    ck_assert_ptr_null(g);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
}
END_TEST

/* Every beginning of a good file is an error. */
START_TEST(cut_everywhere)
{
    struct blob b = read_file(fault_path("valid.gguf"));
    struct gguf_error err;

    ck_assert_int_eq(try_bytes(b.data, b.size, &err), FAULT_NONE);
    for (size_t size = 0; size < b.size; size++)
        ck_assert_int_eq(try_bytes(b.data, size, &err), FAULT_GGUF);
    free(b.data);
}
END_TEST

/* Every byte of a good header changed, in five ways: accepted or refused, but nothing worse. */
START_TEST(change_everywhere)
{
    struct blob b = read_file(fault_path("valid.gguf"));
    struct gguf_error err;
    size_t refused = 0;

    for (size_t at = 0; at < 2048; at++) {
        unsigned char old = b.data[at];
        const unsigned char changed[] = { 0, 0xff, old ^ 1, old ^ 0x80, (unsigned char)(old + 7) };
        for (size_t way = 0; way < sizeof changed; way++) {
            b.data[at] = changed[way];
            refused += try_bytes(b.data, b.size, &err) != FAULT_NONE;
        }
        b.data[at] = old;
    }
    ck_assert_uint_gt(refused, 2048);
    free(b.data);
}
END_TEST

/* Three characters that are a number in base 64: all below are in the alphabet. */
static void put_word(char word[3], uint32_t number)
{
    for (int i = 0; i < 3; i++)
        word[i] = (char)('0' + (number >> 6 * i) % 64);
}

/* A header of many tiny entries, the dearest for the reader: keys, tensors and tokens. */
static struct blob many_entries(uint32_t keys, uint32_t tensors, uint32_t tokens)
{
    struct blob b = { 0 };
    uint64_t offset = 0;
    char word[3];

    blob_head(&b, tensors, keys + 3);
    for (uint32_t i = 0; i < keys; i++) {
        put_word(word, i);
        blob_string(&b, word, 3);
        blob_int(&b, 0, 4);
        blob_int(&b, i, 1);
    }
    blob_text_key(&b, "tokenizer.ggml.model", "gpt2");
    blob_array_key(&b, "tokenizer.ggml.merges", 0);
    blob_array_key(&b, "tokenizer.ggml.tokens", tokens);
    for (uint32_t i = 0; i < tokens; i++) {
        char longer[4];
        put_word(longer, i);
        longer[3] = (char)('0' + i % 7);
        blob_string(&b, longer, 4);
    }
    for (uint32_t i = 0; i < tensors; i++) {
        put_word(word, i);
        blob_string(&b, word, 3);
        blob_int(&b, 1, 4);
        blob_int(&b, 1, 8);
        blob_int(&b, GGUF_F32, 4);
        blob_int(&b, offset, 8);
        offset += 32;
    }
    return b;
}

static size_t peak_bytes(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return (size_t)usage.ru_maxrss * 1024;
}

static void check_cost(size_t header, const char *path, bool tokens)
{
    struct gguf_error err = { "" };
    struct gguf *g;
    struct tok *tok = NULL;
    size_t before = peak_bytes();
    clock_t start = clock();
    double seconds;

    ck_assert_msg(gguf_open(path, &g, &err) == GGUF_OK, "%s", err.message);
    if (tokens)
        ck_assert_msg(tok_new(g, &tok, &err) == GGUF_OK, "%s", err.message);
    seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (!SANITIZED) {
        /* At most four times the header and, for the C library's own, 1 MiB. */
        ck_assert_uint_le(peak_bytes() - before, 4 * header + (1 << 20));
        ck_assert_msg(seconds < 1, "%.3f s", seconds);
    }
    tok_free(tok);
    gguf_close(g);
}

/* Writes the file in a process of its own, not to raise our peak. Returns the header's size. */
static size_t write_entries(const uint32_t count[3], char path[64])
{
    size_t data = ((size_t)count[1] + 1) * 32;
    struct blob b = { 0 };
    struct stat st;
    int status;
    pid_t child;

    write_temporary(&b, path);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        FILE *file = fopen(path, "wb");
        b = many_entries(count[0], count[1], count[2]);
        for (size_t i = 0; i < data / 32; i++)
            blob_put(&b, (char[32]){ 0 }, 32);
        _exit(file == NULL || fwrite(b.data, 1, b.size, file) != b.size || fclose(file) != 0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(stat(path, &st), 0);
    return (size_t)st.st_size - data;
}

/* Class 5, and the bounds on memory and time; one test each, since a peak does not go down. */
START_TEST(tiny_entries)
{
    static const uint32_t counts[3][3] = { { 65533, 0, 1 }, { 0, 65536, 1 }, { 0, 0, 200000 } };
    char path[64];
    size_t header = write_entries(counts[_i], path);

    check_cost(header, path, counts[_i][2] > 1);
    unlink(path);
}
END_TEST

START_TEST(chat)
{
    static const char smollm[] =
        "{% if x %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
        "Hugging Face<|im_end|>\n' }}{% if add_generation_prompt %}";
    struct gguf_error err = { "" };
    struct blob b = { 0 };
    struct gguf *g;
    char *prompt;
    size_t len;

    ck_assert_int_eq(gguf_open(fault_path("valid.gguf"), &g, &err), GGUF_OK);
    ck_assert_int_eq(chat_format(g, "Hi\0!", 4, &prompt, &len, &err), GGUF_OK);
    ck_assert_uint_eq(len, 54);
    ck_assert_mem_eq(prompt, "<|im_start|>user\nHi\0!<|im_end|>\n<|im_start|>assistant\n", 55);
    free(prompt);
    gguf_close(g);

    blob_head(&b, 0, 1);
    blob_text_key(&b, "tokenizer.chat_template", smollm);
    ck_assert_msg(gguf_from_memory(b.data, b.size, &g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_int_eq(chat_format(g, "Hi", 2, &prompt, &len, &err), GGUF_OK);
    ck_assert_str_eq(prompt, "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, "
                             "trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                             "<|im_start|>assistant\n");
    free(prompt);
    gguf_close(g);
    free(b.data);
}
END_TEST

START_TEST(checked)
{
    uint64_t v = 7;

    ck_assert(checked_add(UINT64_MAX - 3, 3, &v) && v == UINT64_MAX);
    ck_assert(checked_mul(UINT64_MAX / 3, 3, &v) && v == UINT64_MAX);
    ck_assert(checked_mul(UINT64_MAX, 0, &v) && v == 0);
    ck_assert(checked_align(33, 32, &v) && v == 64);
    ck_assert(checked_align(64, 32, &v) && v == 64);
    ck_assert(!checked_add(UINT64_MAX - 3, 4, &v));
    ck_assert(!checked_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    ck_assert(!checked_align(UINT64_MAX - 3, 32, &v));
    ck_assert_uint_eq(v, 64);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *tests = tcase_create("gguf");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, faults, 0, (int)(sizeof fault_cases / sizeof fault_cases[0]));
    tcase_add_test(tests, getters);
    tcase_add_test(tests, tensor_rows);
    tcase_add_test(tests, cut_while_open);
    tcase_add_test(tests, not_a_file);
    tcase_add_test(tests, cut_everywhere);
    tcase_add_test(tests, change_everywhere);
    tcase_add_loop_test(tests, tiny_entries, 0, 3);
    tcase_add_test(tests, chat);
    tcase_add_test(tests, checked);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
