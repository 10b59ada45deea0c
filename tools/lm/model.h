/*
 * A llama-architecture language model on annulet's public API: its weights on one device or on each of
 * several, and a session: a KV cache and the tokens seen so far. On several devices the sequence and its
 * cache are spread over them: sharded.c tells how.
 *
 * Chunking a prompt, or decoding it token by token, or the devices, change no bit of any hidden state.
 */
#ifndef LM_MODEL_H
#define LM_MODEL_H

#include <annulet/annulet.h>

#include "gguf.h"

enum lm_status {
    LM_OK = 0,
    LM_BAD_FILE, /* the model file, or a request that does not fit the model */
    LM_DEVICE    /* the device refused: out of memory, lost */
};

struct lm_shape {
    int64_t blocks, dm, heads, kv_heads, head_dim, dff, vocab, rope_dims, context;
    double rope_base;
    float eps;
};

struct lm_model;
struct lm_session;

/* Called now and then while loading: done of total bytes. */
typedef void (*lm_progress)(void *user, uint64_t done, uint64_t total);

/* Reads and checks the hyperparameters, loads and packs the weights for each of the devices, in the
 * order of their ring. The file may be closed afterwards. The caller frees *out before the devices. */
enum lm_status lm_model_load(const struct gguf *g, struct anl_device *const *devices, int n_devices,
                             lm_progress progress, void *user, struct lm_model **out,
                             struct gguf_error *err);
void lm_model_free(struct lm_model *model); /* NULL is fine */

/* How fast each of the devices is, for sessions to come, as in struct anl_ring_params. NULL: they are
 * measured where they differ. Not copied. */
void lm_model_weights(struct lm_model *model, const double *weights);

const struct lm_shape *lm_model_shape(const struct lm_model *model);

/* Bytes of packed weights, of one device, that a token's logits are computed from: all, but an embedding beside which
 * there is a head, since a token takes one row of it. */
uint64_t lm_model_read_bytes(const struct lm_model *model);

/* Room for capacity tokens; chunk (0: a default, on several devices all of them): how many tokens are
 * computed at a time. The caller frees *out before the model. */
enum lm_status lm_session_new(struct lm_model *model, int64_t capacity, int64_t chunk,
                              struct lm_session **out, struct gguf_error *err);
void lm_session_free(struct lm_session *session);

/* Appends n <= lm_chunk() tokens; their hidden states stay on the device until the next call. */
enum lm_status lm_append(struct lm_session *session, const int32_t *ids, int64_t n,
                         struct gguf_error *err);

/* Forgets all tokens but the first position of them, 0 to lm_position(). */
void lm_rewind(struct lm_session *session, int64_t position);

int64_t lm_chunk(const struct lm_session *session);
int64_t lm_position(const struct lm_session *session); /* tokens so far */

/* Final normed hidden states [row0, row0 + rows) of the last call, f32 [rows][dm], to host memory. */
enum lm_status lm_hidden(struct lm_session *session, int64_t row0, int64_t rows, float *out,
                         struct gguf_error *err);

/* Logits of the last call's row, f32 [vocab], to host memory. */
enum lm_status lm_logits(struct lm_session *session, int64_t row, float *out,
                         struct gguf_error *err);

/* out[i]: cross-entropy, in nats, of targets[i] after row row0 + i of the last call. */
enum lm_status lm_nll(struct lm_session *session, int64_t row0, int64_t rows,
                      const int32_t *targets, float *out, struct gguf_error *err);

#endif
