/* tools/tune/tile.c: tiles as text, and the list of those to try. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tune/tune.h"

static const char *const op_names[] = { "linear", "attn" };
static const char *const names[][TUNE_NUMBERS] = {
    { "bm", "bn", "tm", "tn", "bk", "uk", "groups", "speed", "tail" },
    { "dv", "bq", "rq", "rk", "dc", "vc", "qres", "uq", "uv", "flow" },
};

static int parse_op(const char *line, enum tune_op op, struct tune_tile *out)
{
    size_t n = strlen(op_names[op]);
    if (strncmp(line, op_names[op], n) != 0)
        return 0;
    line += n;
    out->op = op;
    memset(out->n, 0, sizeof out->n);
    for (int i = 0; i < TUNE_NUMBERS && names[op][i] != NULL; i++) {
        int used = 0;
        n = strlen(names[op][i]);
        if (*line++ != ' ' || strncmp(line, names[op][i], n) != 0 || line[n] < '0' || line[n] > '9' ||
            sscanf(line + n, "%4d%n", &out->n[i], &used) != 1)
            return 0;
        line += n + (size_t)used;
    }
    return *line == '\n' || *line == 0;
}

int tune_parse(const char *line, struct tune_tile *out)
{
    return parse_op(line, TUNE_LINEAR, out) || parse_op(line, TUNE_ATTN, out);
}

void tune_print(const struct tune_tile *tile, char *text)
{
    int used = snprintf(text, TUNE_TEXT, "%s", op_names[tile->op]);
    for (int i = 0; i < TUNE_NUMBERS && names[tile->op][i] != NULL; i++)
        used += snprintf(text + used, TUNE_TEXT - (size_t)used, " %s%d", names[tile->op][i], tile->n[i]);
}

int tune_same(const struct tune_tile *a, const struct tune_tile *b)
{
    int count = a->op == TUNE_LINEAR ? LINEAR_GROUPS : TUNE_NUMBERS;
    return a->op == b->op && memcmp(a->n, b->n, (size_t)count * sizeof *a->n) == 0;
}

int tune_lines(const char *text, enum tune_op op, struct tune_tile *out, int capacity)
{
    int count = 0;
    while (text != NULL && *text != 0 && count < capacity) {
        count += parse_op(text, op, &out[count]);
        text = strchr(text, '\n');
        text = text != NULL ? text + 1 : NULL;
    }
    return count;
}

/* Work-groups that a compute unit has at a time: 64 Ki registers are what most large GPUs have, and
 * a work-item needs its sums, two rows of operands twice, and some more. */
static int likely_groups(const int *n)
{
    int registers = n[LINEAR_TM] * n[LINEAR_TN] + 2 * (n[LINEAR_TM] + n[LINEAR_TN]) + 64;
    int items = n[LINEAR_BM] / n[LINEAR_TM] * (n[LINEAR_BN] / n[LINEAR_TN]);
    int groups = 65536 / (registers * items);
    return groups < 1 ? 1 : groups > 64 ? 64 : groups;
}

/* A tile's sums are written once: on an H200 that is worth 180 steps for one of 128 x 128. */
static int likely_tail(const int *n)
{
    return n[LINEAR_BM] * n[LINEAR_BN] / 91;
}

static int linear_candidates(struct tune_tile *out, int capacity)
{
    static const int sizes[][2] = { { 32, 32 }, { 64, 32 }, { 64, 64 }, { 128, 64 }, { 64, 128 },
                                    { 128, 128 }, { 256, 128 } };
    static const int parts[][2] = { { 4, 4 }, { 8, 4 }, { 8, 8 }, { 16, 8 } };
    static const int depths[][2] = { { 16, 4 }, { 16, 16 }, { 8, 8 }, { 32, 8 } };
    int count = 0;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            int items = sizes[s][0] / parts[p][0] * (sizes[s][1] / parts[p][1]);
            for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
                if (items < 64 || items > 256 || count == capacity)
                    continue;
                struct tune_tile *t = &out[count++];
                *t = (struct tune_tile){ TUNE_LINEAR, { sizes[s][0], sizes[s][1], parts[p][0], parts[p][1],
                                                        depths[d][0], depths[d][1], 1, 100, 0 } };
                t->n[LINEAR_GROUPS] = likely_groups(t->n);
                t->n[LINEAR_TAIL] = likely_tail(t->n);
            }
        }
    }
    return count;
}

static int attn_candidates(int dv, struct tune_tile *out, int capacity)
{
    static const int parts[][3] = { { 64, 4, 4 }, { 64, 8, 4 },  { 64, 8, 8 },  { 64, 16, 4 },
                                    { 128, 8, 4 }, { 128, 8, 8 }, { 32, 8, 4 }, { 32, 4, 4 } };
    static const int depths[] = { 32, 64, 16 }, unrolls[] = { 4, 8 };
    int count = 0;
    for (int u = 4; dv <= 128 && u <= 8; u += 4) { /* see cl/attn_flow.cl */
        for (int v = 4; v <= 8; v += 4) {
            for (int stage = 8; stage <= 16 && count < capacity; stage += 8)
                out[count++] = (struct tune_tile){ TUNE_ATTN, { dv, 64, 8, 8, stage, stage, dv == 64, u, v,
                                                                1 } };
        }
    }
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            for (int more = 0; more < 4 && count < capacity; more++) {
                int u = unrolls[more / 2];
                out[count++] = (struct tune_tile){ TUNE_ATTN, { dv, parts[p][0], parts[p][1], parts[p][2],
                                                                depths[d], depths[d] * 64 / dv, more % 2,
                                                                u, u, 0 } };
            }
        }
    }
    return count;
}

/* How long a compiler has to look at it, about: what is unrolled. */
static int cost(const struct tune_tile *t)
{
    const int *n = t->n;
    return t->op == TUNE_LINEAR ? n[LINEAR_TM] * n[LINEAR_TN] * n[LINEAR_UK]
                                : n[ATTN_RQ] * n[ATTN_RK] * (n[ATTN_UQ] + n[ATTN_UV]);
}

int tune_candidates(enum tune_op op, int dv, struct tune_tile *out, int capacity)
{
    int count = op == TUNE_LINEAR ? linear_candidates(out, capacity) : attn_candidates(dv, out, capacity);
    for (int i = 1; i < count; i++) { /* stable: equals stay as they are listed */
        struct tune_tile t = out[i];
        int j = i;
        for (; j > 0 && cost(&out[j - 1]) > cost(&t); j--)
            out[j] = out[j - 1];
        out[j] = t;
    }
    return count;
}
