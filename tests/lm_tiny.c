/* tests/lm_tiny.c: see lm_tiny.h. */
#include "tests/lm_tiny.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/gen.h"
#include "tools/lm/gguf.h"
#include "tools/lm/vocab.h"

enum { ALIGNMENT = 32, MERGES = LM_TINY_END - LM_TINY_TEXT };

const struct lm_tiny lm_tiny_plain = { .blocks = 3, .dm = 64, .heads = 4, .kv_heads = 2, .dff = 96,
                                       .context = 2048, .seed = 1 };
const struct lm_tiny lm_tiny_wide = { .blocks = 1, .dm = 576, .heads = 3, .kv_heads = 1,
                                      .dff = 544, .context = 2048, .head_dim = 32,
                                      .rope_dims = 20, .own_head = 1, .seed = 2 };

struct writer {
    const struct lm_tiny *tiny;
    const struct lm_tiny_fault *fault;
    struct blob keys, tensors, data;
    uint64_t n_keys, n_tensors;
    struct gen gen;
};

static int is(const char *name, const char *other)
{
    return other != NULL && strcmp(name, other) == 0;
}

static void word_key(struct writer *w, const char *key, uint32_t type, uint32_t bits)
{
    if (is(key, w->fault->missing))
        return;
    blob_string(&w->keys, key, strlen(key));
    blob_int(&w->keys, type, 4);
    blob_int(&w->keys, is(key, w->fault->key) ? w->fault->bits : bits, 4);
    w->n_keys++;
}

static void count_key(struct writer *w, const char *key, uint32_t value)
{
    if (value != 0 || is(key, w->fault->key))
        word_key(w, key, 4, value);
}

static void float_key(struct writer *w, const char *key, float value)
{
    word_key(w, key, 6, gen_bits(value));
}

