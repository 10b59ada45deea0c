/* The weights of a llama-architecture model: which tensors there are and what shape they have. */
#include "model.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "load.h"
#include "model_impl.h"
#include "shape.h"

/* Where a device's pointer to a tensor lies: in a block, or (block < 0) beside them. */
static void *place(struct lm_part *part, int64_t block, size_t offset)
{
    return (char *)(block < 0 ? (void *)part : (void *)&part->block[block]) + offset;
}

/* Read once, packed for every device. */
static enum lm_status load_matrix(struct lm_loader *l, struct lm_model *m, const char *name, int64_t n,
                                  int64_t k, int64_t block, size_t offset)
{
    enum lm_status r = lm_load_read(l, name, n, k);

    for (int i = 0; !r && i < m->n; i++)
        r = lm_load_weights(l, m->part[i].device, place(&m->part[i], block, offset));
    return r;
}

static enum lm_status load_vector(struct lm_loader *l, struct lm_model *m, const char *name, int64_t block,
                                  size_t offset)
{
    enum lm_status r = lm_load_read(l, name, 1, m->shape.dm);

    for (int i = 0; !r && i < m->n; i++)
        r = lm_load_vector(l, m->part[i].device, place(&m->part[i], block, offset));
    return r;
}

static enum lm_status load_block(struct lm_loader *l, struct lm_model *m, int64_t i)
{
    const struct lm_shape *s = &m->shape;
    int64_t qw = s->heads * s->head_dim, kvw = s->kv_heads * s->head_dim;
    const struct {
        const char *name;
        int64_t n, k;
        size_t offset;
    } matrix[] = {
        { "attn_q", qw, s->dm, offsetof(struct lm_block, q) },
        { "attn_k", kvw, s->dm, offsetof(struct lm_block, k) },
        { "attn_v", kvw, s->dm, offsetof(struct lm_block, v) },
        { "attn_output", s->dm, qw, offsetof(struct lm_block, o) },
        { "ffn_gate", s->dff, s->dm, offsetof(struct lm_block, gate) },
        { "ffn_up", s->dff, s->dm, offsetof(struct lm_block, up) },
        { "ffn_down", s->dm, s->dff, offsetof(struct lm_block, down) },
    };
    char name[64];
    enum lm_status r = LM_OK;

    for (size_t j = 0; !r && j < sizeof matrix / sizeof *matrix; j++) {
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i, matrix[j].name);
        r = load_matrix(l, m, name, matrix[j].n, matrix[j].k, i, matrix[j].offset);
    }
    for (int j = 0; !r && j < 2; j++) {
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)i,
                 j ? "ffn_norm" : "attn_norm");
        r = load_vector(l, m, name, i,
                        j ? offsetof(struct lm_block, ffn_norm) : offsetof(struct lm_block, attn_norm));
    }
    return r;
}

static uint64_t weights_held(const struct lm_model *m)
{
    struct anl_memory memory;

    anl_device_get_memory(m->part[0].device, &memory);
    return memory.weights;
}

static enum lm_status load_all(struct lm_loader *l, struct lm_model *m)
{
    const struct lm_shape *s = &m->shape;
    const struct gguf_tensor *head;
    uint64_t before = weights_held(m), unread;
    int own_head = gguf_find_tensor(l->g, "output.weight", &head, l->err) == GGUF_OK;
    enum lm_status r = load_matrix(l, m, "token_embd.weight", s->vocab, s->dm, -1,
                                   offsetof(struct lm_part, embedding));

    unread = own_head ? weights_held(m) - before : 0;
    if (!r && own_head)
        r = load_matrix(l, m, "output.weight", s->vocab, s->dm, -1, offsetof(struct lm_part, head));
    if (!r)
        r = load_vector(l, m, "output_norm.weight", -1, offsetof(struct lm_part, norm));
    for (int64_t i = 0; !r && i < s->blocks; i++)
        r = load_block(l, m, i);
    m->read_bytes = weights_held(m) - before - unread;
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

static int make_parts(struct lm_model *m, struct anl_device *const *devices, int n)
{
    m->part = calloc((size_t)n, sizeof *m->part);
    if (!m->part)
        return -1;
    m->n = n;
    for (int i = 0; i < n; i++) {
        m->part[i].device = devices[i];
        m->part[i].block = calloc((size_t)m->shape.blocks, sizeof *m->part[i].block);
        if (!m->part[i].block)
            return -1;
    }
    return 0;
}

enum lm_status lm_model_load(const struct gguf *g, struct anl_device *const *devices, int n_devices,
                             lm_progress progress, void *user, struct lm_model **out,
                             struct gguf_error *err)
{
    struct lm_loader l = { .g = g, .progress = progress, .user = user, .err = err };
    struct lm_model *m = calloc(1, sizeof *m);
    enum lm_status r;

    *out = NULL;
    if (!m)
        goto memory;
    r = lm_shape_read(g, &m->shape, err);
    if (r)
        goto fail;
    if (make_parts(m, devices, n_devices))
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

static void free_part(struct lm_part *part, int64_t blocks)
{
    for (int64_t i = 0; part->block && i < blocks; i++)
        free_block(&part->block[i]);
    free(part->block);
    anl_weights_destroy(part->embedding);
    anl_weights_destroy(part->head);
    anl_buffer_destroy(part->norm);
}

void lm_model_free(struct lm_model *model)
{
    if (!model)
        return;
    for (int i = 0; i < model->n; i++)
        free_part(&model->part[i], model->shape.blocks);
    free(model->part);
    free(model);
}

void lm_model_weights(struct lm_model *model, const double *weights)
{
    model->weights = weights;
}

const struct lm_shape *lm_model_shape(const struct lm_model *model)
{
    return &model->shape;
}

uint64_t lm_model_read_bytes(const struct lm_model *model)
{
    return model->read_bytes;
}
