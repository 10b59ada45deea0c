/* cpu/attn_states.c: attention's states by spans, a task each (tile, span), and their merge, a row at a
 * time. */
#include <string.h>

#include "law/scalar.h"

#include "law/num.h"

#include "cpu/attn.h"

struct states_job {
    struct job j;
    const struct anl_attn_states_params *p;
    int64_t ns;
};

/* The number of the span whose states are column n. */
static int64_t span_of_column(const struct anl_kv_piece *piece, int64_t n)
{
    for (;; piece++) {
        int64_t spans = (piece->k.dim[2] + LAW_SPAN - 1) / LAW_SPAN;
        if (n < spans)
            return piece->start / LAW_SPAN + n;
        n -= spans;
    }
}

/* The states of one span, of the rows of a tile. */
static void states_task(void *arg, int64_t index, char *memory)
{
    const struct states_job *s = arg;
    const struct anl_attn_states_params *p = s->p;
    const struct cpu_kernels *k = s->j.d->k;
    struct tile t = anl_cpu_attn_tile(&s->j, index / s->ns);
    struct work w = anl_cpu_attn_work(&s->j, memory);
    int64_t n = index % s->ns, g = span_of_column(p->pieces, n);

    anl_cpu_attn_clear(&s->j, &t, &w.run);
    if (anl_cpu_attn_visits(&s->j, &t, g)) {
        anl_cpu_attn_queries(&s->j, &t, &w);
        anl_cpu_attn_span(&s->j, &t, g, &w, &w.run);
    }
    for (int64_t r = 0; r < t.rows; r++) {
        int64_t h = t.hkv * s->j.group + r / t.n, i = t.i0 + r % t.n;
        k->scale_store(&w.run.m[r], 1,
                       (float *)anl_host_ptr(&p->m) + offset_of(&p->m, t.b, h, i) + n, 1);
        k->scale_store(&w.run.l[r], 1,
                       (float *)anl_host_ptr(&p->l) + offset_of(&p->l, t.b, h, i) + n, 1);
        k->scale_store(w.run.o + r * s->j.dvp, 1,
                       (float *)anl_host_ptr(&p->o) + offset_of(&p->o, t.b * s->j.h + h, i, n),
                       (int)s->j.dv);
    }
}

anl_status anl_cpu_attn_states(struct anl_device *device, const struct anl_attn_states_params *p)
{
    struct cpu_device *d = (struct cpu_device *)device;
    const struct anl_attn_params attn = { .q = p->q, .pieces = p->pieces, .n_pieces = p->n_pieces,
                                          .keys = p->keys, .scale = p->scale, .causal = p->causal,
                                          .offset = p->offset, .o = p->o };
    struct states_job s = { anl_cpu_attn_job(d, &attn), p, p->m.dim[3] };

    return anl_cpu_run(d, s.j.b * s.j.hkv * s.j.blocks * s.ns, states_task, &s,
                       anl_cpu_attn_work(&s.j, NULL).size, anl_cpu_attn_cost(&s.j));
}

struct merge_job {
    struct job j; /* a tile is one row */
    const struct anl_attn_merge_params *p;
};

/* A row's states in ring order. */
static void merge_row(void *arg, int64_t index, char *memory)
{
    const struct merge_job *s = arg;
    const struct anl_attn_merge_params *p = s->p;
    struct tile t = anl_cpu_attn_tile(&s->j, index);
    struct work w = anl_cpu_attn_work(&s->j, memory);
    int64_t ns = p->span_m.dim[3];
    const float *m = (const float *)anl_host_ptr(&p->span_m) + offset_of(&p->span_m, t.b, t.hkv, t.i0);
    const float *l = (const float *)anl_host_ptr(&p->span_l) + offset_of(&p->span_l, t.b, t.hkv, t.i0);

    anl_cpu_attn_clear(&s->j, &t, &w.run);
    memset(w.o, 0, (size_t)s->j.dvp * sizeof *w.o);
    for (int above = 0; above <= !s->j.p->causal; above++)
        for (int64_t n = ns - 1; n >= 0; n--) {
            if ((p->spans[n] > t.own) != above || l[n] == 0)
                continue;
            memcpy(w.o,
                   (const float *)anl_host_ptr(&p->span_o) +
                       offset_of(&p->span_o, t.b * s->j.h + t.hkv, t.i0, n),
                   (size_t)s->j.dv * sizeof *w.o);
            anl_cpu_attn_join(&s->j, &w.run, 0, m[n], l[n], w.o);
        }
    anl_cpu_attn_store(&s->j, &t, 0, &w.run, w.s);
}

anl_status anl_cpu_attn_merge(struct anl_device *device, const struct anl_attn_merge_params *p)
{
    struct cpu_device *d = (struct cpu_device *)device;
    const int64_t *dim = p->span_m.dim;
    const struct anl_attn_params attn = { .causal = p->causal, .offset = p->offset, .out = p->out,
                                          .m = p->m, .l = p->l, .o = p->o };
    struct merge_job s = {
        { .d = d, .p = &attn, .b = dim[0], .h = dim[1], .hkv = dim[1], .group = 1, .sq = dim[2],
          .sk = p->keys, .dk = 1, .dv = p->span_o.dim[3], .nq = 1, .blocks = dim[2], .rows = 1,
          .per_slab = CPU_LDA },
        p
    };

    s.j.dvp = (s.j.dv + d->k->nr - 1) / d->k->nr * d->k->nr;
    return anl_cpu_run(d, dim[0] * dim[1] * dim[2], merge_row, &s, anl_cpu_attn_work(&s.j, NULL).size,
                       (double)(dim[0] * dim[1] * dim[2] * dim[3] * s.j.dv));
}
