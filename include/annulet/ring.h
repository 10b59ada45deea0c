/* annulet/ring.h: one sequence over several devices (docs/ring.md; after ring attention, Liu, Zaharia and
 * Abbeel 2023, section 3). Queries stay where they lie; keys and values travel from device to device,
 * in chunks, and each device computes on what it holds while more arrives. The result is, bit for bit,
 * that of anl_attn() on one device, whatever the devices and however the sequence is cut at multiples of
 * 512.
 *
 * Ownership: the ring does not own its devices; destroy it before them. It owns a thread for each
 * device, and memory on it that grows to what calls need and goes with the ring: slots for arriving keys
 * and values, and softmax states. Both are in the devices' accounts, as scratch.
 *
 * Threads: one thread at a time per ring, but for anl_ring_cancel(). During a call no device of the
 * ring may be used by others; between calls they may. A ring is useless in a child after fork(): calls
 * give ANL_E_FORKED, and it must not be destroyed there. */
#ifndef ANNULET_RING_H
#define ANNULET_RING_H

#include <annulet/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANL_RING_MAX_DEVICES 256

struct anl_ring;

struct anl_ring_params {
    size_t size; /* sizeof(struct anl_ring_params) */
    struct anl_device *const *devices; /* in the order of the ring; each once. Copied. */
    int n_devices;
    /* How fast each is, in any unit: its share of the sequence follows. 0: it gets nothing. NULL: devices
     * of one kind and name are alike, and where not all are, the first anl_ring_plan() measures them, by
     * attention on zeros for some tenths of a second (and what it takes to build programs), with up to
     * 100 MB of each device meanwhile, which its account's peak tells of. Copied. */
    const double *weights;
    /* A chunk travels through a slot in host memory, or, between two pieces of one OpenCL device, in that
     * device's. A link from device to device has so many (2 to
     * 4096; 0: 9, or 4 if there is an OpenCL device), and a chunk is the least number of spans such that
     * all but one slot hold a piece. */
    int slots;
    /* Spans of 512 keys of a chunk, if not 0: less memory where pieces are large. Without causal a link
     * has as many slots as hold a piece and one more all the same, since the ring is closed then. */
    int chunk_spans;
    char *error; /* NULL, or where a failing constructor writes its reason */
    size_t error_size;
};

/* Starts the threads. The caller owns *out. Memory comes from the context's allocator. */
ANL_API anl_status anl_ring_create(struct anl_context *context, const struct anl_ring_params *params,
                                   struct anl_ring **out);

/* Ends the threads. NULL is allowed. */
ANL_API void anl_ring_destroy(struct anl_ring *ring);

/* Into how many pieces a sequence is cut: one for each of the N devices, or, causal, two, so that all have
 * equal work: device i holds pieces i and 2N - 1 - i. */
ANL_API int anl_ring_pieces(const struct anl_ring *ring, int causal);

/* Slots of a link, as params had them or by default. */
ANL_API int anl_ring_slots(const struct anl_ring *ring);

/* The device, by its number in the ring, of a piece. */
ANL_API int anl_ring_device(const struct anl_ring *ring, int piece, int causal);

struct anl_ring_piece {
    int64_t start, length; /* tokens; start is a multiple of 512; length may be 0 */
    int device;
};

/* Cuts a sequence over n devices so that all are done as soon as can be: each gets its part of the weights
 * (NULL: all alike) in whole spans, rounded down, and what is left goes where it is done first. pieces holds n,
 * or, causal, 2 n. ANL_E_ARGUMENT: n < 1, tokens < 0 or > 2^40, a weight below 0 or not finite, their sum
 * not above 0 or not finite. */
ANL_API anl_status anl_ring_cut(const double *weights, int n, int64_t tokens, int causal,
                                struct anl_ring_piece *pieces);

/* The same by the ring's devices; may measure them first, see weights. pieces holds anl_ring_pieces(). */
ANL_API anl_status anl_ring_plan(struct anl_ring *ring, int64_t tokens, int causal,
                                 struct anl_ring_piece *pieces);

