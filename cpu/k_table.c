/* cpu/k_table.c: this build's kernels as a table. */
#include "cpu/vec.h"

#define KERNELS(X) \
    X(gemm) X(values) X(gemv) X(unpack) X(pack_keys) X(pack_values) X(few_scores) X(few_values) X(softmax) X(epilogue) X(merge) \
    X(join) X(scale_store) X(scale) X(recip) X(norm) X(rope) X(xent) X(narrow)

/* The types are those of the table's own fields. */
#define DECLARE(name) extern __typeof__(*((struct cpu_kernels *)0)->name) K(name);
KERNELS(DECLARE)

#define FIELD(name) .name = K(name),
#define STRING_(x) #x
#define STRING(x) STRING_(x)
const struct cpu_kernels K(table) = { .name = STRING(ANL_CPU_NAME), .vl = VL, .mr = GEMM_MR,
                                      .nr = GEMM_NR, .gemv_panels = GEMV_PANELS,
                                      KERNELS(FIELD) };
