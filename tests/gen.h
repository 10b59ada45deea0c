/* tests/gen.h: test data that is the same on every machine: integer generator, exact conversions,
 * no libm. Used by the case tables, by `annulet verify` and by the golden hashes. */
#ifndef TESTS_GEN_H
#define TESTS_GEN_H

#include <annulet/annulet.h>

/* What the numbers of a case look like; each operation says in its *_case.c what it makes of it. */
enum gen_kind {
    GEN_RANDOM = 0,  /* near normal, full mantissas */
    GEN_LARGE,       /* scores, sums or logits of magnitude 80 */
    GEN_CONSTANT,    /* one value */
    GEN_ALTERNATING, /* plus and minus one value */
    GEN_ADVERSARIAL, /* magnitudes that make a wrong order of sums visible; ties */
    GEN_DENORMAL,    /* around and below 2^-126 */
    GEN_KINDS
};

const char *gen_kind_name(enum gen_kind kind);

/* splitmix64. A stream per array: gen_seed(case's seed, the array's own number). */
struct gen {
    uint64_t state;
};

struct gen gen_seed(uint64_t seed, uint32_t array);
uint64_t gen_next(struct gen *g);

/* [0, n) */
uint32_t gen_below(struct gen *g, uint32_t n);

/* Sum of four uniforms: mean 0, standard deviation 0.58, within (-2, 2), 24-bit mantissas. */
float gen_normal(struct gen *g);

/* x * 2^e, exact while the result is normal. */
float gen_scale(float x, int e);

/* n values of this kind times 2^shift. */
void gen_floats(struct gen *g, enum gen_kind kind, int shift, float *out, size_t n);

/* Round to nearest even by integers, as docs/numerics.md says, and back. */
uint16_t gen_to_f16(float x);
uint16_t gen_to_bf16(float x);
float gen_from_f16(uint16_t h);
float gen_from_bf16(uint16_t h);

uint32_t gen_bits(float x);
float gen_float(uint32_t bits);

/* Bytes of an element; of a row of k elements. Quantised types: k is a multiple of 32. */
size_t gen_dtype_size(anl_dtype dtype);
size_t gen_row_bytes(anl_dtype dtype, int64_t k);

/* n f32 values as host memory of an f32, f16 or bf16 type. */
void gen_store(anl_dtype dtype, const float *in, size_t n, void *out);

/* An [n, k] matrix as anl_weights_create() takes it. Rows follow each other. Free with free(). */
void *gen_weights(struct gen *g, enum gen_kind kind, int shift, anl_dtype dtype, int64_t n,
                  int64_t k);

/* Element i of a row that gen_weights() made, exactly. */
double gen_weight(anl_dtype dtype, const void *row, int64_t i);

/* calloc that ends the program when memory runs out: a test cannot go on then. */
void *gen_alloc(size_t count, size_t size);

#endif
