/* A session: the KV cache and the forward pass of a chunk of tokens through all blocks.
 *
 * Keys and values of a block lie [token][kv head][head_dim] in one buffer, or in several pieces of a
 * multiple of 512 tokens where a device's largest allocation is too small for one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#include "model_impl.h"

enum { CHUNK = 1024, CHUNK_CL = 8192, NLL_ROWS = 128, HIDDEN_ROWS = 1024, SPAN = 512 };

#define CHUNK_BYTES (256 << 20) /* of a chunk's buffers, on OpenCL */

struct lm_session {
    struct lm_model *m;
    int64_t capacity, chunk, position;
    int64_t rows; /* of the last append */
    int64_t piece_tokens, n_pieces;
    struct anl_buffer **k, **v; /* [block][piece] */
    struct anl_kv_piece *pieces; /* n_pieces, filled for each block */
    struct anl_buffer *h, *q, *att, *hidden, *logits, *nll;
    struct anl_rope_table *rope;
};

static enum lm_status device_failed(const struct lm_session *s, struct gguf_error *err)
{
    snprintf(err->message, sizeof err->message, "%s", anl_device_message(s->m->device));
    return LM_DEVICE;
}

static int64_t kv_width(const struct lm_session *s)
{
    return s->m->shape.kv_heads * s->m->shape.head_dim;
}

static int64_t piece_length(const struct lm_session *s, int64_t piece)
{
    int64_t left = s->capacity - piece * s->piece_tokens;
    return left < s->piece_tokens ? left : s->piece_tokens;
}

/* How many tokens' keys a buffer takes: all, unless the device's largest allocation says less. */
static void plan_pieces(struct lm_session *s)
{
    struct anl_device_info info;
    int64_t row = kv_width(s) * (int64_t)sizeof(float), most = s->capacity;

    anl_device_get_info(s->m->device, &info);
    if (info.max_alloc && (uint64_t)s->capacity * (uint64_t)row > info.max_alloc)
        most = (int64_t)(info.max_alloc / (uint64_t)row);
    s->piece_tokens = most >= s->capacity ? s->capacity : most < SPAN ? SPAN : most / SPAN * SPAN;
    s->n_pieces = (s->capacity + s->piece_tokens - 1) / s->piece_tokens;
}

static anl_status make_cache(struct lm_session *s)
{
    struct anl_device *d = s->m->device;

    for (int64_t i = 0; i < s->m->shape.blocks * s->n_pieces; i++) {
        uint64_t bytes = (uint64_t)(piece_length(s, i % s->n_pieces) * kv_width(s)) * sizeof(float);
        anl_status r = anl_buffer_create(d, bytes, &s->k[i]);
        if (!r)
            r = anl_buffer_create(d, bytes, &s->v[i]);
        if (r)
            return r;
    }
    return ANL_OK;
}

/* Rows of logits, and of normed hidden states, that are made at a time. */
static int64_t head_rows(const struct lm_session *s)
{
    return s->chunk < NLL_ROWS ? s->chunk : NLL_ROWS;
}

static int64_t hidden_rows(const struct lm_session *s)
{
    return s->chunk < HIDDEN_ROWS ? s->chunk : HIDDEN_ROWS;
}

static anl_status make_buffers(struct lm_session *s)
{
    const struct lm_shape *sh = &s->m->shape;
    int64_t qw = sh->heads * sh->head_dim, nll_rows = head_rows(s);
    struct anl_rope_table_params rope = { .size = sizeof rope, .dims = (int)sh->rope_dims,
                                          .base = sh->rope_base, .positions = s->capacity };
    const struct {
        struct anl_buffer **out;
        int64_t rows, width;
    } want[] = {
        { &s->h, s->chunk, sh->dm },        { &s->q, s->chunk, qw },
        { &s->att, s->chunk, qw },          { &s->hidden, hidden_rows(s), sh->dm },
        { &s->logits, nll_rows, sh->vocab }, { &s->nll, nll_rows, 1 },
    };
    anl_status r = anl_rope_table_create(s->m->device, &rope, &s->rope);

    for (size_t i = 0; !r && i < sizeof want / sizeof *want; i++)
        r = anl_buffer_create(s->m->device,
                              (uint64_t)(want[i].rows * want[i].width) * sizeof(float),
                              want[i].out);
    return r ? r : make_cache(s);
}

