/* tests/oracle_linear.c: linear, ffn and qkv in fp64. */
#include <math.h>
#include <stdlib.h>

#include "tests/ffn_case.h"
#include "tests/linear_case.h"
#include "tests/oracle.h"
#include "tests/qkv_case.h"

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

/* A row of x with one of the weights'; normed, if norm is not NULL, by way of the caller's row. */
static bounded contract(const float *x, const float *norm, bounded *row, anl_dtype dtype,
                        const void *w, int64_t n)
{
    if (norm == NULL)
        return oracle_contract(x, dtype, w, n);
    oracle_norm_row(x, norm, n, CASE_EPS, row);
    return oracle_contract_bounded(row, dtype, w, n);
}

void oracle_linear(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct linear_case *c = linear_case_at(index);
    struct linear_data data;
    linear_data_make(c, &data);
    size_t row = gen_row_bytes(c->w, c->k), n = (size_t)c->n;
    bounded *normed = gen_alloc((size_t)c->k, sizeof *normed);
    for (size_t i = 0; i < (size_t)c->t * n; i++) {
        bounded r = contract(data.x + i / n * (size_t)c->k, data.norm, normed, c->w,
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
    free(normed);
}

/* Feature i of gate or up. */
static bounded row_of(const struct ffn_case *c, const struct ffn_data *data, const float *x,
                      bounded *normed, anl_dtype dtype, const void *w, const float *bias, int64_t i)
{
    const uint8_t *row = (const uint8_t *)w + (size_t)i * gen_row_bytes(dtype, c->dm);
    bounded r = contract(x, data->norm, normed, dtype, row, c->dm);
    return bias != NULL ? add(r, (double)bias[i]) : r;
}

/* The hidden row of one token. */
static void hidden_row(const struct ffn_case *c, const struct ffn_data *data, const float *x,
                       bounded *normed, bounded *hidden)
{
    for (int64_t i = 0; i < c->dff; i++) {
        bounded up = row_of(c, data, x, normed, c->w, data->up, data->up_bias, i);
        if (!c->gated) {
            hidden[i] = activate(up, c->act);
            continue;
        }
        bounded gate = row_of(c, data, x, normed, ffn_gate_dtype(c), data->gate, data->gate_bias, i);
        hidden[i] = multiply(activate(gate, c->act), up);
    }
}

void oracle_ffn(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct ffn_case *c = ffn_case_at(index);
    struct ffn_data data;
    bounded *hidden = gen_alloc((size_t)(c->dff + c->dm), sizeof *hidden);
    size_t row = gen_row_bytes(c->w, c->dff);
    ffn_data_make(c, &data);
    for (int64_t t = 0; t < c->t; t++) {
        hidden_row(c, &data, data.x + t * c->dm, hidden + c->dff, hidden);
        for (int64_t i = 0; i < c->dm; i++) {
            size_t at = (size_t)(t * c->dm + i);
            const uint8_t *w = (const uint8_t *)data.down + (size_t)i * row;
            bounded r = oracle_contract_bounded(hidden, c->w, w, c->dff);
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

/* One of q, k and v: its result is array number a. */
static void check_heads(const struct qkv_case *c, const struct qkv_data *data, int a, int64_t heads,
                        int64_t d, const struct run_array *array, struct oracle_report *report)
{
    int turned = a < 2 && c->dims > 0, half = c->dims / 2;
    int64_t n = heads * d;
    size_t row = gen_row_bytes(qkv_dtype(c, a), c->dm);
    bounded *y = gen_alloc((size_t)(n + c->dm), sizeof *y);
    for (int64_t t = 0; t < c->t; t++) {
        for (int64_t i = 0; i < n; i++) {
            y[i] = contract(data->x + t * c->dm, data->norm, y + n, qkv_dtype(c, a),
                            (const uint8_t *)data->w[a] + (size_t)i * row, c->dm);
            if (c->bias)
                y[i] = add(y[i], (double)data->bias[a][i]);
        }
        for (int64_t i = 0; turned && i < heads * half; i++) {
            bounded *x1 = y + i / half * d + i % half * (c->pairs == ANL_ROPE_HALF ? 1 : 2);
            oracle_turn(c->base, c->dims, c->position + t, (int)(i % half), x1,
                        x1 + (c->pairs == ANL_ROPE_HALF ? half : 1));
        }
        for (int64_t i = 0; i < n; i++)
            oracle_check(report, array, (size_t)(t * n + i), y[i].value, y[i].bound);
    }
    free(y);
}

void oracle_qkv(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct qkv_case *c = qkv_case_at(index);
    struct qkv_data data;
    qkv_data_make(c, &data);
    check_heads(c, &data, 0, c->h, c->d, &law->array[0], report);
    check_heads(c, &data, 1, c->hkv, c->d, &law->array[1], report);
    check_heads(c, &data, 2, c->hkv, c->dv, &law->array[2], report);
    qkv_data_free(&data);
}
