/* annulet/tensor.h: a view of a buffer: up to four dimensions, the last one contiguous.
 *
 * Dimensions are written B (batch), H (query heads), HKV (key/value heads), SQ, SK (queries, keys),
 * D, DV (head dimensions), T (tokens), K, N (inner and outer features), DM (model), DFF (hidden). */
#ifndef ANNULET_TENSOR_H
#define ANNULET_TENSOR_H

#include <annulet/buffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A plain value; it owns nothing. buffer NULL means "absent" where a field may be left out.
 * offset is in bytes, a multiple of the element size; strides are in elements, >= 0, and the last
 * is 1. Elements must lie inside the buffer. Quantised types are not tensors: annulet/weights.h. */
struct anl_tensor {
    struct anl_buffer *buffer;
    uint64_t offset;
    anl_dtype dtype;
    int ndim;
    int64_t dim[4];
    int64_t stride[4];
};

/* Contiguous tensors of 1 to 4 dimensions, at a byte offset of a buffer. */
static inline struct anl_tensor anl_tensor_4d(struct anl_buffer *buffer, uint64_t offset,
                                              anl_dtype dtype, int64_t d0, int64_t d1, int64_t d2,
                                              int64_t d3)
{
    struct anl_tensor t = { buffer, offset, dtype, 4, { 0, 0, 0, 0 }, { 0, 0, 0, 1 } };
    t.dim[0] = d0;
    t.dim[1] = d1;
    t.dim[2] = d2;
    t.dim[3] = d3;
    t.stride[2] = d3;
    t.stride[1] = d2 * d3;
    t.stride[0] = d1 * d2 * d3;
    return t;
}
static inline struct anl_tensor anl_tensor_3d(struct anl_buffer *buffer, uint64_t offset,
                                              anl_dtype dtype, int64_t d0, int64_t d1, int64_t d2)
{
    struct anl_tensor t = { buffer, offset, dtype, 3, { 0, 0, 0, 0 }, { 0, 0, 1, 0 } };
    t.dim[0] = d0;
    t.dim[1] = d1;
    t.dim[2] = d2;
    t.stride[1] = d2;
    t.stride[0] = d1 * d2;
    return t;
}
static inline struct anl_tensor anl_tensor_2d(struct anl_buffer *buffer, uint64_t offset,
                                              anl_dtype dtype, int64_t d0, int64_t d1)
{
    struct anl_tensor t = { buffer, offset, dtype, 2, { 0, 0, 0, 0 }, { 0, 1, 0, 0 } };
    t.dim[0] = d0;
    t.dim[1] = d1;
    t.stride[0] = d1;
    return t;
}
static inline struct anl_tensor anl_tensor_1d(struct anl_buffer *buffer, uint64_t offset,
                                              anl_dtype dtype, int64_t d0)
{
    struct anl_tensor t = { buffer, offset, dtype, 1, { 0, 0, 0, 0 }, { 1, 0, 0, 0 } };
    t.dim[0] = d0;
    return t;
}

#ifdef __cplusplus
}
#endif
#endif