/* A GPU wants many tokens at a time; CPUs are content with fewer. */
static int64_t default_chunk(const struct lm_session *s)
{
    const struct lm_shape *sh = &s->m->shape;
    int64_t fit = CHUNK_BYTES / ((sh->dm + 2 * sh->heads * sh->head_dim) * (int64_t)sizeof(float));
    struct anl_device_info info;

    anl_device_get_info(s->m->device, &info);
    if (info.backend != ANL_CL)
        return CHUNK;
    return fit < CHUNK ? CHUNK : fit > CHUNK_CL ? CHUNK_CL : fit;
}

enum lm_status lm_session_new(struct lm_model *model, int64_t capacity, int64_t chunk,
                              struct lm_session **out, struct gguf_error *err)
{
    struct lm_session *s = calloc(1, sizeof *s);
    enum lm_status r = LM_DEVICE;
    size_t n;

    *out = NULL;
    snprintf(err->message, sizeof err->message, "out of memory");
    if (!s)
        return LM_DEVICE;
    s->m = model;
    s->capacity = capacity;
    s->chunk = chunk > 0 ? chunk : default_chunk(s);
    s->chunk = s->chunk < capacity ? s->chunk : capacity;
    if (capacity < 1 || capacity > model->shape.context) {
        snprintf(err->message, sizeof err->message,
                 "%lld tokens are asked for: the model's context is %lld", (long long)capacity,
                 (long long)model->shape.context);
        r = LM_BAD_FILE;
        goto fail;
    }
    plan_pieces(s);
    n = (size_t)(model->shape.blocks * s->n_pieces);
    s->k = calloc(n, sizeof *s->k);
    s->v = calloc(n, sizeof *s->v);
    s->pieces = calloc((size_t)s->n_pieces, sizeof *s->pieces);
    if (!s->k || !s->v || !s->pieces)
        goto fail;
    if (make_buffers(s)) {
        r = device_failed(s, err);
        goto fail;
    }
    *out = s;
    return LM_OK;
fail:
    lm_session_free(s);
    return r;
}

void lm_session_free(struct lm_session *session)
{
    struct lm_session *s = session;

    if (!s)
        return;
    for (int64_t i = 0; s->k && s->v && i < s->m->shape.blocks * s->n_pieces; i++) {
        anl_buffer_destroy(s->k[i]);
        anl_buffer_destroy(s->v[i]);
    }
    anl_buffer_destroy(s->h);
    anl_buffer_destroy(s->q);
    anl_buffer_destroy(s->att);
    anl_buffer_destroy(s->hidden);
    anl_buffer_destroy(s->logits);
    anl_buffer_destroy(s->nll);
    anl_rope_table_destroy(s->rope);
    free(s->k);
    free(s->v);
    free(s->pieces);
    free(s);
}

static struct anl_tensor matrix(struct anl_buffer *b, int64_t rows, int64_t width)
{
    return anl_tensor_2d(b, 0, ANL_F32, rows, width);
}

/* The weights of a norm. */
static struct anl_tensor norm_of(const struct lm_session *s, struct anl_buffer *w)
{
    return anl_tensor_1d(w, 0, ANL_F32, s->m->shape.dm);
}

/* Queries of n tokens, and their keys and values into the cache: cut where a piece ends. */
static anl_status project(struct lm_session *s, int64_t block, int64_t n)
{
    const struct lm_shape *sh = &s->m->shape;
    const struct lm_block *b = &s->m->block[block];
    struct anl_qkv_params p = { .size = sizeof p, .norm = norm_of(s, b->attn_norm), .eps = sh->eps,
                                .wq = b->q, .wk = b->k, .wv = b->v, .table = s->rope,
                                .pairs = ANL_ROPE_ADJACENT };
    uint64_t q_row = (uint64_t)(sh->heads * sh->head_dim) * sizeof(float);
    uint64_t kv_row = (uint64_t)kv_width(s) * sizeof(float);
    anl_status r = ANL_OK;

    for (int64_t i = 0, m; !r && i < n; i += m) {
        int64_t at = s->position + i, piece = at / s->piece_tokens, from = at % s->piece_tokens;
        int64_t room = s->piece_tokens - from, cache = block * s->n_pieces + piece;

        m = n - i < room ? n - i : room;
        p.position = at;
        p.x = anl_tensor_2d(s->h, (uint64_t)(i * sh->dm) * sizeof(float), ANL_F32, m, sh->dm);
        p.q = anl_tensor_3d(s->q, (uint64_t)i * q_row, ANL_F32, m, sh->heads, sh->head_dim);
        p.k = anl_tensor_3d(s->k[cache], (uint64_t)from * kv_row, ANL_F32, m, sh->kv_heads,
                            sh->head_dim);
        p.v = p.k;
        p.v.buffer = s->v[cache];
        r = anl_qkv(s->m->device, &p);
    }
    return r;
}

