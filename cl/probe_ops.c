/* cl/probe_ops.c: the probes that run real kernels against the law backend: attention, with the two
 * witnesses of section 3 of docs/numerics.md and cases of three spans, and linear layers. Each of the
 * device's tiles takes its turn: they may be the caller's, and a compiler may get one wrong. */
#include <string.h>

#include "cl/cl.h"

uint32_t anl_cl_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8 ^ *state << 16;
}

static void fill_random(float *x, int64_t n, float size, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((int32_t)(anl_cl_random(&seed) & 0xffffu) - 32768) * (size / 32768);
}

/* A buffer of that many floats: data's or, if it is NULL, of NaN. A result begins so, since memory may
 * come again with what another tile has left there. */
static anl_status make(struct anl_device *device, const float *data, int64_t n, struct anl_buffer **out)
{
    uint64_t size = (uint64_t)n * sizeof(float);
    void *nan;
    anl_status s = anl_buffer_create(device, size, out);

    if (s || data)
        return s ? s : anl_buffer_write(*out, 0, data, size);
    nan = anl_context_alloc(device->context, (size_t)size, 64);
    if (!nan)
        return anl_fail(device, ANL_E_MEMORY, "probes: out of memory");
    memset(nan, 0xff, (size_t)size);
    s = anl_buffer_write(*out, 0, nan, size);
    anl_context_free(device->context, nan);
    return s;
}

/* Attention of one head. */
struct attention {
    const char *name;
    int64_t sq, sk, d, dv;
    float scale;
    int causal, witness; /* 0, or 1 or 2: no random keys */
    uint32_t seed;
};

struct attention_data {
    float *q, *k, *v, *want, *got;
};

static anl_status tensor_of(struct anl_device *device, const float *data, int64_t rows, int64_t cols,
                            struct anl_tensor *out)
{
    struct anl_buffer *b = NULL;
    anl_status s = make(device, data, rows * cols, &b);

    *out = anl_tensor_4d(b, 0, ANL_F32, 1, 1, rows, cols);
    return s;
}

static anl_status run_attention(struct anl_device *device, const struct attention *a,
                                const struct attention_data *m, float *out)
{
    struct anl_attn_params p = { .size = sizeof p, .scale = a->scale, .causal = a->causal };
    struct anl_kv_piece piece = { .start = 0 };
    anl_status s = tensor_of(device, m->q, a->sq, a->d, &p.q);

    if (!s)
        s = tensor_of(device, m->k, a->sk, a->d, &piece.k);
    if (!s)
        s = tensor_of(device, m->v, a->sk, a->dv, &piece.v);
    if (!s)
        s = tensor_of(device, NULL, a->sq, a->dv, &p.out);
    p.pieces = &piece;
    p.n_pieces = 1;
    if (!s)
        s = anl_attn(device, &p);
    if (!s)
        s = anl_buffer_read(p.out.buffer, 0, out, (uint64_t)(a->sq * a->dv) * sizeof(float));
    anl_buffer_destroy(p.q.buffer);
    anl_buffer_destroy(piece.k.buffer);
    anl_buffer_destroy(piece.v.buffer);
    anl_buffer_destroy(p.out.buffer);
    return s;
}

/* One query 1, all keys -60 and values 0 but those given: the 64-key block shows. */
static void fill_witness(const struct attention *a, const struct attention_data *m)
{
    for (int64_t i = 0; i < a->sk; i++)
        m->k[i * a->d] = -60;
    for (int64_t i = 0; i < a->sq; i++)
        m->q[i * a->d] = 1;
    m->k[40 * a->d] = 0;
    m->v[0] = 1e20f;
    m->k[0] = a->witness == 2 ? -30 : -43.5f;
    if (a->witness == 2)
        m->k[100 * a->d] = 20;
}

