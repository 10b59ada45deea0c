/* tools/bench/work.c: how much work a case is: the law's own float operations (an fma is two), and the
 * bytes of its inputs and results, each once. */
#include <string.h>

#include "tests/attn_case.h"
#include "tests/embed_case.h"
#include "tests/ffn_case.h"
#include "tests/linear_case.h"
#include "tests/norm_case.h"
#include "tests/qkv_case.h"
#include "tests/rope_case.h"
#include "tests/xent_case.h"
#include "tools/bench/bench.h"

#define F32 sizeof(float)

static double weights(anl_dtype dtype, int64_t n, int64_t k)
{
    return (double)n * (double)gen_row_bytes(dtype, k);
}

/* Pairs of a query and a key that it sees. */
static double visible(const struct attn_case *c)
{
    double pairs = 0;
    for (int64_t i = 0; i < c->sq; i++) {
        int64_t last = attn_case_offset(c) + i;
        if (!c->causal || last >= c->sk)
            pairs += (double)c->sk;
        else if (last >= 0)
            pairs += (double)(last + 1);
    }
    return pairs;
}

static void attn(const struct attn_case *c, double *flop, double *bytes)
{
    double queries = (double)(c->b * c->h * c->sq), keys = (double)(c->b * c->hkv * c->sk);
    double both = (double)(c->d + c->dv);
    *flop = 2 * (double)(c->b * c->h) * visible(c) * both;
    *bytes = queries * both * F32 + keys * both * (double)gen_dtype_size(c->kv);
}

static void qkv(const struct qkv_case *c, double *flop, double *bytes)
{
    int64_t n = c->h * c->d + c->hkv * (c->d + c->dv);
    *flop = 2.0 * (double)c->t * (double)c->dm * (double)n;
    *bytes = weights(c->w, n, c->dm) + (double)(c->t * (c->dm + n)) * F32;
}

static void ffn(const struct ffn_case *c, double *flop, double *bytes)
{
    int matrices = c->gated ? 3 : 2;
    *flop = 2.0 * matrices * (double)c->t * (double)c->dm * (double)c->dff;
    *bytes = (matrices - 1) * weights(c->w, c->dff, c->dm) + weights(c->w, c->dm, c->dff) +
             2.0 * (double)(c->t * c->dm) * F32;
}

void bench_work(const char *op, const void *at, double *flop, double *bytes)
{
    const struct linear_case *l = at;
    const struct norm_case *n = at;
    const struct rope_case *r = at;
    const struct embed_case *e = at;
    const struct xent_case *x = at;
    *flop = *bytes = 0;
    if (strcmp(op, "attn") == 0) {
        attn(at, flop, bytes);
    } else if (strcmp(op, "ffn") == 0) {
        ffn(at, flop, bytes);
    } else if (strcmp(op, "qkv") == 0) {
        qkv(at, flop, bytes);
    } else if (strcmp(op, "linear") == 0) {
        *flop = 2.0 * (double)l->t * (double)l->n * (double)l->k;
        *bytes = weights(l->w, l->n, l->k) + (double)(l->t * (l->n + l->k)) * F32;
    } else if (strcmp(op, "norm") == 0) { /* a square, two products */
        *flop = 4.0 * (double)n->t * (double)n->dm;
        *bytes = (2.0 * (double)n->t + 1) * (double)n->dm * F32;
    } else if (strcmp(op, "rope") == 0) { /* an fma and a product */
        *flop = 3.0 * (double)(r->t * r->h * r->d);
        *bytes = 2.0 * (double)(r->t * r->h * r->d) * F32;
    } else if (strcmp(op, "embed") == 0) {
        *bytes = weights(e->w, e->t, e->dm) + (double)(e->t * e->dm) * F32;
    } else if (strcmp(op, "xent") == 0) { /* log2 e, p2 and a sum */
        *flop = 18.0 * (double)(x->t * x->n);
        *bytes = (double)(x->t * (x->n + 1)) * F32;
    }
}

double bench_room(const char *op, const void *at)
{
    const struct embed_case *e = at;
    double flop, bytes;
    bench_work(op, at, &flop, &bytes);
    return strcmp(op, "embed") == 0 ? bytes + weights(e->w, e->n, e->dm) : bytes;
}
