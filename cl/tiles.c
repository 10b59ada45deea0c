/* cl/tiles.c: which tiles the kernels of many tokens work in: a table by family of devices, and what a
 * caller has found better for his own (`annulet tune`), as text. Tiles never change a bit of a result.
 * annulet/opencl.h says what the text is (anl_cl_params.tiles), cl/linear.cl and cl/attn.cl what the
 * numbers mean to the kernels. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cl/cl.h"

#define VENDOR_NVIDIA 0x10de
#define VENDOR_AMD 0x1002
#define VENDOR_NONE 0 /* Mesa's llvmpipe */

/* A lane's work in a tenth of a second at one MHz: no launch is longer, since drivers kill kernels that
 * run for seconds, and desktops stand still meanwhile. */
#define LAUNCH_FMA 1e5

/* Safe on 32 KiB of local memory and few registers. */
static const struct anl_cl_tiles fallback = {
    .launch_fma = LAUNCH_FMA * 8,
    .few_registers = 2,
    .whole_o = 0,
    .linear = { { 64, 64, 4, 4, 16, 4, 4, 100, 60 }, { 32, 32, 4, 4, 16, 4, 8, 70, 60 } },
};

/* A GPU that a CPU plays: its compiler has a stack for what registers do not hold, and few turns to spare
 * (README.md). */
static const struct anl_cl_tiles played = {
    .launch_fma = LAUNCH_FMA * 8,
    .whole_o = INT_MAX,
    .linear = { { 64, 64, 4, 4, 16, 4, 4, 100, 60 }, { 32, 32, 4, 4, 16, 4, 8, 70, 60 } },
};

/* LLVM 15 spills what rows fetch ahead, and with all of o in registers gfx906 has one wave where it could
 * have two. */
static const struct anl_cl_tiles amd = {
    .launch_fma = LAUNCH_FMA * 64,
    .few_registers = 1,
    .whole_o = 0,
    .linear = { { 128, 128, 8, 8, 16, 4, 2, 100, 120 }, { 64, 64, 4, 4, 16, 4, 4, 80, 60 },
                { 32, 32, 4, 4, 16, 4, 8, 60, 60 } },
};

/* Found on an H100 and an H200 by trying (docs/bench.md). */
static const struct anl_cl_tiles nvidia = {
    .launch_fma = LAUNCH_FMA * 128,
    .whole_o = INT_MAX,
    .linear = { { 128, 128, 16, 8, 16, 16, 2, 100, 180 }, { 64, 64, 8, 4, 16, 16, 4, 93, 50 },
                { 32, 32, 4, 4, 16, 16, 12, 75, 50 } },
    .attn = { { 64, 64, 8, 8, 16, 16, 1, 4, 8, 1 }, { 128, 64, 8, 8, 8, 8, 0, 8, 8, 1 },
              { 64, 64, 8, 8, 64, 64, 1, 8, 8, 0 }, { 128, 32, 8, 4, 32, 16, 1, 8, 8, 0 } },
};

static const char *const linear_names[] = { "bm", "bn", "tm", "tn", "bk", "uk", "groups", "speed",
                                            "tail" };
static const char *const attn_names[] = { "dv", "bq", "rq", "rk", "dc", "vc", "qres", "uq", "uv",
                                          "flow" };

enum { N_LINEAR = 9, N_ATTN = 10 };

_Static_assert(sizeof(struct anl_cl_linear_tile) == N_LINEAR * sizeof(int), "a name for each number");
_Static_assert(sizeof(struct anl_cl_attn_tile) == N_ATTN * sizeof(int), "a name for each number");
_Static_assert(sizeof(struct anl_cl_tiles) ==
                   sizeof(double) + 2 * sizeof(int) +
                       ANL_CL_LINEAR_TILES * sizeof(struct anl_cl_linear_tile) +
                       ANL_CL_ATTN_TILES * sizeof(struct anl_cl_attn_tile),
               "no padding");

static int is_power(int x)
{
    return x > 0 && !(x & (x - 1));
}

