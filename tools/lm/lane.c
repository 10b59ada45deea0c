/* A device's rows through the model: see lane.h. */
#include "lane.h"

enum { NLL_ROWS = 128, HIDDEN_ROWS = 1024 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

anl_status lane_open(struct lm_lane *lane, const struct lm_shape *shape, const struct lm_part *w,
                     int64_t rows, int64_t positions)
{
    int64_t qw = shape->heads * shape->head_dim;
    struct anl_rope_table_params rope = { .size = sizeof rope, .dims = (int)shape->rope_dims,
                                          .base = shape->rope_base, .positions = positions };
    anl_status r;

    lane->shape = shape;
    lane->w = w;
    lane->rows = rows;
    lane->head_rows = least(rows, NLL_ROWS);
    lane->hidden_rows = least(rows, HIDDEN_ROWS);
    const struct {
        struct anl_buffer **out;
        int64_t rows, width;
    } want[] = {
        { &lane->h, rows, shape->dm },      { &lane->q, rows, qw },
        { &lane->att, rows, qw },           { &lane->hidden, lane->hidden_rows, shape->dm },
        { &lane->logits, lane->head_rows, shape->vocab }, { &lane->nll, lane->head_rows, 1 },
    };
    r = anl_rope_table_create(w->device, &rope, &lane->rope);
    for (size_t i = 0; !r && i < sizeof want / sizeof *want; i++)
        r = anl_buffer_create(w->device, (uint64_t)(want[i].rows * want[i].width) * sizeof(float),
                              want[i].out);
    return r;
}

void lane_close(struct lm_lane *lane)
{
    anl_buffer_destroy(lane->h);
    anl_buffer_destroy(lane->q);
    anl_buffer_destroy(lane->att);
    anl_buffer_destroy(lane->hidden);
    anl_buffer_destroy(lane->logits);
    anl_buffer_destroy(lane->nll);
    anl_rope_table_destroy(lane->rope);
}

static struct anl_tensor rows_of(struct anl_buffer *b, int64_t row, int64_t n, int64_t width)
{
    return anl_tensor_2d(b, (uint64_t)(row * width) * sizeof(float), ANL_F32, n, width);
}

/* The weights of a norm. */
static struct anl_tensor norm_of(const struct lm_lane *lane, struct anl_buffer *w)
{
    return anl_tensor_1d(w, 0, ANL_F32, lane->shape->dm);
}

anl_status lane_embed(struct lm_lane *lane, const int32_t *ids, int64_t row, int64_t n)
{
    struct anl_embed_params p = { .size = sizeof p, .ids = ids, .table = lane->w->embedding,
                                  .out = rows_of(lane->h, row, n, lane->shape->dm) };
    return anl_embed(lane->w->device, &p);
}

anl_status lane_project(struct lm_lane *lane, int64_t block, int64_t row, int64_t n, int64_t position,
                        int64_t q_row, struct anl_buffer *k, struct anl_buffer *v, int64_t kv_row)
{
    const struct lm_shape *sh = lane->shape;
    const struct lm_block *b = &lane->w->block[block];
    uint64_t q_bytes = (uint64_t)(sh->heads * sh->head_dim) * sizeof(float);
    uint64_t kv_bytes = (uint64_t)(sh->kv_heads * sh->head_dim) * sizeof(float);
    struct anl_qkv_params p = { .size = sizeof p, .x = rows_of(lane->h, row, n, sh->dm),
                                .norm = norm_of(lane, b->attn_norm), .eps = sh->eps,
                                .wq = b->q, .wk = b->k, .wv = b->v, .table = lane->rope,
                                .pairs = ANL_ROPE_ADJACENT, .position = position };

    p.q = anl_tensor_3d(lane->q, (uint64_t)q_row * q_bytes, ANL_F32, n, sh->heads, sh->head_dim);
    p.k = anl_tensor_3d(k, (uint64_t)kv_row * kv_bytes, ANL_F32, n, sh->kv_heads, sh->head_dim);
    p.v = p.k;
    p.v.buffer = v;
    return anl_qkv(lane->w->device, &p);
}

anl_status lane_finish_block(struct lm_lane *lane, int64_t block, int64_t row, int64_t n,
                             int64_t att_row)
{
    const struct lm_shape *sh = lane->shape;
    const struct lm_block *b = &lane->w->block[block];
    struct anl_tensor h = rows_of(lane->h, row, n, sh->dm);
    struct anl_linear_params o = { .size = sizeof o,
                                   .x = rows_of(lane->att, att_row, n, sh->heads * sh->head_dim),
                                   .w = b->o, .residual = h, .out = h };
    struct anl_ffn_params ffn = { .size = sizeof ffn, .x = h, .norm = norm_of(lane, b->ffn_norm),
                                  .eps = sh->eps, .gate = b->gate, .up = b->up, .down = b->down,
                                  .act = ANL_ACT_SILU, .residual = h, .out = h };
    anl_status r = anl_linear(lane->w->device, &o);
    return r ? r : anl_ffn(lane->w->device, &ffn);
}

/* [1, heads, n, D] of a buffer of rows [heads][D]. */
static struct anl_tensor by_head(struct anl_buffer *b, int64_t row, int64_t n, int64_t heads, int64_t dim)
{
    struct anl_tensor t = anl_tensor_4d(b, (uint64_t)(row * heads * dim) * sizeof(float), ANL_F32, 1,
                                        heads, n, dim);
    t.stride[1] = dim;
    t.stride[2] = heads * dim;
    return t;
}

struct anl_tensor lane_heads(const struct lm_lane *lane, struct anl_buffer *b, int64_t row, int64_t n)
{
    return by_head(b, row, n, lane->shape->heads, lane->shape->head_dim);
}

struct anl_tensor lane_cached(const struct lm_lane *lane, struct anl_buffer *b, int64_t row, int64_t n)
{
    return by_head(b, row, n, lane->shape->kv_heads, lane->shape->head_dim);
}

anl_status lane_hidden(struct lm_lane *lane, int64_t row, int64_t n, float *out)
{
    int64_t dm = lane->shape->dm;
    anl_status r = ANL_OK;

    for (int64_t i = 0, m; !r && i < n; i += m) {
        m = least(n - i, lane->hidden_rows);
        struct anl_norm_params p = { .size = sizeof p, .x = rows_of(lane->h, row + i, m, dm),
                                     .w = norm_of(lane, lane->w->norm), .eps = lane->shape->eps,
                                     .out = rows_of(lane->hidden, 0, m, dm) };
        r = anl_norm(lane->w->device, &p);
        if (!r)
            r = anl_buffer_read(lane->hidden, 0, out + i * dm, (uint64_t)(m * dm) * sizeof(float));
    }
    return r;
}

/* logits [n, vocab] of rows [row, row + n), n <= head_rows. */
static anl_status head(struct lm_lane *lane, int64_t row, int64_t n)
{
    const struct lm_part *w = lane->w;
    struct anl_linear_params p = { .size = sizeof p, .x = rows_of(lane->h, row, n, lane->shape->dm),
                                   .norm = norm_of(lane, w->norm), .eps = lane->shape->eps,
                                   .w = w->head ? w->head : w->embedding,
                                   .out = rows_of(lane->logits, 0, n, lane->shape->vocab) };
    return anl_linear(w->device, &p);
}

anl_status lane_logits(struct lm_lane *lane, int64_t row, float *out)
{
    anl_status r = head(lane, row, 1);
    return r ? r : anl_buffer_read(lane->logits, 0, out, (uint64_t)lane->shape->vocab * sizeof(float));
}

anl_status lane_nll(struct lm_lane *lane, int64_t row, int64_t n, const int32_t *targets, float *out)
{
    anl_status r = ANL_OK;

    for (int64_t i = 0, m; !r && i < n; i += m) {
        m = least(n - i, lane->head_rows);
        struct anl_xent_params p = { .size = sizeof p, .targets = targets + i,
                                     .logits = rows_of(lane->logits, 0, m, lane->shape->vocab),
                                     .out = anl_tensor_1d(lane->nll, 0, ANL_F32, m) };
        r = head(lane, row + i, m);
        if (!r)
            r = anl_xent(lane->w->device, &p);
        if (!r)
            r = anl_buffer_read(lane->nll, 0, out + i, (uint64_t)m * sizeof(float));
    }
    return r;
}
