/* cl/probe_ops.c: the probes that run real kernels against the law backend: attention, with the two
 * witnesses of section 3 of docs/numerics.md and a case of three spans, and a linear layer. */
#include <string.h>

#include "cl/cl.h"

#define HEAD_DIM 64 /* the common one: its program is wanted anyway */

uint32_t anl_cl_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8 ^ *state << 16;
}

/* Queries, keys and values of one head; K and V of keys, D = DV = HEAD_DIM. */
struct attention {
    const char *name;
    int64_t sq, sk;
    float scale;
    int causal;
    float *q, *k, *v;
};

static anl_status tensor_of(struct anl_device *device, const float *data, int64_t rows,
                            struct anl_tensor *out)
{
    uint64_t size = (uint64_t)rows * HEAD_DIM * 4;
    struct anl_buffer *b;
    anl_status s = anl_buffer_create(device, size, &b);

    if (s)
        return s;
    *out = anl_tensor_4d(b, 0, ANL_F32, 1, 1, rows, HEAD_DIM);
    return data ? anl_buffer_write(b, 0, data, size) : ANL_OK;
}

static anl_status run_attention(struct anl_device *device, const struct attention *a, float *out)
{
    struct anl_attn_params p = { .size = sizeof p, .scale = a->scale, .causal = a->causal };
    struct anl_kv_piece piece = { .start = 0 };
    anl_status s = tensor_of(device, a->q, a->sq, &p.q);

    if (!s)
        s = tensor_of(device, a->k, a->sk, &piece.k);
    if (!s)
        s = tensor_of(device, a->v, a->sk, &piece.v);
    if (!s)
        s = tensor_of(device, NULL, a->sq, &p.out);
    p.pieces = &piece;
    p.n_pieces = 1;
    if (!s)
        s = anl_attn(device, &p);
    if (!s)
        s = anl_buffer_read(p.out.buffer, 0, out, (uint64_t)a->sq * HEAD_DIM * 4);
    anl_buffer_destroy(p.q.buffer);
    anl_buffer_destroy(piece.k.buffer);
    anl_buffer_destroy(piece.v.buffer);
    anl_buffer_destroy(p.out.buffer);
    return s;
}

static void fill_random(float *x, int64_t n, float size, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((int32_t)(anl_cl_random(&seed) & 0xffffu) - 32768) * (size / 32768);
}

/* One query 1, all keys -60 and values 0 but those given: the 64-key block shows. */
static void fill_witness(struct attention *a, int extra)
{
    for (int64_t i = 0; i < a->sk; i++)
        a->k[i * HEAD_DIM] = -60;
    for (int64_t i = 0; i < a->sq; i++)
        a->q[i * HEAD_DIM] = 1;
    a->k[40 * HEAD_DIM] = 0;
    a->v[0] = 1e20f;
    a->k[0] = extra ? -30 : -43.5f;
    if (extra)
        a->k[100 * HEAD_DIM] = 20;
}

static anl_status check_attention(struct anl_cl_device *d, struct anl_device *law, struct attention *a,
                                  int kind, int *same)
{
    size_t floats = (size_t)(3 * a->sq + 2 * a->sk) * HEAD_DIM;
    float *memory = anl_context_alloc(d->base.context, floats * 4, 64), *want, *got;
    anl_status s;

    if (!memory)
        return anl_fail(&d->base, ANL_E_MEMORY, "probes: out of memory");
    memset(memory, 0, floats * 4);
    a->q = memory;
    a->k = a->q + a->sq * HEAD_DIM;
    a->v = a->k + a->sk * HEAD_DIM;
    want = a->v + a->sk * HEAD_DIM;
    got = want + a->sq * HEAD_DIM;
    if (kind < 2) {
        fill_witness(a, kind);
    } else {
        fill_random(a->q, a->sq * HEAD_DIM, 4, 1);
        fill_random(a->k, a->sk * HEAD_DIM, 2, 2);
        fill_random(a->v, a->sk * HEAD_DIM, 1, 3);
    }
    s = run_attention(law, a, want);
    if (!s)
        s = run_attention(&d->base, a, got);
    *same = !s && !memcmp(want, got, (size_t)a->sq * HEAD_DIM * 4);
    anl_context_free(d->base.context, memory);
    return s;
}

