/* cpu/k_softmax.c: one row of scores to probabilities, block by block (docs/numerics.md, section 3),
 * for attention and for the vocabulary. */
#include "cpu/vec.h"

#include <math.h>

void K(softmax)(struct cpu_softmax *row);
float K(xent)(const float *logits, int64_t n, float target_logit);
float K(recip)(float x);
void K(join)(const float *other, float factor, const float *kept, float *out, int n);

#define VECS (LAW_BLOCK / VL)      /* vectors of a block */
#define LANE_VECS (LAW_LANES / VL) /* vectors of the 16 lanes */

static inline float lane0(vf x)
{
    float t[VL];
    v_store(t, x);
    return t[0];
}

/* law_pow2 of one number. */
static inline float pow2_one(float e)
{
    return lane0(law_pow2(v_splat(e)));
}

/* One vector whose lanes hold, in turn, the maxima of a's and b's: half as many of each. No lane is NaN,
 * so the order is free. */
static inline vf max_pair(vf a, vf b)
{
    return law_block_max(v_zip_lo(a, b), v_zip_hi(a, b));
}

/* out[i]: the largest lane of top[i], for 8 vectors. */
static inline void max_lanes(vf *top, float *out)
{
    float lane[2 * VL];

    for (int i = 0; i < 4; i++)
        top[i] = max_pair(top[i], top[i + 4]);
    for (int i = 0; i < 2; i++)
        top[i] = max_pair(top[i], top[i + 2]);
    if (VL >= 8)
        top[0] = max_pair(top[0], top[1]);
    if (VL >= 16)
        top[0] = max_pair(top[0], top[0]);
    v_store(lane, top[0]);
    v_store(lane + VL, top[1]);
    for (int i = 0; i < 8; i++)
        out[i] = lane[VL >= 8 ? i * (VL / 8) : i / 2 + i % 2 * VL];
}

/* Are all 64 scores -inf? (NaN is not.) */
static int all_hidden(const float *score)
{
    for (int i = 0; i < LAW_BLOCK; i++)
        if (score[i] != -INFINITY)
            return 0;
    return 1;
}

/* Scores from n on become -inf, whatever their bits. */
static inline void hide_tail(float *score, int n)
{
    for (int i = 0; i < VECS; i++) {
        vf index = v_iota() + v_splat((float)(i * VL));
        v_store(score + i * VL, v_selgt(v_splat((float)n), index, v_load(score + i * VL),
                                        v_splat(-INFINITY)));
    }
}

static uint64_t visible_bits(const float *score)
{
    uint64_t bits = 0;
    for (int i = 0; i < LAW_BLOCK; i++)
        bits |= (uint64_t)(score[i] != -INFINITY) << i;
    return bits;
}

/* The blocks' maxima over what the mask shows; -inf for a block that is hidden whole. */
static inline void maxima(struct cpu_softmax *row, float *top)
{
    vf t[8];

    for (int j = 0; j < 8; j++) {
        float *score = row->score + j * LAW_BLOCK;
        int n = row->n - j * LAW_BLOCK;
        t[j] = v_splat(-INFINITY);
        if (n <= 0)
            continue;
        if (n < LAW_BLOCK)
            hide_tail(score, n);
        for (int i = 0; i < VECS; i++)
            t[j] = law_block_max(v_load(score + i * VL), t[j]);
        if (row->want_visible)
            row->visible[j] = visible_bits(score);
    }
    max_lanes(t, top);
}

/* One block with a visible key, whose maximum is b: its p, its lanes; returns the rescale factor.
 * A hidden key's score is -inf, and its p comes out as +0. */
static inline float block(struct cpu_softmax *row, float *score, float b, vf *lanes)
{
    float a = 1;
    vf m;

    b = ceilf(b);
    if (row->empty) {
        row->m = b;
        row->empty = 0;
    } else if (b > row->m) {
        a = pow2_one(row->m - b);
        for (int i = 0; i < LANE_VECS; i++)
            lanes[i] = law_rescale(lanes[i], v_splat(a));
        row->m = b;
    }
    m = v_splat(row->m);
    for (int i = 0; i < VECS; i++) {
        vf s = v_load(score + i * VL), n = v_rint(s);
        vf p = v_scale2(law_exp2_poly(s - n), n - m);
        v_store(score + i * VL, p);
        lanes[i % LANE_VECS] = lanes[i % LANE_VECS] + p;
    }
    return a;
}

void K(softmax)(struct cpu_softmax *row)
{
    vf lanes[LANE_VECS];
    float lane[LAW_LANES], top[8];

    for (int i = 0; i < LANE_VECS; i++)
        lanes[i] = v_splat(0.0f);
    row->empty = 1;
    row->m = -INFINITY;
    maxima(row, top);
    for (int j = 0; j < row->blocks; j++) {
        float *score = row->score + j * LAW_BLOCK;
        int masked = row->n <= j * LAW_BLOCK;
        row->rescale[j] = 1;
        if (masked || (top[j] == -INFINITY && all_hidden(score))) {
            memset(score, 0, LAW_BLOCK * sizeof *score);
            if (masked)
                row->visible[j] = 0;
        } else {
            row->rescale[j] = block(row, score, top[j], lanes);
        }
    }
    for (int i = 0; i < LANE_VECS; i++)
        v_store(lane + i * VL, lanes[i]);
    row->l = law_lane_tree(lane);
}

float K(recip)(float x)
{
    return lane0(law_recip(v_splat(x)));
}

void K(join)(const float *other, float factor, const float *kept, float *out, int n)
{
    vf f = v_splat(factor);
    for (int i = 0; i < n; i += VL)
        v_store(out + i, law_join(v_load(other + i), f, v_load(kept + i)));
}

/* One span of words into the running state. */
static void words(const float *logits, int n, struct cpu_softmax *run)
{
    float score[LAW_SPAN];
    struct cpu_softmax s = { .score = score, .n = n, .blocks = (n + LAW_BLOCK - 1) / LAW_BLOCK };
    float a;
    int i = 0;

    for (; i + VL <= n; i += VL)
        v_store(score + i,
                v_fma(v_load(logits + i), v_splat(LAW_LOG2E), v_splat(0.0f)));
    for (; i < n; i++)
        score[i] = law_fmaf(logits[i], LAW_LOG2E, 0.0f);
    for (; i < s.blocks * LAW_BLOCK; i++)
        score[i] = 0;
    K(softmax)(&s);
    if (s.empty)
        return;
    if (run->empty) {
        *run = s;
    } else if (s.m > run->m) {
        a = pow2_one(run->m - s.m);
        run->l = law_fmaf(run->l, a, s.l);
        run->m = s.m;
    } else {
        a = pow2_one(s.m - run->m);
        run->l = law_fmaf(s.l, a, run->l);
    }
}

float K(xent)(const float *logits, int64_t n, float target_logit)
{
    struct cpu_softmax run = { .empty = 1 };

    for (int64_t j = 0; j < n; j += LAW_SPAN)
        words(logits + j, n - j < LAW_SPAN ? (int)(n - j) : LAW_SPAN, &run);
    if (run.empty)
        return NAN;
    return lane0(law_canon(law_lse_minus(v_splat(run.m), law_log2(v_splat(run.l)),
                                         v_splat(target_logit))));
}