int anl_cl_linear_tile_fits(const struct anl_cl_device *d, const struct anl_cl_linear_tile *t)
{
    int nt;

    if (!is_power(t->bm) || !is_power(t->bn) || t->bm < 32 || t->bn < 32 || t->bm > 256 || t->bn > 256)
        return 0;
    if (!is_power(t->tm) || !is_power(t->tn) || t->tm < 4 || t->tn < 4 || t->tm > 16 || t->tn > 16)
        return 0;
    if ((t->bk != 8 && t->bk != 16 && t->bk != 32) || t->uk < 1 || t->uk > t->bk)
        return 0;
    nt = t->bm / t->tm * (t->bn / t->tn);
    if (t->groups < 1 || t->groups > 64 || t->speed < 1 || t->speed > 1000 || t->tail < 0 || nt < 32)
        return 0;
    return t->bm * t->bk / 4 % nt == 0 && (size_t)nt <= d->max_group &&
           (uint64_t)(2 * (t->bm + t->bn) * t->bk * 4) <= d->local_bytes;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

int anl_cl_part_of_o(const struct anl_cl_device *d, int dvp)
{
    return dvp > d->tiles.whole_o ? ANL_CL_PART_O : 0;
}

/* attn_flow has one form for each of its two sizes of heads, and stages of 8 or 16. */
static int flow_tile_fits(const struct anl_cl_device *d, const struct anl_cl_attn_tile *t, int dp, int dvp)
{
    int nt = t->dv, kb = t->dv, stage = t->dc, floats; /* 8 rows of work-items, each with 8 columns */

    if ((t->dv != 64 && t->dv != 128) || dvp != t->dv || dp > dvp || dp <= dvp - 64 || t->bq != 64 || t->rq != 8 ||
        t->rk != 8 || (stage != 8 && stage != 16) || t->vc != stage || t->uq < 1 || t->uq > stage ||
        t->uv < 1 || t->uv > stage || t->qres != (t->dv == 64))
        return 0;
    floats = 64 * 68 + 2 * stage * (kb + 4 + (t->qres ? 0 : 68)) + kb / 8 * 64 + 18 * 64 +
             t->qres * 64 * t->dv;
    return (size_t)nt <= d->max_group && (uint64_t)floats * 4 <= d->local_bytes;
}

int anl_cl_attn_tile_fits(const struct anl_cl_device *d, const struct anl_cl_attn_tile *t, int dp,
                          int dvp)
{
    int nt, floats, part = anl_cl_part_of_o(d, dvp), o = part ? part : dvp;

    if (t->flow)
        return t->flow == 1 && flow_tile_fits(d, t, dp, dvp);
    /* vc: attn.cl's places of the weights need whole fours of keys */
    if ((t->rk != 4 && t->rk != 8) || (t->rq != 4 && t->rq != 8 && t->rq != 16) || !is_power(t->bq) ||
        t->bq < 16 || t->bq > 128 || t->bq / t->rq < 4 || t->dc < 16 || t->dc % 16 || t->dc > 64 ||
        !is_power(t->vc) || t->vc < 4 || t->vc > 64 || t->uq < 1 || t->uq > t->dc || t->uv < 1 ||
        t->uv > t->vc || (t->qres != 0 && t->qres != 1) || (part && t->dc % t->uq))
        return 0;
    nt = t->bq / t->rq * (64 / t->rk);
    floats = 64 * t->bq + t->qres * dp * t->bq + larger(larger(t->dc * 64, t->vc * o), 16 * t->bq) +
             (part ? 3 * t->bq : 0);
    return nt >= t->bq && nt <= 256 && (size_t)nt <= d->max_group && dp % t->dc == 0 &&
           t->dc * 16 % nt == 0 && t->vc * o % (4 * nt) == 0 && o % (256 / t->rk) == 0 &&
           (uint64_t)floats * 4 <= d->local_bytes;
}

/* Whether heads of its own size can have it: a line that never is used is a mistake. */
static int attn_tile_can_be(const struct anl_cl_device *d, const struct anl_cl_attn_tile *t)
{
    return t->dv >= 64 && t->dv <= 256 && t->dv % 64 == 0 &&
           (anl_cl_attn_tile_fits(d, t, t->dv, t->dv) || anl_cl_attn_tile_fits(d, t, 64, t->dv));
}

/* What local memory holds of V follows from how many columns of it are worked on. */
struct anl_cl_attn_tile anl_cl_safe_attn_tile(const struct anl_cl_device *d, size_t max_group, int dvp)
{
    struct anl_cl_attn_tile t = { .dv = dvp, .bq = 64, .rq = 4, .rk = 4, .dc = 32, .uq = 4, .uv = 4 };
    int part = anl_cl_part_of_o(d, dvp), o = part ? part : dvp;

    if (max_group < 256)
        t.rq = t.rk = 8;
    t.vc = o <= 64 ? 32 : o <= 192 ? 16 : 8;
    if (d->tiles.few_registers)
        t.dc = t.vc = 16;
    return t;
}

struct anl_cl_attn_tile anl_cl_pick_attn_tile(const struct anl_cl_device *d, int dp, int dvp)
{
    for (int i = 0; i < ANL_CL_ATTN_TILES; i++) {
        const struct anl_cl_attn_tile *t = &d->tiles.attn[i];
        if (t->dv >= dvp && anl_cl_attn_tile_fits(d, t, dp, dvp))
            return *t;
    }
    return anl_cl_safe_attn_tile(d, d->max_group, dvp);
}

const struct anl_cl_linear_tile anl_cl_safe_linear_tile = { 32, 32, 4, 4, 16, 4, 8, 70, 60 };

/* The tile whose waves of work-groups take least time together. */
struct anl_cl_linear_tile anl_cl_pick_linear_tile(const struct anl_cl_device *d, int64_t tokens,
                                                  int64_t n, int64_t k)
{
    struct anl_cl_linear_tile best = anl_cl_safe_linear_tile;
    double least = -1;

    for (int i = 0; i < ANL_CL_LINEAR_TILES; i++) {
        const struct anl_cl_linear_tile *t = &d->tiles.linear[i];
        int64_t slots = (int64_t)d->base.info.threads * t->groups, groups;
        double time;
        if (!t->bm || !anl_cl_linear_tile_fits(d, t))
            continue;
        groups = anl_cl_ceil_div(tokens, t->bm) * anl_cl_ceil_div(n, t->bn);
        time = (double)anl_cl_ceil_div(groups, slots) * t->bm * t->bn * t->groups / t->speed *
               (double)(k + t->tail);
        if (least < 0 || time < least) {
            least = time;
            best = *t;
        }
    }
    return best;
}

/* "bm128 bn64 ..." after the operation's name: every name once, in order. */
static int parse_numbers(const char *text, const char *const *names, int count, int *out)
{
    for (int i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        int used = 0;
        while (*text == ' ')
            text++;
        if (strncmp(text, names[i], n) || text[n] < '0' || text[n] > '9' ||
            sscanf(text + n, "%4d%n", &out[i], &used) != 1)
            return 0;
        text += n + (size_t)used;
    }
    while (*text == ' ')
        text++;
    return *text == '\n' || !*text;
}

/* The first of the caller's lines for an operation clears the family's for it. */
const char *anl_cl_tiles_set(struct anl_cl_device *d, uint64_t vendor, const char *text)
{
    const struct anl_cl_tiles *own = vendor == VENDOR_NVIDIA ? &nvidia
                                     : vendor == VENDOR_AMD  ? &amd
                                     : vendor == VENDOR_NONE ? &played
                                                             : &fallback;
    int linear = 0, attn = 0;

    d->tiles = *own;
    while (text && *text) {
        const char *end = strchr(text, '\n');
        if (!strncmp(text, "linear ", 7) && linear < ANL_CL_LINEAR_TILES) {
            struct anl_cl_linear_tile *t = &d->tiles.linear[linear];
            if (!linear)
                memset(d->tiles.linear, 0, sizeof d->tiles.linear);
            if (!parse_numbers(text + 7, linear_names, N_LINEAR, (int *)(void *)t) ||
                !anl_cl_linear_tile_fits(d, t))
                return "a linear tile that this device cannot have";
            linear++;
        } else if (!strncmp(text, "attn ", 5) && attn < ANL_CL_ATTN_TILES) {
            struct anl_cl_attn_tile *t = &d->tiles.attn[attn];
            if (!attn)
                memset(d->tiles.attn, 0, sizeof d->tiles.attn);
            if (!parse_numbers(text + 5, attn_names, N_ATTN, (int *)(void *)t) ||
                !attn_tile_can_be(d, t))
                return "an attn tile that this device cannot have";
            attn++;
        } else {
            return "a line that is neither linear nor attn, or too many lines";
        }
        text = end ? end + 1 : NULL;
    }
    return NULL;
}

/* Adds a line; text may be NULL. Returns the size so far. */
static size_t put_line(char *text, size_t capacity, size_t used, const char *op,
                       const char *const *names, int count, const int *numbers)
{
    char line[192];
    int n = snprintf(line, sizeof line, "%s", op);

    for (int i = 0; i < count; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, " %s%d", names[i], numbers[i]);
    line[n++] = '\n';
    if (text && used + (size_t)n <= capacity)
        memcpy(text + used, line, (size_t)n);
    return used + (size_t)n;
}

/* A family's lines that this device cannot have are never taken, and so not told. */
static size_t put_lines(const struct anl_cl_device *d, char *text, size_t capacity)
{
    size_t used = 0;

    for (int i = 0; i < ANL_CL_LINEAR_TILES; i++) {
        const struct anl_cl_linear_tile *t = &d->tiles.linear[i];
        if (t->bm && anl_cl_linear_tile_fits(d, t))
            used = put_line(text, capacity, used, "linear", linear_names, N_LINEAR,
                            (const int *)(const void *)t);
    }
    for (int i = 0; i < ANL_CL_ATTN_TILES; i++) {
        const struct anl_cl_attn_tile *t = &d->tiles.attn[i];
        if (t->bq && attn_tile_can_be(d, t))
            used = put_line(text, capacity, used, "attn", attn_names, N_ATTN,
                            (const int *)(const void *)t);
    }
    return used;
}

anl_status anl_cl_tiles_get(struct anl_device *device, char *text, size_t capacity, size_t *needed)
{
    const struct anl_cl_device *d = anl_cl(device);

    if (d->cpu_shaped)
        return ANL_OK;
    *needed = put_lines(d, NULL, 0) + 1;
    if (text && *needed <= capacity)
        text[put_lines(d, text, capacity)] = 0;
    return ANL_OK;
}
