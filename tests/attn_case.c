/* tests/attn_case.c: attention's table of cases, their data, and how they run. */
#include "tests/attn_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUICK .head.flags = CASE_QUICK
#define BIG .head.flags = CASE_BIG
#define ONE .b = 1, .h = 1, .hkv = 1
#define PIECES 64 /* at most, of two spans if there are several */
#define AT(position) .has_offset = 1, .offset = (position)

static const struct attn_case table[] = {
    /* shapes around 1, 16, 64 and 512, primes, SQ != SK */
    { QUICK, ONE, .sq = 1, .sk = 1, .d = 1, .dv = 1 },
    { ONE, .sq = 2, .sk = 3, .d = 5, .dv = 7, .causal = 1 },
    { ONE, .sq = 15, .sk = 16, .d = 16, .dv = 16 },
    { ONE, .sq = 16, .sk = 15, .d = 17, .dv = 15, .causal = 1 },
    { ONE, .sq = 17, .sk = 17, .d = 15, .dv = 17, .causal = 1 },
    { QUICK, ONE, .sq = 13, .sk = 63, .d = 8, .dv = 8 },
    { ONE, .sq = 63, .sk = 64, .d = 8, .dv = 9, .causal = 1 },
    { QUICK, ONE, .sq = 65, .sk = 65, .d = 16, .dv = 16, .causal = 1 },
    { ONE, .sq = 64, .sk = 127, .d = 33, .dv = 31, .causal = 1 },
    { ONE, .sq = 7, .sk = 129, .d = 64, .dv = 64 },
    { ONE, .sq = 5, .sk = 511, .d = 8, .dv = 8 },
    { ONE, .sq = 9, .sk = 512, .d = 8, .dv = 8, .causal = 1 },
    { QUICK, ONE, .sq = 6, .sk = 513, .d = 8, .dv = 8, .causal = 1 },
    { ONE, .sq = 513, .sk = 5, .d = 4, .dv = 3 },
    { ONE, .sq = 513, .sk = 513, .d = 2, .dv = 2, .causal = 1 },
    { ONE, .sq = 131, .sk = 37, .d = 3, .dv = 2, .causal = 1 },

    /* empty */
    { ONE, .sq = 0, .sk = 5, .d = 4, .dv = 4 },
    { QUICK, ONE, .sq = 5, .sk = 0, .d = 4, .dv = 3, .state = ATTN_OUT_AND_STATE },
    { .b = 0, .h = 2, .hkv = 1, .sq = 3, .sk = 3, .d = 4, .dv = 4 },
    { .b = 1, .h = 0, .hkv = 1, .sq = 3, .sk = 3, .d = 4, .dv = 4 },

    /* head dimensions 1 to 256, DV != D */
    { ONE, .sq = 33, .sk = 70, .d = 1, .dv = 1, .causal = 1 },
    { ONE, .sq = 9, .sk = 70, .d = 1, .dv = 256 },
    { ONE, .sq = 9, .sk = 70, .d = 256, .dv = 1 },
    { ONE, .sq = 9, .sk = 70, .d = 31, .dv = 65, .causal = 1 },
    { ONE, .sq = 9, .sk = 70, .d = 80, .dv = 96 },
    { ONE, .sq = 9, .sk = 70, .d = 127, .dv = 129, .causal = 1 },
    { QUICK, ONE, .sq = 9, .sk = 70, .d = 255, .dv = 253 },
    { ONE, .sq = 19, .sk = 130, .d = 256, .dv = 256, .causal = 1 },
    { ONE, .sq = 19, .sk = 130, .d = 128, .dv = 128, .causal = 1 },

    /* batches, grouped and single key heads */
    { .b = 2, .h = 3, .hkv = 3, .sq = 11, .sk = 23, .d = 12, .dv = 10, .causal = 1 },
    { QUICK, .b = 2, .h = 6, .hkv = 2, .sq = 7, .sk = 67, .d = 16, .dv = 16, .causal = 1 },
    { .b = 3, .h = 5, .hkv = 1, .sq = 3, .sk = 41, .d = 24, .dv = 24 },
    { .b = 1, .h = 9, .hkv = 3, .sq = 70, .sk = 70, .d = 64, .dv = 64, .causal = 1, BIG },
    { .b = 1, .h = 9, .hkv = 3, .sq = 1, .sk = 700, .d = 64, .dv = 64, .causal = 1 },

    /* offsets: negative (rows that see nothing), inside, beyond the keys */
    { QUICK, ONE, .sq = 10, .sk = 20, .d = 8, .dv = 8, .causal = 1, AT(-4),
      .state = ATTN_OUT_AND_STATE },
    { ONE, .sq = 10, .sk = 20, .d = 8, .dv = 8, .causal = 1, AT(-10) },
    { ONE, .sq = 10, .sk = 20, .d = 8, .dv = 8, AT(-3) },
    { ONE, .sq = 70, .sk = 70, .d = 8, .dv = 8, .causal = 1, AT(-65) },
    { ONE, .sq = 10, .sk = 200, .d = 8, .dv = 8, .causal = 1, AT(0) },
    { ONE, .sq = 10, .sk = 200, .d = 8, .dv = 8, .causal = 1, AT(60) },
    { ONE, .sq = 10, .sk = 20, .d = 8, .dv = 8, .causal = 1, AT(15) },
    { ONE, .sq = 4, .sk = 20, .d = 8, .dv = 8, .causal = 1, AT(1000000000000) },
    { ONE, .sq = 4, .sk = 20, .d = 8, .dv = 8, .causal = 1, AT(-1000000000000) },
    { ONE, .sq = 4, .sk = 1100, .d = 8, .dv = 8, AT(5000000000) },
    { QUICK, ONE, .sq = 7, .sk = 1600, .d = 8, .dv = 8, AT(509) },
    { ONE, .sq = 7, .sk = 1600, .d = 8, .dv = 8, .causal = 1, AT(1021) },
    { ONE, .sq = 7, .sk = 1600, .d = 8, .dv = 8, AT(-700) },

    /* four spans: the ring order; many and few queries */
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8 },
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8, .causal = 1 },
    { ONE, .sq = 1600, .sk = 1600, .d = 2, .dv = 3, .causal = 1, BIG },
    { ONE, .sq = 1600, .sk = 1600, .d = 2, .dv = 3, BIG },
    { .b = 1, .h = 2, .hkv = 1, .sq = 67, .sk = 2048, .d = 16, .dv = 16, .causal = 1, BIG },
    { .b = 1, .h = 2, .hkv = 1, .sq = 67, .sk = 1999, .d = 16, .dv = 16, BIG, AT(1000) },
    { QUICK, ONE, .sq = 1, .sk = 5000, .d = 8, .dv = 8 },
    { .b = 1, .h = 6, .hkv = 2, .sq = 1, .sk = 5000, .d = 64, .dv = 64, .causal = 1, BIG },
    { .b = 1, .h = 3, .hkv = 1, .sq = 5, .sk = 5003, .d = 32, .dv = 33, .causal = 1, BIG },

    /* pieces */
    { QUICK, ONE, .sq = 5, .sk = 1601, .d = 8, .dv = 8, .piece = 1 },
    { ONE, .sq = 5, .sk = 1601, .d = 8, .dv = 8, .piece = 2, .causal = 1 },
    { .b = 2, .h = 4, .hkv = 2, .sq = 3, .sk = 2400, .d = 9, .dv = 11, .piece = -1, BIG },
    { ONE, .sq = 530, .sk = 1100, .d = 4, .dv = 4, .piece = 1, .causal = 1, BIG },
    { ONE, .sq = 1, .sk = 3000, .d = 16, .dv = 16, .piece = -1, .causal = 1, .kv = ANL_F16 },

    /* types of keys, values and results; the state */
    { QUICK, ONE, .sq = 9, .sk = 75, .d = 17, .dv = 16, .kv = ANL_F16, .causal = 1 },
    { QUICK, ONE, .sq = 9, .sk = 75, .d = 17, .dv = 16, .kv = ANL_BF16, .causal = 1 },
    { .b = 1, .h = 4, .hkv = 2, .sq = 66, .sk = 600, .d = 64, .dv = 64, .kv = ANL_F16, .causal = 1,
      BIG },
    { .b = 1, .h = 4, .hkv = 2, .sq = 1, .sk = 600, .d = 64, .dv = 64, .kv = ANL_BF16 },
    { QUICK, ONE, .sq = 9, .sk = 75, .d = 17, .dv = 16, .out = ANL_F16 },
    { QUICK, ONE, .sq = 9, .sk = 75, .d = 17, .dv = 16, .out = ANL_BF16 },
    { ONE, .sq = 9, .sk = 75, .d = 17, .dv = 16, .kv = ANL_BF16, .out = ANL_F16, .causal = 1,
      .state = ATTN_OUT_AND_STATE },
    { QUICK, ONE, .sq = 5, .sk = 1100, .d = 8, .dv = 8, .state = ATTN_OUT_AND_STATE },
    { .b = 2, .h = 4, .hkv = 2, .sq = 5, .sk = 1100, .d = 8, .dv = 7, .state = ATTN_STATE,
      .causal = 1 },
    { ONE, .sq = 70, .sk = 70, .d = 8, .dv = 8, .state = ATTN_STATE, .causal = 1, AT(-3) },
    { ONE, .sq = 9, .sk = 70, .d = 8, .dv = 8, .scale = 0.3f, .causal = 1 },
    { ONE, .sq = 9, .sk = 70, .d = 8, .dv = 8, .scale = -1.5f },

    /* in several calls; the quick ones have the hashes of the one call above */
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8, .piece = 1, .cut = 1 },
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8, .causal = 1, .piece = 1, .cut = 2 },
    { QUICK, ONE, .sq = 5, .sk = 1100, .d = 8, .dv = 8, .piece = 1, .cut = 1,
      .state = ATTN_OUT_AND_STATE },
    { QUICK, ONE, .sq = 7, .sk = 1600, .d = 8, .dv = 8, .piece = 1, .cut = 2, AT(509) },
    { ONE, .sq = 5, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .piece = 1, .cut = 1, .state = ATTN_OUT_AND_STATE },
    { ONE, .sq = 70, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .piece = -1, .cut = 1, AT(990), .state = ATTN_OUT_AND_STATE },
    { .b = 2, .h = 6, .hkv = 2, .sq = 1, .sk = 2600, .d = 16, .dv = 17, .kv = ANL_F16, .piece = 2,
      .cut = 2, .out = ANL_F16, AT(1300) },
    { .b = 2, .h = 4, .hkv = 2, .sq = 70, .sk = 1600, .d = 8, .dv = 9, .kv = ANL_BF16, .piece = 1,
      .cut = 3, .out = ANL_BF16, AT(-40) },
    { ONE, .sq = 70, .sk = 1600, .d = 8, .dv = 8, .causal = 1, .piece = 1, .cut = 1, AT(-40),
      .state = ATTN_OUT_AND_STATE },
    { .b = 1, .h = 2, .hkv = 1, .sq = 40, .sk = 1601, .d = 8, .dv = 65, .piece = 1, .cut = -1,
      .state = ATTN_OUT_AND_STATE, AT(500) },
    { ONE, .sq = 4, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .piece = 1, .cut = -2, .state = ATTN_OUT_AND_STATE, AT(900) },
    { ONE, .sq = 3, .sk = 0, .d = 3, .dv = 4, .cut = 1, .state = ATTN_OUT_AND_STATE },

    /* each span's state on its own, and their merge */
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8, .states = 1 },
    { QUICK, ONE, .sq = 3, .sk = 1601, .d = 8, .dv = 8, .causal = 1, .piece = 1, .cut = 1, .states = 1 },
    { QUICK, ONE, .sq = 5, .sk = 1100, .d = 8, .dv = 8, .piece = 1, .cut = 2, .states = 1,
      .state = ATTN_OUT_AND_STATE },
    { QUICK, ONE, .sq = 7, .sk = 1600, .d = 8, .dv = 8, .piece = 1, .states = 1, AT(509) },
    { ONE, .sq = 5, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .piece = 1, .cut = 2, .states = 1, .state = ATTN_OUT_AND_STATE },
    { ONE, .sq = 70, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .piece = -1, .cut = 1, .states = 1, AT(990), .state = ATTN_OUT_AND_STATE },
    { .b = 2, .h = 6, .hkv = 2, .sq = 1, .sk = 2600, .d = 16, .dv = 17, .kv = ANL_F16, .piece = 2,
      .states = 1, .out = ANL_F16, AT(1300) },
    { .b = 2, .h = 4, .hkv = 2, .sq = 70, .sk = 1600, .d = 8, .dv = 65, .kv = ANL_BF16, .causal = 1,
      .states = 1, .out = ANL_BF16, AT(-40) },
    { ONE, .sq = 3, .sk = 0, .d = 3, .dv = 4, .states = 1, .state = ATTN_OUT_AND_STATE },

    /* the witnesses of docs/numerics.md, section 3: out must be 0x00000000 and 0x3c9e00dd */
    { QUICK, ONE, .sq = 1, .sk = 128, .d = 1, .dv = 1, .scale = 1, .witness = 1 },
    { QUICK, ONE, .sq = 1, .sk = 128, .d = 1, .dv = 1, .scale = 1, .witness = 2 },

    /* kinds of data */
    { QUICK, ONE, .sq = 9, .sk = 600, .d = 16, .dv = 8, .head.kind = GEN_LARGE, .scale = 5 },
    { ONE, .sq = 67, .sk = 1600, .d = 8, .dv = 8, .head = { CASE_BIG, GEN_LARGE, 0 }, .scale = 10,
      .causal = 1 },
    { ONE, .sq = 9, .sk = 1100, .d = 64, .dv = 8, .head.kind = GEN_LARGE, .scale = 1.25f,
      .causal = 1, .kv = ANL_F16 },
    { ONE, .sq = 9, .sk = 1100, .d = 8, .dv = 8, .head.kind = GEN_CONSTANT },
    { ONE, .sq = 70, .sk = 600, .d = 8, .dv = 8, .head.kind = GEN_CONSTANT, .causal = 1 },
    { ONE, .sq = 9, .sk = 1100, .d = 9, .dv = 9, .head.kind = GEN_ALTERNATING },
    { ONE, .sq = 70, .sk = 600, .d = 8, .dv = 8, .head.kind = GEN_ALTERNATING, .causal = 1 },
    { QUICK, ONE, .sq = 17, .sk = 1700, .d = 1, .dv = 3, .head.kind = GEN_ADVERSARIAL, .scale = 1 },
    { ONE, .sq = 67, .sk = 600, .d = 5, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .causal = 1 },
    { QUICK, ONE, .sq = 5, .sk = 2300, .d = 3, .dv = 4, .head.kind = GEN_ADVERSARIAL, .scale = 1,
      .causal = 1, .state = ATTN_OUT_AND_STATE },
    { ONE, .sq = 67, .sk = 1100, .d = 2, .dv = 4, .head = { 0, GEN_ADVERSARIAL, 1 }, .scale = 1,
      .piece = 1 },
    { ONE, .sq = 67, .sk = 2300, .d = 4, .dv = 9, .head = { 0, GEN_ADVERSARIAL, 2 }, .scale = 1 },
    { ONE, .sq = 17, .sk = 130, .d = 8, .dv = 8,
      .head = { CASE_QUICK | CASE_DENORMAL, GEN_DENORMAL, 0 }, .causal = 1 },
    { ONE, .sq = 5, .sk = 1100, .d = 8, .dv = 8, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 },
      .state = ATTN_OUT_AND_STATE },
    { ONE, .sq = 5, .sk = 1100, .d = 8, .dv = 8, .head = { CASE_DENORMAL, GEN_DENORMAL, 0 },
      .kv = ANL_BF16 },
};

