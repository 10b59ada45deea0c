/* cpu/k_gemm.c: the matrix micro-kernel: rows x two vectors of C stay in registers while k runs over
 * one span; every element is one chain of fma, k ascending. */
#include "cpu/vec.h"

/* a: rows of CPU_LDA; b: [kn][NR]; c: rows of ldc. rows is a constant wherever this is inlined. */
static inline __attribute__((always_inline)) void tile(const int rows, const float *restrict a,
                                                       const float *restrict b, int kn,
                                                       float *restrict c, int64_t ldc,
                                                       enum cpu_gemm_mode mode)
{
    vf acc[GEMM_MR][2];

    if (mode == CPU_GEMM_CHAIN) {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            acc[i][0] = v_load(c + i * ldc);
            acc[i][1] = v_load(c + i * ldc + VL);
        }
    } else {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
            acc[i][0] = acc[i][1] = v_splat(0.0f);
    }
    for (int k = 0; k < kn; k++) {
        vf b0 = v_load(b + k * GEMM_NR), b1 = v_load(b + k * GEMM_NR + VL);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            vf x = v_splat(a[i * CPU_LDA + k]);
            acc[i][0] = v_fma(x, b0, acc[i][0]);
            acc[i][1] = v_fma(x, b1, acc[i][1]);
        }
    }
    if (mode == CPU_GEMM_ADD) {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            acc[i][0] = v_load(c + i * ldc) + acc[i][0];
            acc[i][1] = v_load(c + i * ldc + VL) + acc[i][1];
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        v_store(c + i * ldc, acc[i][0]);
        v_store(c + i * ldc + VL, acc[i][1]);
    }
}

void K(gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
             enum cpu_gemm_mode mode);

void K(gemm)(int rows, const float *a, const float *b, int kn, float *c, int64_t ldc,
             enum cpu_gemm_mode mode)
{
    while (rows >= GEMM_MR) {
        tile(GEMM_MR, a, b, kn, c, ldc, mode);
        a += GEMM_MR * CPU_LDA;
        c += GEMM_MR * ldc;
        rows -= GEMM_MR;
    }
    switch (rows) {
#if GEMM_MR > 8
    case 11:
        tile(11, a, b, kn, c, ldc, mode);
        break;
    case 10:
        tile(10, a, b, kn, c, ldc, mode);
        break;
    case 9:
        tile(9, a, b, kn, c, ldc, mode);
        break;
    case 8:
        tile(8, a, b, kn, c, ldc, mode);
        break;
#endif
#if GEMM_MR > 6
    case 7:
        tile(7, a, b, kn, c, ldc, mode);
        break;
    case 6:
        tile(6, a, b, kn, c, ldc, mode);
        break;
#endif
#if GEMM_MR > 4
    case 5:
        tile(5, a, b, kn, c, ldc, mode);
        break;
    case 4:
        tile(4, a, b, kn, c, ldc, mode);
        break;
#endif
    case 3:
        tile(3, a, b, kn, c, ldc, mode);
        break;
    case 2:
        tile(2, a, b, kn, c, ldc, mode);
        break;
    case 1:
        tile(1, a, b, kn, c, ldc, mode);
        break;
    default:
        break;
    }
}
