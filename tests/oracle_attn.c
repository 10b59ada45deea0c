/* tests/oracle_attn.c: attention and cross-entropy in fp64. */
#include <math.h>
#include <stdlib.h>

#include "tests/attn_case.h"
#include "tests/oracle.h"
#include "tests/xent_case.h"

/* One query row against the keys [0, visible). */
struct row {
    const struct attn_case *c;
    const float *q;
    const void *k, *v; /* of its head */
    int64_t visible;
    double scale;
    double top;    /* largest score, natural units */
    double spread; /* max_j scale sum_d |q_d k_jd| */
    double *score;
};

static void make_scores(struct row *r)
{
    r->top = -INFINITY;
    r->spread = 0;
    for (int64_t j = 0; j < r->visible; j++) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < r->c->d; i++) {
            double p = (double)r->q[i] * gen_weight(r->c->kv, r->k, j * r->c->d + i);
            sum += p;
            size += fabs(p);
        }
        r->score[j] = r->scale * sum;
        r->top = fmax(r->top, r->score[j]);
        r->spread = fmax(r->spread, fabs(r->scale) * size);
    }
}

/* sum_j e^(score - base) x_j, its sum of magnitudes, and max |x| */
struct weighted {
    double sum, size, largest;
};

static struct weighted weigh(const struct row *r, double base, int64_t column)
{
    struct weighted w = { 0, 0, 0 };
    for (int64_t j = 0; j < r->visible; j++) {
        double p = exp(r->score[j] - base);
        double x = column < 0 ? 1 : gen_weight(r->c->kv, r->v, j * r->c->dv + column);
        w.sum += p * x;
        w.size += p * fabs(x);
        w.largest = fmax(w.largest, fabs(x));
    }
    return w;
}

/* The relative error that the bound allows, in units of what is summed. */
static double tolerance(const struct row *r)
{
    double chain = r->visible < 512 ? (double)r->visible : 512;
    double constant = r->c->head.kind == GEN_CONSTANT ? (chain + 1) / 2 : 0;
    return EPS * (ORACLE_ATTN_C * (1 + r->spread) + constant);
}

/* What the cut of p2 at 2^-62 may move, in a sum whose largest term is near 1. */
static double cut(const struct row *r, double largest)
{
    return (double)r->visible * 0x1p-61 * largest;
}

static void check_out(struct oracle_report *report, const struct run_array *out, size_t at,
                      const struct row *r)
{
    double l = r->visible > 0 ? weigh(r, r->top, -1).sum : 1;
    for (int64_t i = 0; i < r->c->dv; i++) {
        struct weighted o = weigh(r, r->top, i);
        double bound = tolerance(r) * o.size / l + cut(r, o.largest);
        oracle_check(report, out, at * (size_t)r->c->dv + (size_t)i, o.sum / l, bound);
    }
}

/* m is the ceiling of the largest score in log2 units; l and o are sums of 2^(score - m). */
static void check_state(struct oracle_report *report, const struct run_result *law, int first,
                        size_t at, const struct row *r)
{
    const struct run_array *m = &law->array[first], *l = m + 1, *o = m + 2;
    double slack = tolerance(r), top = r->top * M_LOG2E;
    double law_m = (double)run_value(m, at);
    if (r->visible <= 0) {
        if (law_m > -INFINITY)
            report->bad++;
        oracle_check(report, l, at, 0, 0);
        for (int64_t i = 0; i < r->c->dv; i++)
            oracle_check(report, o, at * (size_t)r->c->dv + (size_t)i, 0, 0);
        return;
    }
    if (law_m != nearbyint(law_m) || law_m < top - slack || law_m > top + 1 + slack)
        report->bad++;
    double base = law_m / M_LOG2E;
    oracle_check(report, l, at, weigh(r, base, -1).sum,
                 slack * weigh(r, base, -1).sum + cut(r, 1));
    for (int64_t i = 0; i < r->c->dv; i++) {
        struct weighted w = weigh(r, base, i);
        oracle_check(report, o, at * (size_t)r->c->dv + (size_t)i, w.sum,
                     slack * w.size + cut(r, w.largest));
    }
}

static void check_row(const struct attn_case *c, const struct attn_data *data, size_t at,
                      const struct run_result *law, struct oracle_report *report, double *score)
{
    int64_t i = (int64_t)at % c->sq, h = (int64_t)at / c->sq % c->h;
    int64_t b = (int64_t)at / c->sq / c->h, head = b * c->hkv + h / (c->h / c->hkv);
    size_t size = gen_dtype_size(c->kv);
    struct row r = { .c = c, .q = data->q + at * (size_t)c->d, .score = score };
    int64_t last = attn_case_offset(c) + i;
    r.k = (const uint8_t *)data->k + (size_t)(head * c->sk * c->d) * size;
    r.v = (const uint8_t *)data->v + (size_t)(head * c->sk * c->dv) * size;
    r.visible = !c->causal || last >= c->sk ? c->sk : last < 0 ? 0 : last + 1;
    r.scale = c->scale < 0 || c->scale > 0 ? (double)c->scale
                                           : (double)(float)(1 / sqrt((double)c->d));
    make_scores(&r);
    if (c->state != ATTN_STATE)
        check_out(report, &law->array[0], at, &r);
    if (c->state != ATTN_OUT)
        check_state(report, law, c->state == ATTN_STATE ? 0 : 1, at, &r);
}

void oracle_attn(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct attn_case *c = attn_case_at(index);
    struct attn_data data;
    double *score = gen_alloc((size_t)c->sk, sizeof *score);
    size_t rows = (size_t)(c->b * c->h * c->sq);
    attn_data_make(c, &data);
    /* of many rows a sample that meets every row's place in a span and a block */
    for (size_t at = 0; at < rows; at += rows > 1000 ? 7 : 1)
        check_row(c, &data, at, law, report, score);
    attn_data_free(&data);
    free(score);
}

void oracle_xent(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct xent_case *c = xent_case_at(index);
    struct xent_data data;
    xent_data_make(c, &data);
    for (int64_t t = 0; t < c->t; t++) {
        const float *x = data.logits + t * c->n;
        double top = -INFINITY, sum = 0, size = 0;
        for (int64_t i = 0; i < c->n; i++) {
            top = fmax(top, (double)x[i]);
            size = fmax(size, fabs((double)x[i]));
        }
        for (int64_t i = 0; i < c->n; i++)
            sum += exp((double)x[i] - top);
        /* as attention's, with the logit in the score's place; then log, product and difference */
        double lse = top + log(sum);
        double bound = EPS * (4 * (1 + size) + 4 * (1 + fabs(lse)));
        oracle_check(report, &law->array[0], (size_t)t, lse - (double)x[data.targets[t]], bound);
    }
    xent_data_free(&data);
}
