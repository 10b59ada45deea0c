/* tests/lm_oracle.c: see lm_oracle.h.
 *
 * Plain loops, but for the matrix product: it is nearly all of the work, so weights are unpacked
 * once into panels of 8 rows, and a tile of 4 tokens by 8 rows is summed in registers. Token counts
 * are padded to whole tiles with rows of zeros. */
#include "tests/lm_oracle.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 4, PANEL = 8, TOKENS = 32, HEAD_ROWS = 4096 };

struct oracle {
    const struct gguf *g;
    int64_t n;      /* tokens */
    int64_t padded; /* to a multiple of TILE */
    int64_t blocks, dm, heads, kv_heads, head_dim, dff, vocab, rope_dims;
    double eps, rope_base;
};

static void *zeros(int64_t count, size_t size)
{
    void *p = calloc((size_t)(count > 0 ? count : 1), size);
    ck_assert_ptr_nonnull(p);
    return p;
}

static double half(const uint8_t *at)
{
    int bits = at[0] | at[1] << 8, exponent = bits >> 10 & 31, fraction = bits & 1023;
    double x = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

    if (exponent == 31)
        x = fraction ? (double)NAN : (double)INFINITY;
    return bits & 0x8000 ? -x : x;
}

static double single(const uint8_t *at)
{
    uint32_t bits = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                    (uint32_t)at[3] << 24;
    float x;

    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

/* A byte's low half holds element i of a block of 32, its high half element i + 16. */
static int nibble(const uint8_t *q, int i)
{
    return i < 16 ? q[i] & 15 : q[i - 16] >> 4;
}

/* One block of 32 as the file's format defines it. Q4_1 stands for f32 values. */
static void unpack_block(enum gguf_dtype dtype, const uint8_t *block, double *out)
{
    double d = half(block), m = half(block + 2);

    for (int i = 0; i < 32; i++) {
        if (dtype == GGUF_Q8_0)
            out[i] = d * (block[2 + i] < 128 ? block[2 + i] : block[2 + i] - 256);
        else if (dtype == GGUF_Q4_0)
            out[i] = d * (nibble(block + 2, i) - 8);
        else
            out[i] = (double)(float)(d * nibble(block + 4, i) + m);
    }
}

static void unpack_row(const struct gguf_tensor *t, const uint8_t *row, double *out)
{
    int64_t k = (int64_t)t->dim[0], block = (int64_t)gguf_row_bytes(t) * 32 / k;

    for (int64_t i = 0; i < k; i++) {
        if (t->dtype == GGUF_F32)
            out[i] = single(row + 4 * i);
        else if (t->dtype == GGUF_F16)
            out[i] = half(row + 2 * i);
        else if (i % 32 == 0)
            unpack_block(t->dtype, row + i / 32 * block, out + i);
    }
}

static const struct gguf_tensor *find(const struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = NULL;
    struct gguf_error err = { "" };
    ck_assert_msg(gguf_find_tensor(g, name, &t, &err) == GGUF_OK, "%s", err.message);
    return t;
}

/* Rows [row0, row0 + rows) as they are in the file. */
static uint8_t *raw_rows(const struct gguf *g, const struct gguf_tensor *t, int64_t row0,
                         int64_t rows)
{
    struct gguf_error err = { "" };
    uint8_t *raw = zeros(rows, gguf_row_bytes(t));
    ck_assert_msg(gguf_tensor_read(g, t, (uint64_t)row0, (uint64_t)rows, raw, &err) == GGUF_OK,
                  "%s", err.message);
    return raw;
}

static double *vector(const struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = find(g, name);
    uint8_t *raw = raw_rows(g, t, 0, 1);
    double *v = zeros((int64_t)t->dim[0], sizeof *v);

    unpack_row(t, raw, v);
    free(raw);
    return v;
}

/* Panels [rows / 8][k][8], the last one filled up with zeros. */
static double *panels(const struct gguf *g, const struct gguf_tensor *t, int64_t row0, int64_t rows)
{
    int64_t k = (int64_t)t->dim[0], count = (rows + PANEL - 1) / PANEL;
    uint8_t *raw = raw_rows(g, t, row0, rows);
    double *w = zeros(count * PANEL * k, sizeof *w);

#pragma omp parallel for
    for (int64_t p = 0; p < count; p++) {
        double *row = malloc((size_t)k * sizeof *row);
        if (row == NULL)
            abort();
        for (int64_t r = p * PANEL; r < rows && r < (p + 1) * PANEL; r++) {
            unpack_row(t, raw + (uint64_t)r * gguf_row_bytes(t), row);
            for (int64_t i = 0; i < k; i++)
                w[(p * k + i) * PANEL + r % PANEL] = row[i];
        }
        free(row);
    }
    free(raw);
    return w;
}

/* Vectors of four: wider ones, on a machine without them, go through memory. */
typedef double four __attribute__((vector_size(4 * sizeof(double)), aligned(8)));

/* out[TILE][PANEL] = x[TILE][k] times the panel. */
static inline __attribute__((always_inline)) void tile_body(const double *x, const double *w,
                                                            int64_t k, double *out)
{
    four sum[TILE][PANEL / 4];

    memset(sum, 0, sizeof sum);
    for (int64_t i = 0; i < k; i++) {
        const four *row = (const four *)(w + i * PANEL);
        for (int t = 0; t < TILE; t++)
            for (int j = 0; j < PANEL / 4; j++)
                sum[t][j] += x[t * k + i] * row[j];
    }
    memcpy(out, sum, sizeof sum);
}

static void tile_plain(const double *x, const double *w, int64_t k, double *out)
{
    tile_body(x, w, k, out);
}

typedef void tile_function(const double *x, const double *w, int64_t k, double *out);

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void tile_avx2(const double *x, const double *w,
                                                          int64_t k, double *out)
{
    tile_body(x, w, k, out);
}

static tile_function *best_tile(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? tile_avx2 : tile_plain;
}
#else
static tile_function *best_tile(void)
{
    return tile_plain;
}
#endif

/* out[padded][rows] = x[padded][k] times rows [row0, row0 + rows) of the tensor. */
static void product(const struct oracle *o, const double *x, const struct gguf_tensor *t,
                    int64_t row0, int64_t rows, double *out)
{
    tile_function *tile = best_tile();
    int64_t k = (int64_t)t->dim[0], count = (rows + PANEL - 1) / PANEL;
    double *w = panels(o->g, t, row0, rows);

#pragma omp parallel for collapse(2) schedule(dynamic, 16)
    for (int64_t first = 0; first < o->padded; first += TOKENS)
        for (int64_t p = 0; p < count; p++) {
            int64_t last = first + TOKENS < o->padded ? first + TOKENS : o->padded;
            int64_t width = rows - p * PANEL < PANEL ? rows - p * PANEL : PANEL;
            for (int64_t at = first; at < last; at += TILE) {
                double sum[TILE][PANEL];
                tile(x + at * k, w + p * k * PANEL, k, sum[0]);
                for (int i = 0; i < TILE; i++)
                    memcpy(out + (at + i) * rows + p * PANEL, sum[i], (size_t)width * sizeof **sum);
            }
        }
    free(w);
}

/* x times a whole matrix of the block, in fresh memory. */
static double *linear(const struct oracle *o, const double *x, int64_t block, const char *name)
{
    char full[64];
    const struct gguf_tensor *t;
    double *out;

    snprintf(full, sizeof full, "blk.%d.%s.weight", (int)block, name);
    t = find(o->g, full);
    out = zeros(o->padded * (int64_t)t->dim[1], sizeof *out);
    product(o, x, t, 0, (int64_t)t->dim[1], out);
    return out;
}

static double *norm(const struct oracle *o, const double *x, const char *name)
{
    double *w = vector(o->g, name), *out = zeros(o->padded * o->dm, sizeof *out);

    for (int64_t t = 0; t < o->n; t++) {
        const double *row = x + t * o->dm;
        double squares = 0, r;
        for (int64_t i = 0; i < o->dm; i++)
            squares += row[i] * row[i];
        r = 1 / sqrt(squares / (double)o->dm + o->eps);
        for (int64_t i = 0; i < o->dm; i++)
            out[t * o->dm + i] = row[i] * r * w[i];
    }
    free(w);
    return out;
}

static double *block_norm(const struct oracle *o, const double *x, int64_t block, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s.weight", (int)block, name);
    return norm(o, x, full);
}

/* Turns features 2i and 2i + 1 of every head by position * base^(-2i / dims). */
static void rope(const struct oracle *o, double *x, int64_t heads)
{
    for (int64_t t = 0; t < o->n; t++)
        for (int64_t i = 0; i < o->rope_dims / 2; i++) {
            double angle = (double)t * pow(o->rope_base, -2.0 * (double)i / (double)o->rope_dims);
            double c = cos(angle), s = sin(angle);
            for (int64_t h = 0; h < heads; h++) {
                double *pair = x + (t * heads + h) * o->head_dim + 2 * i, first = pair[0];
                pair[0] = first * c - pair[1] * s;
                pair[1] = first * s + pair[1] * c;
            }
        }
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* One query of one head over the keys that it may see; p: room for as many weights. */
static void attend_one(const struct oracle *o, const double *q, const double *k, const double *v,
                       int64_t keys, double *p, double *out)
{
    int64_t d = o->head_dim, stride = o->kv_heads * d;
    double largest = -INFINITY, sum = 0;

    for (int64_t j = 0; j < keys; j++) {
        p[j] = dot(q, k + j * stride, d) / sqrt((double)d);
        largest = p[j] > largest ? p[j] : largest;
    }
    for (int64_t j = 0; j < keys; j++) {
        p[j] = exp(p[j] - largest);
        sum += p[j];
        for (int64_t i = 0; i < d; i++)
            out[i] += p[j] * v[j * stride + i];
    }
    for (int64_t i = 0; i < d; i++)
        out[i] /= sum;
}

static double *attend(const struct oracle *o, const double *q, const double *k, const double *v)
{
    int64_t d = o->head_dim, group = o->heads / o->kv_heads;
    double *out = zeros(o->padded * o->heads * d, sizeof *out);

#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t t = 0; t < o->n; t++) {
        double *p = malloc((size_t)o->n * sizeof *p);
        if (p == NULL)
            abort();
        for (int64_t h = 0; h < o->heads; h++)
            attend_one(o, q + (t * o->heads + h) * d, k + h / group * d, v + h / group * d, t + 1,
                       p, out + (t * o->heads + h) * d);
        free(p);
    }
    return out;
}

static void add(double *x, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
    free(y);
}

static void attention_half(const struct oracle *o, double *x, int64_t block)
{
    double *a = block_norm(o, x, block, "attn_norm");
    double *q = linear(o, a, block, "attn_q"), *k = linear(o, a, block, "attn_k");
    double *v = linear(o, a, block, "attn_v"), *att;

    rope(o, q, o->heads);
    rope(o, k, o->kv_heads);
    att = attend(o, q, k, v);
    add(x, linear(o, att, block, "attn_output"), o->padded * o->dm);
    free(a);
    free(q);
    free(k);
    free(v);
    free(att);
}

static void ffn_half(const struct oracle *o, double *x, int64_t block)
{
    double *a = block_norm(o, x, block, "ffn_norm");
    double *gate = linear(o, a, block, "ffn_gate"), *up = linear(o, a, block, "ffn_up");

    for (int64_t i = 0; i < o->padded * o->dff; i++)
        up[i] *= gate[i] / (1 + exp(-gate[i]));
    add(x, linear(o, up, block, "ffn_down"), o->padded * o->dm);
    free(a);
    free(gate);
    free(up);
}

static double *embed(const struct oracle *o, const int32_t *ids)
{
    const struct gguf_tensor *t = find(o->g, "token_embd.weight");
    double *x = zeros(o->padded * o->dm, sizeof *x);

    for (int64_t i = 0; i < o->n; i++) {
        uint8_t *row = raw_rows(o->g, t, ids[i], 1);
        unpack_row(t, row, x + i * o->dm);
        free(row);
    }
    return x;
}

/* A running log-sum-exp over the vocabulary, some rows of the head at a time. */
struct tally {
    double largest, sum, target;
};

static void tally_rows(struct tally *y, const double *logits, int64_t row0, int64_t rows,
                       int64_t target)
{
    double largest = y->largest;

    for (int64_t i = 0; i < rows; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    y->sum *= exp(y->largest - largest);
    y->largest = largest;
    for (int64_t i = 0; i < rows; i++)
        y->sum += exp(logits[i] - largest);
    if (target >= row0 && target < row0 + rows)
        y->target = logits[target - row0];
}

static double *cross_entropy(const struct oracle *o, const double *hidden, const int32_t *ids)
{
    const struct gguf_tensor *head = NULL;
    struct gguf_error err;
    struct tally *tally = zeros(o->n, sizeof *tally);
    double *logits = zeros(o->padded * HEAD_ROWS, sizeof *logits);
    double *nll = zeros(o->n, sizeof *nll);

    if (gguf_find_tensor(o->g, "output.weight", &head, &err) != GGUF_OK)
        head = find(o->g, "token_embd.weight");
    for (int64_t t = 0; t < o->n; t++)
        tally[t].largest = -INFINITY;
    for (int64_t row0 = 0; row0 < o->vocab; row0 += HEAD_ROWS) {
        int64_t rows = o->vocab - row0 < HEAD_ROWS ? o->vocab - row0 : HEAD_ROWS;
        product(o, hidden, head, row0, rows, logits);
#pragma omp parallel for
        for (int64_t t = 0; t < o->n - 1; t++)
            tally_rows(&tally[t], logits + t * rows, row0, rows, ids[t + 1]);
    }
    for (int64_t t = 0; t < o->n - 1; t++)
        nll[t] = tally[t].largest + log(tally[t].sum) - tally[t].target;
    free(logits);
    free(tally);
    return nll;
}

/* llama.KEY; fallback (if not 0) where it is not in the file. */
static int64_t count_of(const struct gguf *g, const char *key, int64_t fallback)
{
    struct gguf_error err = { "" };
    char name[96];
    uint32_t value = 0;

    snprintf(name, sizeof name, "llama.%s", key);
    if (gguf_get_u32(g, name, &value, &err) == GGUF_OK)
        return value;
    ck_assert_msg(fallback != 0, "%s", err.message);
    return fallback;
}

static struct oracle read_shape(const struct gguf *g, int64_t n)
{
    struct oracle o = { .g = g, .n = n, .padded = (n + TILE - 1) / TILE * TILE };
    struct gguf_error err = { "" };
    float eps = 0, base = 10000;

    o.blocks = count_of(g, "block_count", 0);
    o.dm = count_of(g, "embedding_length", 0);
    o.dff = count_of(g, "feed_forward_length", 0);
    o.heads = count_of(g, "attention.head_count", 0);
    o.kv_heads = count_of(g, "attention.head_count_kv", o.heads);
    o.head_dim = count_of(g, "attention.key_length", o.dm / o.heads);
    o.rope_dims = count_of(g, "rope.dimension_count", o.head_dim);
    o.vocab = (int64_t)find(g, "token_embd.weight")->dim[1];
    ck_assert_msg(gguf_get_f32(g, "llama.attention.layer_norm_rms_epsilon", &eps, &err) == GGUF_OK,
                  "%s", err.message);
    gguf_get_f32(g, "llama.rope.freq_base", &base, &err);
    o.eps = (double)eps;
    o.rope_base = (double)base;
    return o;
}

struct lm_oracle lm_oracle(const struct gguf *g, const int32_t *ids, int64_t n)
{
    struct oracle o = read_shape(g, n);
    struct lm_oracle result = { .dm = o.dm };
    double *x = embed(&o, ids);

    for (int64_t block = 0; block < o.blocks; block++) {
        attention_half(&o, x, block);
        ffn_half(&o, x, block);
    }
    result.hidden = norm(&o, x, "output_norm.weight");
    result.nll = cross_entropy(&o, result.hidden, ids);
    free(x);
    return result;
}