/* A piece of the sequence, where it lies: all views on the piece's device. */
struct anl_ring_shard {
    struct anl_tensor k;   /* [B, HKV, length, D]  f32, f16 or bf16; absent: the piece is empty */
    struct anl_tensor v;   /* [B, HKV, length, DV] of k's type */
    struct anl_tensor q;   /* [B, H, SQ, D] f32; may be absent: nothing is asked of this piece */
    struct anl_tensor out; /* [B, H, SQ, DV] f32, f16 or bf16; may be absent if a state is asked for. If
                            * it is f32 it holds o meanwhile, and after a failure */
    /* The unnormalised softmax state, or absent, as in anl_attn(). All three or none. f32. */
    struct anl_tensor m, l; /* [B, H, SQ, 1] */
    struct anl_tensor o;    /* [B, H, SQ, DV] */
    int64_t first; /* which of the piece's tokens query 0 is; first + SQ <= length */
};

enum anl_ring_step_kind {
    ANL_RING_COMPUTE = 0, /* attention on a chunk, or on the piece itself */
    ANL_RING_SEND,        /* a chunk into the next slot */
    ANL_RING_TAKE,        /* from the slot to the device, where it is not read in place */
    ANL_RING_WAIT
};

/* What a device did when; seconds from the call's beginning. */
struct anl_ring_step {
    int device, kind;    /* kind: enum anl_ring_step_kind */
    int piece;           /* that it did it for; -1: waiting */
    int64_t start, keys; /* the keys that it was done with */
    double begin, end;
};

/* What a device did in a call, in seconds. compute + send + take + wait + (the ring's own work) = total on
 * law and CPU devices. On OpenCL chunks are sent and taken while the device computes, so that the sum may be
 * more; wait is time without work, on all. */
struct anl_ring_account {
    double total, compute, send, take, wait;
    uint64_t bytes_in, bytes_out;
    uint64_t chunks; /* that it was given, */
    uint64_t early;  /* and of these, how many had arrived before it was free for them */
    uint64_t slot_bytes; /* of the slots that these came through, on OpenCL with what they are copied to */
};

struct anl_ring_attn_params {
    size_t size; /* sizeof(struct anl_ring_attn_params) */
    /* anl_ring_pieces() of them, in the order of the sequence. They meet with no gap: each piece's length
     * is a multiple of 512, but the last one's that is not empty. As anl_ring_plan() says, or cut in any
     * other way: that is a matter of speed alone. All of one shape and type. */
    const struct anl_ring_shard *shards;
    int n_shards;
    float scale; /* 0: 1 / sqrt(D) */
    int causal;  /* key j is visible to query i iff j <= its position */
    struct anl_ring_account *accounts; /* one for each device, or NULL */
    /* Steps in no order, at most capacity of them; *n_steps becomes how many there were. NULLs: not
     * wanted. */
    struct anl_ring_step *steps;
    size_t capacity;
    size_t *n_steps;
};

/* Attention of all shards. Complete on return, on every device. After a failure all devices have come to
 * rest, and those that are not lost work on; the message names the device, the piece and the chunk. */
ANL_API anl_status anl_ring_attn(struct anl_ring *ring, const struct anl_ring_attn_params *params);

/* Calls task(user, device's number, device) once for each device, at the same time, each on the ring's thread of
 * that device, and then finishes the device. The first failure is the result. */
ANL_API anl_status anl_ring_each(struct anl_ring *ring,
                                 anl_status (*task)(void *user, int index, struct anl_device *device),
                                 void *user);

/* Makes the call that runs now, if any, end with ANL_E_CANCELLED as soon as each device is through with
 * its present step. From any thread, at any time until the ring is destroyed. */
ANL_API void anl_ring_cancel(struct anl_ring *ring);

/* Why the last failing call on this ring failed. Valid until the next call; never NULL. */
ANL_API const char *anl_ring_message(const struct anl_ring *ring);

#ifdef __cplusplus
}
#endif
#endif