static const struct case_head *head(int index)
{
    return &table[index].head;
}

const struct attn_case *attn_case_at(int index)
{
    return &table[index];
}

int64_t attn_case_offset(const struct attn_case *c)
{
    return c->has_offset ? c->offset : c->sk - c->sq;
}

float attn_kv_value(anl_dtype dtype, const void *array, size_t i)
{
    return (float)gen_weight(dtype, array, (int64_t)i);
}

static void describe(int index, char *name, size_t size)
{
    static const char *const state[] = { "", " + state", " state only" };
    const struct attn_case *c = &table[index];
    char offset[32] = "", piece[16] = "", scale[24] = "", seed[16] = "", cut[24] = "";
    if (c->has_offset)
        snprintf(offset, sizeof offset, " at %lld", (long long)c->offset);
    if (c->piece != 0)
        snprintf(piece, sizeof piece, " pieces %d", c->piece);
    if (c->cut != 0)
        snprintf(cut, sizeof cut, " cut %d", c->cut);
    if (c->states)
        snprintf(cut + strlen(cut), sizeof cut - strlen(cut), " merged");
    if (c->scale < 0 || c->scale > 0)
        snprintf(scale, sizeof scale, " scale %.2f", (double)c->scale);
    if (c->head.seed != 0)
        snprintf(seed, sizeof seed, " %u", c->head.seed);
    snprintf(name, size, "B%d H%d/%d Q%d K%d D%d V%d %s%s%s%s%s%s > %s%s %s%s%s", (int)c->b, (int)c->h,
             (int)c->hkv, (int)c->sq, (int)c->sk, (int)c->d, (int)c->dv, anl_dtype_name(c->kv),
             c->causal ? " causal" : "", offset, piece, cut, scale, anl_dtype_name(c->out),
             state[c->state], c->witness ? "witness" : gen_kind_name(c->head.kind), seed,
             c->witness == 2 ? " 2" : "");
}

