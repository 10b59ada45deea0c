/* A session: the KV cache and the forward pass of a chunk of tokens through all blocks.
 *
 * Keys and values of a block lie [token][kv head][head_dim] in one buffer, or in several pieces of a
 * multiple of 512 tokens where a device's largest allocation is too small for one. This is so on one device; on several all of it is sharded.c's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"
#include "model_impl.h"
#include "sharded.h"

enum { CHUNK = 1024, CHUNK_CL = 8192, SPAN = 512 };

#define CHUNK_BYTES (256 << 20) /* of a chunk's buffers, on OpenCL */

struct lm_session {
    struct lm_model *m;
    int64_t capacity, chunk, position;
    int64_t rows; /* of the last append */
    int64_t piece_tokens, n_pieces;
    struct anl_buffer **k, **v; /* [block][piece] */
    struct anl_kv_piece *pieces; /* n_pieces, filled for each block */
    struct lm_lane lane;
    struct lm_sharded *sharded; /* on several devices, and nothing of the cache above then */
};

static struct anl_device *only_device(const struct lm_session *s)
{
    return s->m->part[0].device;
}

static enum lm_status device_failed(const struct lm_session *s, struct gguf_error *err)
{
    snprintf(err->message, sizeof err->message, "%.*s", (int)sizeof err->message - 1,
             s->sharded ? sharded_message(s->sharded) : anl_device_message(only_device(s)));
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

    anl_device_get_info(only_device(s), &info);
    if (info.max_alloc && (uint64_t)s->capacity * (uint64_t)row > info.max_alloc)
        most = (int64_t)(info.max_alloc / (uint64_t)row);
    s->piece_tokens = most >= s->capacity ? s->capacity : most < SPAN ? SPAN : most / SPAN * SPAN;
    s->n_pieces = (s->capacity + s->piece_tokens - 1) / s->piece_tokens;
}

