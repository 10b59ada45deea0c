/* tools/tune/tune.h: the parts of `annulet tune`: tiles as numbers, the search, and the runner that
 * tries a tile on a device. */
#ifndef TUNE_TUNE_H
#define TUNE_TUNE_H

#include <stddef.h>
#include <stdint.h>

enum tune_op { TUNE_LINEAR = 0, TUNE_ATTN };

#define TUNE_NUMBERS 10 /* of a line, at most */
#define TUNE_LINES 4   /* of an operation, at most, in a table */
#define TUNE_TEXT 160  /* of a line */

/* A line of anl_cl_params.tiles (annulet/opencl.h): its numbers in the order of the text. */
struct tune_tile {
    enum tune_op op;
    int n[TUNE_NUMBERS];
};

enum { LINEAR_BM = 0, LINEAR_BN, LINEAR_TM, LINEAR_TN, LINEAR_BK, LINEAR_UK, LINEAR_GROUPS, LINEAR_SPEED,
       LINEAR_TAIL };
enum { ATTN_DV = 0, ATTN_BQ, ATTN_RQ, ATTN_RK, ATTN_DC, ATTN_VC, ATTN_QRES, ATTN_UQ, ATTN_UV,
       ATTN_FLOW };

/* A line that ends with a newline or with the text: 1, or 0 if it is none. Whether a device can have it
 * the library says. */
int tune_parse(const char *line, struct tune_tile *out);
/* text holds TUNE_TEXT bytes; no newline. */
void tune_print(const struct tune_tile *tile, char *text);
/* Whether the kernels are the same: groups, speed and tail are not the kernels'. */
int tune_same(const struct tune_tile *a, const struct tune_tile *b);

/* The lines of an operation in a table's text; returns how many, at most capacity. */
int tune_lines(const char *text, enum tune_op op, struct tune_tile *out, int capacity);

/* The tiles to try, those that compile fast first; dv: for attn. Returns how many, at most capacity. */
int tune_candidates(enum tune_op op, int dv, struct tune_tile *out, int capacity);
#define TUNE_CANDIDATES 128

enum tune_verdict {
    TUNE_UNTRIED = 0,
    TUNE_GOOD,
    TUNE_UNFIT,  /* the device cannot have it */
    TUNE_WRONG,  /* another bit than the law's */
    TUNE_FAILED, /* not compiled, not launched */
};

struct tune_trial {
    struct tune_tile tile;
    enum tune_verdict verdict;
    double seconds;  /* of a call, when it was measured */
    double relative; /* time, beside the first that was measured; drift is taken out */
    char why[200];   /* of a wrong or failed one */
};

/* How a tile is tried. The search knows nothing of devices. */
struct tune_runner {
    void *user;
    /* A few cases against the law; best (NULL: none yet) is the tile that race() will have beside it. */
    enum tune_verdict (*check)(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                               char *why, size_t why_size);
    /* Times both in turn, and sees that what they computed is right. */
    enum tune_verdict (*race)(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                              double *best_seconds, double *seconds, char *why, size_t why_size);
    /* All cases that go through the tile. */
    enum tune_verdict (*confirm)(void *user, const struct tune_tile *tile, char *why, size_t why_size);
    /* Whether no further one is to be tried; may_end: also for lack of time. */
    int (*stop)(void *user, int may_end);
};

/* Tries them in their order and returns the fastest that is right to the last bit in all cases, or -1.
 * One that is not is out of it, however fast. One that gains less than 1 % over an earlier one does
 * not win. The first `always` are tried however long it takes. */
int tune_search(const struct tune_runner *runner, struct tune_trial *trials, int count, int always);

/* The linear lines of a new table: the winner for a large shape and for a small one (they may be the
 * same), then old lines of other sizes, all with speeds as measured on the large shape and with groups so
 * that the small one is taken for the small shape. Returns how many. */
struct tune_linear {
    const struct tune_trial *large; /* trials on the large shape; the first n_old are the old lines */
    int n_old, winner, small;
    int compute_units;
    int64_t small_tokens, small_features, small_k;
};
int tune_linear_table(const struct tune_linear *l, struct tune_tile *out);

#endif
