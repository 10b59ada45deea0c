/* tests/oracle.c: what the fp64 evaluations share. See oracle.h. */
#include "tests/oracle.h"

#include <math.h>

const struct oracle_op oracle_ops[] = {
    { &linear_cases, oracle_linear }, { &attn_cases, oracle_attn },   { &norm_cases, oracle_norm },
    { &rope_cases, oracle_rope },     { &ffn_cases, oracle_ffn },     { &qkv_cases, oracle_qkv },
    { &embed_cases, oracle_embed },   { &xent_cases, oracle_xent },
};
const int oracle_op_count = sizeof oracle_ops / sizeof *oracle_ops;

/* Half a unit in the last place of what is stored, at the least normal and below. */
static double rounding(anl_dtype dtype, double x)
{
    if (dtype == ANL_F16)
        return fmax(fabs(x) * 0x1p-11, 0x1p-25);
    if (dtype == ANL_BF16)
        return fmax(fabs(x) * 0x1p-8, 0x1p-134);
    return 0; /* part of the operation's bound */
}

/* The largest finite value, and half a unit more. */
static double overflow(anl_dtype dtype)
{
    return dtype == ANL_F16 ? 65520.0 : dtype == ANL_BF16 ? 0x1.ffp+127 : 0x1.ffffffp+127;
}

void oracle_check(struct oracle_report *report, const struct run_array *array, size_t index,
                  double reference, double bound)
{
    double law = (double)run_value(array, index), error = fabs(law - reference), ratio;
    bound = bound * (1 + 0x1p-10) + 0x1p-149 + rounding(array->dtype, fabs(reference) + bound);
    if (isinf(law) && fabs(reference) + bound >= overflow(array->dtype))
        error = 0;
    ratio = error / bound;
    report->checked++;
    if (!(ratio <= 1)) /* NaN too */
        report->bad++;
    /* a narrowed result always comes near its bound, half a unit: no news */
    if (!(ratio <= report->worst) && (array->dtype == ANL_F32 || !(ratio <= 1))) {
        report->worst = ratio;
        report->array = array->name;
        report->index = index;
        report->law = law;
        report->reference = reference;
        report->bound = bound;
    }
}

/* sqrt(2 / pi) (x + 0.044715 x^3), twice */
static double gelu_tanh_argument(double x)
{
    return 2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}

double oracle_act(anl_act act, double x)
{
    switch (act) {
    case ANL_ACT_RELU:
        return x > 0 ? x : 0;
    case ANL_ACT_SILU:
        return x / (1 + exp(-x));
    case ANL_ACT_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    case ANL_ACT_GELU_TANH:
        return x / (1 + exp(-gelu_tanh_argument(x)));
    case ANL_ACT_NONE:
        break;
    }
    return x;
}

double oracle_act_error(anl_act act, double x, double error)
{
    /* no activation is steeper than 1.13 */
    double y = fabs(oracle_act(act, x)), moved = 1.13 * error, own = 0;
    if (act == ANL_ACT_NONE || act == ANL_ACT_RELU)
        return error;
    own = 6 * EPS * y;
    if (act == ANL_ACT_GELU_TANH) /* the argument's roundings, through the sigmoid's slope */
        own += 6 * EPS * y * fmin(fabs(gelu_tanh_argument(x)), 90);
    /* tails that are selected to zero: gelu below -9, the others below -86.6 */
    return moved + own + (act == ANL_ACT_GELU ? 0x1p-58 : 0x1p-110);
}

struct oracle_sum oracle_contract(const float *x, anl_dtype dtype, const void *row, int64_t n)
{
    struct oracle_sum sum = { 0, 0 };
    double roundings = (double)((n < 512 ? n : 512) + (n + 511) / 512);
    for (int64_t i = 0; i < n; i++) {
        double product = (double)x[i] * gen_weight(dtype, row, i);
        sum.value += product;
        sum.bound += fabs(product);
    }
    sum.bound = sum.bound * EPS * roundings + roundings * 0x1p-149;
    return sum;
}

struct oracle_sum oracle_contract_bounded(const struct oracle_sum *x, anl_dtype dtype, const void *row,
                                          int64_t n)
{
    double roundings = (double)((n < 512 ? n : 512) + (n + 511) / 512);
    struct oracle_sum r = { 0, roundings * 0x1p-149 };
    for (int64_t k = 0; k < n; k++) {
        double w = gen_weight(dtype, row, k);
        r.value += w * x[k].value;
        r.bound += fabs(w) * (x[k].bound + roundings * EPS * (fabs(x[k].value) + x[k].bound));
    }
    return r;
}