/* |scale * score| near 80, of either sign: q a pattern of signs, keys plus or minus the pattern,
 * both within 1/64 of it. The case's scale is 80 / D. */
static void make_large(struct gen *g, const struct attn_case *c, float *q, float *k)
{
    size_t nq = (size_t)(c->b * c->h * c->sq), nk = (size_t)(c->b * c->hkv * c->sk);
    size_t d = (size_t)c->d;
    for (size_t i = 0; i < nq * d; i++)
        q[i] = (i % d % 3 == 1 ? -1.0f : 1.0f) + gen_scale(gen_normal(g), -7);
    for (size_t j = 0; j < nk; j++) {
        float sign = gen_below(g, 8) == 0 ? 1.0f : -1.0f;
        for (size_t i = 0; i < d; i++)
            k[j * d + i] = (i % 3 == 1 ? -sign : sign) + gen_scale(gen_normal(g), -7);
    }
}

/* Scores of a few levels, tied within a level. A block of 64 has one high score somewhere or none, so
 * that maxima rise inside of blocks, between blocks and between spans by steps around the cut of p2;
 * the lower the score the larger the value, so that what was cut, and when, shows in the result. */
static void make_adversarial(struct gen *g, const struct attn_case *c, float *q, float *k, float *v)
{
    static const struct {
        float score, value;
    } levels[] = { { -60, 3e19f }, { -60, 3e19f }, { -43.5f, 1e20f }, { -43.5f, -1e20f },
                   { -30, 1e13f }, { -21.5f, 3e9f }, { 0, 0.75f }, { 0, -1 }, { 20, 0.5f } };
    size_t nq = (size_t)(c->b * c->h * c->sq), nk = (size_t)(c->b * c->hkv * c->sk);
    size_t d = (size_t)c->d, dv = (size_t)c->dv, place = 0;
    /* a score of 20 hides what a wrong cut leaves near 0: with an odd seed only */
    uint32_t top = c->head.seed & 1 ? 9 : 8;
    for (size_t i = 0; i < nq * d; i++)
        q[i] = i % d == 0 ? 1 : 0;
    for (size_t j = 0; j < nk; j++) {
        if (j % 64 == 0)
            place = gen_below(g, 64);
        uint32_t level = j % 64 == place ? gen_below(g, top) : gen_below(g, 4);
        for (size_t i = 0; i < d; i++)
            k[j * d + i] = i == 0 ? levels[level].score : gen_normal(g);
        for (size_t i = 0; i < dv; i++)
            v[j * dv + i] = gen_below(g, 3) == 0 ? 0 : levels[level].value;
    }
}

