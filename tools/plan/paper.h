/* tools/plan/paper.h: the tables of "Ring Attention with Blockwise Transformers" (arXiv 2310.01889), as
 * printed there, and the formulas that they can be held against. */
#ifndef PLAN_PAPER_H
#define PLAN_PAPER_H

#include <stdint.h>

/* Where a cell comes from. An unverified one is printed as such, and no test is held against it. */
enum paper_mark {
    PAPER_READ = 'p',    /* read in a copy of the paper */
    PAPER_DERIVED = 'd', /* by arithmetic, from cells that were read */
    PAPER_UNVERIFIED = 'm'
};

/* Figure 5: float operations per token of a dataset, as a multiple of those at 4K tokens of context. */
#define PAPER_CONTEXTS 9
struct paper_figure5 {
    const char *model;
    int64_t hidden;
    double cell[PAPER_CONTEXTS];
};
extern const struct paper_figure5 paper_figure5[];
extern const int paper_n_figure5;
extern const char *const paper_context_name[PAPER_CONTEXTS];
/* Tokens that give the cells. */
extern const int64_t paper_context_tokens[PAPER_CONTEXTS];
/* (6 h + s) / (6 h + 4096). */
double paper_flops_ratio(int64_t hidden, int64_t tokens);

/* Table 2: the smallest block that hides its transfer, and the sequence with it, in thousand tokens. */
struct paper_table2 {
    const char *device;
    double tflops, memory_gb, link_gbs, block, sequence;
    int follows; /* the cells, from F / B and 6 F / B */
};
extern const struct paper_table2 paper_table2[];
extern const int paper_n_table2;
/* F / B in thousand tokens: 2-byte elements. */
double paper_block(const struct paper_table2 *row);

/* A model of tables 1 and 3. */
struct paper_model {
    const char *name;
    int64_t hidden, inner, layers, heads;
};
const struct paper_model *paper_model(const char *name);

/* Tables 1 and 3: how attention and FFN are computed. */
enum paper_method { PAPER_VANILLA = 0, PAPER_EFFICIENT, PAPER_BLOCKWISE, PAPER_RING };
#define PAPER_METHODS 4

/* Table 1: the most bytes of a layer's activations in bf16 at s tokens, blocks of c, batch 1; the
 * ring's do not depend on s. */
double paper_layer_bytes(const struct paper_model *model, enum paper_method method, double s, double c);

/* Table 3: the longest context in training, in thousand tokens. */
struct paper_table3 {
    const char *machine, *model;
    int devices, memory_gb, bytes; /* bytes: of an element, as paper_context() takes it */
    int tensor; /* devices that act as one of the ring: 1 where the paper says so, else what the gain
                   leaves */
    enum paper_mark tensor_mark;
    double cell[PAPER_METHODS];
    int gain; /* as printed */
};
extern const struct paper_table3 paper_table3[];
extern const int paper_n_table3;

/* Our own figure for a cell of table 3: the most thousand tokens (of 1024) whose weights, gradients and
 * two moments in f32, spread over all devices, one gathered layer, a checkpoint a layer and one layer
 * by table 1 fit. */
double paper_context(const struct paper_table3 *row, enum paper_method method);

/* Table 4: the contexts, in thousand tokens. Its bars of utilisation are not quoted. */
struct paper_table4 {
    const char *model, *machine;
    double blockwise, ring;
};
extern const struct paper_table4 paper_table4[];
extern const int paper_n_table4;

/* What other tables and the text say, and what comes of it. */
struct paper_claim {
    const char *claim, *finding;
    enum paper_mark mark;
};
extern const struct paper_claim paper_claims[];
extern const int paper_n_claims;

/* Prints all of it, with the formulas' values beside the cells. */
void paper_print(void);

#endif
