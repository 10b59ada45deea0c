/* tests/oracle_rows.c: norm, rope and embed in fp64 (rope's angles in long double). */
#include <math.h>

#include "tests/embed_case.h"
#include "tests/norm_case.h"
#include "tests/oracle.h"
#include "tests/rope_case.h"

void oracle_norm(int index, const struct run_result *law, struct oracle_report *report)
{
    const struct norm_case *c = norm_case_at(index);
    struct norm_data data;
    /* the sum's roundings (a lane of a span, its tree, the spans), halved by the root; then the
     * mean, the root and two products */
    double lane = (double)((c->dm < 512 ? c->dm : 512) + 15) / 16;
    double roundings = (lane + 4 + (double)(c->dm + 511) / 512 + 4) / 2 + 4;
    norm_data_make(c, &data);
    for (int64_t t = 0; t < c->t; t++) {
        const float *x = data.x + t * c->dm;
        double sum = 0;
        for (int64_t i = 0; i < c->dm; i++)
            sum += (double)x[i] * (double)x[i];
        double r = 1 / sqrt(sum / (double)c->dm + (double)norm_case_eps(c));
        for (int64_t i = 0; i < c->dm; i++) {
            double y = (double)x[i] * r * (double)data.w[i];
            /* x * r may be subnormal: half a unit of it, times w */
            double bound = roundings * EPS * fabs(y) + 0x1p-149 * (1 + fabs((double)data.w[i]));
            oracle_check(report, &law->array[0], (size_t)(t * c->dm + i), y, bound);
        }
    }
    norm_data_free(&data);
}

static void check_head(const struct rope_case *c, const float *x, int64_t position, size_t at,
                       const struct run_array *out, struct oracle_report *report)
{
    int half = c->dims / 2;
    for (int i = 0; i < half; i++) {
        int i1 = c->pairs == ANL_ROPE_HALF ? i : 2 * i;
        int i2 = c->pairs == ANL_ROPE_HALF ? i + half : 2 * i + 1;
        long double angle = (long double)position *
                            powl((long double)c->base, -2 * (long double)i / c->dims);
        double cosine = (double)cosl(angle), sine = (double)sinl(angle);
        double x1 = (double)x[i1], x2 = (double)x[i2];
        double bound = 6 * EPS * (fabs(x1) + fabs(x2)) + 0x1p-148;
        oracle_check(report, out, at + (size_t)i1, x1 * cosine - x2 * sine, bound);
        oracle_check(report, out, at + (size_t)i2, x2 * cosine + x1 * sine, bound);
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
