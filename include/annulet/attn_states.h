/* annulet/attn_states.h: attention by spans, for few queries whose keys lie on several devices: each
 * computes the states of the spans that it has, all at the same time, and whoever has all of them
 * merges them in ring order, to the bits of the one anl_attn() (docs/numerics.md, section 3). What
 * travels is a state a row and span, and not keys. */
#ifndef ANNULET_ATTN_STATES_H
#define ANNULET_ATTN_STATES_H

#include <annulet/attn.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anl_attn_states_params {
    size_t size;         /* sizeof(struct anl_attn_states_params) */
    struct anl_tensor q; /* [B, H, SQ, D] f32 */
    /* As for anl_attn(); with keys there may be gaps between them. */
    const struct anl_kv_piece *pieces;
    int n_pieces;
    int64_t keys;          /* SK; 0: the pieces hold all keys */
    float scale;           /* 0: 1 / sqrt(D) */
    int causal;            /* key j is visible to query i iff j <= offset + i */
    const int64_t *offset; /* position of query 0, may be negative; NULL: SK - SQ */
    /* The unnormalised state of each of the NS spans that the pieces hold, ascending. f32. A span with
     * no visible key has m = -inf, l = 0, o = 0. */
    struct anl_tensor m; /* [B, H, SQ, NS] */
    struct anl_tensor l; /* [B, H, SQ, NS] */
    struct anl_tensor o; /* [B * H, SQ, NS, DV] */
};

/* Shapes are limited as for anl_attn(). m, l and o may not overlap each other or an input. */
ANL_API anl_status anl_attn_states(struct anl_device *device,
                                   const struct anl_attn_states_params *params);

struct anl_attn_merge_params {
    size_t size; /* sizeof(struct anl_attn_merge_params) */
    /* The states of NS spans, as anl_attn_states() gives them; f32. */
    struct anl_tensor span_m; /* [B, H, SQ, NS] */
    struct anl_tensor span_l; /* [B, H, SQ, NS] */
    struct anl_tensor span_o; /* [B * H, SQ, NS, DV] */
    const int64_t *spans;     /* [NS] their numbers (key / 512), ascending; one that is absent is empty */
    int64_t keys;             /* SK */
    int causal;               /* spans above a query's own are passed over */
    const int64_t *offset;    /* position of query 0, may be negative; NULL: SK - SQ */
    struct anl_tensor out;    /* [B, H, SQ, DV] f32, f16 or bf16; may be absent if a state is asked for */
    /* The merged state, unnormalised, or absent; all three or none. f32. */
    struct anl_tensor m; /* [B, H, SQ, 1] */
    struct anl_tensor l; /* [B, H, SQ, 1] */
    struct anl_tensor o; /* [B, H, SQ, DV] */
};

/* Each span lies below SK, and NS may be 0. Results may not overlap each other or an input. The numbers
 * of the spans are read before it returns. */
ANL_API anl_status anl_attn_merge(struct anl_device *device,
                                  const struct anl_attn_merge_params *params);

#ifdef __cplusplus
}
#endif
#endif
