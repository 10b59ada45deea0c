/* tools/cmd_tune.c: `annulet tune`: which tiles are the fastest on an OpenCL device, kept for the runs
 * that follow. A tile that gives one wrong bit is out of it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear_case.h"
#include "tools/cli_cache.h"
#include "tools/commands.h"
#include "tools/tune/device.h"

static const char help[] =
    "usage: annulet tune --device cl:PLATFORM.DEVICE [OPTION]...\n\n"
    "Searches the tiles in which the device's kernels work on many tokens or queries. Each is first held\n"
    "against the law's bits, and left out if one is wrong; then timed in turn with the fastest so far.\n"
    "The winners are kept in the user's cache, where every command finds them. No result changes.\n\n"
    "  -d, --device D   the device; annulet info lists those here\n"
    "      --op OP      linear, attn or all; default all\n"
    "      --seconds S  when to try no further tiles; default 120\n"
    "      --try LINE   a tile to try, instead of those that the tool knows; as they are printed, and\n"
    "                   more than once if need be\n"
    "      --shape gpu  also on a device whose kernels are CPU-shaped otherwise\n"
    "      --dry-run    keep nothing\n"
    "      --show       search nothing: print the tiles in use\n"
    "      --forget     remove what was kept for the device\n"
    "      --json       as JSON\n"
    "  -h, --help       this text\n";

#define MAX_TRY 32
#define SLOTS 4

/* A place in the table, and in which shape it is filled. */
struct slot {
    const char *name;
    enum tune_op op;
    int dv;
    const struct case_op *cases;
    const char *checks[3], *shapes[4];
};

static const struct slot slots[SLOTS] = {
    { "linear, many tokens", TUNE_LINEAR, 0, &linear_cases,
      { "T13 K64 N67 f32 > f32 random", "T9 K1537 N17 f32 > f32 adversarial" },
      { "t256 n512 k512", "t1024 n1024 k1024", "t2048 n4096 k4096" } },
    { "linear, few tokens", TUNE_LINEAR, 0, &linear_cases,
      { "T13 K64 N67 f32 > f32 random", "T9 K1537 N17 f32 > f32 adversarial" }, { "t256 n576 k576" } },
    { "attn, values of 64", TUNE_ATTN, 64, &attn_cases,
      { "B1 H1/1 Q65 K65 D16 V16 f32 causal > f32 random",
        "B1 H1/1 Q17 K1700 D1 V3 f32 scale 1.00 > f32 adversarial" },
      { "h1 sq512 d64", "h2 sq1024 d64", "h8 sq4096 d64" } },
    { "attn, values of 128", TUNE_ATTN, 128, &attn_cases,
      { "B1 H1/1 Q19 K130 D128 V128 f32 causal > f32 random" },
      { "h1 sq512 d128", "h2 sq1024 d128", "h8 sq4096 d128" } },
};
enum { LARGE = 0, SMALL = 1 };

/* What became of a slot. */
struct found {
    struct tune_trial trial[TUNE_CANDIDATES + TUNE_LINES];
    int count, n_old, tried, winner; /* the first n_old were in use before */
    char shape[160];
};

struct tune {
    const char *spec;
    double seconds;
    int linear, attn, dry_run, show, forget, json;
    struct tune_tile more[MAX_TRY];
    int n_more, units, tuned;
    struct tune_device device;
    struct found found[SLOTS];
    char old[TUNE_TEXT * 2 * TUNE_LINES], new[TUNE_TEXT * 2 * TUNE_LINES];
    char path[4096]; /* of the file, if there is one now */
};

static int parse_option(struct tune *t, int c)
{
    if (c == 'S')
        return cli_parse_float("--seconds", optarg, 0, 86400, &t->seconds);
    if (c == 'o') {
        t->linear = strcmp(optarg, "attn") != 0;
        t->attn = strcmp(optarg, "linear") != 0;
        if (t->linear && t->attn && strcmp(optarg, "all") != 0) {
            cli_error("--op is '%s': one of linear, attn, all", optarg);
            return CLI_USAGE;
        }
    }
    if (c == 's' && strcmp(optarg, "gpu") != 0) {
        cli_error("--shape is '%s': only gpu-shaped kernels have tiles: write --shape gpu", optarg);
        return CLI_USAGE;
    }
    if (c == 't' && (t->n_more == MAX_TRY || !tune_parse(optarg, &t->more[t->n_more++]))) {
        cli_error("--try '%s' is no tile, or one too many: write a line such as 'linear bm64 bn64 tm8 "
                  "tn4 bk16 uk16 groups4 speed100 tail45'",
                  optarg);
        return CLI_USAGE;
    }
    t->device.shape = c == 's' ? ANL_CL_SHAPE_GPU : t->device.shape;
    t->spec = c == 'd' ? optarg : t->spec;
    t->dry_run |= c == 'n';
    t->show |= c == 'w';
    t->forget |= c == 'f';
    t->json |= c == 'j';
    return CLI_OK;
}

