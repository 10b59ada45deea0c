/* src/attn.c: anl_attn(): checks and defaults, then the backend. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "law/fpenv.h"
#include "src/internal.h"

__attribute__((noinline)) static float inverse_root(int64_t d)
{
    return (float)(1 / sqrt((double)d));
}

float anl_attn_scale(int64_t d)
{
    struct law_fpenv env = law_fpenv_enter();
    float scale = inverse_root(d);
    law_fpenv_leave(env);
    return scale;
}

/* Where piece i lies among the keys: after those before it, which end at *end. */
static anl_status check_place(struct anl_device *device, const char *op,
                              const struct anl_kv_piece *pieces, int i, int64_t keys, int gaps,
                              int64_t *end)
{
    const struct anl_kv_piece *piece = &pieces[i];
    int64_t length = piece->k.dim[2];

    if (length < 1)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: pieces[%d] has no keys", op, i);
    if (keys && (i == 0 || gaps) && piece->start > *end && piece->start < keys)
        *end = piece->start;
    if (piece->start != *end || piece->start % 512)
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: pieces[%d].start is %lld: the pieces before it end at key %lld, and it "
                        "must be a multiple of 512",
                        op, i, (long long)piece->start, (long long)*end);
    *end += length;
    if (keys && (*end > keys || (*end < keys && *end % 512)))
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: pieces[%d] ends at key %lld: a multiple of 512 up to keys, %lld, or that "
                        "is needed",
                        op, i, (long long)*end, (long long)keys);
    return ANL_OK;
}

anl_status anl_check_pieces(struct anl_device *device, const char *op,
                            const struct anl_kv_piece *pieces, int n_pieces, int64_t keys, int gaps,
                            const int64_t *dims, int64_t *sk)
{
    int64_t hkv = -1, end = 0;

    if (keys < 0 || keys > INT64_C(1) << 40)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: keys is %lld", op, (long long)keys);
    if (n_pieces < 0 || n_pieces > ANL_ATTN_MAX_PIECES || (n_pieces && !pieces))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: n_pieces is %d with pieces %p", op, n_pieces,
                        (const void *)pieces);
    for (int i = 0; i < n_pieces; i++) {
        const struct anl_kv_piece *piece = &pieces[i];
        unsigned dtype = (unsigned)pieces[0].k.dtype;
        int type = dtype <= ANL_BF16 ? 1 << dtype : 0;
        char k[32], v[32];
        const struct anl_expect e[] = {
            { k, &piece->k, 4, { dims[0], hkv, -1, dims[2] }, 0, type, 0 },
            { v, &piece->v, 4, { dims[0], piece->k.dim[1], piece->k.dim[2], dims[3] },
              0, type, 0 },
        };
        anl_status s;

        snprintf(k, sizeof k, "pieces[%d].k", i);
        snprintf(v, sizeof v, "pieces[%d].v", i);
        s = anl_check(device, op, e, 2);
        hkv = piece->k.dim[1];
        if (!s)
            s = check_place(device, op, pieces, i, keys, gaps, &end);
        if (s)
            return s;
    }
    *sk = keys ? keys : end;
    if (n_pieces && (hkv < 1 || dims[1] % hkv))
        return anl_fail(device, ANL_E_ARGUMENT,
                        "%s: q has %lld heads, not a multiple of the %lld of the keys", op,
                        (long long)dims[1], (long long)hkv);
    return ANL_OK;
}

static anl_status check_views(struct anl_device *device, const struct anl_attn_params *p,
                              int64_t *dims)
{
    const char *op = "anl_attn";
    int state = !!p->m.buffer + !!p->l.buffer + !!p->o.buffer;
    anl_status s;

    if (state != 0 && state != 3)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: of m, l and o %d are given: all or none", op,
                        state);
    if (p->resume && !state)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: resume is %d without m, l and o", op, p->resume);
    if (!p->out.buffer && !state)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: out has no buffer", op);
    for (int i = 0; i < 3; i++)
        dims[i] = p->q.dim[i == 2 ? 3 : i];
    dims[3] = p->out.buffer ? p->out.dim[3] : p->o.dim[3];
    {
        int64_t sq = p->q.dim[2];
        const struct anl_expect e[] = {
            { "q", &p->q, 4, { -1, -1, -1, -1 }, 0, ANL_T_F32, 0 },
            { "out", &p->out, 4, { dims[0], dims[1], sq, dims[3] }, 1, ANL_T_FLOATS, 1 },
            { "m", &p->m, 4, { dims[0], dims[1], sq, 1 }, 1, ANL_T_F32, 1 },
            { "l", &p->l, 4, { dims[0], dims[1], sq, 1 }, 1, ANL_T_F32, 1 },
            { "o", &p->o, 4, { dims[0], dims[1], sq, dims[3] }, 1, ANL_T_F32, 1 },
        };
        s = anl_check(device, op, e, sizeof e / sizeof *e);
    }
    if (s)
        return s;
    if (dims[2] < 1 || dims[2] > ANL_ATTN_MAX_D || dims[3] < 1 || dims[3] > ANL_ATTN_MAX_D)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: D is %lld and DV is %lld: 1 to %d", op,
                        (long long)dims[2], (long long)dims[3], ANL_ATTN_MAX_D);
    return ANL_OK;
}

static anl_status check_numbers(struct anl_device *device, const struct anl_attn_params *p)
{
    const char *op = "anl_attn";

    if (!isfinite(p->scale))
        return anl_fail(device, ANL_E_ARGUMENT, "%s: scale is %g", op, (double)p->scale);
    if ((unsigned)p->spans > ANL_SPANS_ABOVE)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: spans is %d", op, (int)p->spans);
    return ANL_OK;
}

anl_status anl_attn(struct anl_device *device, const struct anl_attn_params *params)
{
    const char *op = "anl_attn";
    struct anl_attn_params p = { 0 };
    /* the struct has grown: callers of the first one have no keys, spans or resume */
    const size_t first = offsetof(struct anl_attn_params, keys);
    int64_t dims[4] = { 0 }, sk, offset; /* B, H, D, DV */
    anl_status s = anl_enter(device, op, params, first);

    if (s)
        return s;
    memcpy(&p, params, params->size < sizeof p ? params->size : sizeof p);
    s = check_views(device, &p, dims);
    if (!s)
        s = check_numbers(device, &p);
    if (!s)
        s = anl_check_pieces(device, op, p.pieces, p.n_pieces, p.keys, 0, dims, &sk);
    if (s)
        return s;
    if (p.scale == 0)
        p.scale = anl_attn_scale(dims[2]);
    p.keys = sk;
    offset = p.offset ? *p.offset : sk - p.q.dim[2];
    if (offset < -(INT64_C(1) << 40) || offset > INT64_C(1) << 40)
        return anl_fail(device, ANL_E_ARGUMENT, "%s: offset is %lld", op, (long long)offset);
    p.offset = &offset;
    if (dims[0] == 0 || dims[1] == 0 || p.q.dim[2] == 0)
        return ANL_OK;
    return device->backend->attn(device, &p);
}
