/* cpu/k_softmax.c: one row of scores to probabilities, block by block (docs/numerics.md, section 3),
 * for attention and for the vocabulary. */
#include "cpu/vec.h"

#include <math.h>

void K(softmax)(struct cpu_softmax *row, int rows);
float K(xent)(const float *logits, int64_t n, float target_logit);
float K(recip)(float x);
void K(join)(const float *other, float factor, const float *kept, float *out, int n);
void K(merge)(float m, float l, const float *o, int n, float *run_m, float *run_l, float *run_o);

#define VECS (LAW_BLOCK / VL)      /* vectors of a block */
#define LANE_VECS (LAW_LANES / VL) /* vectors of the 16 lanes */
#define GROUP 8                    /* rows whose lanes are summed together; blocks of a span, too */

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

static inline vf meet(const int sum, vf a, vf b)
{
    if (sum)
        return a + b;
    return v_max(a, b);
}

/* Eight vectors to one number each: lane j meets lane j + w for w = VL / 2 down to 1, which is the
 * law's lane tree (and a maximum has no order). Two vectors at a time: what is left of both fills one.
 * The numbers end up in v[0] (VL 4: and v[1]), as place() says. */
static inline __attribute__((always_inline)) void fold(const int sum, vf *v)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        v[i] = meet(sum, v_zip_lo(v[i], v[i + 4]), v_zip_hi(v[i], v[i + 4]));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        v[i] = meet(sum, v_zip_lo(v[i], v[i + 2]), v_zip_hi(v[i], v[i + 2]));
    if (VL >= 8)
        v[0] = meet(sum, v_zip_lo(v[0], v[1]), v_zip_hi(v[0], v[1]));
    if (VL >= 16)
        v[0] = meet(sum, v_zip_lo(v[0], v[0]), v_zip_hi(v[0], v[0]));
}

#define FOLDED (VL < 8 ? 2 : 1) /* vectors that fold() leaves */

/* Where the number of vector i stands. */
static inline int place(int i)
{
    return VL >= 8 ? i * (VL / 8) : i / 2 + i % 2 * VL;
}