/* One gap that only blocks of 64 keys treat as the law does. */
static void make_witness(const struct attn_case *c, float *q, float *k, float *v)
{
    q[0] = 1;
    for (int64_t j = 0; j < c->sk; j++) {
        k[j] = -60;
        v[j] = 0;
    }
    k[40] = 0;
    v[0] = 1e20f;
    k[0] = c->witness == 1 ? -43.5f : -30.0f;
    if (c->witness == 2)
        k[100] = 20;
}

/* Plus and minus by key, not by element, so that even D alternates too. */
static void alternate_rows(float *x, size_t rows, size_t width)
{
    for (size_t i = 0; i < rows * width; i++)
        x[i] = i / width & 1 ? -1.37f : 1.37f;
}

void attn_data_make(const struct attn_case *c, struct attn_data *data)
{
    struct gen g = gen_seed(c->head.seed, 200);
    enum gen_kind kind = c->head.kind;
    size_t nq = (size_t)(c->b * c->h * c->sq * c->d), rows = (size_t)(c->b * c->hkv * c->sk);
    size_t nk = rows * (size_t)c->d, nv = rows * (size_t)c->dv;
    float *k = gen_alloc(nk, sizeof *k), *v = gen_alloc(nv, sizeof *v);
    data->q = gen_alloc(nq, sizeof(float));
    gen_floats(&g, kind == GEN_DENORMAL ? GEN_RANDOM : kind, 1, data->q, nq);
    gen_floats(&g, kind, 1, k, nk);
    gen_floats(&g, kind, 0, v, nv);
    if (kind == GEN_LARGE)
        make_large(&g, c, data->q, k);
    if (kind == GEN_ADVERSARIAL)
        make_adversarial(&g, c, data->q, k, v);
    if (c->witness)
        make_witness(c, data->q, k, v);
    if (kind == GEN_ALTERNATING) {
        alternate_rows(k, rows, (size_t)c->d);
        alternate_rows(v, rows, (size_t)c->dv);
    }
    data->k = gen_alloc(nk, gen_dtype_size(c->kv));
    data->v = gen_alloc(nv, gen_dtype_size(c->kv));
    gen_store(c->kv, k, nk, data->k);
    gen_store(c->kv, v, nv, data->v);
    free(k);
    free(v);
}

