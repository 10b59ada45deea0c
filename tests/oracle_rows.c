/* tests/oracle_rows.c: norm, rope and embed in fp64 (rope's angles in long double). */
#include <math.h>
#include <stdlib.h>

#include "tests/embed_case.h"
#include "tests/norm_case.h"
#include "tests/oracle.h"
#include "tests/rope_case.h"

void oracle_norm_row(const float *x, const float *w, int64_t n, float eps, struct oracle_sum *out)
{
    /* the sum's roundings (a lane of a span, its tree, the spans), halved by the root; then the
     * mean, the root and two products */
    double lane = (double)((n < 512 ? n : 512) + 15) / 16, sum = 0;
    double roundings = (lane + 4 + (double)(n + 511) / 512 + 4) / 2 + 4;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double r = 1 / sqrt(sum / (double)n + (double)eps);
    for (int64_t i = 0; i < n; i++) {
        double y = (double)x[i] * r * (double)w[i];
        /* x * r may be subnormal: half a unit of it, times w */
        out[i].value = y;
        out[i].bound = roundings * EPS * fabs(y) + 0x1p-149 * (1 + fabs((double)w[i]));
    }
}

void oracle_norm(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct norm_case *c = norm_case_at(index);
    struct oracle_sum *row = gen_alloc((size_t)c->dm, sizeof *row);
    struct norm_data data;
    norm_data_make(c, &data);
    for (int64_t t = 0; t < c->t; t++) {
        oracle_norm_row(data.x + t * c->dm, data.w, c->dm, norm_case_eps(c), row);
        for (int64_t i = 0; i < c->dm; i++)
            oracle_check(report, &law->array[0], (size_t)(t * c->dm + i), row[i].value,
                         row[i].bound);
    }
    norm_data_free(&data);
    free(row);
}

void oracle_turn(double base, int dims, int64_t position, int pair, struct oracle_sum *x1,
                 struct oracle_sum *x2)
{
    long double angle = (long double)position * powl((long double)base, -2 * (long double)pair / dims);
    double cosine = (double)cosl(angle), sine = (double)sinl(angle), a = x1->value, b = x2->value;
    double bound = 6 * EPS * (fabs(a) + x1->bound + fabs(b) + x2->bound) + 0x1p-148;
    bound += fabs(cosine) * fmax(x1->bound, x2->bound) + fabs(sine) * fmax(x1->bound, x2->bound);
    *x1 = (struct oracle_sum){ a * cosine - b * sine, bound };
    *x2 = (struct oracle_sum){ b * cosine + a * sine, bound };
}

static void check_head(const struct rope_case *c, const float *x, int64_t position, size_t at,
                       const struct run_array *out, struct oracle_report *report)
{
    int half = c->dims / 2;
    for (int i = 0; i < half; i++) {
        int i1 = c->pairs == ANL_ROPE_HALF ? i : 2 * i;
        int i2 = c->pairs == ANL_ROPE_HALF ? i + half : 2 * i + 1;
        struct oracle_sum x1 = { (double)x[i1], 0 }, x2 = { (double)x[i2], 0 };
        oracle_turn(c->base, c->dims, position, i, &x1, &x2);
        oracle_check(report, out, at + (size_t)i1, x1.value, x1.bound);
        oracle_check(report, out, at + (size_t)i2, x2.value, x2.bound);
    }
    for (int64_t i = c->dims; i < c->d; i++)
        oracle_check(report, out, at + (size_t)i, (double)x[i], 0);
}

void oracle_rope(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct rope_case *c = rope_case_at(index);
    struct rope_data data;
    rope_data_make(c, &data);
    for (int64_t row = 0; row < c->t * c->h; row++) {
        size_t at = (size_t)(row * c->d);
        check_head(c, data.x + at, c->position + row / c->h, at, &law->array[0], report);
    }
    rope_data_free(&data);
}

void oracle_embed(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct embed_case *c = embed_case_at(index);
    struct embed_data data;
    size_t row = gen_row_bytes(c->w, c->dm);
    embed_data_make(c, &data);
    for (int64_t i = 0; i < c->t * c->dm; i++) {
        const uint8_t *w = (const uint8_t *)data.w + (size_t)data.ids[i / c->dm] * row;
        double x = gen_weight(c->w, w, i % c->dm);
        /* a float is copied; a Q4_1 value is rounded once */
        oracle_check(report, &law->array[0], (size_t)i, x, c->w == ANL_Q4_1 ? EPS * fabs(x) : 0);
    }
    embed_data_free(&data);
}