/* The 16 lanes to as many as a vector has: the lane tree's first steps. */
static inline vf fold_lanes(const vf *lanes)
{
    vf t[LANE_VECS];

    for (int i = 0; i < LANE_VECS; i++)
        t[i] = lanes[i];
    for (int w = LANE_VECS / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++)
            t[i] = t[i] + t[i + w];
    return t[0];
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

/* The largest visible score of each lane of a block, rounded up. */
static inline vf block_top(const float *score)
{
    vf x = v_splat(-INFINITY);
#pragma GCC unroll 16
    for (int i = 0; i < VECS; i++)
        x = v_max(v_load(score + i * VL), x);
    return v_ceil(x);
}

/* One block's p for the maximum m, and its lanes. A hidden key's score is -inf, and its p is +0. */
static inline void block_p(float *score, vf m, vf *lanes)
{
#pragma GCC unroll 16
    for (int i = 0; i < VECS; i++) {
        vf s = v_load(score + i * VL), n = v_rint(s);
        vf p = v_scale2(law_exp2_poly(s - n), n - m);
        v_store(score + i * VL, p);
        lanes[i % LANE_VECS] = lanes[i % LANE_VECS] + p;
    }
}

/* What the first pass finds, of a group of rows. */
struct first {
    vf top[GROUP][GROUP];                     /* [block][row]: lanes, rounded up */
    float m[GROUP][VL < GROUP ? GROUP : VL];  /* [block][place(row)]: running maxima */
    float a[GROUP][VL < GROUP ? GROUP : VL];  /* [block][place(row)]: rescale factors */
    float finite[VL < GROUP ? GROUP : VL];    /* [place(row)]: blocks with a finite maximum */
    int live[GROUP];                          /* [row]: blocks that the mask does not hide whole */
};

/* Row i's lanes of maxima; zeros in the blocks that the mask hides whole. */
static inline void first_row(struct cpu_softmax *row, struct first *f, int i)
{
    int live = row->n <= 0 ? 0 : (row->n - 1) / LAW_BLOCK + 1;

    f->live[i] = live = live < row->blocks ? live : row->blocks;
    for (int j = 0; j < live; j++) {
        float *score = row->score + j * LAW_BLOCK;
        if (row->n - j * LAW_BLOCK < LAW_BLOCK)
            hide_tail(score, row->n - j * LAW_BLOCK);
        f->top[j][i] = block_top(score);
        if (row->want_visible)
            row->visible[j] = visible_bits(score);
    }
    for (int j = live; j < GROUP; j++)
        f->top[j][i] = v_splat(-INFINITY);
    for (int j = live; j < row->blocks; j++) {
        memset(row->score + j * LAW_BLOCK, 0, LAW_BLOCK * sizeof *row->score);
        row->visible[j] = 0;
    }
}

/* The running maxima of all rows at once, block by block, without a branch on the scores. */
static inline void running_maxima(struct first *f)
{
    vf m[FOLDED], finite[FOLDED];

    for (int h = 0; h < FOLDED; h++) {
        m[h] = v_splat(-INFINITY);
        finite[h] = v_splat(0.0f);
    }
    for (int j = 0; j < GROUP; j++) {
        fold(0, f->top[j]);
        for (int h = 0; h < FOLDED; h++) {
            vf top = f->top[j][h], before = m[h];
            m[h] = v_max(top, before);
            v_store(f->m[j] + h * VL, m[h]);
            v_store(f->a[j] + h * VL, law_pow2(before - m[h]));
            finite[h] = finite[h] + v_selgt(v_splat(INFINITY), law_abs(top), v_splat(1.0f),
                                            v_splat(0.0f));
        }
    }
    for (int h = 0; h < FOLDED; h++)
        v_store(f->finite + h * VL, finite[h]);
}

/* The usual row i, in which each of the live blocks has a finite maximum: no branch on the data. */
static inline vf usual_row(struct cpu_softmax *row, const struct first *f, int i)
{
    vf lanes[LANE_VECS];

    row->rescale[0] = 1;
    for (int j = 1; j < GROUP; j++)
        row->rescale[j] = f->a[j][place(i)];
    for (int v = 0; v < LANE_VECS; v++)
        lanes[v] = v_splat(0.0f);
    for (int j = 0; j < f->live[i]; j++) {
        vf a = v_splat(row->rescale[j]);
        for (int v = 0; v < LANE_VECS; v++)
            lanes[v] = law_rescale(lanes[v], a);
        block_p(row->score + j * LAW_BLOCK, v_splat(f->m[j][place(i)]), lanes);
    }
    row->m = f->m[GROUP - 1][place(i)];
    row->empty = 0;
    return fold_lanes(lanes);
}

/* The maximum of a block, rounded up; -inf: all hidden, or NaN. */
static float top_of(const float *score)
{
    float top = -INFINITY;
    for (int i = 0; i < LAW_BLOCK; i++)
        top = score[i] > top ? score[i] : top;
    return ceilf(top);
}

/* Any row. */
static vf rare_row(struct cpu_softmax *row, int live)
{
    vf lanes[LANE_VECS];

    row->empty = 1;
    row->m = -INFINITY;
    for (int j = 0; j < GROUP; j++)
        row->rescale[j] = 1;
    for (int i = 0; i < LANE_VECS; i++)
        lanes[i] = v_splat(0.0f);
    for (int j = 0; j < live; j++) {
        float *score = row->score + j * LAW_BLOCK, top = top_of(score);
        if (top == -INFINITY && all_hidden(score)) {
            memset(score, 0, LAW_BLOCK * sizeof *score);
            continue;
        }
        if (!row->empty && top > row->m)
            row->rescale[j] = pow2_one(row->m - top);
        if (row->empty || top > row->m)
            row->m = top;
        row->empty = 0;
        for (int i = 0; i < LANE_VECS; i++)
            lanes[i] = law_rescale(lanes[i], v_splat(row->rescale[j]));
        block_p(score, v_splat(row->m), lanes);
    }
    return fold_lanes(lanes);
}

/* Eight rows at a time, one pass over all of them after the other: a row's p would wait for its
 * maximum, but the next row's maximum need not. */
void K(softmax)(struct cpu_softmax *row, int rows)
{
    for (int r = 0; r < rows; r += GROUP, row += GROUP) {
        int n = rows - r < GROUP ? rows - r : GROUP;
        float l[FOLDED * VL];
        vf lanes[GROUP];
        struct first f;

        for (int i = 0; i < n; i++)
            first_row(&row[i], &f, i);
        for (int i = n; i < GROUP; i++)
            for (int j = 0; j < GROUP; j++)
                f.top[j][i] = v_splat(-INFINITY);
        running_maxima(&f);
        for (int i = 0; i < GROUP; i++) {
            /* blocks that are not live have -inf */
            int usual = i < n && f.live[i] > 0 && f.finite[place(i)] == (float)f.live[i];
            lanes[i] = usual   ? usual_row(&row[i], &f, i)
                       : i < n ? rare_row(&row[i], f.live[i])
                               : v_splat(0.0f);
        }
        fold(1, lanes);
        for (int h = 0; h < FOLDED; h++)
            v_store(l + h * VL, lanes[h]);
        for (int i = 0; i < n; i++)
            row[i].l = l[place(i)];
    }
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

void K(merge)(float m, float l, const float *o, int n, float *run_m, float *run_l, float *run_o)
{
    if (m > *run_m) {
        vf a = law_pow2(v_splat(*run_m - m));
        *run_l = lane0(law_join(v_splat(*run_l), a, v_splat(l)));
        *run_m = m;
        for (int i = 0; i < n; i += VL)
            v_store(run_o + i, law_join(v_load(run_o + i), a, v_load(o + i)));
    } else {
        vf b = law_pow2(v_splat(m - *run_m));
        *run_l = lane0(law_join(v_splat(l), b, v_splat(*run_l)));
        for (int i = 0; i < n; i += VL)
            v_store(run_o + i, law_join(v_load(o + i), b, v_load(run_o + i)));
    }
}

/* One span of words into the running state. */
static void words(const float *logits, int n, struct cpu_softmax *run)
{
    float score[LAW_SPAN];
    struct cpu_softmax s = { .score = score, .n = n, .blocks = (n + LAW_BLOCK - 1) / LAW_BLOCK };
    int i = 0;

    for (; i + VL <= n; i += VL)
        v_store(score + i,
                v_fma(v_load(logits + i), v_splat(LAW_LOG2E), v_splat(0.0f)));
    for (; i < n; i++)
        score[i] = law_fmaf(logits[i], LAW_LOG2E, 0.0f);
    for (; i < s.blocks * LAW_BLOCK; i++)
        score[i] = 0;
    K(softmax)(&s, 1);
    if (s.empty)
        return;
    if (run->empty)
        *run = s;
    else
        K(merge)(s.m, s.l, NULL, 0, &run->m, &run->l, NULL);
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
