/* cl/cl.h: what the files of the OpenCL backend share: the device, memory, programs, launches. */
#ifndef ANL_CL_CL_H
#define ANL_CL_CL_H

#include "cl/api.h"
#include "src/backend.h"

/* The programs, one .cl each; see cl/program.c for what each is put together from. */
enum anl_cl_unit {
    ANL_CL_LINEAR_TILE = 0,
    ANL_CL_LINEAR_ROW,
    ANL_CL_LINEAR_CPU,
    ANL_CL_FFN_ROW,
    ANL_CL_QKV_ROW,
    ANL_CL_ATTN_TILE,
    ANL_CL_ATTN_FLOW,
    ANL_CL_ATTN_SCAN,
    ANL_CL_ATTN_ROW,
    ANL_CL_ATTN_CPU,
    ANL_CL_ATTN_END,
    ANL_CL_NORM,
    ANL_CL_ROPE,
    ANL_CL_EMBED,
    ANL_CL_XENT,
    ANL_CL_PROBE,
    ANL_CL_UNITS
};

#define ANL_CL_EVENTS 256      /* launches that may not be done yet */
#define ANL_CL_ARGS 64         /* arguments of a kernel */
#define ANL_CL_SCRATCH 3
#define ANL_CL_LINEAR_TILES 4
#define ANL_CL_ATTN_TILES 4
#define ANL_CL_PART_O 64       /* columns */
#define ANL_CL_LEAST_GROUP 64  /* work-items that any GPU-shaped kernel must be able to have */
#define ANL_CL_ROW_TOKENS 8    /* up to this many tokens the row kernels are the faster ones */
#define ANL_CL_ROW_NX 32       /* features of their work-groups */

/* A kernel and the arguments that it was last given: one that did not change is not set again, since
 * a driver takes its time over each. */
struct anl_cl_kernel {
    struct anl_cl_kernel *next;
    const char *name; /* a string constant */
    cl_kernel handle;
    size_t max_group; /* work-items of its work-groups: registers may allow fewer than the device does */
    uint64_t freed; /* the device's count of freed memory objects when the arguments were set */
    struct {
        unsigned char size; /* 0: not set */
        unsigned char bytes[sizeof(cl_long4)];
    } args[ANL_CL_ARGS];
};

struct anl_cl_program {
    struct anl_cl_program *next;
    uint64_t key; /* hash of the source and the options */
    cl_program handle;
    struct anl_cl_kernel *kernels;
};

/* Tiles of the kernels of many tokens (cl/tiles.c). All are int, in the order of their names in text;
 * no byte of it is padding, since cl/cache.c hashes them. */
struct anl_cl_linear_tile {
    int bm, bn, tm, tn, bk, uk, groups, speed, tail;
};
struct anl_cl_attn_tile {
    int dv, bq, rq, rk, dc, vc, qres, uq, uv, flow;
};
struct anl_cl_tiles {
    double launch_fma; /* of one launch, for each compute unit and MHz */
    int few_registers; /* of a work-item: 1: rows fetch little to them ahead; 2: nor does linear */
    int whole_o;       /* attn: up to so many columns of o are held in registers, else ANL_CL_PART_O */
    struct anl_cl_linear_tile linear[ANL_CL_LINEAR_TILES];
    struct anl_cl_attn_tile attn[ANL_CL_ATTN_TILES];
};

struct anl_cl_device {
    struct anl_device base;
    struct anl_cl_api api;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_command_queue beside; /* copies beside queued work (cl/beside.c); NULL: there were none */

    int cpu_shaped;       /* one work-item computes a whole tile */
    int wide;             /* 16-lane registers are there (CPU-shaped) */
    struct anl_cl_tiles tiles; /* GPU-shaped */
    uint64_t local_bytes; /* local memory of a work-group */
    size_t max_group;     /* work-items of a work-group */
    double launch_fma;    /* no launch does much more work than this */

