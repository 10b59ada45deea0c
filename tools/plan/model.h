/* tools/plan/model.h: a ring of devices on hosts, in tokens, bytes and FLOP/s: how a sequence is cut
 * over it, what that takes of memory, what hides a transfer, and what tools/plan/simulate.h is to be
 * asked. */
#ifndef PLAN_MODEL_H
#define PLAN_MODEL_H

#include <stdint.h>

#include "tools/plan/simulate.h"

#define PLAN_MAX_DEVICES 1024
#define PLAN_SLOTS 9  /* of a link: a piece in 8 chunks, and one more */
#define PLAN_BATCH 16 /* chunks that one call meets, but no more than half of the slots; not causal, of three devices or
                       * more, one */

struct plan {
    int devices, hosts;     /* hosts <= devices; neighbours share one as far as that is even */
    const double *weights;  /* speeds beside each other: one for each device, or NULL: all alike */
    double flops;           /* a second, of a device of weight 1; an fma is two */
    double call;            /* seconds that a call of attention costs beside its work, */
    double query;           /* and each of its queries */
    double link, host_link; /* bytes a second, each direction; 0: takes no time */
    double latency, host_latency; /* seconds for a chunk */
    double memory;                /* of a device, bytes; 0: not known */
    int64_t tokens, heads, kv_heads, dim;
    int kv_bytes; /* of an element of K or V; Q, O and the softmax state are f32 */
    int slots;
    int batch; /* 0: PLAN_BATCH */
    int causal, blocking;
};

/* Float operations of a query with a key, all heads. */
double plan_pair_flops(const struct plan *plan);

/* Float operations of the whole. */
double plan_flops(const struct plan *plan);

/* Bytes of a token's keys and values. */
double plan_kv_bytes(const struct plan *plan);

/* Tokens of a piece that takes as long with a piece's queries as over the link (between hosts, or
 * inside one): at most that long is the transfer hidden. A shard is one such piece; causal, two.
 * F/B for 2-byte elements, 2F/B for f32, less where query heads share key heads. */
double plan_hiding_piece(const struct plan *plan, int between_hosts);

/* Cuts the sequence as anl_ring_plan() does. ranks holds 2 * devices; empty pieces are left out.
 * Returns how many; links are filled in too. */
int plan_cut(const struct plan *plan, struct sim_rank *ranks);

/* Tokens of a chunk and slots of a link for these ranks. */
int64_t plan_chunk(const struct plan *plan, const struct sim_rank *ranks, int n, int *slots);

/* The largest tokens and bytes of a device: queries, keys, values, results, running state, slots. */
struct plan_memory {
    int64_t tokens;
    double shard, slots; /* of the device with the largest sum */
};
void plan_memory(const struct plan *plan, struct plan_memory *memory);

/* The longest sequence that fits plan->memory, in whole spans for each device; 0: none does. */
int64_t plan_largest(const struct plan *plan);

struct plan_result {
    double seconds;
    double efficiency; /* the work over what all devices could do in that time */
    double overlap;    /* of the chunks, how many were there before their device was free for them */
    double compute, transfer; /* seconds: most of a device, of one's links */
    uint64_t events;
};

/* Simulates. `devices`, if not NULL, gets plan->devices accounts. */
enum sim_status plan_run(const struct plan *plan, struct plan_result *result,
                         struct sim_device *devices);

/* How many events that will be. */
double plan_size(const struct plan *plan);

#endif
