/* src/attn_states.c: anl_attn_states(), anl_attn_merge(): checks and defaults, then the backend. */
#include <math.h>

#include "src/internal.h"

static anl_status check_offset(struct anl_device *device, const char *op, int64_t offset)
{
    if (offset < -(INT64_C(1) << 40) || offset > INT64_C(1) << 40)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: offset is %lld", op, (long long)offset);
    return ANL_OK;
}

static anl_status check_dims(struct anl_device *device, const char *op, int64_t d, int64_t dv)
{
    if (d < 1 || d > ANL_ATTN_MAX_D || dv < 1 || dv > ANL_ATTN_MAX_D)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: D is %lld and DV is %lld: 1 to %d", op,
                        (long long)d, (long long)dv, ANL_ATTN_MAX_D);
    return ANL_OK;
}

/* dims: B, H, D, DV. *sk: SK. */
static anl_status check_states(struct anl_device *device, const struct anl_attn_states_params *p,
                               int64_t *dims, int64_t *sk)
{
    const char *op = "anl_attn_states";
    const struct anl_expect q = { "q", &p->q, 4, { -1, -1, -1, -1 }, 0, ANL_T_F32, 0 };
    int64_t ns = 0, sq;
    anl_status s = anl_check(device, op, &q, 1);

    if (s)
        return s;
    dims[0] = p->q.dim[0];
    dims[1] = p->q.dim[1];
    dims[2] = p->q.dim[3];
    dims[3] = p->o.dim[3];
    sq = p->q.dim[2];
    if (!isfinite(p->scale))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: scale is %g", op, (double)p->scale);
    s = anl_check_pieces(device, op, p->pieces, p->n_pieces, p->keys, 1, dims, sk);
    if (s)
        return s;
    for (int i = 0; i < p->n_pieces; i++)
        ns += (p->pieces[i].k.dim[2] + 511) / 512;
    {
        const struct anl_expect e[] = {
            { "m", &p->m, 4, { dims[0], dims[1], sq, ns }, 0, ANL_T_F32, 1 },
            { "l", &p->l, 4, { dims[0], dims[1], sq, ns }, 0, ANL_T_F32, 1 },
            { "o", &p->o, 4, { dims[0] * dims[1], sq, ns, -1 }, 0, ANL_T_F32, 1 },
        };
        s = anl_check(device, op, e, sizeof e / sizeof *e);
    }
    return s ? s : check_dims(device, op, dims[2], dims[3]);
}

anl_status anl_attn_states(struct anl_device *device, const struct anl_attn_states_params *params)
{
    const char *op = "anl_attn_states";
    struct anl_attn_states_params p;
    int64_t dims[4] = { 0 }, offset;
    anl_status s = anl_enter(device, op, params, sizeof p);

    if (s)
        return s;
    p = *params;
    s = check_states(device, &p, dims, &p.keys);
    if (s)
        return s;
    if (p.scale == 0)
        p.scale = anl_attn_scale(dims[2]);
    offset = p.offset ? *p.offset : p.keys - p.q.dim[2];
    p.offset = &offset;
    s = check_offset(device, op, offset);
    if (s || dims[0] == 0 || dims[1] == 0 || p.q.dim[2] == 0 || p.n_pieces == 0)
        return s;
    return device->backend->attn_states(device, &p);
}

static anl_status check_spans(struct anl_device *device, const struct anl_attn_merge_params *p)
{
    const char *op = "anl_attn_merge";
    int64_t ns = p->span_m.dim[3];

    if (p->keys < 0 || p->keys > INT64_C(1) << 40)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: keys is %lld", op, (long long)p->keys);
    if (ns && !p->spans)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: spans is NULL with states of %lld", op,
                        (long long)ns);
    for (int64_t n = 0; n < ns; n++)
        if (p->spans[n] < 0 || p->spans[n] > (p->keys - 1) / 512 || p->keys == 0 ||
            (n && p->spans[n] <= p->spans[n - 1]))
            return anl_fail(device, ANL_E_ARGUMENT,
                            "%s: spans[%lld] is %lld: they ascend, below keys, %lld", op, (long long)n,
                            (long long)p->spans[n], (long long)p->keys);
    return ANL_OK;
}

static anl_status check_merge(struct anl_device *device, const struct anl_attn_merge_params *p)
{
    const char *op = "anl_attn_merge";
    const int64_t *d = p->span_m.dim;
    int64_t dv = p->span_o.dim[3];
    int state = !!p->m.buffer + !!p->l.buffer + !!p->o.buffer;
    const struct anl_expect e[] = {
        { "span_m", &p->span_m, 4, { -1, -1, -1, -1 }, 0, ANL_T_F32, 0 },
        { "span_l", &p->span_l, 4, { d[0], d[1], d[2], d[3] }, 0, ANL_T_F32, 0 },
        { "span_o", &p->span_o, 4, { d[0] * d[1], d[2], d[3], -1 }, 0, ANL_T_F32, 0 },
        { "out", &p->out, 4, { d[0], d[1], d[2], dv }, 1, ANL_T_FLOATS, 1 },
        { "m", &p->m, 4, { d[0], d[1], d[2], 1 }, 1, ANL_T_F32, 1 },
        { "l", &p->l, 4, { d[0], d[1], d[2], 1 }, 1, ANL_T_F32, 1 },
        { "o", &p->o, 4, { d[0], d[1], d[2], dv }, 1, ANL_T_F32, 1 },
    };
    anl_status s = anl_check(device, op, e, 1);

    /* of the first view's dimensions the others' are made: they have been checked now */
    if (!s)
        s = anl_check(device, op, e + 1, sizeof e / sizeof *e - 1);
    if (s)
        return s;
    if (state != 0 && state != 3)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: of m, l and o %d are given: all or none", op,
                        state);
    if (!p->out.buffer && !state)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: out has no buffer", op);
    s = check_dims(device, op, 1, dv);
    return s ? s : check_spans(device, p);
}

anl_status anl_attn_merge(struct anl_device *device, const struct anl_attn_merge_params *params)
{
    const char *op = "anl_attn_merge";
    struct anl_attn_merge_params p;
    int64_t offset;
    anl_status s = anl_enter(device, op, params, sizeof p);

    if (s)
        return s;
    p = *params;
    s = check_merge(device, &p);
    if (s)
        return s;
    offset = p.offset ? *p.offset : p.keys - p.span_m.dim[2];
    p.offset = &offset;
    s = check_offset(device, op, offset);
    if (s || p.span_m.dim[0] == 0 || p.span_m.dim[1] == 0 || p.span_m.dim[2] == 0)
        return s;
    return device->backend->attn_merge(device, &p);
}