/* CLI_OK, an exit code, or -1: help was given. */
static int parse(struct tune *t, int argc, char **argv)
{
    static const struct option options[] = {
        { "device", required_argument, NULL, 'd' }, { "op", required_argument, NULL, 'o' },
        { "seconds", required_argument, NULL, 'S' }, { "try", required_argument, NULL, 't' },
        { "shape", required_argument, NULL, 's' },  { "dry-run", no_argument, NULL, 'n' },
        { "show", no_argument, NULL, 'w' },         { "forget", no_argument, NULL, 'f' },
        { "json", no_argument, NULL, 'j' },         { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    int c, code = CLI_OK;
    while (code == CLI_OK && (c = getopt_long(argc, argv, "d:h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (c == '?')
            return CLI_USAGE;
        code = parse_option(t, c);
    }
    if (code != CLI_OK)
        return code;
    if (optind < argc) {
        cli_error("tune takes no argument '%s' (see annulet tune --help)", argv[optind]);
        return CLI_USAGE;
    }
    if (t->spec == NULL || strncmp(t->spec, "cl:", 3) != 0) {
        cli_error("tune is for OpenCL devices: add --device cl:PLATFORM.DEVICE");
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int forget(struct tune *t)
{
    int gone = cli_tiles_forget(&t->device.entry);
    if (gone < 0) {
        cli_error("the tiles kept for '%s' cannot be removed: %s", t->spec, strerror(errno));
        return CLI_BAD_RESULT;
    }
    if (t->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "device", t->spec);
        cJSON_AddBoolToObject(o, "forgotten", gone);
        return cli_print_json(o);
    }
    printf("%s: %s\n", t->spec, gone ? "the tiles kept for it are forgotten" : "none were kept for it");
    return cli_finish_output();
}

static int show(const struct tune *t)
{
    if (t->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "device", t->spec);
        cJSON_AddBoolToObject(o, "tuned", t->tuned);
        cJSON_AddStringToObject(o, "tiles", t->old);
        return cli_print_json(o);
    }
    printf("%s: %s, %s\n%s", t->spec, t->device.entry.name,
           t->tuned ? "tuned tiles" : "the tiles of its family", t->old);
    return cli_finish_output();
}

/* The tiles in use, and the programs that are there already. */
static int look_at_device(struct tune *t, void **blob, size_t *blob_size)
{
    const struct cli_device_options options = { .worst_grade = ANL_EXACT_NORMAL,
                                                .shape = t->device.shape, .tuned = &t->tuned };
    struct anl_context *context;
    struct anl_device *device;
    struct anl_device_info info;
    size_t needed = 0;
    int code = cli_open_device_with(t->spec, &options, &context, &device);
    if (code != CLI_OK)
        return code;
    anl_device_get_info(device, &info);
    t->units = info.threads;
    if (anl_device_tiles_get(device, t->old, sizeof t->old, &needed) != ANL_OK || needed == 0 ||
        needed > sizeof t->old) {
        cli_error("device '%s' has CPU-shaped kernels, whose tiles are not in a table: there is nothing "
                  "to tune (--shape gpu looks at the other ones)",
                  t->spec);
        code = CLI_USAGE;
    } else if (anl_device_cache_get(device, NULL, 0, blob_size) == ANL_OK &&
               (*blob = malloc(*blob_size)) != NULL &&
               anl_device_cache_get(device, *blob, *blob_size, blob_size) != ANL_OK) {
        *blob_size = 0;
    }
    /* programs of a shape that is not the device's own would take the place of those that are */
    if (t->device.shape == ANL_CL_SHAPE_AUTO) {
        cli_close_device(t->spec, context, device);
    } else {
        anl_device_destroy(device);
        anl_context_destroy(context);
    }
    return code;
}

static void add_trial(struct found *f, const struct tune_tile *tile)
{
    for (int i = 0; i < f->count; i++) {
        if (tune_same(&f->trial[i].tile, tile))
            return;
    }
    if (f->count < (int)(sizeof f->trial / sizeof *f->trial))
        f->trial[f->count++].tile = *tile;
}

/* What attention takes for such values now: a line, or one of two for any device. */
static int old_attn(const struct tune *t, int dv, struct tune_tile *out)
{
    const int vc = dv <= 64 ? 32 : 16;
    int count = tune_lines(t->old, TUNE_ATTN, out, TUNE_LINES);
    for (int i = 0; i < count; i++) {
        if (out[i].n[ATTN_DV] >= dv) {
            out[0] = out[i];
            out[0].n[ATTN_DV] = dv;
            return 1;
        }
    }
    out[0] = (struct tune_tile){ TUNE_ATTN, { dv, 64, 4, 4, 32, vc, 0, 4, 4, 0 } };
    out[1] = (struct tune_tile){ TUNE_ATTN, { dv, 64, 8, 8, 32, vc, 0, 4, 4, 0 } };
    return 2;
}

/* Those in use, and those to try; for linear's small shape those that were right for the large one. */
static void list_trials(struct tune *t, int s)
{
    struct tune_tile list[TUNE_CANDIDATES];
    struct found *f = &t->found[s];
    const struct slot *slot = &slots[s];
    int n = slot->op == TUNE_LINEAR ? tune_lines(t->old, TUNE_LINEAR, list, TUNE_LINES)
                                    : old_attn(t, slot->dv, list);
    for (int i = 0; i < n && s != SMALL; i++)
        add_trial(f, &list[i]);
    f->n_old = f->count;
    if (s == SMALL) {
        const struct found *large = &t->found[LARGE];
        for (int i = 0; i < large->count; i++) {
            if (large->trial[i].verdict == TUNE_GOOD)
                add_trial(f, &large->trial[i].tile);
            f->n_old += i < large->n_old && large->trial[i].verdict == TUNE_GOOD;
        }
        return;
    }
    n = t->n_more > 0 ? 0 : tune_candidates(slot->op, slot->dv, list, TUNE_CANDIDATES);
    for (int i = 0; i < n; i++)
        add_trial(f, &list[i]);
    for (int i = 0; i < t->n_more; i++) {
        if (t->more[i].op == slot->op && (slot->op == TUNE_LINEAR || t->more[i].n[ATTN_DV] == slot->dv))
            add_trial(f, &t->more[i]);
    }
}

static int fill_slot(struct tune *t, int s)
{
    const struct slot *slot = &slots[s];
    const struct tune_runner runner = tune_device_runner(&t->device);
    struct found *f = &t->found[s];
    struct tune_tile tiles[TUNE_LINES] = { { TUNE_LINEAR, { 0 } } };
    list_trials(t, s);
    char why[200] = "none was tried";
    int n = f->count < TUNE_LINES ? f->count : TUNE_LINES;
    for (int i = 0; i < n; i++)
        tiles[i] = f->trial[i].tile;
    int code = tune_slot_begin(&t->device, slot->cases, slot->dv, slot->checks, slot->shapes, tiles, n, why,
                               sizeof why);
    snprintf(f->shape, sizeof f->shape, "%s", t->device.shape_text);
    f->winner = code == CLI_OK ? tune_search(&runner, f->trial, f->count, f->n_old) : -1;
    tune_slot_end(&t->device);
    for (int i = 0; i < f->count; i++)
        f->tried += f->trial[i].verdict != TUNE_UNTRIED && f->trial[i].verdict != TUNE_UNFIT;
    if (f->winner >= 0 || cli_interrupted())
        return CLI_OK;
    cli_error("%s: no tile is right on '%s', not even the one in use: %s", slot->name, t->spec,
              code == CLI_OK ? f->trial[0].why : why);
    return CLI_BAD_RESULT;
}

static int wanted(const struct tune *t, int s)
{
    return slots[s].op == TUNE_LINEAR ? t->linear : t->attn;
}

/* Each slot gets its share of the time that is left. */
static int search(struct tune *t)
{
    struct tune_device *d = &t->device;
    int code = CLI_OK, left = 0;
    d->begun = tune_now();
    for (int s = 0; s < SLOTS; s++)
        left += wanted(t, s);
    cli_progress_begin(&d->progress, t->spec, (int64_t)(t->seconds * 1000));
    for (int s = 0; s < SLOTS && code == CLI_OK && !cli_interrupted(); s++) {
        double now = tune_now(), rest = d->begun + t->seconds - now;
        if (!wanted(t, s))
            continue;
        d->deadline = now + rest / left--;
        code = fill_slot(t, s);
    }
    cli_progress_end(&d->progress);
    return code;
}

static void add_line(struct tune *t, const struct tune_tile *tile)
{
    char line[TUNE_TEXT];
    size_t used = strlen(t->new);
    tune_print(tile, line);
    snprintf(t->new + used, sizeof t->new - used, "%s\n", line);
}

/* The winners' table; what was not searched stays as it is. */
static void make_table(struct tune *t)
{
    struct tune_tile line[TUNE_LINES];
    const struct found *large = &t->found[LARGE], *small = &t->found[SMALL];
    int n = tune_lines(t->old, TUNE_LINEAR, line, TUNE_LINES);
    if (t->linear) {
        struct tune_linear l = { .large = large->trial, .n_old = large->n_old, .winner = large->winner,
                                 .compute_units = t->units,
                                 .small_tokens = 256, .small_features = 576, .small_k = 576 };
        while (!tune_same(&large->trial[l.small].tile, &small->trial[small->winner].tile))
            l.small++;
        n = tune_linear_table(&l, line);
    }
    for (int i = 0; i < n; i++)
        add_line(t, &line[i]);
    for (int s = SMALL + 1; t->attn && s < SLOTS; s++)
        add_line(t, &t->found[s].trial[t->found[s].winner].tile);
    n = tune_lines(t->old, TUNE_ATTN, line, TUNE_LINES);
    for (int i = 0, room = t->attn ? 2 : TUNE_LINES; i < n && room > 0; i++) {
        if (t->attn && line[i].n[ATTN_DV] <= slots[SLOTS - 1].dv)
            continue;
        add_line(t, &line[i]);
        room--;
    }
}

/* The time beside the winner's of what was in use: for linear the best of its lines, for attn the first
 * that the device can have. */
static double gain(const struct found *f)
{
    double old = 0;
    for (int i = 0; i < f->n_old; i++) {
        const struct tune_trial *t = &f->trial[i];
        if (t->verdict == TUNE_GOOD && (old <= 0 || (t->tile.op == TUNE_LINEAR && t->relative < old)))
            old = t->relative;
    }
    return old > 0 ? old / f->trial[f->winner].relative : 1;
}

static int is_bad(const struct tune_trial *trial)
{
    return trial->verdict == TUNE_WRONG || trial->verdict == TUNE_FAILED;
}

static const char *verdict_name(const struct tune_trial *trial)
{
    return trial->verdict == TUNE_WRONG ? "wrong" : "failed";
}

static void show_slot(const struct tune *t, int s)
{
    const struct found *f = &t->found[s];
    char line[TUNE_TEXT];
    for (int i = 0; i < f->count; i++) {
        tune_print(&f->trial[i].tile, line);
        if (is_bad(&f->trial[i]))
            printf("left out: %s: %s: %s\n", line, verdict_name(&f->trial[i]), f->trial[i].why);
    }
    const struct tune_trial *best = &f->trial[f->winner];
    tune_print(&best->tile, line);
    printf("%s (%s): %d of %d tried\n    %s\n    %.3f ms, %.2f x as fast as before\n", slots[s].name,
           f->shape, f->tried, f->count, line, best->seconds * 1e3, gain(f));
}

static cJSON *slot_json(const struct found *f, const char *name)
{
    char line[TUNE_TEXT];
    cJSON *o = cJSON_CreateObject();
    tune_print(&f->trial[f->winner].tile, line);
    cJSON_AddStringToObject(o, "slot", name);
    cJSON_AddStringToObject(o, "shape", f->shape);
    cJSON_AddStringToObject(o, "tile", line);
    cJSON_AddNumberToObject(o, "seconds", f->trial[f->winner].seconds);
    cJSON_AddNumberToObject(o, "gain", gain(f));
    cJSON_AddNumberToObject(o, "tried", f->tried);
    cJSON_AddNumberToObject(o, "candidates", f->count);
    cJSON *bad = cJSON_AddArrayToObject(o, "left_out");
    for (int i = 0; i < f->count; i++) {
        if (!is_bad(&f->trial[i]))
            continue;
        cJSON *b = cJSON_CreateObject();
        tune_print(&f->trial[i].tile, line);
        cJSON_AddStringToObject(b, "tile", line);
        cJSON_AddStringToObject(b, "verdict", verdict_name(&f->trial[i]));
        cJSON_AddStringToObject(b, "why", f->trial[i].why);
        cJSON_AddItemToArray(bad, b);
    }
    return o;
}

static int report_json(const struct tune *t)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "device", t->spec);
    cJSON_AddStringToObject(root, "name", t->device.entry.name);
    cJSON_AddStringToObject(root, "driver", t->device.entry.driver);
    cJSON_AddStringToObject(root, "old", t->old);
    cJSON_AddStringToObject(root, "new", t->new);
    cJSON_AddBoolToObject(root, "kept", t->path[0] != 0);
    cJSON *list = cJSON_AddArrayToObject(root, "slots");
    for (int s = 0; s < SLOTS; s++) {
        if (wanted(t, s))
            cJSON_AddItemToArray(list, slot_json(&t->found[s], slots[s].name));
    }
    return cli_print_json(root);
}

static int report(const struct tune *t)
{
    if (t->json)
        return report_json(t);
    printf("%s: %s, driver %s\n", t->spec, t->device.entry.name, t->device.entry.driver);
    for (int s = 0; s < SLOTS; s++) {
        if (wanted(t, s))
            show_slot(t, s);
    }
    printf("\nbefore%s:\n%s\nnow:\n%s\n", t->tuned ? " (tuned earlier)" : "", t->old, t->new);
    if (t->path[0] != 0)
        printf("kept in %s; annulet tune --device %s --forget removes it\n", t->path, t->spec);
    else if (t->dry_run)
        printf("not kept: --dry-run\n");
    return cli_finish_output();
}

/* What was found before Ctrl-C is told, since it cost its time. */
static void report_interrupted(const struct tune *t)
{
    char line[TUNE_TEXT];
    cli_error("interrupted: nothing was kept; the best so far:");
    for (int s = 0; s < SLOTS; s++) {
        const struct found *f = &t->found[s];
        if (!wanted(t, s) || f->tried == 0 || f->winner < 0)
            continue;
        tune_print(&f->trial[f->winner].tile, line);
        fprintf(stderr, "%s: %s\n", slots[s].name, line);
    }
}

static int keep(struct tune *t)
{
    if (t->dry_run)
        return CLI_OK;
    if (cli_tiles_store(&t->device.entry, t->new, t->path, sizeof t->path) == 0)
        return CLI_OK;
    t->path[0] = 0;
    cli_error("the tiles cannot be kept in the user's cache: %s", strerror(errno));
    return CLI_BAD_RESULT;
}

static int run(struct tune *t)
{
    void *blob = NULL;
    size_t blob_size = 0;
    int code = cli_find_cl(t->spec, &t->device.entry);
    if (code != CLI_OK)
        return code;
    if (t->forget)
        return forget(t);
    code = look_at_device(t, &blob, &blob_size);
    if (code == CLI_OK && t->show) {
        free(blob);
        return show(t);
    }
    if (code == CLI_OK)
        code = tune_device_begin(&t->device, blob, blob_size);
    if (code != CLI_OK) {
        free(blob);
        return code;
    }
    cli_catch_interrupts();
    code = search(t);
    tune_device_end(&t->device);
    if (cli_interrupted())
        report_interrupted(t);
    cli_end_interrupted();
    if (code != CLI_OK)
        return code;
    make_table(t);
    code = keep(t);
    int written = report(t);
    return code != CLI_OK ? code : written;
}

int cmd_tune(int argc, char **argv)
{
    struct tune *t = gen_alloc(1, sizeof *t);
    t->seconds = 120;
    t->linear = t->attn = 1;
    int code = parse(t, argc, argv);
    code = code == -1 ? cli_finish_output() : code == CLI_OK ? run(t) : code;
    free(t);
    return code;
}
