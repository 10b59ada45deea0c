/* src/ring.h: what the files of the ring share. src/ring.c tells how it works and what always holds. */
#ifndef ANL_SRC_RING_H
#define ANL_SRC_RING_H

#include <pthread.h>
#include <stdatomic.h>

#include "src/internal.h"

#define RING_SPAN 512
/* Slots of a link, unless the caller says: each call of attention has its own cost on a device that queues
 * its operations, so that there chunks are larger. */
#define RING_SLOTS 9
#define RING_SLOTS_QUEUED 4
#define RING_FLIGHTS 2 /* steps that a device which queues its operations has at a time */

/* Room for a chunk: in host memory, with a buffer over it where the receiver reads it in place; or in the
 * receiver's, which the sender's device can write to: memory is NULL then. */
struct anl_ring_slot {
    char *memory;
    struct anl_buffer *buffer;
};

/* A link takes chunks from a rank to the next one, in order. One implementation is here (ring_local.c); the
 * four calls between open and close are those of a message-passing library: a slot is a buffer of a
 * posted receive, and no call waits. wake(side) is called, from any thread, when that side may find
 * something new. */
struct anl_ring_link {
    struct anl_context *context;
    unsigned slots;
    uint64_t slot_bytes;
    int direct;                  /* the slots are the receiver's device's */
    struct anl_ring_slot *slot;  /* [slots] */
    char *memory;                /* slots * slot_bytes, aligned to 64 bytes; direct: NULL */
    struct anl_device *pinner;   /* whose copies the memory is made for, or NULL */
    void *pinned;
    atomic_uint_fast64_t sent;   /* by the sender, chunks in all; */
    atomic_uint_fast64_t posted; /* and by the receiver, slots that are or were free for them */
    void (*wake)(void *side);
    void *sender, *receiver;
    struct anl_device *device, *sends_from;  /* the receiver's, the sender's */
    struct anl_buffer *staging[RING_FLIGHTS]; /* that slots without a buffer are copied to in turn */
};

struct anl_ring_transport {
    /* Memory for the slots that link tells of, unless they are the device's; and all of them posted. wake,
     * sender and receiver are set later. */
    anl_status (*open)(struct anl_ring_link *link);
    void (*close)(struct anl_ring_link *link);
    /* The sender's: room for the next chunk, or NULL while no slot is free; and off it goes. */
    struct anl_ring_slot *(*slot)(struct anl_ring_link *link);
    void (*isend)(struct anl_ring_link *link);
    /* The receiver's: where chunk number i is, or NULL if it is not here; and the oldest chunk's slot is free
     * for another. */
    struct anl_ring_slot *(*test)(struct anl_ring_link *link, uint64_t i);
    void (*irecv)(struct anl_ring_link *link);
};
extern const struct anl_ring_transport anl_ring_local;

/* The chunks of so many pieces from one downwards, around the ring; the last chunk of each first. */
struct anl_ring_walk {
    const struct anl_ring_job *job;
    int rank, pieces;
    int64_t left; /* chunks of the piece at hand */
};

/* A piece that is not empty, during a call. */
struct anl_ring_rank {
    const struct anl_ring_shard *shard;
    struct anl_device *device;
    int piece;             /* its number among the shards */
    int64_t start, length; /* of its keys */
    int64_t queries;
    struct anl_tensor m, l, o; /* the running state; absent if there is one step only */
    double left;               /* pairs of query and key that are still to be met */
    /* Links come from the rank before and go to the one behind; NULL: nothing travels there. */
    struct anl_ring_link *in, *out;
    uint64_t n_own, n_in, n_out; /* chunks of its own, arriving, and to be sent: own ones first, then */
    uint64_t sent, freed;        /* arrived ones in order; chunks sent, and slots given back so far */
    uint64_t steps, step, done;  /* of computing: in all, queued, and done */
    struct anl_ring_walk to_send, to_meet; /* chunks that are still to be sent, and computed with */
};

/* A call of anl_ring_attn(). */
struct anl_ring_job {
    struct anl_ring_attn_params p;
    int64_t b, h, hkv, d, dv, tokens;
    anl_dtype type; /* of keys and values */
    int64_t chunk;  /* keys of a chunk, at most */
    unsigned slots;
    int n; /* ranks */
    struct anl_ring_rank *rank;
    double began;
    atomic_size_t n_steps;
};

