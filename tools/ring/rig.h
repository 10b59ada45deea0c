/* tools/ring/rig.h: a ring with a sequence on it, ready to be run and timed, for `annulet ring`. */
#ifndef TOOLS_RING_RIG_H
#define TOOLS_RING_RIG_H

#include "tools/cli.h"

#define RIG_DEVICES CLI_DEVICES

struct rig_shape {
    int64_t tokens, heads, kv_heads, dim;
    anl_dtype type; /* of keys and values */
    int causal;
};

struct rig {
    struct rig_shape shape;
    struct cli_devices devices;
    struct anl_context *ring_context;
    struct anl_ring *ring;
    struct anl_ring_piece piece[2 * RIG_DEVICES];
    struct anl_ring_shard shard[2 * RIG_DEVICES];
    struct anl_buffer *buffer[4 * 2 * RIG_DEVICES];
    int n_buffers;
};

/* What a call took, and what each device did. */
struct rig_round {
    double seconds;
    struct anl_ring_account account[RIG_DEVICES];
};

/* Opens the devices of a list `D,D,...`; each makes itself ready on its own. */
int rig_open(struct rig *rig, const char *devices);
/* The ring, and the sequence on it: the same numbers however it is cut. weights may be NULL. */
int rig_place(struct rig *rig, const double *weights, int slots, int chunk_spans);
/* One call. steps may be NULL; *n_steps becomes how many there were. */
int rig_run(struct rig *rig, struct rig_round *round, struct anl_ring_step *steps, size_t capacity,
            size_t *n_steps);
/* XXH3-64 of the whole result, as one device would give it. */
int rig_hash(struct rig *rig, uint64_t *hash);
/* fma that the call needs, twice. */
double rig_flop(const struct rig *rig);
void rig_close(struct rig *rig);

/* Writes the steps as a Chrome trace (chrome://tracing, Perfetto). */
int rig_trace(const struct rig *rig, const char *path, const struct anl_ring_step *steps, size_t n);

#endif
