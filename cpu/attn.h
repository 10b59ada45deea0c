/* cpu/attn.h: attention by tiles, as attn.c and attn_states.c share it. */
#ifndef ANL_CPU_ATTN_H
#define ANL_CPU_ATTN_H

#include "cpu/cpu.h"

/* Softmax states of a tile's rows. */
struct states {
    float *m, *l; /* [rows] */
    float *o;     /* [rows][dvp] */
    unsigned char *empty;
};

struct job {
    const struct cpu_device *d;
    const struct anl_attn_params *p;
    int64_t b, h, hkv, group, sq, sk, dk, dv;
    int64_t dvp;    /* dv in whole panels of nr */
    int64_t nq;     /* queries of a tile: a power of two, at most 512 */
    int64_t phase;  /* tiles are cut where phase + query is a multiple of nq */
    int64_t blocks; /* tiles along the queries */
    int64_t rows;   /* most rows of a tile */
    int64_t span0, span1; /* the spans that the pieces hold */
    size_t per_slab; /* sub-tiles whose queries lie side by side in rows of CPU_LDA */
    char *split; /* [tiles][span1 - span0] blocks of states, or NULL */
};

struct tile {
    int64_t b, hkv, i0, n; /* batch, key/value head, first query, queries */
    int64_t rows;          /* group * n: row r is query i0 + r % n of head r / n of the group */
    int64_t own;           /* the span of the queries' positions */
};

/* A worker's memory. */
struct work {
    float *k;     /* [512 / nr][dk][nr] */
    float *v;     /* [dvp / nr][512][nr] */
    float *q;     /* scaled, where query_at() says */
    float *s;     /* [mr][CPU_LDA]: scores of a sub-tile, then probabilities */
    float *o;     /* [mr][dvp]: its values */
    unsigned odd; /* bit j: block j of v holds a value that is not finite */
    struct states run;
    size_t size;
};

/* p has to live as long as the job. */
struct job anl_cpu_attn_job(const struct cpu_device *d, const struct anl_attn_params *p);
/* About how many multiply-adds it is. */
double anl_cpu_attn_cost(const struct job *j);
/* A worker's memory, which begins at base; base NULL: its size only. */
struct work anl_cpu_attn_work(const struct job *j, char *base);
struct tile anl_cpu_attn_tile(const struct job *j, int64_t index);
/* Whether the tile visits span g, if the pieces hold it. */
int anl_cpu_attn_visits(const struct job *j, const struct tile *t, int64_t g);

/* A tile's rows: their queries to w, all states empty, a span met, a state joined by row r, a row's
 * result. narrowed: DVP floats of scratch. */
void anl_cpu_attn_queries(const struct job *j, const struct tile *t, struct work *w);
void anl_cpu_attn_clear(const struct job *j, const struct tile *t, struct states *s);
void anl_cpu_attn_span(const struct job *j, const struct tile *t, int64_t g, struct work *w,
                       struct states *run);
void anl_cpu_attn_join(const struct job *j, struct states *run, int64_t r, float m, float l,
                       const float *o);
void anl_cpu_attn_store(const struct job *j, const struct tile *t, int64_t r, const struct states *s,
                        float *narrowed);

static inline int64_t offset_of(const struct anl_tensor *v, int64_t b, int64_t h, int64_t i)
{
    return b * v->stride[0] + h * v->stride[1] + i * v->stride[2];
}

#endif
