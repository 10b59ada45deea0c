/* tools/plan/paper.c: the cells as printed, and the formulas. See paper.h. */
#include "tools/plan/paper.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define K INT64_C(1024)
#define GIB (1024.0 * 1024.0 * 1024.0)
#define VOCABULARY 50432.0

const char *const paper_context_name[PAPER_CONTEXTS] = { "8K",   "16K", "32K", "64K", "128K",
                                                         "256K", "1M",  "10M", "100M" };

/* The columns called 10M and 100M hold the ratios at 12 and 128 times 2^20. */
const int64_t paper_context_tokens[PAPER_CONTEXTS] = { 8 * K,   16 * K, 32 * K,     64 * K,     128 * K,
                                                       256 * K, K * K,  12 * K * K, 128 * K * K };

/* The text's 5140 for 13B is a misprint of 5120. */
const struct paper_figure5 paper_figure5[] = {
    { "7B", 4096, { 1.1, 1.4, 2.0, 3.1, 5.4, 10.0, 37.4, 439.7, 4682.0 } },
    { "13B", 5120, { 1.1, 1.4, 1.8, 2.8, 4.6, 8.4, 31.0, 362.3, 3855.9 } },
    { "33B", 7168, { 1.1, 1.3, 1.6, 2.3, 3.7, 6.5, 23.2, 268.0, 2850.3 } },
    { "65B", 8192, { 1.1, 1.2, 1.5, 2.2, 3.4, 5.8, 20.6, 237.2, 2521.5 } },
    { "175B", 12288, { 1.1, 1.2, 1.4, 1.8, 2.6, 4.3, 14.4, 162.6, 1725.6 } },
    { "1TB", 36864, { 1.0, 1.1, 1.1, 1.3, 1.6, 2.1, 5.6, 56.8, 596.8 } },
};
const int paper_n_figure5 = COUNT(paper_figure5);

const struct paper_table2 paper_table2[] = {
    { "A100 NVLink", 312, 80, 300, 1.0, 6.2, 1 },  { "A100 InfiniBand", 312, 80, 12.5, 24.5, 149.5, 0 },
    { "TPU v3", 123, 16, 112, 1.1, 6.6, 1 },       { "TPU v4", 275, 32, 268, 1.0, 6.2, 1 },
    { "TPU v5e", 196, 16, 186, 1.1, 6.3, 1 },
};
const int paper_n_table2 = COUNT(paper_table2);

const struct paper_table3 paper_table3[] = {
    { "8 A100 NVLink", "3B", 8, 80, 4, 1, PAPER_READ, { 4, 32, 64, 512 }, 8 },
    { "8 A100 NVLink", "7B", 8, 80, 4, 1, PAPER_READ, { 2, 16, 32, 256 }, 8 },
    { "8 A100 NVLink", "13B", 8, 80, 4, 1, PAPER_READ, { 2, 4, 16, 128 }, 8 },
    { "32 A100 InfiniBand", "7B", 32, 80, 4, 1, PAPER_READ, { 4, 64, 128, 4096 }, 32 },
    { "32 A100 InfiniBand", "13B", 32, 80, 4, 1, PAPER_READ, { 4, 32, 64, 2048 }, 32 },
    { "TPUv3-512", "7B", 512, 16, 2, 2, PAPER_DERIVED, { 1, 4, 8, 2048 }, 256 },
    { "TPUv3-512", "13B", 512, 16, 2, 4, PAPER_DERIVED, { 1, 2, 8, 1024 }, 128 },
    { "TPUv4-1024", "3B", 1024, 32, 2, 2, PAPER_DERIVED, { 8, 16, 32, 16384 }, 512 },
    { "TPUv4-1024", "7B", 1024, 32, 2, 2, PAPER_DERIVED, { 4, 8, 16, 8192 }, 512 },
    { "TPUv4-1024", "13B", 1024, 32, 2, 4, PAPER_DERIVED, { 4, 8, 16, 4096 }, 256 },
    { "TPUv4-1024", "30B", 1024, 32, 2, 4, PAPER_DERIVED, { 2, 4, 8, 2048 }, 256 },
    { "TPUv5e-256", "3B", 256, 16, 2, 2, PAPER_DERIVED, { 4, 8, 32, 4096 }, 128 },
    { "TPUv5e-256", "7B", 256, 16, 2, 2, PAPER_DERIVED, { 2, 8, 16, 2048 }, 128 },
};
const int paper_n_table3 = COUNT(paper_table3);

