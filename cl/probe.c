/* cl/probe.c: grades a device when it is made (docs/numerics.md, section 7): its arithmetic on a table
 * of hard and random operands against the host's, then the real kernels (cl/probe_ops.c). */
#include <string.h>

#include "cl/cl.h"
#include "law/fpenv.h"
#include "law/scalar.h"

#include "law/num.h"

#define TRIPLES 2048
#define PROBES 10

/* A random float of exponent low to low + count - 1. */
static uint32_t random_float(uint32_t *state, uint32_t low, uint32_t count)
{
    uint32_t u = anl_cl_random(state);
    return (u & 0x807fffffu) | (low + anl_cl_random(state) % count) << 23;
}

/* Operands and results stay normal, but for the second half of the table if denormal is set. */
static void fill_triples(uint32_t (*t)[3], int denormal)
{
    uint32_t state = 12345;

    for (int i = 0; i < TRIPLES; i++) {
        uint32_t step = 1 + (anl_cl_random(&state) & 0xfffu);
        for (int j = 0; j < 3; j++)
            t[i][j] = random_float(&state, 110, 34);
        if (i % 4 == 0) { /* a product near half a unit of c: 1 - step^2 2^-46 */
            t[i][0] = 0x3f800000u + step;
            t[i][1] = v_bits(1.0f - (float)step * 0x1p-23f);
            t[i][2] = v_bits(0x1p+24f + (float)(2 * (anl_cl_random(&state) & 0xffffu)));
        }
        if (denormal && i % 2) {
            t[i][0] = random_float(&state, 60, 8);
            t[i][1] = random_float(&state, 38, 8);
            t[i][2] = random_float(&state, 0, 4);
        }
    }
    if (denormal) { /* a libm's fmaf was seen to fail here */
        t[1][0] = 0x97000800u;
        t[1][1] = 0x1cfff001u;
        t[1][2] = 0x00010002u;
    }
}

__attribute__((noinline)) static void expect(const uint32_t *t, uint32_t *r)
{
    float a = v_float(t[0]), b = v_float(t[1]), c = v_float(t[2]);
    float product = a * b, s = (float)((int)(t[0] & 0x3ffu) - 512);

    r[0] = v_bits(a + b);
    r[1] = v_bits(a - b);
    r[2] = v_bits(product);
    r[3] = v_bits(product + c);
    r[4] = v_bits(law_fmaf(a, b, c));
    r[5] = v_bits(rintf(a));
    r[6] = v_bits(ceilf(a));
    r[7] = v_bits(s) ^ v_toint(s);
    r[8] = v_bits(law_p2(s * 0.0625f, 64.0f));
    r[9] = t[0] >> (t[1] & 15u);
}

/* The table through the device: results[TRIPLES][PROBES]. */
static anl_status run_table(struct anl_cl_device *d, const void *triples, uint32_t *results)
{
    uint64_t in_size = TRIPLES * 3 * 4, out_size = (uint64_t)TRIPLES * PROBES * 4;
    size_t group[1] = { 64 }, groups[1] = { TRIPLES / 64 };
    struct anl_buffer *out = NULL;
    struct anl_cl_call c;
    cl_mem in = NULL;
    anl_status s = anl_cl_upload(d, triples, in_size, &in);

    if (!s)
        s = anl_cl_buffer_create(&d->base, out_size, ANL_FOR_SCRATCH, NULL, &out);
    if (!s) {
        anl_cl_begin(&c, d, ANL_CL_PROBE, "", "probe");
        anl_cl_arg_mem(&c, in);
        anl_cl_arg_mem(&c, anl_cl_mem(out));
        anl_cl_arg_int(&c, TRIPLES);
        s = anl_cl_launch(&c, 1, groups, group);
    }
    if (!s)
        s = anl_cl_buffer_read(out, 0, results, out_size);
    if (out)
        anl_cl_buffer_destroy(out);
    anl_cl_free(d, in, in_size, ANL_FOR_SCRATCH);
    return s;
}

/* *failed: the first probe that differs, or NULL. */
static anl_status check_table(struct anl_cl_device *d, int denormal, const char **failed)
{
    static const char *const names[PROBES] = {
        "sum",  "difference", "product",          "product not contracted", "fma",
        "rint", "ceil",       "float to integer", "power of two",           "shift"
    };
    size_t size = TRIPLES * 3 * 4 + (size_t)TRIPLES * PROBES * 4;
    uint32_t *memory = anl_context_alloc(d->base.context, size, 64);
    uint32_t(*t)[3] = (void *)memory, *r = memory + TRIPLES * 3;
    anl_status s;

    *failed = NULL;
    if (!memory)
        return anl_fail(&d->base, ANL_E_MEMORY, "probes: out of memory");
    fill_triples(t, denormal);
    s = run_table(d, memory, r);
    for (int i = 0; !s && i < TRIPLES && !*failed; i++) {
        uint32_t want[PROBES];
        struct law_fpenv env = law_fpenv_enter();
        expect(t[i], want);
        law_fpenv_leave(env);
        for (int j = 0; j < PROBES && !*failed; j++)
            if (r[i * PROBES + j] != want[j])
                *failed = names[j];
    }
    anl_context_free(d->base.context, memory);
    return s;
}

static void verdict(struct anl_cl_device *d, anl_grade grade, const char *failed)
{
    d->base.info.grade = grade;
    strncpy(d->base.info.failed_probe, failed, sizeof d->base.info.failed_probe - 1);
}

anl_status anl_cl_probe(struct anl_cl_device *d)
{
    const char *failed, *denormal;
    anl_status s = check_table(d, 0, &failed);

    if (!s && !failed)
        s = anl_cl_probe_ops(d, &failed);
    if (s)
        return s;
    if (failed) {
        verdict(d, ANL_FAST, failed);
        return ANL_OK;
    }
    s = check_table(d, 1, &denormal);
    if (!s && denormal)
        verdict(d, ANL_EXACT_NORMAL, "subnormal numbers");
    return s;
}
