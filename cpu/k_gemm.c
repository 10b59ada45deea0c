/* cpu/k_gemm.c: the matrix micro-kernel: rows x two vectors of C stay in registers while k runs over
 * one span; every element is one chain of fma, k ascending. */
#include "cpu/vec.h"

void K(gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
             enum cpu_gemm_mode mode, const void *next);
void K(values)(int rows, const float *p, const float *v, int keys,
               const struct cpu_softmax *row, float *o, int64_t ldo);

/* What a tile is to compute. */
struct todo {
    const float *a; /* rows of CPU_LDA */
    const float *b; /* [kn][NR] */
    int kn;
    float *c; /* rows of ldc */
    int64_t ldc;
    enum cpu_gemm_mode mode;
    uintptr_t next; /* memory that is read after this */
    /* values only; bit j of rises: some row has a rescale[j] */
    const struct cpu_softmax *row;
    unsigned rises;
};

#define AHEAD 32 /* k: far enough for a panel that comes from the outer caches */

#define NEXT 8   /* bytes of what comes next that are asked for with each k: its first read would wait for
                  * memory, once for all rows of a task */

/* Asks for row k of a panel, which may be past its end: a hint, not a read. */
static inline void fetch(const float *b, int k)
{
    const char *p = (const char *)((uintptr_t)b + (uintptr_t)k * GEMM_NR * sizeof *b);

    for (unsigned i = 0; i < GEMM_NR * sizeof *b; i += 64)
        __builtin_prefetch(p + i);
}

/* acc goes on over kn k. rows is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void chains(const int rows, const float *restrict a,
                                                         const float *restrict b, int kn,
                                                         uintptr_t next, vf (*acc)[2])
{
    for (int k = 0; k < kn; k++) {
        vf b0 = v_load(b + k * GEMM_NR), b1 = v_load(b + k * GEMM_NR + VL);
        fetch(b, k + AHEAD);
        if (k % (64 / NEXT) == 0)
            __builtin_prefetch((const char *)(next + (uintptr_t)k * NEXT), 0, 2);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            vf x = v_splat(a[i * CPU_LDA + k]);
            acc[i][0] = v_fma(x, b0, acc[i][0]);
            acc[i][1] = v_fma(x, b1, acc[i][1]);
        }
    }
}

static inline __attribute__((always_inline)) void store(const int rows, const struct todo *t,
                                                        vf (*acc)[2])
{
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        v_store(t->c + i * t->ldc, acc[i][0]);
        v_store(t->c + i * t->ldc + VL, acc[i][1]);
    }
}

static inline __attribute__((always_inline)) void product(const int rows, const struct todo *t)
{
    vf acc[GEMM_MR][2];

    if (t->mode == CPU_GEMM_CHAIN) {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            acc[i][0] = v_load(t->c + i * t->ldc);
            acc[i][1] = v_load(t->c + i * t->ldc + VL);
        }
    } else {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
            acc[i][0] = acc[i][1] = v_splat(0.0f);
    }
    chains(rows, t->a, t->b, t->kn, t->next, acc);
    if (t->mode == CPU_GEMM_ADD) {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            acc[i][0] = v_load(t->c + i * t->ldc) + acc[i][0];
            acc[i][1] = v_load(t->c + i * t->ldc + VL) + acc[i][1];
        }
    }
    store(rows, t, acc);
}

/* A product whose sums are rescaled, where a row's maximum rises, before the next block joins. The
 * rows that need it not are multiplied by 1, which can but turn a -0 into +0. */
static inline __attribute__((always_inline)) void rescaled(const int rows, const struct todo *t)
{
    vf acc[GEMM_MR][2];

#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
        acc[i][0] = acc[i][1] = v_splat(0.0f);
    for (int k = 0; k < t->kn; k += LAW_BLOCK) {
        if (t->rises >> (k / LAW_BLOCK) & 1) {
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                vf x = v_splat(t->row[i].rescale[k / LAW_BLOCK]);
                acc[i][0] = law_rescale(acc[i][0], x);
                acc[i][1] = law_rescale(acc[i][1], x);
            }
        }
        chains(rows, t->a + k, t->b + k * GEMM_NR,
               t->kn - k < LAW_BLOCK ? t->kn - k : LAW_BLOCK, (uintptr_t)t->b, acc);
    }
    store(rows, t, acc);
}

static inline __attribute__((always_inline)) void tile(const int rows, const struct todo *t,
                                                       const int values)
{
    if (values)
        rescaled(rows, t);
    else
        product(rows, t);
}

/* The tile for so many rows. */
static inline __attribute__((always_inline)) void pick(int rows, const struct todo *t,
                                                       const int values)
{
    switch (rows) {
#if GEMM_MR > 8
    case 12:
        tile(12, t, values);
        break;
    case 11:
        tile(11, t, values);
        break;
    case 10:
        tile(10, t, values);
        break;
    case 9:
        tile(9, t, values);
        break;
#endif
#if GEMM_MR > 6
    case 8:
        tile(8, t, values);
        break;
    case 7:
        tile(7, t, values);
        break;
#endif
#if GEMM_MR > 4
    case 6:
        tile(6, t, values);
        break;
    case 5:
        tile(5, t, values);
        break;
#endif
    case 4:
        tile(4, t, values);
        break;
    case 3:
        tile(3, t, values);
        break;
    case 2:
        tile(2, t, values);
        break;
    case 1:
        tile(1, t, values);
        break;
    default:
        break;
    }
}

void K(gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
             enum cpu_gemm_mode mode, const void *next)
{
    struct todo t = { .a = a, .b = b, .kn = kn, .c = c, .ldc = ldc, .mode = mode };
    uintptr_t from = (uintptr_t)next, panel = (uintptr_t)kn * GEMM_NR * sizeof *b;

    for (; rows > 0; rows -= GEMM_MR, t.a += GEMM_MR * CPU_LDA, t.c += GEMM_MR * ldc) {
        t.next = from && from - (uintptr_t)next < panel ? from : (uintptr_t)b;
        from += from ? (uintptr_t)kn * NEXT : 0;
        pick(rows < GEMM_MR ? rows : GEMM_MR, &t, 0);
    }
}

void K(values)(int rows, const float *p, const float *v, int keys,
               const struct cpu_softmax *row, float *o, int64_t ldo)
{
    struct todo t = { .a = p, .b = v, .kn = keys, .c = o, .ldc = ldo, .row = row };
    int rises[8] = { 0 };

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < 8; j++)
            rises[j] |= row[i].rescale[j] != 1;
    for (int j = 0; j < 8; j++)
        t.rises |= (unsigned)rises[j] << j;
    pick(rows, &t, 1);
}