static anl_status check_attention(struct anl_cl_device *d, struct anl_device *law,
                                  const struct attention *a, const char **failed)
{
    size_t q = (size_t)(a->sq * a->d), k = (size_t)(a->sk * a->d), v = (size_t)(a->sk * a->dv);
    size_t out = (size_t)(a->sq * a->dv), size = (q + k + v + 2 * out) * sizeof(float);
    float *memory = anl_context_alloc(d->base.context, size, 64);
    struct attention_data m;
    anl_status s;

    if (!memory)
        return anl_fail(&d->base, ANL_E_MEMORY, "probes: out of memory");
    memset(memory, 0, size);
    m.q = memory;
    m.k = m.q + q;
    m.v = m.k + k;
    m.want = m.v + v;
    m.got = m.want + out;
    if (a->witness) {
        fill_witness(a, &m);
    } else {
        fill_random(m.q, a->sq * a->d, 4, a->seed + 1);
        fill_random(m.k, a->sk * a->d, 2, a->seed + 2);
        fill_random(m.v, a->sk * a->dv, 1, a->seed + 3);
    }
    s = run_attention(law, a, &m, m.want);
    if (!s)
        s = run_attention(&d->base, a, &m, m.got);
    if (!s && memcmp(m.want, m.got, out * sizeof(float)) != 0)
        *failed = a->name;
    anl_context_free(d->base.context, memory);
    return s;
}

/* 1 and 20 queries, since the two go through different kernels; and of a head of 128, which has other
 * tiles than one of 64. */
static anl_status check_attentions(struct anl_cl_device *d, struct anl_device *law, const char **failed)
{
    static const char witness[] = "witness of the 64-key block", spans[] = "attention over three spans";
#define WITNESS(w, n) \
    { .name = witness, .witness = w, .sq = n, .sk = 128, .d = 64, .dv = 64, .scale = 1 }
#define SPANS(n, c) { .name = spans, .sq = n, .sk = 1100, .d = c, .dv = c, .causal = 1 }
    static const struct attention cases[] = {
        WITNESS(1, 1), WITNESS(1, 20), WITNESS(2, 1), WITNESS(2, 20),
        SPANS(1, 64),  SPANS(20, 64),  SPANS(20, 128),
    };
#undef WITNESS
#undef SPANS
    anl_status s = ANL_OK;

    for (size_t i = 0; !s && !*failed && i < sizeof cases / sizeof *cases; i++)
        s = check_attention(d, law, &cases[i], failed);
    return s;
}

/* Each attention tile on its own, with heads that can have it and more queries than one of it takes. */
static anl_status check_attn_tiles(struct anl_cl_device *d, struct anl_device *law,
                                   const char **failed)
{
    const struct anl_cl_tiles all = d->tiles;
    anl_status s = ANL_OK;

    for (int i = 0; !s && !*failed && i < ANL_CL_ATTN_TILES; i++) {
        const struct anl_cl_attn_tile *t = &all.attn[i];
        struct attention a = { .name = "attention in each of its tiles", .sq = 130, .sk = 1030,
                               .d = t->dv, .dv = t->dv, .causal = 1 };
        a.seed = 10 * (uint32_t)(i + 1); /* else scratch might still hold the right states */
        if (!anl_cl_attn_tile_fits(d, t, t->dv, t->dv))
            a.d = 64;
        if (!t->dv || !anl_cl_attn_tile_fits(d, t, (int)a.d, t->dv))
            continue;
        memset(d->tiles.attn, 0, sizeof d->tiles.attn);
        d->tiles.attn[0] = *t;
        s = check_attention(d, law, &a, failed);
    }
    d->tiles = all;
    return s;
}

/* A linear layer with Q4_1 weights; with bias and residual, or with an activation. */
struct layer {
    const char *name;
    int64_t t, n, k;
    int plain;
};

struct layer_data {
    float *x, *bias, *residual, *want, *got;
    unsigned char *weights;
};

static anl_status run_layer(struct anl_device *device, const struct layer *l,
                            const struct layer_data *m, float *out)
{
    struct anl_weights_params wp = { .size = sizeof wp, .dtype = ANL_Q4_1, .n = l->n, .k = l->k,
                                     .data = m->weights };
    struct anl_linear_params p = { .size = sizeof p, .act = l->plain ? ANL_ACT_NONE : ANL_ACT_SILU };
    struct anl_buffer *x = NULL, *bias = NULL, *residual = NULL, *result = NULL;
    struct anl_weights *w = NULL;
    anl_status s = anl_weights_create(device, &wp, &w);

    if (!s)
        s = make(device, m->x, l->t * l->k, &x);
    if (!s && l->plain)
        s = make(device, m->bias, l->n, &bias);
    if (!s && l->plain)
        s = make(device, m->residual, l->t * l->n, &residual);
    if (!s)
        s = make(device, NULL, l->t * l->n, &result);
    p.w = w;
    p.x = anl_tensor_2d(x, 0, ANL_F32, l->t, l->k);
    p.bias = anl_tensor_1d(bias, 0, ANL_F32, l->n);
    p.residual = anl_tensor_2d(residual, 0, ANL_F32, l->t, l->n);
    p.out = anl_tensor_2d(result, 0, ANL_F32, l->t, l->n);
    if (!s)
        s = anl_linear(device, &p);
    if (!s)
        s = anl_buffer_read(result, 0, out, (uint64_t)(l->t * l->n) * sizeof(float));
    anl_buffer_destroy(x);
    anl_buffer_destroy(bias);
    anl_buffer_destroy(residual);
    anl_buffer_destroy(result);
    anl_weights_destroy(w);
    return s;
}