void attn_data_free(struct attn_data *data)
{
    free(data->q);
    free(data->k);
    free(data->v);
}

/* Keys [start, start + length) of an array [B, HKV, SK, width] as a view of their own. */
static struct anl_tensor place_keys(struct place *p, const struct attn_case *c, const void *array,
                                    int64_t width, int64_t start, int64_t length)
{
    const int64_t dim[4] = { c->b, c->hkv, length, width };
    size_t row = (size_t)width * gen_dtype_size(c->kv), heads = (size_t)(c->b * c->hkv);
    uint8_t *part = gen_alloc(heads * (size_t)length, row);
    for (size_t i = 0; i < heads; i++)
        memcpy(part + i * (size_t)length * row,
               (const uint8_t *)array + (i * (size_t)c->sk + (size_t)start) * row,
               (size_t)length * row);
    struct anl_tensor t = place_tensor(p, part, c->kv, 4, dim);
    free(part);
    return t;
}

static int place_pieces(struct place *p, const struct attn_case *c, const struct attn_data *data,
                        struct anl_kv_piece *pieces)
{
    int n = 0;
    for (int64_t start = 0; start < c->sk; n++) {
        int64_t spans = c->piece == -1 ? 1 + n % 2 : c->piece;
        int64_t length = c->sk - start;
        if (spans > 0 && length > 512 * spans)
            length = 512 * spans;
        pieces[n].start = start;
        pieces[n].k = place_keys(p, c, data->k, c->d, start, length);
        pieces[n].v = place_keys(p, c, data->v, c->dv, start, length);
        start += length;
    }
    return n;
}