static void put_model_keys(struct writer *w)
{
    const struct lm_tiny *t = w->tiny;

    blob_text_key(&w->keys, "general.architecture", "llama");
    w->n_keys++;
    count_key(w, "llama.block_count", t->blocks);
    count_key(w, "llama.context_length", t->context);
    count_key(w, "llama.embedding_length", t->dm);
    count_key(w, "llama.feed_forward_length", t->dff);
    count_key(w, "llama.attention.head_count", t->heads);
    count_key(w, "llama.attention.head_count_kv", t->kv_heads);
    count_key(w, "llama.attention.key_length", t->head_dim);
    count_key(w, "llama.rope.dimension_count", t->rope_dims);
    float_key(w, "llama.rope.freq_base", 100000);
    float_key(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Merge i joins two letters: all pairs of the first 18 lower-case ones come in order, up to 320. */
static void merged(uint32_t i, char letters[2])
{
    letters[0] = (char)('a' + i / 18);
    letters[1] = (char)('a' + i % 18);
}

static void put_tokens(struct writer *w)
{
    char text[4];

    blob_array_key(&w->keys, "tokenizer.ggml.tokens", LM_TINY_VOCAB);
    for (unsigned b = 0; b < LM_TINY_TEXT; b++)
        blob_string(&w->keys, text, vocab_spell((uint8_t)b, text));
    for (uint32_t i = 0; i < MERGES; i++) {
        merged(i, text);
        blob_string(&w->keys, text, 2);
    }
    blob_string(&w->keys, "<|endoftext|>", 13);
    blob_array_key(&w->keys, "tokenizer.ggml.merges", MERGES);
    for (uint32_t i = 0; i < MERGES; i++) {
        merged(i, text);
        text[2] = text[1];
        text[1] = ' ';
        blob_string(&w->keys, text, 3);
    }
    w->n_keys += 2;
}

static void put_tokenizer_keys(struct writer *w)
{
    static const char types[] = "tokenizer.ggml.token_type";

    blob_text_key(&w->keys, "tokenizer.ggml.model", "gpt2");
    blob_text_key(&w->keys, "tokenizer.ggml.pre", "gpt-2");
    put_tokens(w);
    blob_string(&w->keys, types, strlen(types));
    blob_int(&w->keys, 9, 4);
    blob_int(&w->keys, 5, 4);
    blob_int(&w->keys, LM_TINY_VOCAB, 8);
    for (int i = 0; i < LM_TINY_VOCAB; i++)
        blob_int(&w->keys, i == LM_TINY_END ? 3 : 1, 4);
    w->n_keys += 3;
    count_key(w, "tokenizer.ggml.bos_token_id", LM_TINY_END);
    count_key(w, "tokenizer.ggml.eos_token_id", LM_TINY_END);
}

/* The table's line; the data follows where the last tensor's ended. */
static void put_entry(struct writer *w, const char *name, int n_dims, uint64_t k, uint64_t n,
                      enum gguf_dtype dtype)
{
    while (w->data.size % ALIGNMENT != 0)
        blob_int(&w->data, 0, 1);
    blob_string(&w->tensors, name, strlen(name));
    blob_int(&w->tensors, (uint64_t)n_dims, 4);
    blob_int(&w->tensors, k, 8);
    if (n_dims == 2)
        blob_int(&w->tensors, n, 8);
    blob_int(&w->tensors, (uint64_t)dtype, 4);
    blob_int(&w->tensors, w->data.size, 8);
    w->n_tensors++;
}

static void put_vector(struct writer *w, const char *name, uint64_t k)
{
    int halved = is(name, w->fault->halved);

    if (is(name, w->fault->missing))
        return;
    k += (uint64_t)is(name, w->fault->misshapen);
    put_entry(w, name, 1, k, 1, halved ? GGUF_F16 : GGUF_F32);
    for (uint64_t i = 0; i < k; i++) {
        float x = 1 + gen_normal(&w->gen) / 4;
        if (halved)
            blob_int(&w->data, gen_to_f16(x), 2);
        else
            blob_int(&w->data, gen_bits(x), 4);
    }
}

static anl_dtype annulet_type(enum gguf_dtype dtype)
{
    switch (dtype) {
    case GGUF_F32:
        return ANL_F32;
    case GGUF_F16:
        return ANL_F16;
    case GGUF_Q4_0:
        return ANL_Q4_0;
    case GGUF_Q4_1:
        return ANL_Q4_1;
    case GGUF_Q8_0:
        return ANL_Q8_0;
    }
    return ANL_F32;
}

/* Values around 2^shift. */
static void put_matrix(struct writer *w, const char *name, uint64_t n, uint64_t k,
                       enum gguf_dtype dtype, int shift)
{
    size_t row = gen_row_bytes(annulet_type(dtype), (int64_t)k), width = 1;
    uint8_t *rows;

    if (is(name, w->fault->missing))
        return;
    n += (uint64_t)is(name, w->fault->misshapen);
    put_entry(w, name, 2, k, n, dtype);
    rows = gen_weights(&w->gen, GEN_RANDOM, shift, annulet_type(dtype), (int64_t)n, (int64_t)k);
    if (dtype == GGUF_F32 || dtype == GGUF_F16) /* the generator gives the host's byte order */
        width = dtype == GGUF_F32 ? 4 : 2;
    for (size_t i = 0; i < n * row; i += width) {
        uint32_t word = rows[i];
        if (width == 4)
            memcpy(&word, rows + i, 4);
        if (width == 2)
            word = ((const uint16_t *)(const void *)rows)[i / 2];
        blob_int(&w->data, word, width);
    }
    free(rows);
}

/* A matrix of the block, its type by turns; scaled so that sums of k products stay near 2^gain. */
static void put_block_matrix(struct writer *w, uint32_t block, int number, const char *name,
                             uint64_t n, uint64_t k, int gain)
{
    static const enum gguf_dtype turns[] = { GGUF_Q4_1, GGUF_Q8_0, GGUF_Q4_0, GGUF_F16, GGUF_F32 };
    char full[64];
    int shift = gain;

    for (uint64_t width = 4; width <= k; width *= 4)
        shift--;
    snprintf(full, sizeof full, "blk.%u.%s.weight", block, name);
    put_matrix(w, full, n, k, turns[(block * 7 + (uint32_t)number) % 5], shift);
}

static void put_block(struct writer *w, uint32_t i)
{
    const struct lm_tiny *t = w->tiny;
    uint32_t d = t->head_dim ? t->head_dim : t->dm / t->heads;
    char name[64];

    snprintf(name, sizeof name, "blk.%u.attn_norm.weight", i);
    put_vector(w, name, t->dm);
    put_block_matrix(w, i, 0, "attn_q", t->heads * d, t->dm, 1); /* scores that tell keys apart */
    put_block_matrix(w, i, 1, "attn_k", t->kv_heads * d, t->dm, 1);
    put_block_matrix(w, i, 2, "attn_v", t->kv_heads * d, t->dm, 0);
    put_block_matrix(w, i, 3, "attn_output", t->dm, t->heads * d, 0);
    snprintf(name, sizeof name, "blk.%u.ffn_norm.weight", i);
    put_vector(w, name, t->dm);
    put_block_matrix(w, i, 4, "ffn_gate", t->dff, t->dm, 0);
    put_block_matrix(w, i, 5, "ffn_up", t->dff, t->dm, 0);
    put_block_matrix(w, i, 6, "ffn_down", t->dm, t->dff, 0);
}

struct blob lm_tiny_bytes(const struct lm_tiny *tiny, const struct lm_tiny_fault *fault)
{
    static const struct lm_tiny_fault none = { 0 };
    struct writer w = { .tiny = tiny, .fault = fault ? fault : &none,
                        .gen = gen_seed(tiny->seed, 0) };
    struct blob out = { 0 };

    put_model_keys(&w);
    put_tokenizer_keys(&w);
    put_matrix(&w, "token_embd.weight", LM_TINY_VOCAB, tiny->dm, GGUF_Q8_0, -2);
    for (uint32_t i = 0; i < tiny->blocks; i++)
        put_block(&w, i);
    put_vector(&w, "output_norm.weight", tiny->dm);
    if (tiny->own_head)
        put_matrix(&w, "output.weight", LM_TINY_VOCAB, tiny->dm, GGUF_F16, -3);
    blob_head(&out, w.n_tensors, w.n_keys);
    blob_put(&out, w.keys.data, w.keys.size);
    blob_put(&out, w.tensors.data, w.tensors.size);
    while (out.size % ALIGNMENT != 0)
        blob_int(&out, 0, 1);
    blob_put(&out, w.data.data, w.data.size);
    free(w.keys.data);
    free(w.tensors.data);
    free(w.data.data);
    return out;
}

void lm_tiny_write(const struct blob *bytes, char path[64])
{
    FILE *file;
    int fd;

    snprintf(path, 64, "/tmp/annulet-lm-XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    file = fdopen(fd, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes->data, 1, bytes->size, file), bytes->size);
    ck_assert_int_eq(fclose(file), 0);
}
