/* annulet/attn.h: exact blockwise attention (docs/numerics.md, sections 3 and 4; after the blockwise
 * parallel transformer, Liu and Abbeel 2023, section 3, in the order of ring attention, Liu, Zaharia
 * and Abbeel 2023, section 3). Memory is linear in the sequence: scores exist for tiles only. */
#ifndef ANNULET_ATTN_H
#define ANNULET_ATTN_H

#include <annulet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANL_ATTN_MAX_D 256
#define ANL_ATTN_MAX_PIECES 65536

/* Keys [start, start + length) of the sequence. */
struct anl_kv_piece {
    struct anl_tensor k; /* [B, HKV, length, D]  f32, f16 or bf16 */
    struct anl_tensor v; /* [B, HKV, length, DV] of k's type */
    int64_t start;
};

/* Which of the spans that the pieces hold a query visits. Its own span is that of its position. */
typedef enum anl_attn_spans {
    ANL_SPANS_ALL = 0,
    ANL_SPANS_TO_OWN, /* its own and those below: own, own - 1, ... */
    ANL_SPANS_ABOVE   /* those above its own: last, ..., own + 1; causal: none */
} anl_attn_spans;

struct anl_attn_params {
    size_t size;         /* sizeof(struct anl_attn_params) */
    struct anl_tensor q; /* [B, H, SQ, D] f32 */
    /* Pieces in ascending order that meet with no gap, the first at 0 and each start a multiple of
     * 512; SK is their total length, or keys. All of one type. No pieces: SK = 0, and the result is
     * zero. */
    const struct anl_kv_piece *pieces;
    int n_pieces;
    struct anl_tensor out; /* [B, H, SQ, DV] f32, f16 or bf16; may be absent if a state is asked for */
    float scale;           /* 0: 1 / sqrt(D) */
    int causal;            /* key j is visible to query i iff j <= offset + i */
    const int64_t *offset; /* position of query 0, may be negative; NULL: SK - SQ */
    /* The unnormalised softmax state, or absent: m (log2 units, integer-valued; -inf if no key was
     * visible), l and o, with out = o / l. All three or none. f32. */
    struct anl_tensor m; /* [B, H, SQ, 1] */
    struct anl_tensor l; /* [B, H, SQ, 1] */
    struct anl_tensor o; /* [B, H, SQ, DV] */
    /* A sequence whose keys do not all meet its queries in one call (docs/numerics.md, section 3): a
     * call visits the spans that its pieces hold, and leaves the state from which another goes on.
     * Calls that visit all of a query's spans in ring order give the bits of the one call. */
    int64_t keys; /* SK where the pieces hold a part of the keys: the first may start at any multiple
                   * of 512, and the last ends at one or at keys. 0: they hold all */
    anl_attn_spans spans;
    int resume; /* m, l and o, needed then, hold the state to go on from, and take the new one in
                 * place; l = 0: none yet. With no pieces that state is all that there is to `out` */
};

/* H is a multiple of HKV; query head h reads key/value head h / (H / HKV). 1 <= D, DV <= 256. B, H, SQ
 * and SK may be 0. out, m, l and o may not overlap each other or an input, with one exception: out, if
 * it is f32, and o may be one and the same view, where calls then keep o until the one that has out
 * leaves the result. Scratch: a few hundred KiB per CPU thread, plus, when queries are few, a state of
 * B * H * SQ rows for each span that the pieces hold. */
ANL_API anl_status anl_attn(struct anl_device *device, const struct anl_attn_params *params);

#ifdef __cplusplus
}
#endif
#endif
