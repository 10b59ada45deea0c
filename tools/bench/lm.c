/* tools/bench/lm.c: a language model's prefill and decoding. The tokens are drawn by the tests'
 * generator: which they are does not matter to the time. Hashes are of the last token's logits. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench.h"
#include "tools/lm_app.h"

#define DECODED 32 /* tokens that a round of decoding makes */

struct lm_run {
    struct lm_app app;
    struct lm_session *session;
    int64_t tokens; /* of the prompt */
    int32_t *ids;
    float *logits;
    int64_t vocab;
};

static int failed(enum lm_status status, const struct gguf_error *err)
{
    return lm_app_failed(status, err) == CLI_OK ? 0 : -1;
}

/* Ends with the last token's logits, read back. */
static int prefill(void *user)
{
    struct lm_run *r = user;
    struct gguf_error err = { "" };
    enum lm_status status = LM_OK;
    int64_t n = 0;
    for (int64_t i = 0; status == LM_OK && i < r->tokens && !cli_interrupted(); i += n) {
        int64_t chunk = lm_chunk(r->session);
        n = r->tokens - i < chunk ? r->tokens - i : chunk;
        status = lm_append(r->session, r->ids + i, n, &err);
    }
    if (status == LM_OK && n > 0)
        status = lm_logits(r->session, n - 1, r->logits, &err);
    return failed(status, &err);
}

static int forget_all(void *user)
{
    struct lm_run *r = user;
    lm_rewind(r->session, 0);
    return 0;
}

/* The prompt is computed once: what was decoded after it is forgotten. */
static int forget_decoded(void *user)
{
    struct lm_run *r = user;
    if (lm_position(r->session) < r->tokens)
        return prefill(r);
    lm_rewind(r->session, r->tokens);
    return 0;
}

static int32_t likeliest(const float *logits, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return (int32_t)best;
}

static int decode(void *user)
{
    struct lm_run *r = user;
    struct gguf_error err = { "" };
    enum lm_status status = LM_OK;
    int32_t id = r->ids[0];
    for (int i = 0; status == LM_OK && i < DECODED && !cli_interrupted(); i++) {
        status = lm_append(r->session, &id, 1, &err);
        if (status == LM_OK)
            status = lm_logits(r->session, 0, r->logits, &err);
        id = likeliest(r->logits, r->vocab);
    }
    return failed(status, &err);
}

static int hash(void *user, uint64_t *out)
{
    struct lm_run *r = user;
    *out = run_hash(ANL_F32, (size_t)r->vocab, r->logits);
    return 0;
}

/* What n tokens after `before` others take; the head only for `heads` of them. */
static double count_flop(const struct lm_shape *s, int64_t before, int64_t n, int64_t heads)
{
    int64_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    double matrices = (double)s->blocks * (double)s->dm * (double)(2 * q + 2 * kv + 3 * s->dff);
    double pairs = ((double)before + 0.5 * (double)(n + 1)) * (double)n;
    return 2 * (matrices * (double)n + (double)heads * (double)s->vocab * (double)s->dm) +
           4 * (double)(s->blocks * q) * pairs;
}

/* Decoding reads the weights and the keys and values before it for each token; of an embedding that is
 * not the head, too, only rows. */
static double count_bytes(const struct lm_run *r, int is_decode)
{
    const struct lm_shape *s = lm_model_shape(r->app.model);
    double kv = 2.0 * (double)(s->blocks * s->kv_heads * s->head_dim) * sizeof(float);
    double weights = (double)lm_model_read_bytes(r->app.model);
    if (!is_decode)
        return weights + kv * (double)r->tokens;
    return DECODED * (weights + kv * ((double)r->tokens + 0.5 * (DECODED + 1)));
}

static int open_run(struct bench *b, struct lm_run *r, int64_t room)
{
    struct gguf_error err = { "" };
    int code = lm_app_open(&r->app, b->model, b->spec, b->isa);
    if (code != CLI_OK)
        return code;
    b->device = r->app.devices.device[0];
    anl_device_get_info(b->device, &b->info);
    const struct lm_shape *s = lm_model_shape(r->app.model);
    if (b->tokens + room > s->context) {
        cli_error("--tokens is %lld: with this model at most %lld", (long long)b->tokens,
                  (long long)(s->context - room));
        return CLI_USAGE;
    }
    r->tokens = b->tokens;
    r->vocab = s->vocab;
    r->ids = gen_alloc((size_t)r->tokens, sizeof *r->ids);
    r->logits = gen_alloc((size_t)r->vocab, sizeof *r->logits);
    struct gen g = gen_seed(0, 800);
    for (int64_t i = 0; i < r->tokens; i++)
        r->ids[i] = (int32_t)gen_below(&g, (uint32_t)r->vocab);
    return lm_app_failed(lm_session_new(r->app.model, r->tokens + room, 0, &r->session, &err), &err);
}

int bench_lm(struct bench *b, int is_decode)
{
    struct lm_run r = { .tokens = 0 };
    char shape[64];
    int code = open_run(b, &r, is_decode ? DECODED : 0);
    if (code == CLI_OK) {
        const struct lm_shape *s = lm_model_shape(r.app.model);
        snprintf(shape, sizeof shape, "%s %lld", is_decode ? "after" : "tokens",
                 (long long)r.tokens);
        const struct bench_task task = {
            .op = is_decode ? "lm-decode" : "lm-prefill",
            .shape = shape,
            .flop = is_decode ? count_flop(s, r.tokens, DECODED, DECODED)
                              : count_flop(s, 0, r.tokens, 1),
            .bytes = count_bytes(&r, is_decode),
            .tokens = is_decode ? DECODED : r.tokens,
            .prepare = is_decode ? forget_decoded : forget_all,
            .call = is_decode ? decode : prefill,
            .hash = hash,
            .user = &r,
            .single = 1,
        };
        code = bench_rounds(b, &task);
    }
    lm_session_free(r.session);
    free(r.ids);
    free(r.logits);
    b->device = NULL;
    lm_app_close(&r.app);
    return code;
}