static anl_status make_cache(struct lm_session *s)
{
    struct anl_device *d = only_device(s);

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

/* A GPU wants many tokens at a time; CPUs are content with fewer. */
static int64_t default_chunk(const struct lm_session *s)
{
    const struct lm_shape *sh = &s->m->shape;
    int64_t fit = CHUNK_BYTES / ((sh->dm + 2 * sh->heads * sh->head_dim) * (int64_t)sizeof(float));
    struct anl_device_info info;

    if (s->m->n > 1)
        return s->capacity;
    anl_device_get_info(only_device(s), &info);
    if (info.backend != ANL_CL)
        return CHUNK;
    return fit < CHUNK ? CHUNK : fit > CHUNK_CL ? CHUNK_CL : fit;
}

/* What a session on one device has. */
static enum lm_status make_single(struct lm_session *s, struct gguf_error *err)
{
    size_t n;

    plan_pieces(s);
    n = (size_t)(s->m->shape.blocks * s->n_pieces);
    s->k = calloc(n, sizeof *s->k);
    s->v = calloc(n, sizeof *s->v);
    s->pieces = calloc((size_t)s->n_pieces, sizeof *s->pieces);
    if (!s->k || !s->v || !s->pieces)
        return LM_DEVICE;
    if (lane_open(&s->lane, &s->m->shape, &s->m->part[0], s->chunk, s->capacity) || make_cache(s))
        return device_failed(s, err);
    return LM_OK;
}

enum lm_status lm_session_new(struct lm_model *model, int64_t capacity, int64_t chunk,
                              struct lm_session **out, struct gguf_error *err)
{
    struct lm_session *s = calloc(1, sizeof *s);
    enum lm_status r = LM_DEVICE;

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
    if (model->n > 1 ? sharded_new(model, capacity, s->chunk, &s->sharded, err) != ANL_OK
                     : make_single(s, err) != LM_OK)
        goto fail;
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
    lane_close(&s->lane);
    sharded_free(s->sharded);
    free(s->k);
    free(s->v);
    free(s->pieces);
    free(s);
}

/* Queries of n tokens, and their keys and values into the cache: cut where a piece ends. */
static anl_status project(struct lm_session *s, int64_t block, int64_t n)
{
    anl_status r = ANL_OK;

    for (int64_t i = 0, m; !r && i < n; i += m) {
        int64_t at = s->position + i, piece = at / s->piece_tokens, from = at % s->piece_tokens;
        int64_t room = s->piece_tokens - from, cache = block * s->n_pieces + piece;

        m = n - i < room ? n - i : room;
        r = lane_project(&s->lane, block, i, m, at, i, s->k[cache], s->v[cache], from);
    }
    return r;
}

static anl_status attend(struct lm_session *s, int64_t block, int64_t n)
{
    struct anl_attn_params p = { .size = sizeof p, .pieces = s->pieces, .causal = 1,
                                 .q = lane_heads(&s->lane, s->lane.q, 0, n),
                                 .out = lane_heads(&s->lane, s->lane.att, 0, n) };
    int64_t keys = s->position + n;

    for (int64_t i = 0; i * s->piece_tokens < keys; i++) {
        int64_t left = keys - i * s->piece_tokens, cache = block * s->n_pieces + i;
        left = left < s->piece_tokens ? left : s->piece_tokens;
        s->pieces[i].k = lane_cached(&s->lane, s->k[cache], 0, left);
        s->pieces[i].v = lane_cached(&s->lane, s->v[cache], 0, left);
        s->pieces[i].start = i * s->piece_tokens;
        p.n_pieces = (int)i + 1;
    }
    return anl_attn(only_device(s), &p);
}

static anl_status append(struct lm_session *s, const int32_t *ids, int64_t n)
{
    anl_status r = lane_embed(&s->lane, ids, 0, n);

    for (int64_t i = 0; !r && i < s->m->shape.blocks; i++) {
        r = project(s, i, n);
        if (!r)
            r = attend(s, i, n);
        if (!r)
            r = lane_finish_block(&s->lane, i, 0, n, 0);
    }
    return r;
}

enum lm_status lm_append(struct lm_session *session, const int32_t *ids, int64_t n,
                         struct gguf_error *err)
{
    struct lm_session *s = session;

    if (n < 1 || n > s->chunk || n > s->capacity - s->position) {
        snprintf(err->message, sizeof err->message,
                 "%lld tokens do not fit: %lld of %lld are used", (long long)n,
                 (long long)s->position, (long long)s->capacity);
        return LM_BAD_FILE;
    }
    s->rows = 0; /* until all is computed again */
    if (s->sharded ? sharded_append(s->sharded, s->position, ids, n) : append(s, ids, n))
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

enum lm_status lm_hidden(struct lm_session *session, int64_t row0, int64_t rows, float *out,
                         struct gguf_error *err)
{
    struct lm_session *s = session;

    if (check_rows(s, row0, rows, err))
        return LM_BAD_FILE;
    if (s->sharded ? sharded_hidden(s->sharded, row0, rows, out)
                   : lane_hidden(&s->lane, row0, rows, out))
        return device_failed(s, err);
    return LM_OK;
}

enum lm_status lm_logits(struct lm_session *session, int64_t row, float *out,
                         struct gguf_error *err)
{
    struct lm_session *s = session;

    if (check_rows(s, row, 1, err))
        return LM_BAD_FILE;
    if (s->sharded ? sharded_logits(s->sharded, row, out) : lane_logits(&s->lane, row, out))
        return device_failed(s, err);
    return LM_OK;
}

enum lm_status lm_nll(struct lm_session *session, int64_t row0, int64_t rows,
                      const int32_t *targets, float *out, struct gguf_error *err)
{
    struct lm_session *s = session;

    if (check_rows(s, row0, rows, err))
        return LM_BAD_FILE;
    if (s->sharded ? sharded_nll(s->sharded, row0, rows, targets, out)
                   : lane_nll(&s->lane, row0, rows, targets, out))
        return device_failed(s, err);
    return LM_OK;
}