/* One call, or a chain of them: place_run() makes it through call(). */
struct chain {
    struct anl_attn_params whole;
    int cut, finish; /* pieces of a link; whether a last one with none writes `out` */
    int states;      /* the links are anl_attn_states(), the last one anl_attn_merge() */
    struct anl_attn_merge_params merge;
    int64_t spans[2 * PIECES];
};

/* The calls of one round over the pieces, from the last downwards. *resume: there was a call before. */
static anl_status links(struct anl_device *device, const struct chain *chain, anl_attn_spans spans,
                        int last_round, int *resume)
{
    struct anl_attn_params link = chain->whole;
    anl_status s = ANL_OK;
    link.keys = link.n_pieces > 0 ? link.pieces[link.n_pieces - 1].start +
                                        link.pieces[link.n_pieces - 1].k.dim[2]
                                  : 0;
    link.spans = spans;
    for (int end = chain->whole.n_pieces; s == ANL_OK && end > 0; end -= chain->cut) {
        int first = end > chain->cut ? end - chain->cut : 0;
        link.pieces = chain->whole.pieces + first;
        link.n_pieces = end - first;
        link.resume = *resume;
        if (!last_round || first > 0 || chain->finish)
            link.out.buffer = NULL;
        else
            link.out = chain->whole.out;
        s = anl_attn(device, &link);
        *resume = 1;
    }
    if (s != ANL_OK || !last_round || (!chain->finish && *resume))
        return s;
    link.pieces = NULL;
    link.n_pieces = 0;
    link.resume = *resume;
    link.out = chain->whole.out;
    return anl_attn(device, &link);
}

