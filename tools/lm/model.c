/* The weights of a llama-architecture model: which tensors there are and what shape they have. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "model_impl.h"
#include "shape.h"

static enum lm_status load_block(struct lm_loader *l, const struct lm_shape *s, int64_t i,
                                 struct lm_block *b)
{
    int64_t qw = s->heads * s->head_dim, kvw = s->kv_heads * s->head_dim;
    const struct {
        const char *name;
        int64_t n, k;
        struct anl_weights **out;
    } matrix[] = {
        { "attn_q", qw, s->dm, &b->q },          { "attn_k", kvw, s->dm, &b->k },
        { "attn_v", kvw, s->dm, &b->v },         { "attn_output", s->dm, qw, &b->o },
        { "ffn_gate", s->dff, s->dm, &b->gate }, { "ffn_up", s->dff, s->dm, &b->up },
        { "ffn_down", s->dm, s->dff, &b->down },
    };
    char name[64];

    for (size_t j = 0; j < sizeof matrix / sizeof *matrix; j++) {
        enum lm_status r;
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i, matrix[j].name);
        r = lm_load_weights(l, name, matrix[j].n, matrix[j].k, matrix[j].out);
        if (r)
            return r;
    }
    for (int j = 0; j < 2; j++) {
        enum lm_status r;
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i,
                 j ? "ffn_norm" : "attn_norm");
        r = lm_load_vector(l, name, s->dm, j ? &b->ffn_norm : &b->attn_norm);
        if (r)
            return r;
    }
    return LM_OK;
}

static uint64_t weights_held(struct anl_device *device)
{
    struct anl_memory memory;

    anl_device_get_memory(device, &memory);
    return memory.weights;
}

static enum lm_status load_all(struct lm_loader *l, struct lm_model *m)
{
    const struct lm_shape *s = &m->shape;
    const struct gguf_tensor *head;
    uint64_t before = weights_held(m->device), unread;
    enum lm_status r = lm_load_weights(l, "token_embd.weight", s->vocab, s->dm, &m->embedding);

    unread = weights_held(m->device) - before;
    if (!r && gguf_find_tensor(l->g, "output.weight", &head, l->err) == GGUF_OK)
        r = lm_load_weights(l, "output.weight", s->vocab, s->dm, &m->head);
    if (!r)
        r = lm_load_vector(l, "output_norm.weight", s->dm, &m->norm);
    for (int64_t i = 0; !r && i < s->blocks; i++)
        r = load_block(l, s, i, &m->block[i]);
    m->read_bytes = weights_held(m->device) - before - (m->head ? unread : 0);
    /* a tensor that is not used (a bias, factors of the rotary embedding) would be left out of the
     * model in silence */
    if (!r && l->tensors != gguf_n_tensors(l->g)) {
        snprintf(l->err->message, sizeof l->err->message,
                 "the file has %zu tensors, the plain llama architecture uses %zu of them",
                 gguf_n_tensors(l->g), l->tensors);
        r = LM_BAD_FILE;
    }
    return r;
}

enum lm_status lm_model_load(const struct gguf *g, struct anl_device *device, lm_progress progress,
                             void *user, struct lm_model **out, struct gguf_error *err)
{
    struct lm_loader l = { .g = g, .device = device, .progress = progress, .user = user,
                           .err = err };
    struct lm_model *m = calloc(1, sizeof *m);
    enum lm_status r;

    *out = NULL;
    if (!m)
        goto memory;
    m->device = device;
    r = lm_shape_read(g, &m->shape, err);
    if (r)
        goto fail;
    m->block = calloc((size_t)m->shape.blocks, sizeof *m->block);
    if (!m->block)
        goto memory;
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        l.total += gguf_tensor_at(g, i)->nbytes;
    r = load_all(&l, m);
    free(l.data);
    if (r)
        goto fail;
    *out = m;
    return LM_OK;
memory:
    snprintf(err->message, sizeof err->message, "out of memory");
    r = LM_DEVICE;
fail:
    lm_model_free(m);
    return r;
}

static void free_block(struct lm_block *b)
{
    anl_buffer_destroy(b->attn_norm);
    anl_buffer_destroy(b->ffn_norm);
    anl_weights_destroy(b->q);
    anl_weights_destroy(b->k);
    anl_weights_destroy(b->v);
    anl_weights_destroy(b->o);
    anl_weights_destroy(b->gate);
    anl_weights_destroy(b->up);
    anl_weights_destroy(b->down);
}

void lm_model_free(struct lm_model *model)
{
    if (!model)
        return;
    for (int64_t i = 0; model->block && i < model->shape.blocks; i++)
        free_block(&model->block[i]);
    free(model->block);
    anl_weights_destroy(model->embedding);
    anl_weights_destroy(model->head);
    anl_buffer_destroy(model->norm);
    free(model);
}

const struct lm_shape *lm_model_shape(const struct lm_model *model)
{
    return &model->shape;
}

uint64_t lm_model_read_bytes(const struct lm_model *model)
{
    return model->read_bytes;
}