/* Blocks of 20 bytes: scale and minimum near 2^-3, the rest random. */
static void fill_weights(unsigned char *w, size_t size)
{
    uint32_t seed = 4;

    for (size_t i = 0; i < size; i++)
        w[i] = (unsigned char)anl_cl_random(&seed);
    for (size_t i = 0; i < size; i += 20) {
        w[i + 1] = 0x30;
        w[i + 3] = 0xb4;
    }
}

/* The layer with the device's tiles, then, if it is one for that, with each of them on its own. */
static anl_status run_layers(struct anl_cl_device *d, const struct layer *l, const struct layer_data *m,
                             const char **failed)
{
    const struct anl_cl_tiles all = d->tiles;
    size_t size = (size_t)(l->t * l->n) * sizeof(float);
    int tiles = l->plain && !d->cpu_shaped ? ANL_CL_LINEAR_TILES : 0;
    anl_status s = ANL_OK;

    for (int i = -1; !s && !*failed && i < tiles; i++) {
        if (i >= 0 && !anl_cl_linear_tile_fits(d, &all.linear[i]))
            continue;
        if (i >= 0) {
            memset(d->tiles.linear, 0, sizeof d->tiles.linear);
            d->tiles.linear[0] = all.linear[i];
        }
        s = run_layer(&d->base, l, m, m->got);
        if (!s && memcmp(m->want, m->got, size) != 0)
            *failed = l->name;
    }
    d->tiles = all;
    return s;
}

static anl_status check_layer(struct anl_cl_device *d, struct anl_device *law, const struct layer *l,
                              const char **failed)
{
    size_t x = (size_t)(l->t * l->k), n = (size_t)l->n, out = (size_t)(l->t * l->n);
    size_t floats = x + n + 3 * out, w_bytes = (size_t)(l->n * (l->k / 32) * 20);
    float *memory = anl_context_alloc(d->base.context, floats * sizeof(float) + w_bytes, 64);
    struct layer_data m;
    anl_status s;

    if (!memory)
        return anl_fail(&d->base, ANL_E_MEMORY, "probes: out of memory");
    m.x = memory;
    m.bias = m.x + x;
    m.residual = m.bias + n;
    m.want = m.residual + out;
    m.got = m.want + out;
    m.weights = (unsigned char *)(m.got + out);
    fill_random(m.x, (int64_t)(x + n + out), 1, 5);
    fill_weights(m.weights, w_bytes);
    s = run_layer(law, l, &m, m.want);
    if (!s)
        s = run_layers(d, l, &m, failed);
    anl_context_free(d->base.context, memory);
    return s;
}

/* 1 and 20 tokens, since the two go through different kernels; then the tiles, with more tokens and
 * features than most of them have. */
static anl_status check_layers(struct anl_cl_device *d, struct anl_device *law, const char **failed)
{
    static const struct layer layers[] = {
        { "linear layer over three spans", 1, 70, 1056, 0 },
        { "linear layer over three spans", 20, 70, 1056, 0 },
        { "linear layer in each of its tiles", 136, 140, 544, 1 },
    };
    anl_status s = ANL_OK;

    for (size_t i = 0; !s && !*failed && i < sizeof layers / sizeof *layers; i++)
        s = check_layer(d, law, &layers[i], failed);
    return s;
}

anl_status anl_cl_probe_ops(struct anl_cl_device *d, const char **failed)
{
    struct anl_device *law;
    anl_status s = anl_device_create_law(d->base.context, &law);

    *failed = NULL;
    if (s)
        return anl_fail(&d->base, s, "probes: no law device");
    s = check_attentions(d, law, failed);
    if (!s && !*failed)
        s = check_layers(d, law, failed);
    if (!s && !*failed && !d->cpu_shaped)
        s = check_attn_tiles(d, law, failed);
    anl_device_destroy(law);
    return s;
}