    struct anl_cl_program *programs;
    uint64_t unit_hash[ANL_CL_UNITS];
    uint64_t identity;    /* hash of our sources and of device's and driver's names and versions */
    unsigned char *cache; /* the caller's blob, already checked; or NULL */
    size_t cache_size;

    /* Memory of the operations' own; grows; queued work goes on using what it was given. */
    struct {
        cl_mem mem;
        uint64_t size;
    } scratch[ANL_CL_SCRATCH];

    /* A ring: numbers events_from to events_to - 1, of launches that were not seen to be done. */
    cl_event events[ANL_CL_EVENTS];
    unsigned events_from, events_to;
    unsigned launches_per_event; /* 1, unless the driver tells without (cl/device.c) */
    unsigned unflushed;    /* launches since the queue was last waited for */
    uint64_t freed;        /* memory objects freed so far: a handle may come again */
    cl_int late;           /* first error of queued work that was not told yet, */
    const char *late_call; /* and of what it is */
};

struct anl_cl_buffer {
    struct anl_buffer base;
    cl_mem mem;
};

/* Packed: see cl/weights.c. */
struct anl_cl_weights {
    struct anl_weights base;
    cl_mem cells, scales; /* scales: quantised types only */
    int64_t np;           /* n rounded up to a multiple of 16 */
    int64_t kp;           /* k rounded up to a multiple of 32 */
};

static inline struct anl_cl_device *anl_cl(struct anl_device *device)
{
    return (struct anl_cl_device *)device;
}

static inline cl_mem anl_cl_mem(const struct anl_buffer *buffer)
{
    return ((const struct anl_cl_buffer *)buffer)->mem;
}

static inline int64_t anl_cl_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The status that fits an OpenCL error, with a message that names the call. */
anl_status anl_cl_fail(struct anl_cl_device *d, const char *call, cl_int code);

/* cl/buffer.c */
anl_status anl_cl_alloc(struct anl_cl_device *d, uint64_t size, enum anl_purpose purpose, cl_mem *out);
void anl_cl_free(struct anl_cl_device *d, cl_mem mem, uint64_t size, enum anl_purpose purpose);
/* Scratch number slot, of at least size bytes. Operations use it one after another, in queue order. */
anl_status anl_cl_scratch(struct anl_cl_device *d, int slot, uint64_t size, cl_mem *out);
/* A copy of a small array of the host; the caller gives it back with anl_cl_free(ANL_FOR_SCRATCH)
 * once the work that reads it is queued. */
anl_status anl_cl_upload(struct anl_cl_device *d, const void *data, uint64_t size, cl_mem *out);
anl_status anl_cl_buffer_create(struct anl_device *device, uint64_t size, enum anl_purpose purpose,
                                void *wrapped, struct anl_buffer **out);
void anl_cl_buffer_destroy(struct anl_buffer *buffer);
anl_status anl_cl_buffer_write(struct anl_buffer *buffer, uint64_t offset, const void *data,
                               uint64_t size);
anl_status anl_cl_buffer_read(struct anl_buffer *buffer, uint64_t offset, void *data, uint64_t size);

/* Writes to the memory, after all queued work; complete on return. */
anl_status anl_cl_write(struct anl_cl_device *d, cl_mem mem, uint64_t offset, const void *data,
                        uint64_t size);

/* cl/beside.c: see src/backend.h. */
anl_status anl_cl_fetch(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                        uint64_t rows, void *to);
anl_status anl_cl_copy(const struct anl_buffer *buffer, uint64_t offset, uint64_t pitch, uint64_t width,
                       uint64_t rows, struct anl_buffer *to, uint64_t at);
anl_status anl_cl_put(struct anl_device *device, struct anl_buffer *buffer, const void *data, uint64_t size);
void anl_cl_forget(struct anl_device *device, struct anl_mark *mark);
int anl_cl_reaches(const struct anl_device *device, const struct anl_device *other);
anl_status anl_cl_settle(struct anl_device *device);
anl_status anl_cl_mark(struct anl_device *device, struct anl_mark *mark);
int anl_cl_reached(struct anl_device *device, struct anl_mark *mark);
anl_status anl_cl_pin(struct anl_device *device, uint64_t size, void **memory, void **handle);
void anl_cl_unpin(struct anl_device *device, void *memory, void *handle);

