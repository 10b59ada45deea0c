/*
 * Reader of GGUF version 3 model files.
 *
 * A model file is only data: whatever it holds, the worst that happens is a nonzero return with a
 * message that names the field and the value. Nothing here aborts, prints or keeps global state.
 *
 * The header (metadata and tensor table) is read into memory once and checked as a whole: every
 * number is a u64 that passes checked.h, every count and length has a cap (below), and tensor data
 * must be aligned, ascending, disjoint and inside the file. Tensor data is then read with pread,
 * not mapped: a file that another process truncates while it is open gives a short read and so an
 * error, where a mapping would give SIGBUS; and weights are packed after reading, so a mapping
 * would save no copy. All reads are explicitly little-endian, so hosts of either order agree.
 *
 * Memory: the header's own bytes and at most three times as much again (a header smaller than
 * 64 KiB may cost 64 KiB). Time: linear in the header, but for one sort of the keys.
 *
 * A struct gguf does not change after opening: any number of threads may use one at a time.
 */
#ifndef LM_GGUF_H
#define LM_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GGUF_MAX_HEADER = 64 * 1024 * 1024,
    GGUF_MAX_KEYS = 65536,
    GGUF_MAX_TENSORS = 65536,
    GGUF_MAX_STRING = 16 * 1024 * 1024,
    GGUF_MAX_ARRAY = 16 * 1024 * 1024,
    GGUF_MAX_NAME = 1024,             /* of a key or a tensor */
    GGUF_MAX_ALIGNMENT = 1024 * 1024, /* at least 8 */
    GGUF_MAX_DIMS = 4
};

/* Tensor types that are known; any other is refused at opening. Values as in the file. */
enum gguf_dtype { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_Q4_0 = 2, GGUF_Q4_1 = 3, GGUF_Q8_0 = 8 };

/* What the functions return. GGUF_ABSENT also fills the error, for callers that need the key. */
enum gguf_result { GGUF_OK = 0, GGUF_ABSENT = 1, GGUF_FAIL = -1 };

struct gguf_error {
    char message[256];
};

struct gguf_tensor {
    const char *name; /* name_len bytes, no terminator */
    uint32_t name_len;
    uint32_t n_dims;
    uint64_t dim[GGUF_MAX_DIMS]; /* dim[0] is the row length; dims past n_dims are 1 */
    uint64_t offset;             /* from the start of the file */
    uint64_t nbytes;             /* rows x row bytes */
    enum gguf_dtype dtype;
};

/* A string inside the header: len bytes, which may hold NUL, and no terminator. */
struct gguf_string {
    const char *bytes;
    size_t len;
};

/*
 * A checked array of strings: walk it with gguf_strings_next(), count times. Random access would
 * need a table as large as the array.
 */
struct gguf_strings {
    uint64_t count;
    const uint8_t *at; /* private */
};

/* An array of 32-bit numbers, read with gguf_i32_at() or gguf_f32_at(). */
struct gguf_numbers {
    uint64_t count;
    const uint8_t *at; /* private */
};

struct gguf;

/* Opens a regular file. On failure *out is NULL. The caller closes it. */
int gguf_open(const char *path, struct gguf **out, struct gguf_error *err);

/* The same from memory, which is not copied and must live, unchanged, until gguf_close(). */
int gguf_from_memory(const void *data, size_t size, struct gguf **out, struct gguf_error *err);

/* NULL is fine. Strings, arrays and tensors of the file die with it. */
void gguf_close(struct gguf *g);

/*
 * Typed getters. The type in the file must be the one that is asked for, with no conversion:
 * GGUF_FAIL otherwise, GGUF_ABSENT where the key is missing; *value is then left alone.
 */
int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *value, struct gguf_error *err);
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *value, struct gguf_error *err);
int gguf_get_i32(const struct gguf *g, const char *key, int32_t *value, struct gguf_error *err);
int gguf_get_f32(const struct gguf *g, const char *key, float *value, struct gguf_error *err);
int gguf_get_bool(const struct gguf *g, const char *key, bool *value, struct gguf_error *err);
int gguf_get_string(const struct gguf *g, const char *key, struct gguf_string *value,
                    struct gguf_error *err);
int gguf_get_strings(const struct gguf *g, const char *key, struct gguf_strings *value,
                     struct gguf_error *err);
int gguf_get_i32s(const struct gguf *g, const char *key, struct gguf_numbers *value,
                  struct gguf_error *err);
int gguf_get_f32s(const struct gguf *g, const char *key, struct gguf_numbers *value,
                  struct gguf_error *err);

bool gguf_string_is(struct gguf_string s, const char *text);
struct gguf_string gguf_strings_next(struct gguf_strings *strings);
int32_t gguf_i32_at(const struct gguf_numbers *numbers, uint64_t index);
float gguf_f32_at(const struct gguf_numbers *numbers, uint64_t index);

size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t index);

/* GGUF_ABSENT where no tensor has this name. */
int gguf_find_tensor(const struct gguf *g, const char *name, const struct gguf_tensor **tensor,
                     struct gguf_error *err);

uint64_t gguf_row_bytes(const struct gguf_tensor *t);
uint64_t gguf_n_rows(const struct gguf_tensor *t); /* dim[1] x dim[2] x dim[3] */
const char *gguf_dtype_name(enum gguf_dtype dtype);

/*
 * Reads rows [row0, row0 + n_rows) of t, as they are in the file, into dst, which holds
 * n_rows x gguf_row_bytes(t). On failure (no such rows, a file cut short since it was opened, a
 * read error) all of dst is zero if the rows exist, so that no old memory is disclosed.
 */
int gguf_tensor_read(const struct gguf *g, const struct gguf_tensor *t, uint64_t row0, uint64_t n_rows,
                     void *dst, struct gguf_error *err);

#endif
