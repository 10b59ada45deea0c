/* src/backend.h: what a backend is to the rest of the house: a table of functions, and the objects
 * that it extends by having them as first members.
 *
 * src checks every argument before it calls the table, so a backend may trust params: dimensions
 * agree, views lie inside their buffers, all objects belong to the device, no dimension is zero
 * unless this file says so. A backend includes this file, never another of src. */
#ifndef ANL_SRC_BACKEND_H
#define ANL_SRC_BACKEND_H

#include <annulet/annulet.h>

/* The list of operations: one row across the house each. */
#define ANL_OPS(X) \
    X(linear) X(attn) X(attn_states) X(attn_merge) X(norm) X(rope) X(ffn) X(qkv) X(embed) X(xent)

enum anl_purpose { ANL_FOR_TENSORS = 0, ANL_FOR_WEIGHTS, ANL_FOR_SCRATCH };

struct anl_context {
    struct anl_context_params params;
};

struct anl_device {
    const struct anl_backend *backend;
    struct anl_context *context;
    struct anl_device_info info;
    struct anl_memory memory;
    uint64_t launches; /* of kernels, so far */
    int64_t fused_tokens; /* up to so many tokens qkv, and linear with a norm, go to it whole */
    long pid; /* of the process that made it */
    /* The hidden tile of a composed operation; grows, never shrinks; goes with the device. */
    struct anl_buffer *scratch;
    char message[256];
};

struct anl_buffer {
    struct anl_device *device;
    uint64_t size;
    void *host; /* NULL where memory is not the host's */
    int purpose;
    int owned;
};

struct anl_weights {
    struct anl_device *device;
    anl_dtype dtype;
    int64_t n, k;
    uint64_t bytes; /* held on the device, for the account */
};

struct anl_rope_table {
    struct anl_device *device;
    int dims;
    int64_t positions;
    /* [positions / 512 rounded up][dims / 2][2] and [512][dims / 2][2]: cos, sin */
    struct anl_buffer *coarse, *fine;
};

/* A place in a device's queue. */
struct anl_mark {
    void *event;
};

struct anl_backend {
    anl_backend_kind kind;
    void (*device_destroy)(struct anl_device *device);
    anl_status (*device_finish)(struct anl_device *device);
    /* wrapped: the caller's host memory or NULL. Counts by anl_account(). */
    anl_status (*buffer_create)(struct anl_device *device, uint64_t size, enum anl_purpose purpose,
                                void *wrapped, struct anl_buffer **out);
    void (*buffer_destroy)(struct anl_buffer *buffer);
    anl_status (*buffer_write)(struct anl_buffer *buffer, uint64_t offset, const void *data,
                               uint64_t size);
    anl_status (*buffer_read)(struct anl_buffer *buffer, uint64_t offset, void *data,
                              uint64_t size);
    /* What a ring needs of a device that queues its operations; all NULL: operations are complete on return.
     * fetch (rows of so many bytes, pitch apart, tight to the host), copy (the same to another buffer, from
     * its byte `at` on) and put (from the host to a buffer's beginning) go on beside queued work, which
     * must not write, or use, the same memory; settle waits for them. put and copy may write to a buffer
     * of another device that this one reaches. pin gives host memory from which they are fast. */
    anl_status (*fetch)(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                        uint64_t rows, void *to);
    anl_status (*copy)(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                       uint64_t rows, struct anl_buffer *to, uint64_t at);
    anl_status (*put)(struct anl_device *device, struct anl_buffer *buffer, const void *data,
                      uint64_t size);
    int (*reaches)(const struct anl_device *device, const struct anl_device *other);
    anl_status (*settle)(struct anl_device *device);
    /* mark: at the end of what is queued now. reached: 0 until the device has come there, then once 1, or -1
     * if what was queued failed. */
    anl_status (*mark)(struct anl_device *device, struct anl_mark *mark);
    int (*reached)(struct anl_device *device, struct anl_mark *mark);
    void (*forget)(struct anl_device *device, struct anl_mark *mark); /* instead, if nobody will ask */
    anl_status (*pin)(struct anl_device *device, uint64_t size, void **memory, void **handle);
    void (*unpin)(struct anl_device *device, void *memory, void *handle);
    anl_status (*weights_create)(struct anl_device *device,
                                 const struct anl_weights_params *params, struct anl_weights **out);
    void (*weights_destroy)(struct anl_weights *weights);
    /* NULL: the backend builds no programs. */
    anl_status (*cache_get)(struct anl_device *device, void *data, size_t capacity, size_t *needed);
    /* NULL: there are no tiles to choose from. */
    anl_status (*tiles_get)(struct anl_device *device, char *text, size_t capacity, size_t *needed);
    /* The hidden layer, f32 [T, DFF], of x, T <= fused_tokens of the params' tokens, its norm included;
     * or NULL: src/ffn.c composes it. */
    anl_status (*ffn_hidden)(struct anl_device *device, const struct anl_ffn_params *params,
                             const struct anl_tensor *x, const struct anl_tensor *hidden);
    /* n <= 3 linears of the same x, none with a norm. None reads what another writes, unless the last one's
     * gate is the out of one before it, all of them of one width. NULL: they go one by one. */
    anl_status (*linears)(struct anl_device *device, const struct anl_linear_params *params, int n);
    /* An operation's own function; ffn and qkv may be NULL: src composes them of others then. qkv, and
     * linear with a norm, meet up to fused_tokens tokens only. attn and attn_states get SK in
     * keys, always. */
#define ANL_OP_FIELD(op) \
    anl_status (*op)(struct anl_device * device, const struct anl_##op##_params *params);
    ANL_OPS(ANL_OP_FIELD)
#undef ANL_OP_FIELD
};

/* Set-up common to the constructors: zeroed memory of size bytes for a device of this backend. */
void *anl_device_alloc(struct anl_context *context, size_t size,
                       const struct anl_backend *backend);

/* Copies a constructor's reason into its params' error buffer (if any) and logs it. */
void anl_constructor_error(struct anl_context *context, char *error, size_t error_size,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Writes the message that anl_device_message() gives, logs it, and returns status. */
anl_status anl_fail(struct anl_device *device, anl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Memory through the context's allocator; align is a power of two. NULL if refused. */
void *anl_context_alloc(struct anl_context *context, size_t size, size_t align);
void anl_context_free(struct anl_context *context, void *memory);

void anl_context_log(struct anl_context *context, anl_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds bytes (negative: takes away) to the device's account. */
void anl_account(struct anl_device *device, enum anl_purpose purpose, int64_t bytes);

/* Bytes of one row of k elements; k is a multiple of 32 for a quantised type. */
uint64_t anl_row_bytes(anl_dtype dtype, int64_t k);

int anl_dtype_is_quantised(anl_dtype dtype);

/* Buffers in host memory, for backends that live there (law, cpu). */
anl_status anl_host_buffer_create(struct anl_device *device, uint64_t size,
                                  enum anl_purpose purpose, void *wrapped,
                                  struct anl_buffer **out);
void anl_host_buffer_destroy(struct anl_buffer *buffer);
anl_status anl_host_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                                 uint64_t size);
anl_status anl_host_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data,
                                uint64_t size);

/* The view's first byte in host memory. */
static inline void *anl_host_ptr(const struct anl_tensor *t)
{
    return (char *)t->buffer->host + t->offset;
}

#endif