/* The states of pieces [first, end), whose spans' columns begin at column *n; moves it behind them. */
static anl_status states_link(struct anl_device *device, const struct chain *chain, int first, int end,
                              int64_t *n)
{
    const struct anl_attn_params *w = &chain->whole;
    struct anl_attn_states_params p = { .size = sizeof p, .q = w->q, .pieces = w->pieces + first,
                                        .n_pieces = end - first, .keys = chain->merge.keys,
                                        .scale = w->scale, .causal = w->causal, .offset = w->offset };
    int64_t spans = 0;
    for (int i = first; i < end; i++)
        spans += (w->pieces[i].k.dim[2] + 511) / 512;
    p.m = chain->merge.span_m;
    p.l = chain->merge.span_l;
    p.o = chain->merge.span_o;
    p.m.dim[3] = p.l.dim[3] = p.o.dim[2] = spans;
    p.m.offset += (uint64_t)*n * sizeof(float);
    p.l.offset += (uint64_t)*n * sizeof(float);
    p.o.offset += (uint64_t)(*n * p.o.stride[2]) * sizeof(float);
    *n += spans;
    return anl_attn_states(device, &p);
}

static anl_status states_call(struct anl_device *device, const struct chain *chain)
{
    anl_status s = ANL_OK;
    int64_t n = 0;
    int end;
    for (int first = 0; s == ANL_OK && first < chain->whole.n_pieces; first = end) {
        end = chain->cut > 0 ? first + chain->cut : chain->whole.n_pieces;
        end = end < chain->whole.n_pieces ? end : chain->whole.n_pieces;
        s = states_link(device, chain, first, end, &n);
    }
    return s != ANL_OK ? s : anl_attn_merge(device, &chain->merge);
}

static void place_states(struct place *p, const struct attn_case *c, struct chain *chain)
{
    int64_t spans = (c->sk + 511) / 512;
    const int64_t m_dim[4] = { c->b, c->h, c->sq, spans }, o_dim[4] = { c->b * c->h, c->sq, spans, c->dv };
    struct anl_attn_merge_params *merge = &chain->merge;
    for (int64_t n = 0; n < spans; n++)
        chain->spans[n] = n;
    *merge = (struct anl_attn_merge_params){ .size = sizeof *merge, .spans = chain->spans, .keys = c->sk,
                                             .causal = c->causal, .offset = chain->whole.offset,
                                             .out = chain->whole.out, .m = chain->whole.m,
                                             .l = chain->whole.l, .o = chain->whole.o };
    merge->span_m = place_tensor(p, NULL, ANL_F32, 4, m_dim);
    merge->span_l = place_tensor(p, NULL, ANL_F32, 4, m_dim);
    merge->span_o = place_tensor(p, NULL, ANL_F32, 4, o_dim);
}

static anl_status call(struct anl_device *device, const void *params)
{
    const struct chain *chain = params;
    struct chain cut = *chain;
    int resume = 0;
    anl_status s;
    if (chain->states)
        return states_call(device, chain);
    if (chain->cut == 0)
        return anl_attn(device, &chain->whole);
    if (chain->cut < 0) {
        cut.cut = -chain->cut;
        return links(device, &cut, ANL_SPANS_ALL, 1, &resume);
    }
    s = links(device, chain, ANL_SPANS_TO_OWN, 0, &resume);
    return s != ANL_OK ? s : links(device, chain, ANL_SPANS_ABOVE, 1, &resume);
}

void attn_run(struct anl_device *device, const struct attn_case *c, const struct attn_data *data,
              const struct place_options *options, struct run_result *result)
{
    struct place p;
    struct anl_kv_piece pieces[PIECES];
    struct chain chain = { .cut = c->cut, .finish = c->cut % 2, .states = c->states };
    struct anl_attn_params params = { .size = sizeof params, .scale = c->scale,
                                      .causal = c->causal, .pieces = pieces };
    const int64_t q_dim[4] = { c->b, c->h, c->sq, c->d }, o_dim[4] = { c->b, c->h, c->sq, c->dv };
    const int64_t m_dim[4] = { c->b, c->h, c->sq, 1 };
    size_t rows = (size_t)(c->b * c->h * c->sq), count = rows * (size_t)c->dv;
    place_begin(&p, device, options);
    params.q = place_tensor(&p, data->q, ANL_F32, 4, q_dim);
    params.n_pieces = place_pieces(&p, c, data, pieces);
    if (c->has_offset)
        params.offset = &c->offset;
    if (c->state != ATTN_STATE)
        params.out = place_tensor(&p, NULL, c->out, 4, o_dim);
    if (c->state != ATTN_OUT || c->cut != 0) {
        params.m = place_tensor(&p, NULL, ANL_F32, 4, m_dim);
        params.l = place_tensor(&p, NULL, ANL_F32, 4, m_dim);
        params.o = place_tensor(&p, NULL, ANL_F32, 4, o_dim);
    }
    chain.whole = params;
    if (c->states)
        place_states(&p, c, &chain);
    place_run(&p, call, &chain, &params.out);
    if (c->state != ATTN_STATE)
        place_fetch(&p, &params.out, run_add(result, "out", c->out, count)->data);
    if (c->state != ATTN_OUT) {
        place_fetch(&p, &params.m, run_add(result, "m", ANL_F32, rows)->data);
        place_fetch(&p, &params.l, run_add(result, "l", ANL_F32, rows)->data);
        place_fetch(&p, &params.o, run_add(result, "o", ANL_F32, count)->data);
    }
    run_finish(result, &p);
}