/* cl/weights.c */
anl_status anl_cl_weights_create(struct anl_device *device, const struct anl_weights_params *params,
                                 struct anl_weights **out);
void anl_cl_weights_destroy(struct anl_weights *weights);

/* cl/program.c: the kernel of that name in the unit's program for these options, built now if it
 * has not been. name is a string constant. */
anl_status anl_cl_kernel(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                         const char *name, struct anl_cl_kernel **out);
/* Builds what a later launch of an operation needs, so that a failure comes before the first. */
anl_status anl_cl_ready(struct anl_cl_device *d, enum anl_cl_unit unit, const char *options,
                        const char *name);
void anl_cl_programs_init(struct anl_cl_device *d);
void anl_cl_programs_free(struct anl_cl_device *d);

/* cl/cache.c */
void anl_cl_cache_load(struct anl_cl_device *d, const void *data, size_t size);
/* The binary of that key, or NULL. */
const unsigned char *anl_cl_cache_find(const struct anl_cl_device *d, uint64_t key, size_t *size);
/* Takes the probes' verdict from the blob: 1, or 0 if there is none about these tiles. */
int anl_cl_cache_verdict(struct anl_cl_device *d);
anl_status anl_cl_cache_get(struct anl_device *device, void *data, size_t capacity, size_t *needed);

/* cl/probe.c: sets the device's grade and failed_probe. */
anl_status anl_cl_probe(struct anl_cl_device *d);
/* cl/probe_ops.c: the real kernels' part; *failed names the first that differs, or is NULL. */
anl_status anl_cl_probe_ops(struct anl_cl_device *d, const char **failed);
uint32_t anl_cl_random(uint32_t *state);

/* cl/launch.c: one kernel call: begin, its arguments in order, launch. The first error is kept
 * and comes from launch. */
struct anl_cl_call {
    struct anl_cl_device *device;
    struct anl_cl_kernel *kernel;
    cl_uint n_args;
    cl_int error;
    anl_status status;
    const char *name;
};
void anl_cl_begin(struct anl_cl_call *call, struct anl_cl_device *d, enum anl_cl_unit unit,
                  const char *options, const char *name);
void anl_cl_arg_mem(struct anl_cl_call *call, cl_mem mem);
void anl_cl_arg_int(struct anl_cl_call *call, int32_t value);
void anl_cl_arg_long(struct anl_cl_call *call, int64_t value);
void anl_cl_arg_float(struct anl_cl_call *call, float value);
void anl_cl_arg_long4(struct anl_cl_call *call, int64_t x, int64_t y, int64_t z, int64_t w);
/* Two arguments: the memory and a long4 of the view's offset in elements and its first three
 * strides. An absent view passes instead's memory, which the kernel does not touch. */
void anl_cl_arg_tensor(struct anl_cl_call *call, const struct anl_tensor *t,
                       const struct anl_tensor *instead);
/* Three: cells, scales, np. */
void anl_cl_arg_weights(struct anl_cl_call *call, const struct anl_cl_weights *weights);
/* x, out and the epilogue's of a linear layer. */
void anl_cl_arg_linear(struct anl_cl_call *call, const struct anl_linear_params *params);
/* Do all rows of the view begin at multiples of 16 bytes (-DALIGNED=1 in cl/tensor.cl)? */
int anl_cl_aligned(const struct anl_tensor *t);
/* groups: work-groups along 1 to 3 dimensions; group: work-items of each along the same. */
anl_status anl_cl_launch(struct anl_cl_call *call, int dims, const size_t *groups, const size_t *group);
/* Whether the call's kernel can have work-groups of so many work-items. Yes where there is no kernel:
 * the error comes from launch. */
int anl_cl_fits(const struct anl_cl_call *call, size_t items);
/* After the queue was waited for by this call, which gave that code: keeps the first error of queued
 * work. */
