/* cl/attn_states.c: attention's states by spans, where attn_row does not compute them all at once, and
 * their merge. */
#include "cl/cl.h"

#define SPAN 512

/* The states of one span as attention over that span alone. */
static anl_status one_span(struct anl_device *device, const struct anl_attn_states_params *p,
                           const struct anl_kv_piece *piece, int64_t key, int64_t n)
{
    int64_t left = piece->k.dim[2] - key, length = left < SPAN ? left : SPAN;
    struct anl_kv_piece k = *piece;
    struct anl_attn_params a = { .size = sizeof a, .q = p->q, .pieces = &k, .n_pieces = 1,
                                 .scale = p->scale, .causal = p->causal, .offset = p->offset,
                                 .m = p->m, .l = p->l, .o = p->o, .keys = p->keys };
    uint64_t size = k.k.dtype == ANL_F32 ? 4 : 2;

    k.start += key;
    k.k.dim[2] = k.v.dim[2] = length;
    k.k.offset += (uint64_t)(key * k.k.stride[2]) * size;
    k.v.offset += (uint64_t)(key * k.v.stride[2]) * size;
    a.m.offset += (uint64_t)n * 4;
    a.l.offset += (uint64_t)n * 4;
    a.m.dim[3] = a.l.dim[3] = 1;
    a.o.offset += (uint64_t)(n * p->o.stride[2]) * 4;
    a.o.dim[0] = p->q.dim[0];
    a.o.dim[1] = p->q.dim[1];
    a.o.dim[2] = p->q.dim[2];
    a.o.stride[0] = p->q.dim[1] * p->o.stride[0];
    a.o.stride[1] = p->o.stride[0];
    a.o.stride[2] = p->o.stride[1];
    return anl_cl_attn(device, &a);
}

anl_status anl_cl_attn_states(struct anl_device *device, const struct anl_attn_states_params *p)
{
    anl_status s = ANL_OK;
    int64_t n = 0;

    if (anl_cl_attn_by_rows(anl_cl(device), p->q.dim[2]))
        return anl_cl_attn_row_states(anl_cl(device), p);
    for (int i = 0; i < p->n_pieces; i++)
        for (int64_t key = 0; !s && key < p->pieces[i].k.dim[2]; key += SPAN, n++)
            s = one_span(device, p, &p->pieces[i], key, n);
    return s;
}

/* Queries [i0, i0 + n), which have the same own span: down of the spans are up to it. */
static anl_status merge_some(struct anl_cl_device *d, const struct anl_attn_merge_params *p, int64_t i0,
                             int64_t n, int64_t down)
{
    int64_t heads = p->span_m.dim[0] * p->span_m.dim[1], ns = p->span_m.dim[3], dv = p->span_o.dim[3];
    size_t group[2] = { 64, 1 }, groups[2] = { (size_t)anl_cl_ceil_div(n * dv, 64), (size_t)heads };
    struct anl_cl_call c;

    anl_cl_begin(&c, d, ANL_CL_ATTN_END, "", "attn_merge_states");
    anl_cl_arg_tensor(&c, &p->span_m, &p->span_m);
    anl_cl_arg_tensor(&c, &p->span_l, &p->span_m);
    anl_cl_arg_tensor(&c, &p->span_o, &p->span_m);
    anl_cl_arg_long(&c, down);
    anl_cl_arg_long(&c, p->causal ? down : ns);
    anl_cl_arg_int(&c, (int32_t)dv);
    anl_cl_arg_int(&c, (int32_t)p->span_m.dim[1]);
    anl_cl_arg_long(&c, i0);
    anl_cl_arg_long(&c, n);
    anl_cl_arg_result(&c, &p->span_m, &p->out, &p->m, &p->l, &p->o);
    return anl_cl_launch(&c, 2, groups, group);
}

anl_status anl_cl_attn_merge(struct anl_device *device, const struct anl_attn_merge_params *p)
{
    int64_t sq = p->span_m.dim[2], ns = p->span_m.dim[3], last = (p->keys - 1) / SPAN, n;
    anl_status s = anl_cl_ready(anl_cl(device), ANL_CL_ATTN_END, "", "attn_merge_states");

    for (int64_t i = 0; !s && i < sq; i += n) {
        int64_t position = *p->offset + i, down = 0;
        int64_t own = position < 0 ? 0 : position / SPAN;
        /* as far as the span that the position lies in goes */
        n = position < 0 ? -position : SPAN - position % SPAN;
        n = n < sq - i ? n : sq - i;
        own = own > last ? last : own;
        while (down < ns && p->spans[down] <= own)
            down++;
        s = merge_some(anl_cl(device), p, i, n, down);
    }
    return s;
}
