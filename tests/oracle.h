/* tests/oracle.h: every operation once more in fp64 with libm, and for each element of its result
 * the bound that the law's result must keep (docs/numerics.md). EPS is the unit roundoff of a
 * float, 2^-24. */
#ifndef TESTS_ORACLE_H
#define TESTS_ORACLE_H

#include "tests/runner.h"

#define EPS 0x1p-24

/* attention: |law - oracle| <= EPS * C * (1 + max_j scale sum_d |q_d k_jd|) * sum p |v| / l. It
 * rests on roundings that average out. Those of n equal terms added one to another do not: cases of
 * constant data are allowed the worst that a chain can do, (n + 1) / 2 with n <= 512, on top. */
#define ORACLE_ATTN_C 4.0

struct oracle_report {
    size_t checked, bad;
    double worst; /* largest error / bound */
    /* of the worst element */
    const char *array;
    size_t index;
    double law, reference, bound;
};

/* Element `index` of a result against its reference; narrowing to the array's type is allowed for. */
void oracle_check(struct oracle_report *report, const struct run_array *array, size_t index,
                  double reference, double bound);

double oracle_act(anl_act act, double x);

/* How far act(y) may lie from act(x) where |y - x| <= error, by its own law included. */
double oracle_act_error(anl_act act, double x, double error);

/* One contraction: the sum, and the bound of the law's (spans of 512, each one chain). */
struct oracle_sum {
    double value, bound;
};
struct oracle_sum oracle_contract(const float *x, anl_dtype dtype, const void *row, int64_t n);

/* The same of an x that is known within bounds. */
struct oracle_sum oracle_contract_bounded(const struct oracle_sum *x, anl_dtype dtype, const void *row,
                                          int64_t n);

/* A row normed. */
void oracle_norm_row(const float *x, const float *w, int64_t n, float eps, struct oracle_sum *out);

/* A pair turned by a position's angle: x becomes x1 cos - x2 sin, x2 cos + x1 sin. */
void oracle_turn(double base, int dims, int64_t position, int pair, struct oracle_sum *x1,
                 struct oracle_sum *x2);

/* The operation's own evaluation of a case against the law's result. */
struct oracle_op {
    const struct case_op *op;
    void (*check)(int index, const struct run_result *law, struct oracle_report *report);
};
extern const struct oracle_op oracle_ops[];
extern const int oracle_op_count;

void oracle_linear(int index, const struct run_result *law, struct oracle_report *report);
void oracle_attn(int index, const struct run_result *law, struct oracle_report *report);
void oracle_norm(int index, const struct run_result *law, struct oracle_report *report);
void oracle_rope(int index, const struct run_result *law, struct oracle_report *report);
void oracle_ffn(int index, const struct run_result *law, struct oracle_report *report);
void oracle_qkv(int index, const struct run_result *law, struct oracle_report *report);
void oracle_embed(int index, const struct run_result *law, struct oracle_report *report);
void oracle_xent(int index, const struct run_result *law, struct oracle_report *report);

#endif