/* The first n tokens of a cache buffer: [1, HKV, n, D]. */
static struct anl_tensor cached(const struct lm_session *s, struct anl_buffer *b, int64_t n)
{
    const struct lm_shape *sh = &s->m->shape;
    struct anl_tensor t = anl_tensor_4d(b, 0, ANL_F32, 1, sh->kv_heads, n, sh->head_dim);
    t.stride[1] = sh->head_dim;
    t.stride[2] = kv_width(s);
    return t;
}

static anl_status attend(struct lm_session *s, int64_t block, int64_t n)
{
    const struct lm_shape *sh = &s->m->shape;
    struct anl_tensor q = anl_tensor_4d(s->q, 0, ANL_F32, 1, sh->heads, n, sh->head_dim);
    struct anl_attn_params p = { .size = sizeof p, .pieces = s->pieces, .causal = 1 };
    int64_t keys = s->position + n;

    q.stride[1] = sh->head_dim;
    q.stride[2] = sh->heads * sh->head_dim;
    p.q = p.out = q;
    p.out.buffer = s->att;
    for (int64_t i = 0; i * s->piece_tokens < keys; i++) {
        int64_t left = keys - i * s->piece_tokens;
        left = left < s->piece_tokens ? left : s->piece_tokens;
        s->pieces[i].k = cached(s, s->k[block * s->n_pieces + i], left);
        s->pieces[i].v = cached(s, s->v[block * s->n_pieces + i], left);
        s->pieces[i].start = i * s->piece_tokens;
        p.n_pieces = (int)i + 1;
    }
    return anl_attn(s->m->device, &p);
}

static anl_status one_block(struct lm_session *s, int64_t i, int64_t n)
{
    const struct lm_shape *sh = &s->m->shape;
    const struct lm_block *b = &s->m->block[i];
    struct anl_tensor h = matrix(s->h, n, sh->dm);
    struct anl_linear_params o = { .size = sizeof o, .x = matrix(s->att, n, sh->heads * sh->head_dim),
                                   .w = b->o, .residual = h, .out = h };
    struct anl_ffn_params ffn = { .size = sizeof ffn, .x = h, .norm = norm_of(s, b->ffn_norm),
                                  .eps = sh->eps, .gate = b->gate, .up = b->up, .down = b->down,
                                  .act = ANL_ACT_SILU, .residual = h, .out = h };
    anl_status r = project(s, i, n);

    if (!r)
        r = attend(s, i, n);
    if (!r)
        r = anl_linear(s->m->device, &o);
    return r ? r : anl_ffn(s->m->device, &ffn);
}

enum lm_status lm_append(struct lm_session *session, const int32_t *ids, int64_t n,
                         struct gguf_error *err)
{
    struct lm_session *s = session;
    int64_t dm = s->m->shape.dm;
    struct anl_embed_params embed = { .size = sizeof embed, .ids = ids, .table = s->m->embedding,
                                      .out = matrix(s->h, n, dm) };
    anl_status r;

    if (n < 1 || n > s->chunk || n > s->capacity - s->position) {
        snprintf(err->message, sizeof err->message,
                 "%lld tokens do not fit: %lld of %lld are used", (long long)n,
                 (long long)s->position, (long long)s->capacity);
        return LM_BAD_FILE;
    }
    s->rows = 0; /* until all is computed again */
    r = anl_embed(s->m->device, &embed);
    for (int64_t i = 0; !r && i < s->m->shape.blocks; i++)
        r = one_block(s, i, n);
    if (r)
        return device_failed(s, err);
    s->position += n;
    s->rows = n;
    return LM_OK;
}

