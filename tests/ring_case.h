/* tests/ring_case.h: attention on a ring against attention on one device, bit for bit. */
#ifndef TESTS_RING_CASE_H
#define TESTS_RING_CASE_H

#include "tests/attn_case.h"
#include "tests/testing.h"

#define RING_TEST_DEVICES 16

enum ring_queries {
    RING_ALL_QUERIES = 0, /* every token asks */
    RING_LAST_QUERY,      /* the sequence's last one alone, as in decoding */
    RING_SOME_QUERIES     /* none, one, some or all of each piece, by the seed */
};

struct ring_case {
    struct attn_case c; /* sq = sk, no offset, one piece; its state: what is asked of the ring */
    int slots, chunk_spans;
    enum ring_queries queries;
    enum place_layout layout;
    int cut_by_seed; /* anywhere at multiples of 512, else as planned */
    uint64_t seed;
};

/* The case's data, and what one device makes of them. */
struct ring_expected {
    struct attn_data data;
    struct run_result result; /* out, m, l, o of all queries */
};
void ring_expect(struct anl_device *device, const struct ring_case *rc, struct ring_expected *expected);
void ring_expected_free(struct ring_expected *expected);

/* Shards on their devices. */
struct ring_placed {
    struct place place[RING_TEST_DEVICES];
    int n_devices, n;
    struct anl_ring_shard shard[2 * RING_TEST_DEVICES];
    int64_t start[2 * RING_TEST_DEVICES];
};
void ring_place(struct anl_ring *ring, struct anl_device *const *devices, int n,
                const struct ring_case *rc, const struct attn_data *data, struct ring_placed *placed);
void ring_placed_free(struct ring_placed *placed);

/* Ends the test unless the shards hold what was expected. */
void ring_compare(const struct ring_case *rc, struct ring_placed *placed,
                  const struct ring_expected *expected, const char *what);

struct anl_ring *ring_open(struct anl_context *context, struct anl_device *const *devices, int n,
                           const struct ring_case *rc, const double *weights);

/* All of it: place, run, compare, free. */
void ring_check(struct anl_ring *ring, struct anl_device *const *devices, int n,
                const struct ring_case *rc, const struct ring_expected *expected, const char *what);

void ring_describe(const struct ring_case *rc, int n, char *text, size_t size);

#endif
