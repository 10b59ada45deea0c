/* tools/ulp.c: the worst error of every elementary function of the law, found by trying every
 * float of its domain against double libm. `ulp [--quick] [NAME]`; --quick takes about every
 * thousandth float. Exit status 1 if a bound of the table below is broken, so it is a test too.
 *
 * An error is counted in units of the last place of the exact result, 2^-149 at least. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "law/scalar.h"

#include "law/elem.h"

#define QUICK 1009 /* prime, so that no bit pattern is systematically missed */
#define CHUNKS 512

struct range {
    float lo, hi;
};

struct row {
    const char *name;
    float (*law)(float);
    double (*exact)(double);
    struct range dom;  /* where the error in ulp is bounded by `ulp` */
    double ulp;
    struct range wide; /* where the absolute error is bounded by `abs`, if abs > 0 */
    double abs;
    int limits;         /* the two below and NaN are checked */
    double minus, plus; /* value at -infinity, +infinity */
};

struct worst {
    double ulp, abs;
    float at, abs_at;
};

static float law_p2_0(float s) { return law_p2(s, 0.0f); }
static double exact_recip(double x) { return 1 / x; }
static double exact_rsqrt(double x) { return 1 / sqrt(x); }
static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double exact_silu(double x) { return x / (1 + exp(-x)); }
static double exact_gelu(double x) { return x * erfc(-x * 0.70710678118654752440) * 0.5; }

static double exact_gelu_tanh(double x)
{
    double u = 1.59576912160573071176 * (x + 0.044715 * x * x * x); /* 2 sqrt(2 / pi) */
    return x / (1 + exp(-u));
}

#define MAXF FLT_MAX
#define NONE { 0, 0 }, 0

static const struct row rows[] = {
    { "exp2_poly", law_exp2_poly, exp2, { -0.5f, 0.5f }, 0.80, NONE, 0, 0, 0 },
    { "p2", law_p2_0, exp2, { -62, 0 }, 0.80, { -MAXF, 0 }, 0x1p-24, 0, 0, 0 },
    { "recip", law_recip, exact_recip, { 0x1p-126f, 0x1p125f }, 0.501, NONE, 0, 0, 0 },
    { "rsqrt", law_rsqrt, exact_rsqrt, { 0x1p-126f, MAXF }, 0.501, NONE, 1, NAN, 0 },
    { "log2", law_log2, log2, { 0x1p-149f, MAXF }, 1.07, NONE, 1, NAN, INFINITY },
    { "log", law_log, log, { 0x1p-149f, MAXF }, 0.88, NONE, 1, NAN, INFINITY },
    { "exp", law_exp, exp, { -0x1.5d589ep+6f, 0x1.62e42ep+6f }, 0.92,
      { -MAXF, 0 }, 0x1p-24, 1, 0, INFINITY },
    { "sigmoid", law_sigmoid, exact_sigmoid, { LAW_SIGMOID_CUT, MAXF }, 2.5,
      { -MAXF, MAXF }, 0x1p-23, 1, 0, 1 },
    { "silu", law_silu, exact_silu, { LAW_SIGMOID_CUT, MAXF }, 2.9,
      { -MAXF, 1 }, 0x1p-23, 1, 0, INFINITY },
    { "tanh", law_tanh, tanh, { -MAXF, MAXF }, 3.0, { -MAXF, MAXF }, 0x1p-22, 1, -1, 1 },
    { "erf", law_erf, erf, { -MAXF, MAXF }, 1.85, { -MAXF, MAXF }, 0x1p-23, 1, -1, 1 },
    { "gelu", law_gelu, exact_gelu, { -0x1.1ffffep+3f, MAXF }, 3.9,
      { -MAXF, 1 }, 0x1p-23, 1, 0, INFINITY },
    { "gelu", law_gelu, exact_gelu, { 0, MAXF }, 1.5, NONE, 0, 0, 0 },
    { "gelu_tanh", law_gelu_tanh, exact_gelu_tanh, { -0x1.1ffffep+3f, MAXF }, 2.8,
      { -MAXF, 1 }, 0x1p-23, 1, 0, INFINITY },
};