void lm_rewind(struct lm_session *session, int64_t position)
{
    if (position >= 0 && position < session->position)
        session->position = position;
    session->rows = 0; /* they may be of a token that is gone */
}

int64_t lm_chunk(const struct lm_session *session)
{
    return session->chunk;
}

int64_t lm_position(const struct lm_session *session)
{
    return session->position;
}

/* Are rows [row0, row0 + rows) of the last append? */
static enum lm_status check_rows(const struct lm_session *s, int64_t row0, int64_t rows,
                                 struct gguf_error *err)
{
    if (row0 >= 0 && rows >= 0 && row0 <= s->rows && rows <= s->rows - row0)
        return LM_OK;
    snprintf(err->message, sizeof err->message, "rows %lld to %lld: the last call had %lld",
             (long long)row0, (long long)(row0 + rows), (long long)s->rows);
    return LM_BAD_FILE;
}

/* The last block's results of rows [row0, row0 + rows), not normed yet. */
static struct anl_tensor last_rows(const struct lm_session *s, int64_t row0, int64_t rows)
{
    int64_t dm = s->m->shape.dm;
    return anl_tensor_2d(s->h, (uint64_t)(row0 * dm) * sizeof(float), ANL_F32, rows, dm);
}

enum lm_status lm_hidden(struct lm_session *session, int64_t row0, int64_t rows, float *out,
                         struct gguf_error *err)
{
    struct lm_session *s = session;
    int64_t dm = s->m->shape.dm, most = hidden_rows(s);

    if (check_rows(s, row0, rows, err))
        return LM_BAD_FILE;
    for (int64_t i = 0; i < rows; i += most) {
        int64_t n = rows - i < most ? rows - i : most;
        struct anl_norm_params p = { .size = sizeof p, .x = last_rows(s, row0 + i, n),
                                     .w = norm_of(s, s->m->norm), .eps = s->m->shape.eps,
                                     .out = matrix(s->hidden, n, dm) };
        if (anl_norm(s->m->device, &p) ||
            anl_buffer_read(s->hidden, 0, out + i * dm, (uint64_t)(n * dm) * sizeof(float)))
            return device_failed(s, err);
    }
    return LM_OK;
}

/* logits [rows, vocab] of rows [row0, row0 + rows), rows <= head_rows(). */
static anl_status head(struct lm_session *s, int64_t row0, int64_t rows, struct anl_tensor *logits)
{
    struct anl_linear_params p = { .size = sizeof p, .x = last_rows(s, row0, rows),
                                   .norm = norm_of(s, s->m->norm), .eps = s->m->shape.eps,
                                   .w = s->m->head ? s->m->head : s->m->embedding };

    p.out = *logits = matrix(s->logits, rows, s->m->shape.vocab);
    return anl_linear(s->m->device, &p);
}

enum lm_status lm_logits(struct lm_session *session, int64_t row, float *out,
                         struct gguf_error *err)
{
    uint64_t bytes = (uint64_t)session->m->shape.vocab * sizeof(float);
    struct anl_tensor logits;

    if (check_rows(session, row, 1, err))
        return LM_BAD_FILE;
    if (head(session, row, 1, &logits) || anl_buffer_read(session->logits, 0, out, bytes))
        return device_failed(session, err);
    return LM_OK;
}

enum lm_status lm_nll(struct lm_session *session, int64_t row0, int64_t rows,
                      const int32_t *targets, float *out, struct gguf_error *err)
{
    struct lm_session *s = session;
    int64_t most = head_rows(s);

    if (check_rows(s, row0, rows, err))
        return LM_BAD_FILE;
    for (int64_t i = 0; i < rows; i += most) {
        int64_t n = rows - i < most ? rows - i : most;
        struct anl_tensor logits;
        struct anl_xent_params p = { .size = sizeof p, .targets = targets + i,
                                     .out = anl_tensor_1d(s->nll, 0, ANL_F32, n) };
        anl_status r = head(s, row0 + i, n, &logits);

        p.logits = logits;
        if (!r)
            r = anl_xent(s->m->device, &p);
        if (!r)
            r = anl_buffer_read(s->nll, 0, out + i, (uint64_t)n * sizeof(float));
        if (r)
            return device_failed(s, err);
    }
    return LM_OK;
}