enum anl_ring_order { RING_REST = 0, RING_ATTN, RING_EACH, RING_QUIT };

/* A step of computing that is queued on the device. */
struct anl_ring_flight {
    struct anl_mark mark;
    struct anl_ring_step step;
    struct anl_ring_rank *rank;
    uint64_t steps; /* of the rank: chunks, or one */
};

/* Of src/ring_calibrate.c. */
struct anl_ring_trial {
    int size;
    double rate; /* pairs of query and key a second */
};

struct anl_ring_worker {
    struct anl_ring *ring;
    struct anl_device *device;
    int index;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    enum anl_ring_order order; /* under the lock, as pending: something may have changed */
    int pending;
    /* The worker's own, during a call. */
    int n_ranks, waited;
    struct anl_ring_rank *rank[2];
    struct anl_ring_account account;
    /* Steps first to first + flying - 1, oldest first; and when the last one that is done was. */
    struct anl_ring_flight flight[RING_FLIGHTS];
    unsigned first, flying;
    double landed;
    struct anl_ring_trial trial;
};

struct anl_ring {
    struct anl_context *context;
    const struct anl_ring_transport *transport;
    long pid;
    int n; /* devices */
    unsigned slots;
    int64_t chunk_spans;
    double *weights;
    int weighed; /* the weights are the caller's, or measured */
    struct anl_ring_worker *workers;
    int started; /* of their threads */
    struct anl_ring_link *links;  /* 2n: number i goes to rank i */
    struct anl_buffer **states;   /* 2n: of rank i */
    struct anl_ring_job job;
    anl_status (*task)(void *user, int index, struct anl_device *device);
    void *task_user;
    pthread_mutex_t lock;
    pthread_cond_t done;
    int running; /* workers; under the lock, as these: */
    int busy;
    anl_status status;
    char message[512];
    atomic_int stop;
};

/* src/ring.c: keeps the first failure of the call, if one runs, and makes all workers stop. */
void anl_ring_fail(struct anl_ring *ring, anl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
double anl_ring_now(void);

/* src/ring_check.c: whether the call is right; fills in what it says of the job. */
anl_status anl_ring_check(struct anl_ring *ring, const struct anl_ring_attn_params *params,
                          struct anl_ring_job *job);

/* src/ring_calibrate.c: the weights, unless the caller gave them. Not during a call. */
anl_status anl_ring_calibrate(struct anl_ring *ring);

/* src/ring_plan.c */
/* How many pieces the link to a rank carries: those before it, as far as any rank from it on asks. */
int anl_ring_carried(const struct anl_ring_job *job, int rank);
uint64_t anl_ring_chunks(const struct anl_ring_job *job, int first, int pieces);
void anl_ring_walk_begin(struct anl_ring_walk *walk, const struct anl_ring_job *job, int first,
                         int pieces);
/* The next chunk's keys; returns its rank. */
int anl_ring_walk_next(struct anl_ring_walk *walk, int64_t *start, int64_t *keys);

/* src/ring_setup.c: ranks, links and states of the job. */
anl_status anl_ring_set_up(struct anl_ring *ring);
void anl_ring_free_memory(struct anl_ring *ring);
/* Bytes of a slot's keys (values begin there) and of all of it. */
uint64_t anl_ring_key_bytes(const struct anl_ring_job *job, int64_t keys);
uint64_t anl_ring_chunk_bytes(const struct anl_ring_job *job, int64_t keys);

/* src/ring_worker.c */
anl_status anl_ring_start(struct anl_ring *ring);
void anl_ring_order(struct anl_ring_worker *worker, enum anl_ring_order order);
void anl_ring_wake(void *worker);

/* src/ring_step.c: what a worker does for a rank of its own. */
/* Puts a chunk into a slot if there are both; returns whether there were. */
int anl_ring_send(struct anl_ring_worker *worker, struct anl_ring_rank *rank);
/* Whether what the next step computes with is here. */
int anl_ring_ready(const struct anl_ring_worker *worker, const struct anl_ring_rank *rank);
void anl_ring_compute(struct anl_ring_worker *worker, struct anl_ring_rank *rank);
/* Records the queued steps that are done. */
void anl_ring_land(struct anl_ring_worker *worker);
void anl_ring_record(struct anl_ring_worker *worker, struct anl_ring_step step);

#endif
