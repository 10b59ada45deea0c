/* tests/oracle_linear.c: linear and ffn in fp64. */
#include <math.h>
#include <stdlib.h>

#include "tests/ffn_case.h"
#include "tests/linear_case.h"
#include "tests/oracle.h"

/* A value and how far the law's may lie from it. */
typedef struct oracle_sum bounded;

static bounded add(bounded a, double x)
{
    a.value += x;
    a.bound += EPS * (fabs(a.value) + a.bound);
    return a;
}

static bounded activate(bounded a, anl_act act)
{
    return (bounded){ oracle_act(act, a.value), oracle_act_error(act, a.value, a.bound) };
}

static bounded multiply(bounded a, bounded b)
{
    bounded r = { a.value * b.value, 0 };
    r.bound = fabs(a.value) * b.bound + fabs(b.value) * a.bound + a.bound * b.bound;
    r.bound += EPS * (fabs(r.value) + r.bound) + 0x1p-149;
    return r;
}

void oracle_linear(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct linear_case *c = linear_case_at(index);
    struct linear_data data;
    linear_data_make(c, &data);
    size_t row = gen_row_bytes(c->w, c->k), n = (size_t)c->n;
    for (size_t i = 0; i < (size_t)c->t * n; i++) {
        bounded r = oracle_contract(data.x + i / n * (size_t)c->k, c->w,
                                    (const uint8_t *)data.w + i % n * row, c->k);
        if (data.bias != NULL)
            r = add(r, (double)data.bias[i % n]);
        r = activate(r, c->act);
        if (data.gate != NULL)
            r = multiply(r, (bounded){ (double)data.gate[i], 0 });
        if (data.residual != NULL)
            r = add(r, (double)data.residual[i]);
        oracle_check(report, &law->array[0], i, r.value, r.bound);
    }
    linear_data_free(&data);
}

static bounded row_of(const struct ffn_case *c, const float *x, const void *w, const float *bias,
                      int64_t i)
{
    const uint8_t *row = (const uint8_t *)w + (size_t)i * gen_row_bytes(c->w, c->dm);
    bounded r = oracle_contract(x, c->w, row, c->dm);
    return bias != NULL ? add(r, (double)bias[i]) : r;
}

/* The hidden row of one token. */
static void hidden_row(const struct ffn_case *c, const struct ffn_data *data, const float *x,
                       bounded *hidden)
{
    for (int64_t i = 0; i < c->dff; i++) {
        bounded up = row_of(c, x, data->up, data->up_bias, i);
        if (c->gated)
            hidden[i] = multiply(activate(row_of(c, x, data->gate, data->gate_bias, i), c->act),
                                 up);
        else
            hidden[i] = activate(up, c->act);
    }
}

static bounded down_row(const struct ffn_case *c, const struct ffn_data *data,
                        const bounded *hidden, int64_t i)
{
    const uint8_t *row = (const uint8_t *)data->down + (size_t)i * gen_row_bytes(c->w, c->dff);
    double roundings = (double)((c->dff < 512 ? c->dff : 512) + (c->dff + 511) / 512);
    bounded r = { 0, roundings * 0x1p-149 };
    for (int64_t k = 0; k < c->dff; k++) {
        double w = gen_weight(c->w, row, k);
        r.value += w * hidden[k].value;
        r.bound += fabs(w) * (hidden[k].bound +
                              roundings * EPS * (fabs(hidden[k].value) + hidden[k].bound));
    }
    return r;
}

void oracle_ffn(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct ffn_case *c = ffn_case_at(index);
    struct ffn_data data;
    bounded *hidden = gen_alloc((size_t)c->dff, sizeof *hidden);
    ffn_data_make(c, &data);
    for (int64_t t = 0; t < c->t; t++) {
        hidden_row(c, &data, data.x + t * c->dm, hidden);
        for (int64_t i = 0; i < c->dm; i++) {
            size_t at = (size_t)(t * c->dm + i);
            bounded r = down_row(c, &data, hidden, i);
            if (data.down_bias != NULL)
                r = add(r, (double)data.down_bias[i]);
            if (data.residual != NULL)
                r = add(r, (double)data.residual[at]);
            oracle_check(report, &law->array[0], at, r.value, r.bound);
        }
    }
    ffn_data_free(&data);
    free(hidden);
}
