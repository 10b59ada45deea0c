/* A session on several devices, for session.c: sharded.c tells how it works. */
#ifndef LM_SHARDED_H
#define LM_SHARDED_H

#include "model_impl.h"

struct lm_sharded;

/* chunk: the most tokens of an append. On failure message says why. */
anl_status sharded_new(struct lm_model *model, int64_t capacity, int64_t chunk, struct lm_sharded **out,
                       struct gguf_error *err);
void sharded_free(struct lm_sharded *s);

/* The n tokens after the first position of them. */
anl_status sharded_append(struct lm_sharded *s, int64_t position, const int32_t *ids, int64_t n);

/* Of the last append's rows, as lm_hidden() and so on. */
anl_status sharded_hidden(struct lm_sharded *s, int64_t row0, int64_t rows, float *out);
anl_status sharded_logits(struct lm_sharded *s, int64_t row, float *out);
anl_status sharded_nll(struct lm_sharded *s, int64_t row0, int64_t rows, const int32_t *targets,
                       float *out);

const char *sharded_message(const struct lm_sharded *s);

#endif
