/* cpu/k_few.c: few queries' rows against keys and values where they lie: each is read once, so packing
 * them would cost more than the rest. The chains are the matrix kernel's. */
#include "cpu/load.h"

void K(few_scores)(anl_dtype dtype, const void *keys, int64_t ld, int n, int d, int rows,
                   const float *q, float *s);
int K(few_values)(const float *v, int64_t ld, int keys, int d, int rows, const float *p,
                  const struct cpu_softmax *row, float *o, int64_t ldo);

/* VL keys, n of which are there, times the rows: keys come as rows of K and are turned, VL features at a
 * time, so that each has a lane. The VL keys after them, as far as they are there, are fetched
 * meanwhile. dtype and rows are constants where this is inlined. */
static inline __attribute__((always_inline)) void key_lanes(const anl_dtype dtype, const void *keys,
                                                            int64_t ld, int n, int ahead, int d,
                                                            const int rows, const float *q, float *s)
{
    vf acc[CPU_FEW];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        acc[r] = v_splat(0.0f);
    for (int i = 0; i < ahead; i++)
        fetch_row(dtype, keys, (VL + i) * ld, d);
    for (int d0 = 0; d0 < d; d0 += VL) {
        int dn = d - d0 < VL ? d - d0 : VL;
        vf t[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            t[i] = i < n ? load_some(dtype, keys, i * ld + d0, dn) : v_splat(0.0f);
        transpose(t);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) {
            if (i == dn)
                break;
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                acc[r] = v_fma(v_splat(q[r * CPU_LDA + d0 + i]), t[i], acc[r]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
        v_store(s + r * CPU_LDA, acc[r]);
}

static inline __attribute__((always_inline)) void all_keys(const anl_dtype dtype, const void *keys,
                                                           int64_t ld, int n, int d, const int rows,
                                                           const float *q, float *s)
{
    int64_t size = dtype == ANL_F32 ? 4 : 2;

    for (int i = 0; i < n; i += VL) {
        int left = n - i, next = left - VL < VL ? left - VL : VL;
        const char *p = (const char *)keys + i * ld * size;
        if (left >= VL) /* known to the compiler: no branch a key */
            key_lanes(dtype, p, ld, VL, next, d, rows, q, s + i);
        else
            key_lanes(dtype, p, ld, left, 0, d, rows, q, s + i);
    }
}

static inline __attribute__((always_inline)) void of_type(anl_dtype dtype, const void *keys, int64_t ld,
                                                          int n, int d, const int rows, const float *q,
                                                          float *s)
{
    if (dtype == ANL_F32)
        all_keys(ANL_F32, keys, ld, n, d, rows, q, s);
    else if (dtype == ANL_F16)
        all_keys(ANL_F16, keys, ld, n, d, rows, q, s);
    else
        all_keys(ANL_BF16, keys, ld, n, d, rows, q, s);
}

void K(few_scores)(anl_dtype dtype, const void *keys, int64_t ld, int n, int d, int rows,
                   const float *q, float *s)
{
    switch (rows) {
    case 1:
        of_type(dtype, keys, ld, n, d, 1, q, s);
        break;
    case 2:
        of_type(dtype, keys, ld, n, d, 2, q, s);
        break;
    case 3:
        of_type(dtype, keys, ld, n, d, 3, q, s);
        break;
    default:
        of_type(dtype, keys, ld, n, d, 4, q, s);
        break;
    }
}

#define AHEAD 16                 /* keys */
#define COLS (VL >= 16 ? 4 : 2) /* vectors of a pass over a block's keys */

/* A block's n values times the rows' p, in cols vectors of o: rescaled, then a chain over the keys. check
 * becomes NaN where a value is not finite: 0 times it is. The first pass over a block fetches the keys
 * that come AHEAD, whole. */
static inline __attribute__((always_inline)) void few_cols(const float *v, int64_t ld, int n, int ahead,
                                                           int d, const int rows, const int cols,
                                                           const float *p, const float *rescale,
                                                           float *o, int64_t ldo, vf *check)
{
    vf acc[CPU_FEW][4];

#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++)
            acc[r][c] = law_rescale(v_load(o + r * ldo + c * VL), v_splat(rescale[r]));
    for (int k = 0; k < n; k++) {
        if (k < ahead)
            fetch_row(ANL_F32, v, (k + AHEAD) * ld, d);
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++) {
            vf x = v_load(v + k * ld + c * VL);
            check[c] = v_fma(x, v_splat(0.0f), check[c]);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                acc[r][c] = v_fma(v_splat(p[r * CPU_LDA + k]), x, acc[r][c]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < cols; c++)
            v_store(o + r * ldo + c * VL, acc[r][c]);
}

static inline __attribute__((always_inline)) int few_blocks(const float *v, int64_t ld, int keys, int d,
                                                            const int rows, const float *p,
                                                            const struct cpu_softmax *row, float *o,
                                                            int64_t ldo)
{
    vf check[4];
    float lane[VL], rescale[CPU_FEW];
    int odd = 0;

    for (int c = 0; c < 4; c++)
        check[c] = v_splat(0.0f);
    for (int b = 0; b < keys; b += LAW_BLOCK) {
        int n = keys - b < LAW_BLOCK ? keys - b : LAW_BLOCK, c = 0;
        const float *vb = v + b * ld, *pb = p + b;
        for (int r = 0; r < rows; r++)
            rescale[r] = row[r].rescale[b / LAW_BLOCK];
        for (; c + COLS * VL <= d; c += COLS * VL)
            few_cols(vb + c, ld, n, c ? 0 : keys - b - AHEAD, d, rows, COLS, pb, rescale, o + c, ldo,
                     check);
        if (c < d)
            few_cols(vb + c, ld, n, c ? 0 : keys - b - AHEAD, d, rows, 2, pb, rescale, o + c, ldo,
                     check);
    }
    v_store(lane, (check[0] + check[1]) + (check[2] + check[3]));
    for (int i = 0; i < VL; i++)
        odd |= lane[i] != lane[i];
    return odd;
}

int K(few_values)(const float *v, int64_t ld, int keys, int d, int rows, const float *p,
                  const struct cpu_softmax *row, float *o, int64_t ldo)
{
    for (int r = 0; r < rows; r++)
        memset(o + r * ldo, 0, (size_t)d * sizeof *o);
    switch (rows) {
    case 1:
        return few_blocks(v, ld, keys, d, 1, p, row, o, ldo);
    case 2:
        return few_blocks(v, ld, keys, d, 2, p, row, o, ldo);
    case 3:
        return few_blocks(v, ld, keys, d, 3, p, row, o, ldo);
    default:
        return few_blocks(v, ld, keys, d, 4, p, row, o, ldo);
    }
}
