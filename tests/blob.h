/* tests/blob.h: bytes that grow, and what model files are made of, for tests that write some. */
#ifndef TESTS_BLOB_H
#define TESTS_BLOB_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct blob {
    unsigned char *data; /* to be freed */
    size_t size;
    size_t capacity;
};

static inline void blob_put(struct blob *b, const void *data, size_t size)
{
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->data = realloc(b->data, b->capacity);
        ck_assert_ptr_nonnull(b->data);
    }
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* Little-endian, in 1 to 8 bytes. */
static inline void blob_int(struct blob *b, uint64_t value, size_t bytes)
{
    unsigned char le[8];

    for (size_t i = 0; i < 8; i++)
        le[i] = (unsigned char)(value >> 8 * i);
    blob_put(b, le, bytes);
}

/* The beginning of a model file. */
static inline void blob_head(struct blob *b, uint64_t tensors, uint64_t keys)
{
    blob_put(b, "GGUF\3\0\0\0", 8);
    blob_int(b, tensors, 8);
    blob_int(b, keys, 8);
}

static inline void blob_string(struct blob *b, const char *text, size_t len)
{
    blob_int(b, len, 8);
    blob_put(b, text, len);
}

static inline void blob_text_key(struct blob *b, const char *key, const char *text)
{
    blob_string(b, key, strlen(key));
    blob_int(b, 8, 4);
    blob_string(b, text, strlen(text));
}

/* The key of an array of strings; `count` of them follow. */
static inline void blob_array_key(struct blob *b, const char *key, uint64_t count)
{
    blob_string(b, key, strlen(key));
    blob_int(b, 9, 4);
    blob_int(b, 8, 4);
    blob_int(b, count, 8);
}

#endif
