/* Reads the hyperparameters and refuses whatever the graph could not compute: see model.h. */
#include "shape.h"

#include <math.h>
#include <stdio.h>

enum { MAX_BLOCKS = 1024, MAX_WIDTH = 1 << 20, MAX_HEADS = 4096, MAX_CONTEXT = 1 << 28 };

static enum lm_status bad(struct gguf_error *err, const char *key, double value, const char *want)
{
    snprintf(err->message, sizeof err->message, "llama.%s is %g: %s", key, value, want);
    return LM_BAD_FILE;
}

/* llama.KEY in [1, max]; fallback (if not 0) where the key is absent. */
static enum lm_status number(const struct gguf *g, const char *key, int64_t max, int64_t fallback,
                             int64_t *out, struct gguf_error *err)
{
    char name[96], want[64];
    uint32_t value;
    int r;

    snprintf(name, sizeof name, "llama.%s", key);
    r = gguf_get_u32(g, name, &value, err);
    if (r == GGUF_ABSENT && fallback) {
        *out = fallback;
        return LM_OK;
    }
    if (r != GGUF_OK)
        return LM_BAD_FILE;
    snprintf(want, sizeof want, "1 to %lld is possible", (long long)max);
    if (value < 1 || value > max)
        return bad(err, key, value, want);
    *out = value;
    return LM_OK;
}

static enum lm_status real(const struct gguf *g, const char *key, float fallback, float *out,
                           struct gguf_error *err)
{
    char name[96];
    int r;

    snprintf(name, sizeof name, "llama.%s", key);
    *out = fallback;
    r = gguf_get_f32(g, name, out, err);
    return r == GGUF_OK || (r == GGUF_ABSENT && fallback > 0) ? LM_OK : LM_BAD_FILE;
}

/* Tokens: the embedding's rows, and what the metadata says if it does. */
static enum lm_status vocabulary(const struct gguf *g, struct lm_shape *s, struct gguf_error *err)
{
    const struct gguf_tensor *embedding;
    int64_t said;

    if (gguf_find_tensor(g, "token_embd.weight", &embedding, err) != GGUF_OK)
        return LM_BAD_FILE;
    if (embedding->dim[1] < 1 || embedding->dim[1] > MAX_CONTEXT) {
        snprintf(err->message, sizeof err->message, "token_embd.weight has %llu rows",
                 (unsigned long long)embedding->dim[1]);
        return LM_BAD_FILE;
    }
    s->vocab = (int64_t)embedding->dim[1];
    if (number(g, "vocab_size", MAX_CONTEXT, s->vocab, &said, err))
        return LM_BAD_FILE;
    if (said == s->vocab)
        return LM_OK;
    snprintf(err->message, sizeof err->message,
             "token_embd.weight has %lld rows, llama.vocab_size is %lld", (long long)s->vocab,
             (long long)said);
    return LM_BAD_FILE;
}

/* Rescaled rotary embeddings are another model than the one that is computed here. */
static enum lm_status no_scaling(const struct gguf *g, struct gguf_error *err)
{
    struct gguf_string type;
    int r = gguf_get_string(g, "llama.rope.scaling.type", &type, err);

    if (r == GGUF_ABSENT || (r == GGUF_OK && gguf_string_is(type, "none")))
        return LM_OK;
    if (r == GGUF_OK)
        snprintf(err->message, sizeof err->message,
                 "llama.rope.scaling.type is \"%.*s\": only \"none\" is known",
                 type.len > 64 ? 64 : (int)type.len, type.bytes);
    return LM_BAD_FILE;
}

static enum lm_status check(const struct lm_shape *s, float base, struct gguf_error *err)
{
    if (s->heads % s->kv_heads)
        return bad(err, "attention.head_count_kv", (double)s->kv_heads,
                   "must divide attention.head_count");
    if (s->head_dim > ANL_ATTN_MAX_D)
        return bad(err, "attention.key_length", (double)s->head_dim, "256 is the most");
    if (s->rope_dims % 2 || s->rope_dims > s->head_dim)
        return bad(err, "rope.dimension_count", (double)s->rope_dims,
                   "must be even and at most the head's width");
    if (!(s->eps >= 0x1p-100f && s->eps < 1))
        return bad(err, "attention.layer_norm_rms_epsilon", (double)s->eps,
                   "a small positive number is needed");
    if (!(base > 1 && base <= 1e12f))
        return bad(err, "rope.freq_base", (double)base, "above 1, at most 1e12");
    return LM_OK;
}

enum lm_status lm_shape_read(const struct gguf *g, struct lm_shape *out, struct gguf_error *err)
{
    struct lm_shape s = { 0 };
    struct gguf_string arch;
    float base = 0;

    if (gguf_get_string(g, "general.architecture", &arch, err) != GGUF_OK)
        return LM_BAD_FILE;
    if (!gguf_string_is(arch, "llama")) {
        snprintf(err->message, sizeof err->message,
                 "general.architecture is \"%.*s\": only \"llama\" is known",
                 arch.len > 64 ? 64 : (int)arch.len, arch.bytes);
        return LM_BAD_FILE;
    }
    if (number(g, "block_count", MAX_BLOCKS, 0, &s.blocks, err) ||
        number(g, "embedding_length", MAX_WIDTH, 0, &s.dm, err) ||
        number(g, "feed_forward_length", MAX_WIDTH, 0, &s.dff, err) ||
        number(g, "attention.head_count", MAX_HEADS, 0, &s.heads, err) ||
        number(g, "attention.head_count_kv", MAX_HEADS, s.heads, &s.kv_heads, err) ||
        number(g, "context_length", MAX_CONTEXT, 0, &s.context, err))
        return LM_BAD_FILE;
    if (s.dm % s.heads)
        return bad(err, "attention.head_count", (double)s.heads,
                   "must divide embedding_length");
    if (number(g, "attention.key_length", MAX_WIDTH, s.dm / s.heads, &s.head_dim, err) ||
        number(g, "rope.dimension_count", MAX_WIDTH, s.head_dim, &s.rope_dims, err) ||
        real(g, "attention.layer_norm_rms_epsilon", 0, &s.eps, err) ||
        real(g, "rope.freq_base", 10000, &base, err))
        return LM_BAD_FILE;
    if (check(&s, base, err))
        return LM_BAD_FILE;
    s.rope_base = (double)base;
    if (vocabulary(g, &s, err) || no_scaling(g, err))
        return LM_BAD_FILE;
    *out = s;
    return LM_OK;
}
