/* src/ring_check.c: whether what anl_ring_attn() is given fits together. */
#include <math.h>
#include <stdio.h>

#include "src/ring.h"

static anl_status fail(struct anl_ring *ring, const char *what, long long i, long long value)
{
    anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_attn: shards[%lld].%s is %lld", i, what, value);
    return ANL_E_ARGUMENT;
}

/* What the first shard that has keys says of all, and the first that has queries. */
static void read_shape(const struct anl_ring_attn_params *p, struct anl_ring_job *job)
{
    job->b = job->h = job->hkv = job->d = job->dv = -1;
    for (int i = p->n_shards - 1; i >= 0; i--) {
        const struct anl_ring_shard *s = &p->shards[i];
        if (s->k.buffer) {
            job->b = s->k.dim[0];
            job->hkv = s->k.dim[1];
            job->d = s->k.dim[3];
            job->dv = s->v.dim[3];
            job->type = s->k.dtype;
        }
        if (s->q.buffer)
            job->h = s->q.dim[1];
    }
}

static anl_status check_views(struct anl_ring *ring, const struct anl_ring_job *j, int i,
                              struct anl_device *device)
{
    const struct anl_ring_shard *s = &j->p.shards[i];
    int64_t sq = s->q.buffer ? s->q.dim[2] : 0, keys = s->k.buffer ? s->k.dim[2] : 0;
    int type = (unsigned)j->type <= ANL_BF16 ? 1 << j->type : 0, none = !s->q.buffer;
    const struct anl_expect e[] = {
        { "k", &s->k, 4, { j->b, j->hkv, keys, j->d }, 1, type, 0 },
        { "v", &s->v, 4, { j->b, j->hkv, keys, j->dv }, !s->k.buffer, type, 0 },
        { "q", &s->q, 4, { j->b, j->h, -1, j->d }, 1, ANL_T_F32, 0 },
        { "out", &s->out, 4, { j->b, j->h, sq, j->dv }, none || s->m.buffer, ANL_T_FLOATS, 1 },
        { "m", &s->m, 4, { j->b, j->h, sq, 1 }, 1, ANL_T_F32, 1 },
        { "l", &s->l, 4, { j->b, j->h, sq, 1 }, !s->m.buffer, ANL_T_F32, 1 },
        { "o", &s->o, 4, { j->b, j->h, sq, j->dv }, !s->m.buffer, ANL_T_F32, 1 },
    };
    char op[40];
    anl_status status;

    snprintf(op, sizeof op, "anl_ring_attn: shards[%d]", i);
    status = anl_check(device, op, e, s->q.buffer ? 7 : 2);
    if (status)
        anl_ring_fail(ring, status, "%s", anl_device_message(device));
    else if (!s->m.buffer && (s->l.buffer || s->o.buffer))
        status = fail(ring, "m is absent beside l and o; their number", i, !!s->l.buffer + !!s->o.buffer);
    return status;
}

static anl_status check_shard(struct anl_ring *ring, struct anl_ring_job *j, int i)
{
    const struct anl_ring_shard *s = &j->p.shards[i];
    struct anl_device *device = ring->workers[anl_ring_device(ring, i, j->p.causal)].device;
    int64_t keys = s->k.buffer ? s->k.dim[2] : 0, sq = s->q.buffer ? s->q.dim[2] : 0;
    anl_status status = anl_enter(device, "anl_ring_attn", NULL, 0);

    if (status)
        anl_ring_fail(ring, status, "%s", anl_device_message(device));
    else
        status = check_views(ring, j, i, device);
    if (status)
        return status;
    if (s->first < 0 || s->first > keys || sq > keys - s->first)
        return fail(ring, "first leaves queries outside of the piece: it", i, s->first);
    if (keys && j->tokens % RING_SPAN)
        return fail(ring, "k.dim[2]: only the last piece may end inside a span of 512; the tokens before",
                    i, j->tokens);
    j->tokens += keys;
    return ANL_OK;
}

static anl_status check_numbers(struct anl_ring *ring, const struct anl_ring_attn_params *p)
{
    int pieces = p ? anl_ring_pieces(ring, p->causal) : 0;

    if (!p || p->size < sizeof *p)
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_attn: params.size is %zu, at least %zu is needed",
                      p ? p->size : 0, sizeof *p);
    else if (!p->shards || p->n_shards != pieces)
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_attn: n_shards is %d with shards %p, not %d",
                      p->n_shards, (const void *)p->shards, pieces);
    else if (!isfinite(p->scale))
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_attn: scale is %g", (double)p->scale);
    else if (p->capacity && (!p->steps || !p->n_steps))
        anl_ring_fail(ring, ANL_E_ARGUMENT, "anl_ring_attn: capacity is %zu without steps or n_steps",
                      p->capacity);
    else
        return ANL_OK;
    return ANL_E_ARGUMENT;
}

anl_status anl_ring_check(struct anl_ring *ring, const struct anl_ring_attn_params *params,
                          struct anl_ring_job *job)
{
    anl_status s = check_numbers(ring, params);

    if (s)
        return s;
    job->p = *params;
    job->tokens = 0;
    read_shape(params, job);
    for (int i = 0; i < params->n_shards; i++) {
        s = check_shard(ring, job, i);
        if (s)
            return s;
    }
    if (job->h >= 0 && job->b >= 0 &&
        (job->hkv < 1 || job->h % job->hkv || job->d < 1 || job->d > ANL_ATTN_MAX_D || job->dv < 1 ||
         job->dv > ANL_ATTN_MAX_D)) {
        anl_ring_fail(ring, ANL_E_ARGUMENT,
                      "anl_ring_attn: H is %lld with HKV %lld, D %lld and DV %lld: a multiple of HKV, 1 to %d",
                      (long long)job->h, (long long)job->hkv, (long long)job->d, (long long)job->dv,
                      ANL_ATTN_MAX_D);
        return ANL_E_ARGUMENT;
    }
    return ANL_OK;
}