const struct paper_table4 paper_table4[] = {
    { "7B", "8 A100", 32, 256 },
    { "13B", "8 A100", 16, 128 },
    { "13B", "32 A100", 64, 2048 },
    { "30B", "TPUv4-1024", 16, 2048 },
    { "65B", "TPUv4-1024", 8, 1024 },
};
const int paper_n_table4 = COUNT(paper_table4);

const struct paper_claim paper_claims[] = {
    { "table 5: ExoRL averages BC-10% 36.11, DT 45.51, AT+BPT 111.13, AT+RA 113.66",
      "what training gives: nothing here to hold it against", PAPER_READ },
    { "appendix A: from 256K on 8 A100 to 16M on 512, 64 times", "512 / 8 = 64: follows", PAPER_READ },
    { "appendix A: 30B over 8 devices, the remaining 32 of 512 in the ring", "512 / 8 = 64, not 32",
      PAPER_READ },
    { "appendix C: while decoding, \"B/F >= 2 ... = 2.4\"",
      "186e9 / 78e12 = 0.0024: off by 1000; keys cannot circle behind one token, so queries move",
      PAPER_READ },
    { "section 5.1: over 30 million tokens on TPUv4-512", "in no table", PAPER_READ },
    { "BPT, table 1, 7B on 8 A100: vanilla 16K, memory-efficient 65K, BPT 131K", "", PAPER_UNVERIFIED },
    { "BPT, table 1, 13B on 8 A100: 8K, 33K, 65K", "", PAPER_UNVERIFIED },
    { "BPT, table 1, 30B on 8 A100: 8K, 16K, 65K", "", PAPER_UNVERIFIED },
};
const int paper_n_claims = COUNT(paper_claims);

static const struct paper_model models[] = {
    { "3B", 2560, 10240, 32, 32 },
    { "7B", 4096, 16384, 32, 32 },
    { "13B", 5120, 20480, 40, 40 },
    { "30B", 7168, 28672, 48, 56 },
};

const struct paper_model *paper_model(const char *name)
{
    for (int i = 0; i < COUNT(models); i++) {
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    }
    return NULL;
}

double paper_flops_ratio(int64_t hidden, int64_t tokens)
{
    return (6.0 * (double)hidden + (double)tokens) / (6.0 * (double)hidden + 4 * K);
}

double paper_block(const struct paper_table2 *row)
{
    return row->tflops / row->link_gbs; /* 1e12 / 1e9 tokens */
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double paper_layer_bytes(const struct paper_model *model, enum paper_method method, double s, double c)
{
    double h = (double)model->hidden;
    switch (method) {
    case PAPER_VANILLA:
        return larger(2 * (double)model->heads * s * s, 8 * s * h);
    case PAPER_EFFICIENT:
        return larger(2 * s * h + 4 * c * h, 8 * s * h);
    case PAPER_BLOCKWISE:
        return 2 * s * h;
    default:
        return 6 * c * h;
    }
}

static double layer_parameters(const struct paper_model *m)
{
    return (double)m->hidden * (4 * (double)m->hidden + 2 * (double)m->inner);
}

/* Bytes of one member of the ring, which is row->tensor devices. */
static double training_bytes(const struct paper_table3 *row, const struct paper_model *m,
                             enum paper_method method, double tokens)
{
    double parameters = (double)m->layers * layer_parameters(m) + 2 * VOCABULARY * (double)m->hidden;
    double held = 16 * parameters * row->tensor / row->devices + 4 * layer_parameters(m);
    double checkpoints = (double)(m->layers * m->hidden) * row->bytes * tokens;
    return held + checkpoints + paper_layer_bytes(m, method, tokens, tokens) * row->bytes / 2;
}

double paper_context(const struct paper_table3 *row, enum paper_method method)
{
    const struct paper_model *m = paper_model(row->model);
    double memory = row->memory_gb * GIB * row->tensor, low = 0, high = 1e9;
    for (int i = 0; m != NULL && i < 64; i++) {
        double middle = (low + high) / 2;
        if (training_bytes(row, m, method, middle) <= memory)
            low = middle;
        else
            high = middle;
    }
    return low * (method == PAPER_RING ? row->devices / row->tensor : 1) / (double)K;
}
