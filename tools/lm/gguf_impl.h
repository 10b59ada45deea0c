/*
 * Inside of the GGUF reader, shared by gguf.c (source and tensor data), gguf_parse.c (header) and
 * gguf_get.c (getters).
 */
#ifndef LM_GGUF_IMPL_H
#define LM_GGUF_IMPL_H

#include "gguf.h"

#include <string.h>

/* Value types of metadata, as in the file. */
enum gguf_type {
    GGUF_TYPE_U8 = 0,
    GGUF_TYPE_I8 = 1,
    GGUF_TYPE_U16 = 2,
    GGUF_TYPE_I16 = 3,
    GGUF_TYPE_U32 = 4,
    GGUF_TYPE_I32 = 5,
    GGUF_TYPE_F32 = 6,
    GGUF_TYPE_BOOL = 7,
    GGUF_TYPE_STRING = 8,
    GGUF_TYPE_ARRAY = 9,
    GGUF_TYPE_U64 = 10,
    GGUF_TYPE_I64 = 11,
    GGUF_TYPE_F64 = 12
};

/*
 * One metadata entry, as offsets into the header: a tiny entry takes 14 bytes in the file, so its
 * record must stay small, and the header moves while it grows. value is the first byte of the
 * scalar, of the string's bytes or of the array's first element.
 */
struct gguf_kv {
    uint32_t key;
    uint32_t key_len;
    uint32_t value;
    uint32_t count; /* bytes of a string, elements of an array, 1 for a scalar */
    uint8_t type;
    uint8_t element; /* type of an array's elements */
};

struct gguf {
    const uint8_t *base; /* the header's bytes that are in memory so far */
    uint8_t *owned;      /* base where it was read from a file, NULL where the caller's memory */
    size_t have;         /* bytes at base */
    uint64_t file_size;
    int fd; /* -1: all of the file is at base */
    struct gguf_kv *kv;
    uint32_t *kv_by_name; /* indices into kv in gguf_name_order() */
    size_t n_kv;
    struct gguf_tensor *tensor;
    uint32_t *tensor_by_name;
    size_t n_tensors;
};

/* A name from the file made printable, in quotes and cut to what fits an error message. */
struct gguf_quoted {
    char text[112];
};

struct gguf_quoted gguf_quote(const char *bytes, size_t len);

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
int gguf_fail(struct gguf_error *err, const char *format, ...);

/* Makes the header's first `end` bytes present at g->base, which may move. End is below the cap. */
int gguf_need(struct gguf *g, uint64_t end, struct gguf_error *err);

/* Gives back what of the header's copy lies past `size`; the base may move. */
void gguf_trim(struct gguf *g, size_t size);

int gguf_parse(struct gguf *g, struct gguf_error *err);
const struct gguf_kv *gguf_find_kv(const struct gguf *g, const char *key, size_t len);
const char *gguf_type_name(uint32_t type);

/* Bytes of one value of a type of fixed size; 0 for strings, arrays and unknown types. */
size_t gguf_type_size(uint32_t type);

/* Order of names: by length, then by bytes. */
static inline int gguf_name_order(const void *a, size_t a_len, const void *b, size_t b_len)
{
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a, b, a_len);
}

static inline uint32_t gguf_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gguf_le64(const uint8_t *p)
{
    return (uint64_t)gguf_le32(p) | (uint64_t)gguf_le32(p + 4) << 32;
}

#endif
