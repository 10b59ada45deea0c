/* src/rope.c: anl_rope() and its tables.
 *
 * The tables are made in double by + - * / alone, in a fixed order, so that every host gets the same
 * bits; libm's sin, cos and pow differ between machines. */
#include <math.h>

#include "law/fpenv.h"
#include "src/internal.h"

#define TABLE_SPAN 512

/* ln x for x > 0: x = m 2^e, m in [1, 2); 2 atanh((m-1)/(m+1)) by its series. */
static double ln(double x)
{
    int e = 0;
    double z, z2, sum = 0;

    for (; x >= 2; e++)
        x /= 2;
    z = (x - 1) / (x + 1);
    z2 = z * z;
    for (int i = 41; i >= 1; i -= 2)
        sum = sum * z2 + 1.0 / i;
    return 2 * z * sum + e * 0x1.62e42fefa39efp-1;
}

/* e^-x for 0 <= x <= 64: the series at x less a multiple of ln 2, halved that often. */
static double exp_minus(double x)
{
    int n = (int)(x * 0x1.71547652b82fep0);
    double y = n * 0x1.62e42fefa39efp-1 - x, r = 1;

    for (int i = 22; i >= 1; i--)
        r = 1 + r * y / i;
    for (; n > 0; n--)
        r /= 2;
    return r;
}

/* cos and sin of 0 <= x <= 2^30: x less a multiple of pi/2 (in parts of 22 bits, so that their
 * products with it are exact), then the series. */
static void cos_sin(double x, double *c, double *s)
{
    double n = (double)(int64_t)(x * 0x1.45f306dc9c883p-1 + 0.5);
    double y = (((x - n * 0x1.921fb0p+0) - n * 0x1.5110b0p-22) - n * 0x1.184698p-44) - n * 0x1.3198a2e037073p-69;
    double y2 = y * y, cs = 1, sn = 1;

    for (int i = 20; i >= 2; i -= 2) {
        cs = 1 - cs * y2 / (i * (i - 1));
        sn = 1 - sn * y2 / (i * (i + 1));
    }
    sn *= y;
    switch ((int64_t)n & 3) {
    case 0:
        *c = cs, *s = sn;
        break;
    case 1:
        *c = -sn, *s = cs;
        break;
    case 2:
        *c = -cs, *s = -sn;
        break;
    default:
        *c = sn, *s = -cs;
    }
}

/* t[r][i] = (cos, sin) of r * step * base^(-2 i / dims), in the law's floating-point environment
 * (not inlined, so that nothing moves out of it). */
__attribute__((noinline)) static void fill_table(const struct anl_rope_table_params *p,
                                                 int64_t rows, int64_t step, float *t)
{
    int half = p->dims / 2;
    double ln_base = ln(p->base);

    for (int i = 0; i < half; i++) {
        double theta = exp_minus(ln_base * (2.0 * i / p->dims));
        for (int64_t r = 0; r < rows; r++) {
            double c, s;
            cos_sin((double)(r * step) * theta, &c, &s);
            t[(r * half + i) * 2] = (float)c;
            t[(r * half + i) * 2 + 1] = (float)s;
        }
    }
}

static anl_status make_table(struct anl_device *device, const struct anl_rope_table_params *p,
                             int64_t rows, int64_t step, struct anl_buffer **out)
{
    int half = p->dims / 2;
    uint64_t size = (uint64_t)rows * (uint64_t)half * 2 * sizeof(float);
    float *t = anl_context_alloc(device->context, (size_t)size, 64);
    struct law_fpenv env;
    anl_status s;

    if (!t)
        return anl_fail(device, ANL_E_MEMORY, "a rope table of %llu bytes: out of memory",
                        (unsigned long long)size);
    env = law_fpenv_enter();
    fill_table(p, rows, step, t);
    law_fpenv_leave(env);
    s = device->backend->buffer_create(device, size, ANL_FOR_WEIGHTS, NULL, out);
    if (!s)
        s = device->backend->buffer_write(*out, 0, t, size);
    anl_context_free(device->context, t);
    return s;
}

anl_status anl_rope_table_create(struct anl_device *device,
                                 const struct anl_rope_table_params *params,
                                 struct anl_rope_table **out)
{
    const char *op = "anl_rope_table_create";
    struct anl_rope_table *t;
    anl_status s;

    if (out)
        *out = NULL;
    s = anl_enter(device, op, params, sizeof *params);
    if (s)
        return s;
    if (!out)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: out is NULL", op);
    if (params->dims < 2 || params->dims > 1024 || params->dims % 2)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: dims is %d: even, 2 to 1024", op,
                        params->dims);
    if (!(params->base > 1 && params->base <= 1e12))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: base is %g: above 1, at most 1e12", op,
                        params->base);
    if (params->positions < 1 || params->positions > INT64_C(1) << 30)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: positions is %lld: 1 to 2^30", op,
                        (long long)params->positions);
    t = anl_context_alloc(device->context, sizeof *t, 64);
    if (!t)
        return anl_fail(device, ANL_E_MEMORY, "%s: out of memory", op);
    *t = (struct anl_rope_table){ device, params->dims, params->positions, NULL, NULL };
    s = make_table(device, params, (params->positions + TABLE_SPAN - 1) / TABLE_SPAN, TABLE_SPAN,
                   &t->coarse);
    if (!s)
        s = make_table(device, params, TABLE_SPAN, 1, &t->fine);
    if (s) {
        anl_rope_table_destroy(t);
        return s;
    }
    *out = t;
    return ANL_OK;
}

void anl_rope_table_destroy(struct anl_rope_table *table)
{
    if (!table)
        return;
    anl_buffer_destroy(table->coarse);
    anl_buffer_destroy(table->fine);
    anl_context_free(table->device->context, table);
}

anl_status anl_rope(struct anl_device *device, const struct anl_rope_params *params)
{
    const char *op = "anl_rope";
    const struct anl_rope_table *table;
    anl_status s = anl_enter(device, op, params, sizeof *params);
    int64_t t, h, d;

    if (s)
        return s;
    table = params->table;
    if (!table || table->device != device)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: table is NULL or of another device", op);
    if ((unsigned)params->pairs > ANL_ROPE_HALF)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: pairs is %d", op, (int)params->pairs);
    t = params->x.dim[0];
    h = params->x.dim[1];
    d = params->x.dim[2];
    {
        const struct anl_expect e[] = {
            { "x", &params->x, 3, { -1, -1, -1 }, 0, ANL_T_F32, 0 },
            { "out", &params->out, 3, { t, h, d }, 0, ANL_T_FLOATS, 1 },
        };
        s = anl_check(device, op, e, 2);
    }
    if (s)
        return s;
    if (d < table->dims)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: x.dim[2] is %lld, the table turns %d", op,
                        (long long)d, table->dims);
    if (params->position < 0 || t > table->positions ||
        params->position > table->positions - t)
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: position is %lld with %lld tokens, the table has %lld", op,
                        (long long)params->position, (long long)t, (long long)table->positions);
    if (t == 0 || h == 0)
        return ANL_OK;
    return device->backend->rope(device, params);
}