static void *make_case(const void *c)
{
    struct attn_data *data = gen_alloc(1, sizeof *data);
    attn_data_make(c, data);
    return data;
}

static void *make(int index)
{
    return make_case(&table[index]);
}

static void drop(void *data)
{
    attn_data_free(data);
    free(data);
}

static void run_case(struct anl_device *device, const void *c, const void *data,
                     const struct place_options *options, struct run_result *result)
{
    attn_run(device, c, data, options, result);
}

static void run(struct anl_device *device, int index, const void *data,
                const struct place_options *options, struct run_result *result)
{
    run_case(device, &table[index], data, options, result);
}

static const struct shape_field fields[] = {
    { "b", SHAPE_NUMBER, offsetof(struct attn_case, b), .low = 1, .high = 1 << 16 },
    { "h", SHAPE_NUMBER, offsetof(struct attn_case, h), .low = 1, .high = 1 << 16 },
    { "hkv", SHAPE_NUMBER, offsetof(struct attn_case, hkv), .low = 1, .high = 1 << 16 },
    { "sq", SHAPE_NUMBER, offsetof(struct attn_case, sq), .low = 1, .high = 1 << 26 },
    { "sk", SHAPE_NUMBER, offsetof(struct attn_case, sk), .low = 1, .high = 1 << 26 },
    { "d", SHAPE_NUMBER, offsetof(struct attn_case, d), .low = 1, .high = ANL_ATTN_MAX_D },
    { "dv", SHAPE_NUMBER, offsetof(struct attn_case, dv), .low = 1, .high = ANL_ATTN_MAX_D },
    { "f32", SHAPE_WORD, offsetof(struct attn_case, kv), .value = ANL_F32 },
    { "f16", SHAPE_WORD, offsetof(struct attn_case, kv), .value = ANL_F16 },
    { "bf16", SHAPE_WORD, offsetof(struct attn_case, kv), .value = ANL_BF16 },
    { "causal", SHAPE_WORD, offsetof(struct attn_case, causal), .value = 1 },
};

static const struct case_bench bench[] = {
    { "h8 sq4096 d64", 0 },         { "h8 sq4096 d64 causal", 0 },  { "h8 sq4096 d128", 0 },
    { "h8 sq4096 d128 causal", 0 }, { "h8 sq16384 d64", 1 },        { "h8 sq16384 d64 causal", 1 },
    { "h8 sq16384 d128", 1 },       { "h8 sq16384 d128 causal", 1 }, /* and decoding: */
    { "h9 hkv3 sq1 sk8192 d64 causal", 0 },
};

static int settle(void *at, char *error, size_t error_size)
{
    struct attn_case *c = at;
    if (case_missing("sq", c->sq, error, error_size) || case_missing("d", c->d, error, error_size))
        return -1;
    c->b = c->b > 0 ? c->b : 1;
    c->h = c->h > 0 ? c->h : 1;
    c->hkv = c->hkv > 0 ? c->hkv : c->h;
    c->sk = c->sk > 0 ? c->sk : c->sq;
    c->dv = c->dv > 0 ? c->dv : c->d;
    if (c->h % c->hkv == 0)
        return 0;
    snprintf(error, error_size, "h%lld and hkv%lld: h must be a multiple of hkv", (long long)c->h,
             (long long)c->hkv);
    return -1;
}

static const struct case_form form = { sizeof(struct attn_case),
                                       fields,
                                       sizeof fields / sizeof *fields,
                                       bench,
                                       sizeof bench / sizeof *bench,
                                       settle,
                                       make_case,
                                       run_case };

const struct case_op attn_cases = { "attn", sizeof table / sizeof *table, head, describe, make,
                                    drop, run, &form };
