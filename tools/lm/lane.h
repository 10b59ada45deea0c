/* One device's part of a session: the rows of tokens that it computes, and all that is done with them but
 * attention. A lane is used by one thread at a time. */
#ifndef LM_LANE_H
#define LM_LANE_H

#include "model_impl.h"

struct lm_lane {
    const struct lm_shape *shape;
    const struct lm_part *w;
    int64_t rows, head_rows, hidden_rows; /* tokens; rows of logits, of normed states made at a time */
    struct anl_buffer *h, *q, *att, *hidden, *logits, *nll;
    struct anl_rope_table *rope;
};

/* Room for so many rows; rope for positions below that. After a failure lane_close() is still due. */
anl_status lane_open(struct lm_lane *lane, const struct lm_shape *shape, const struct lm_part *w,
                     int64_t rows, int64_t positions);
void lane_close(struct lm_lane *lane);

/* Rows [row, row + n) of h become the tokens' embeddings. */
anl_status lane_embed(struct lm_lane *lane, const int32_t *ids, int64_t row, int64_t n);

/* Rows [row, row + n) of h, the tokens from position on: queries into rows from q_row, keys and values
 * into rows from kv_row of k and v. */
anl_status lane_project(struct lm_lane *lane, int64_t block, int64_t row, int64_t n, int64_t position,
                        int64_t q_row, struct anl_buffer *k, struct anl_buffer *v, int64_t kv_row);

/* A block after attention: rows from att_row of att into those of h, and the feedforward. */
anl_status lane_finish_block(struct lm_lane *lane, int64_t block, int64_t row, int64_t n,
                             int64_t att_row);

/* Rows [row, row + n) as attention sees them: of q or att [1, H, n, D], of a cache [1, HKV, n, D]. */
struct anl_tensor lane_heads(const struct lm_lane *lane, struct anl_buffer *b, int64_t row, int64_t n);
struct anl_tensor lane_cached(const struct lm_lane *lane, struct anl_buffer *b, int64_t row, int64_t n);

/* As lm_hidden(), lm_logits() and lm_nll(), of rows of h. */
anl_status lane_hidden(struct lm_lane *lane, int64_t row, int64_t n, float *out);
anl_status lane_logits(struct lm_lane *lane, int64_t row, float *out);
anl_status lane_nll(struct lm_lane *lane, int64_t row, int64_t n, const int32_t *targets, float *out);

#endif