void anl_cl_waited(struct anl_cl_device *d, const char *call, cl_int code);
/* Returns the error kept, and forgets it. */
anl_status anl_cl_tell_late(struct anl_cl_device *d);

/* cl/row.c: begins the call of a row kernel (cl/row.cl) that contracts rows of k columns of so many
 * matrices with a token; *group becomes its work-groups' size, three dimensions. */
struct anl_cl_row {
    enum anl_cl_unit unit;
    const char *name;
    anl_dtype weights;
    int64_t k;
    size_t matrices;
    int norm;
};
void anl_cl_row_begin(struct anl_cl_call *call, struct anl_cl_device *d, const struct anl_cl_row *row,
                      size_t *group);
anl_status anl_cl_linear_row(struct anl_cl_device *d, const struct anl_linear_params *params);
anl_status anl_cl_ffn_hidden(struct anl_device *device, const struct anl_ffn_params *params,
                             const struct anl_tensor *x, const struct anl_tensor *hidden);

/* cl/tiles.c: the vendor's table, or, for the operations of which there are any, the caller's lines
 * (may be NULL) in place of it. Returns NULL, or what is wrong with the lines. */
const char *anl_cl_tiles_set(struct anl_cl_device *d, uint64_t vendor, const char *text);
anl_status anl_cl_tiles_get(struct anl_device *device, char *text, size_t capacity, size_t *needed);
int anl_cl_linear_tile_fits(const struct anl_cl_device *d, const struct anl_cl_linear_tile *tile);
/* For heads of dp (and dvp for values) features, rounded up. */
int anl_cl_attn_tile_fits(const struct anl_cl_device *d, const struct anl_cl_attn_tile *tile, int dp,
                          int dvp);
struct anl_cl_linear_tile anl_cl_pick_linear_tile(const struct anl_cl_device *d, int64_t tokens,
                                                  int64_t n, int64_t k);
struct anl_cl_attn_tile anl_cl_pick_attn_tile(const struct anl_cl_device *d, int dp, int dvp);
/* For any device, where the kernel of the tile picked cannot have its work-group: of 64 work-items. */
extern const struct anl_cl_linear_tile anl_cl_safe_linear_tile;
/* Of 256 work-items, or 64 if max_group is less. */
struct anl_cl_attn_tile anl_cl_safe_attn_tile(const struct anl_cl_device *d, size_t max_group, int dvp);
/* Whether attention of sq queries a head goes by attn_row, which has all spans' states at once. */
int anl_cl_attn_by_rows(const struct anl_cl_device *d, int64_t sq);
anl_status anl_cl_attn_row_states(struct anl_cl_device *d, const struct anl_attn_states_params *p);
/* The result's arguments, the last of attn_end and of the merges; any stands in for what is absent. */
void anl_cl_arg_result(struct anl_cl_call *c, const struct anl_tensor *any, const struct anl_tensor *out,
                       const struct anl_tensor *m, const struct anl_tensor *l,
                       const struct anl_tensor *o);
/* How many columns of o attn's registers hold at a time: 0: all. */
int anl_cl_part_of_o(const struct anl_cl_device *d, int dvp);

/* The operations. */
#define ANL_CL_OP(op)                                                                                  \
    anl_status anl_cl_##op(struct anl_device *device, const struct anl_##op##_params *params);
ANL_CL_OP(linear)
ANL_CL_OP(attn)
ANL_CL_OP(attn_states)
ANL_CL_OP(attn_merge)
ANL_CL_OP(norm)
ANL_CL_OP(rope)
ANL_CL_OP(qkv)
ANL_CL_OP(embed)
ANL_CL_OP(xent)
#undef ANL_CL_OP

/* One source that the build embeds (cl/embed.py). */
struct anl_cl_source {
    const char *name;
    const char *text;
    size_t size;
};
extern const struct anl_cl_source anl_cl_sources[];
extern const int anl_cl_n_sources;

extern const struct anl_backend anl_cl_backend;

#endif
