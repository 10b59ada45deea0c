/* cpu/k_softmax.c: one row of scores to probabilities, block by block (docs/numerics.md, section 3),
 * for attention and for the vocabulary. */
#include "cpu/vec.h"

#include <math.h>

void K(softmax)(struct cpu_softmax *row);
float K(xent)(const float *logits, int64_t n, float target_logit);
float K(recip)(float x);
void K(join)(const float *other, float factor, const float *kept, float *out, int n);

#define VECS (LAW_BLOCK / VL)   /* vectors of a block */
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

static inline float max_lane(vf x)
{
    float t[VL], m = -INFINITY;
    v_store(t, x);
    for (int i = 0; i < VL; i++)
        m = t[i] > m ? t[i] : m;
    return m;
}

/* All lanes where s is -inf? (NaN is not.) */
static inline int all_hidden(const vf *s)
{
    vf seen = v_splat(0.0f);
    const vf hidden = v_splat(-INFINITY);
    float t[VL], sum = 0;
    for (int i = 0; i < VECS; i++) {
        vf one = v_splat(1.0f);
        seen = seen + v_selgt(s[i], hidden, one, v_selnan(s[i], one, v_splat(0.0f)));
    }
    v_store(t, seen);
    for (int i = 0; i < VL; i++)
        sum += t[i];
    return sum == 0;
}

/* Keys from n on become -inf, whatever their bits. */
static inline void hide_tail(float *score, vf *s, int n)
{
    for (int i = 0; i < VECS; i++) {
        vf index = v_iota() + v_splat((float)(i * VL));
        s[i] = v_selgt(v_splat((float)n), index, v_load(score + i * VL), v_splat(-INFINITY));
    }
}

static uint64_t visible_bits(const vf *s)
{
    uint64_t bits = 0;
    for (int i = 0; i < VECS; i++) {
        float t[VL];
        v_store(t, s[i]);
        for (int j = 0; j < VL; j++)
            bits |= (uint64_t)(t[j] != -INFINITY) << (i * VL + j);
    }
    return bits;
}

/* One block: its p, its lanes; returns the rescale factor. */
static inline float block(struct cpu_softmax *row, float *score, int n, vf *lanes, uint64_t *visible)
{
    vf s[VECS], top = v_splat(-INFINITY), m;
    float b, a = 1;

    if (n >= LAW_BLOCK) {
        for (int i = 0; i < VECS; i++)
            s[i] = v_load(score + i * VL);
    } else {
        hide_tail(score, s, n);
    }
    for (int i = 0; i < VECS; i++)
        top = law_block_max(s[i], top);
    b = max_lane(top);
    if (row->want_visible)
        *visible = visible_bits(s);
    if (b == -INFINITY && all_hidden(s)) {
        for (int i = 0; i < VECS; i++)
            v_store(score + i * VL, v_splat(0.0f));
        return 1;
    }
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
        vf p = law_p2(s[i], m), zero = v_splat(0.0f);
        p = v_selgt(s[i], v_splat(-INFINITY), p, v_selnan(s[i], s[i], zero));
        v_store(score + i * VL, p);
        lanes[i % LANE_VECS] = lanes[i % LANE_VECS] + p;
    }
    return a;
}

void K(softmax)(struct cpu_softmax *row)
{
    vf lanes[LANE_VECS];
    float lane[LAW_LANES];

    for (int i = 0; i < LANE_VECS; i++)
        lanes[i] = v_splat(0.0f);
    row->empty = 1;
    row->m = -INFINITY;
    for (int j = 0; j < row->blocks; j++) {
        float *score = row->score + j * LAW_BLOCK;
        int n = row->n - j * LAW_BLOCK;
        row->rescale[j] = 1;
        if (n <= 0) {
            for (int i = 0; i < VECS; i++)
                v_store(score + i * VL, v_splat(0.0f));
            row->visible[j] = 0;
        } else {
            row->rescale[j] = block(row, score, n, lanes, &row->visible[j]);
        }
    }
    for (int i = 0; i < LANE_VECS; i++)
        v_store(lane + i * VL, lanes[i]);
    for (int w = LAW_LANES / 2; w > 0; w /= 2)
        for (int j = 0; j < w; j++)
            lane[j] = lane[j] + lane[j + w];
    row->l = lane[0];
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
