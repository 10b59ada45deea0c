/*
 * tests/fuzz_gguf.c: a libFuzzer target over the parts that read a model file: the reader with all
 * its getters, a tokenizer and a chat prompt from what it holds, and an encoding and its pieces.
 *
 *     clang -fsanitize=fuzzer,address,undefined ...
 *     ./fuzz_gguf -max_len=16384 CORPUS tests/fuzz_seeds tests/faults
 */
#include <stdint.h>
#include <stdlib.h>

#include "tools/lm/chat.h"
#include "tools/lm/gguf.h"
#include "tools/lm/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensors(const struct gguf *g)
{
    struct gguf_error err;

    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        uint64_t rows = gguf_n_rows(t);
        unsigned char *row = malloc((size_t)gguf_row_bytes(t));
        if (row == NULL)
            abort();
        if (gguf_tensor_read(g, t, rows - 1, 1, row, &err) != GGUF_OK ||
            gguf_tensor_read(g, t, rows, 1, row, &err) == GGUF_OK)
            abort();
        free(row);
    }
}

static void read_keys(const struct gguf *g)
{
    const struct gguf_tensor *t;
    struct gguf_error err;
    struct gguf_numbers numbers;
    struct gguf_string s;
    uint32_t u;
    float f;
    bool b;

    gguf_get_string(g, "general.architecture", &s, &err);
    gguf_get_u32(g, "llama.block_count", &u, &err);
    gguf_get_f32(g, "llama.rope.freq_base", &f, &err);
    gguf_get_bool(g, "tokenizer.ggml.add_bos_token", &b, &err);
    gguf_get_f32s(g, "tokenizer.ggml.scores", &numbers, &err);
    gguf_find_tensor(g, "output_norm.weight", &t, &err);
}

/* Every id must have a piece whose bytes can be read. */
static void use_tokenizer(const struct tok *tok, const char *text, size_t len, unsigned flags)
{
    struct gguf_error err;
    int32_t *ids;
    size_t n;

    if (tok_encode(tok, text, len, flags, &ids, &n, &err) != GGUF_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        const char *piece;
        size_t piece_len;
        size_t sum = 0;
        if (tok_piece(tok, ids[i], &piece, &piece_len) != GGUF_OK)
            abort();
        for (size_t b = 0; b < piece_len; b++)
            sum += (unsigned char)piece[b];
        if (sum > 255 * piece_len)
            abort();
    }
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "<|im_start|>Hi  abc abab 123's \xc3\xa4\xff\xe2\x82 <|im_end|>\n\n";
    size_t tail = size < 64 ? size : 64;
    struct gguf_error err;
    struct gguf *g;
    struct tok *tok;
    char *prompt;
    size_t len;

    if (gguf_from_memory(data, size, &g, &err) != GGUF_OK)
        return 0;
    read_tensors(g);
    read_keys(g);
    if (chat_format(g, "Hi", 2, &prompt, &len, &err) == GGUF_OK)
        free(prompt);
    if (tok_new(g, &tok, &err) == GGUF_OK) {
        use_tokenizer(tok, text, sizeof text - 1, TOK_STRICT);
        use_tokenizer(tok, text, sizeof text - 1, TOK_PARSE_SPECIAL | TOK_ADD_BOS);
        use_tokenizer(tok, (const char *)data + size - tail, tail, TOK_STRICT | TOK_PARSE_SPECIAL);
        tok_free(tok);
    }
    gguf_close(g);
    return 0;
}