/* Floats in ascending order <-> integers in ascending order. */
static int64_t key(float x)
{
    uint32_t u = v_bits(x);
    return u >> 31 ? -(int64_t)(u & 0x7fffffffu) : (int64_t)u;
}

static float unkey(int64_t k)
{
    return v_float(k < 0 ? 0x80000000u | (uint32_t)-k : (uint32_t)k);
}

/* 1 / ulp(r). */
static double per_ulp(double r)
{
    uint64_t u;
    int64_t e;
    double d;
    memcpy(&u, &r, sizeof u);
    e = (int64_t)(u >> 52 & 0x7ff) - 1023;
    if (e < -126)
        e = -126;
    u = (uint64_t)(1023 + 23 - e) << 52;
    memcpy(&d, &u, sizeof d);
    return d;
}

/* `!(e <= worst)` rather than `e > worst`: a NaN must count as the worst of all. */
static void look(const struct row *row, float x, struct worst *w)
{
    double exact = row->exact((double)x);
    double err = fabs((double)row->law(x) - exact);
    if (x >= row->dom.lo && x <= row->dom.hi && !(err * per_ulp(exact) <= w->ulp)) {
        w->ulp = err * per_ulp(exact);
        w->at = x;
    }
    if (row->abs > 0 && x >= row->wide.lo && x <= row->wide.hi && !(err <= w->abs)) {
        w->abs = err;
        w->abs_at = x;
    }
}

static struct worst walk(const struct row *row, int64_t step)
{
    struct worst all = { 0, 0, row->dom.lo, row->wide.lo };
    int64_t lo = key(row->dom.lo), hi = key(row->dom.hi), part;
    if (row->abs > 0) {
        lo = key(row->wide.lo) < lo ? key(row->wide.lo) : lo;
        hi = key(row->wide.hi) > hi ? key(row->wide.hi) : hi;
    }
    part = (hi - lo) / CHUNKS + 1;
#pragma omp parallel for schedule(dynamic)
    for (int c = 0; c < CHUNKS; c++) {
        int64_t from = lo + c * part, to = from + part - 1 < hi ? from + part - 1 : hi;
        struct worst w = { 0, 0, row->dom.lo, row->wide.lo };
        for (int64_t k = from; k <= to; k += step)
            look(row, unkey(k), &w);
        if (from <= to)
            look(row, unkey(to), &w);
#pragma omp critical
        {
            if (!(w.ulp <= all.ulp)) {
                all.ulp = w.ulp;
                all.at = w.at;
            }
            if (!(w.abs <= all.abs)) {
                all.abs = w.abs;
                all.abs_at = w.abs_at;
            }
        }
    }
    return all;
}

static int same(double a, double b)
{
    return a == b || (a != a && b != b);
}

static int limits_hold(const struct row *row)
{
    return !row->limits || (same(row->law(-INFINITY), row->minus) &&
                            same(row->law(INFINITY), row->plus) && same(row->law(NAN), NAN));
}

static int judge(const struct row *row, int64_t step)
{
    struct worst w = walk(row, step);
    int good = w.ulp <= row->ulp && (row->abs <= 0 || w.abs <= row->abs);
    int ends = limits_hold(row);
    printf("%-10s %13.6g %13.6g %8.3f %6.2f %15a", row->name, (double)row->dom.lo,
           (double)row->dom.hi, w.ulp, row->ulp, (double)w.at);
    if (row->abs > 0)
        printf("  %9.3g at %-12.6g", w.abs, (double)w.abs_at);
    printf("%s%s\n", good ? "" : "  WORSE THAN ITS BOUND", ends ? "" : "  WRONG LIMIT");
    fflush(stdout);
    return good && ends;
}

int main(int argc, char **argv)
{
    int64_t step = 1;
    const char *name = NULL;
    int seen = 0, good = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--quick"))
            step = QUICK;
        else
            name = argv[i];
    }
    printf("%-10s %13s %13s %8s %6s %15s  %s\n", "function", "from", "to", "ulp", "bound", "at",
           "absolute error");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (name && strcmp(name, rows[i].name))
            continue;
        seen = 1;
        good &= judge(&rows[i], step);
    }
    if (!seen) {
        fprintf(stderr, "ulp: no function named '%s'\n", name);
        return 2;
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