/* 1 and 20 queries, since the two go through different kernels. */
static anl_status check_attentions(struct anl_cl_device *d, struct anl_device *law, const char **failed)
{
    anl_status s = ANL_OK;

    for (int i = 0; !s && !*failed && i < 6; i++) {
        struct attention a = { .scale = i / 2 < 2 ? 1 : 0,
                               .causal = i / 2 == 2,
                               .name = i / 2 < 2 ? "witness of the 64-key block"
                                                 : "attention over three spans",
                               .sq = i % 2 ? 20 : 1,
                               .sk = i / 2 < 2 ? 128 : 1100 };
        int same = 0;
        s = check_attention(d, law, &a, i / 2, &same);
        if (!s && !same)
            *failed = a.name;
    }
    return s;
}

/* A linear layer of T tokens, Q4_1 weights over three spans, SiLU. */
#define LINEAR_K 1056
#define LINEAR_N 70
#define LINEAR_T 20

static anl_status run_linear(struct anl_device *device, const float *x, const void *weights, int64_t t,
                             float *out)
{
    struct anl_weights_params wp = {
        .size = sizeof wp, .dtype = ANL_Q4_1, .n = LINEAR_N, .k = LINEAR_K, .data = weights
    };
    struct anl_linear_params p = { .size = sizeof p, .act = ANL_ACT_SILU };
    uint64_t in_size = (uint64_t)t * LINEAR_K * 4, out_size = (uint64_t)t * LINEAR_N * 4;
    struct anl_weights *w = NULL;
    struct anl_buffer *in = NULL, *result = NULL;
    anl_status s = anl_weights_create(device, &wp, &w);

    if (!s)
        s = anl_buffer_create(device, in_size, &in);
    if (!s)
        s = anl_buffer_create(device, out_size, &result);
    if (!s)
        s = anl_buffer_write(in, 0, x, in_size);
    if (!s) {
        p.w = w;
        p.x = anl_tensor_2d(in, 0, ANL_F32, t, LINEAR_K);
        p.out = anl_tensor_2d(result, 0, ANL_F32, t, LINEAR_N);
        s = anl_linear(device, &p);
    }
    if (!s)
        s = anl_buffer_read(result, 0, out, out_size);
    anl_buffer_destroy(in);
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

/* 1 and 20 tokens, since the two go through different kernels. */
static anl_status check_linear(struct anl_cl_device *d, struct anl_device *law, const char **failed)
{
    size_t x_floats = LINEAR_T * LINEAR_K, out_floats = LINEAR_T * LINEAR_N;
    size_t w_bytes = LINEAR_N * LINEAR_K / 32 * 20;
    float *x = anl_context_alloc(d->base.context, (x_floats + 2 * out_floats) * 4 + w_bytes, 64);
    float *want = x + x_floats, *got = want + out_floats;
    anl_status s = ANL_OK;

    if (!x)
        return anl_fail(&d->base, ANL_E_MEMORY, "probes: out of memory");
    fill_random(x, (int64_t)x_floats, 1, 5);
    fill_weights((unsigned char *)(got + out_floats), w_bytes);
    for (int t = 1; !s && !*failed && t <= LINEAR_T; t += LINEAR_T - 1) {
        s = run_linear(law, x, got + out_floats, t, want);
        if (!s)
            s = run_linear(&d->base, x, got + out_floats, t, got);
        if (!s && memcmp(want, got, (size_t)t * LINEAR_N * 4) != 0)
            *failed = "linear layer over three spans";
    }
    anl_context_free(d->base.context, x);
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
        s = check_linear(d, law, failed);
    anl_device_destroy(law);
    return s;
}
