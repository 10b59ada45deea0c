/* tools/plan/simulate.h: a ring's schedule, event by event, with no device in it: when each would
 * compute with which chunk, and when each link would carry one. It knows no tokens' worth and no hosts:
 * what a pair, a call and a byte cost is the caller's matter (tools/plan/model.h).
 *
 * The schedule is that of docs/ring.md. Ranks stand along the sequence, one a piece. A rank computes
 * with its own piece, then with the chunks that arrive; a piece's last chunk travels first. It sends on
 * its own chunks and then what arrived, each as soon as the link is free and the next rank has a free
 * slot. A slot is free again when its chunk was computed with and, where it goes on, has arrived there.
 * Causal, the ranks are an open chain; else a closed ring, and each ends with its own spans above a
 * query's. A device with two ranks takes the ready one with more work left. */
#ifndef PLAN_SIMULATE_H
#define PLAN_SIMULATE_H

#include <stdint.h>

#define SIM_SPAN 512 /* tokens: a piece is cut into chunks at its multiples */

struct sim_rank {
    int device;
    int64_t tokens; /* of its piece; above 0 */
    /* The link into this rank, from the one before (of rank 0: from the last): seconds for a chunk and
     * for each of its tokens. */
    double latency, token_seconds;
};

struct sim_params {
    const struct sim_rank *ranks; /* in the order of the sequence */
    int n_ranks, n_devices;
    const double *pair_seconds; /* of each device: a query with a key, all heads */
    double call_seconds;        /* each call of attention, */
    double query_seconds;       /* and each of its queries, however many keys it meets */
    int batch; /* chunks that one call meets at most, of those that are there and lie side by side */
    int64_t chunk; /* tokens, a multiple of SIM_SPAN */
    int slots;     /* of each link */
    int causal;
    int blocking; /* the sending device copies and cannot compute meanwhile; else the link does it */
};

struct sim_device {
    double compute, send; /* seconds busy with each; send: where it blocks */
    double transfer;      /* seconds of the links into it */
    double finish;        /* when it was through */
    uint64_t chunks;      /* computed with, */
    uint64_t early;       /* and of these, how many the device had not to wait for */
};

enum sim_status {
    SIM_OK = 0,
    SIM_MEMORY,
    SIM_STALLED /* a closed ring whose slots are too few: each waits for the next */
};

/* devices: n_devices results. *seconds: when the last was through. *events: how many steps and
 * transfers there were; may be NULL. */
enum sim_status sim_run(const struct sim_params *params, struct sim_device *devices, double *seconds,
                        uint64_t *events);

/* How many steps and transfers a run will have, before it is made: at most, if batch is above 1. */
double sim_size(const struct sim_params *params);

#endif
