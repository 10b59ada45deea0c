/* tools/tune/device.c: tries tiles on an OpenCL device: the cases of the tests' own tables against the
 * law, then the time of a shape, in turn with the fastest so far. */
#include "tools/tune/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/attn_case.h"
#include "tests/golden.h"
#include "tests/linear_case.h"

#define ROUND_SECONDS 1e-2 /* a round has as many calls as take this long */
#define ROUNDS 5
#define GOOD_TIME 0.15  /* of a call, in a slot's shape */
#define HOPELESS 2.0    /* no second round for who takes so much longer */
#define ROW_TOKENS 8    /* up to so many tokens, and */
#define ROW_QUERIES 15  /* so many queries, go by kernels without tiles */

double tune_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int tune_device_begin(struct tune_device *d, void *blob, size_t blob_size)
{
    int code = cli_open_device("law", &d->law_context, &d->law);
    d->blob = code == CLI_OK ? blob : NULL;
    d->blob_size = blob_size;
    return code;
}

static void close_held(struct tune_held *h)
{
    if (h->open) {
        anl_device_destroy(h->device);
        anl_context_destroy(h->context);
    }
    h->open = 0;
}

void tune_device_end(struct tune_device *d)
{
    for (int i = 0; i < 2; i++)
        close_held(&d->held[i]);
    cli_close_device("law", d->law_context, d->law);
    free(d->blob);
    d->blob = NULL;
}

/* What the tile's device has built joins what the others had. */
static void keep_programs(struct tune_device *d, struct anl_device *device)
{
    size_t size = 0;
    void *blob;
    if (anl_device_cache_get(device, NULL, 0, &size) != ANL_OK || (blob = malloc(size)) == NULL)
        return;
    if (anl_device_cache_get(device, blob, size, &size) != ANL_OK) {
        free(blob);
        return;
    }
    free(d->blob);
    d->blob = blob;
    d->blob_size = size;
}

static enum tune_verdict open_tile(struct tune_device *d, struct tune_held *h,
                                   const struct tune_tile *tile, char *why, size_t why_size)
{
    char text[TUNE_TEXT];
    struct anl_device_info info;
    struct anl_cl_params params = { .size = sizeof params, .platform = d->entry.platform,
                                    .device = d->entry.device, .shape = d->shape, .tiles = text,
                                    .worst_grade = ANL_EXACT_NORMAL, .cache = d->blob,
                                    .cache_size = d->blob_size, .error = why,
                                    .error_size = why_size };
    tune_print(tile, text);
    if (anl_context_create(NULL, &h->context) != ANL_OK)
        return TUNE_FAILED;
    anl_status status = anl_device_create_cl(h->context, &params, &h->device);
    if (status == ANL_OK) {
        h->open = 1;
        h->tile = *tile;
        anl_device_get_info(h->device, &info);
        d->grade = info.grade;
        return TUNE_GOOD;
    }
    anl_context_destroy(h->context);
    return status == ANL_E_ARGUMENT      ? TUNE_UNFIT
           : status == ANL_E_UNSUPPORTED ? TUNE_WRONG
                                         : TUNE_FAILED;
}

/* The device with this tile: that which is open, or in place of the one that is not `beside`. */
static enum tune_verdict get(struct tune_device *d, const struct tune_tile *beside,
                             const struct tune_tile *tile, struct anl_device **out, char *why,
                             size_t why_size)
{
    int i;
    for (i = 0; i < 2; i++) {
        if (d->held[i].open && memcmp(&d->held[i].tile, tile, sizeof *tile) == 0) {
            *out = d->held[i].device;
            return TUNE_GOOD;
        }
    }
    i = beside != NULL && d->held[0].open && memcmp(&d->held[0].tile, beside, sizeof *beside) == 0;
    close_held(&d->held[i]);
    enum tune_verdict verdict = open_tile(d, &d->held[i], tile, why, why_size);
    *out = verdict == TUNE_GOOD ? d->held[i].device : NULL;
    return verdict;
}

/* One case of the table beside the law, and the law's hash beside the known one. */
static enum tune_verdict check_case(struct tune_device *d, struct anl_device *device, int index,
                                    char *why, size_t why_size)
{
    struct run_result law = { 0 }, result = { 0 };
    enum tune_verdict verdict = TUNE_GOOD;
    char name[160];
    void *data = d->op->make(index);
    d->op->describe(index, name, sizeof name);
    const struct golden *golden = golden_find(d->op->name, name);
    d->op->run(d->law, index, data, NULL, &law);
    d->op->run(device, index, data, NULL, &result);
    d->op->drop(data);
    if (result.status != ANL_OK) {
        verdict = TUNE_FAILED;
        snprintf(why, why_size, "%s", result.message);
    } else if (!run_equal(&result, &law) || result.damaged ||
               (golden != NULL && golden->hash != law.hash)) {
        verdict = TUNE_WRONG;
        snprintf(why, why_size, "%s: hash %016llx, not %016llx", name,
                 (unsigned long long)result.hash, (unsigned long long)law.hash);
    }
    run_free(&law);
    run_free(&result);
    return verdict;
}

static int is_named(const struct tune_device *d, int index)
{
    char name[160];
    d->op->describe(index, name, sizeof name);
    for (int i = 0; d->checks[i] != NULL; i++) {
        if (strcmp(d->checks[i], name) == 0)
            return 1;
    }
    return 0;
}

static enum tune_verdict check(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                               char *why, size_t why_size)
{
    struct tune_device *d = user;
    struct anl_device *device;
    enum tune_verdict verdict = get(d, best, tile, &device, why, why_size);
    for (int i = 0; i < d->op->count && verdict == TUNE_GOOD; i++) {
        if (is_named(d, i))
            verdict = check_case(d, device, i, why, why_size);
    }
    return verdict;
}

/* Whether a case of the table goes through the slot's tile on this device. */
static int goes_through(const struct tune_device *d, int index)
{
    unsigned avoid = d->grade == ANL_EXACT ? 0 : CASE_DENORMAL | CASE_BIG;
    if (d->op->head(index)->flags & avoid)
        return 0;
    if (d->op == &linear_cases)
        return linear_case_at(index)->t > ROW_TOKENS;
    const struct attn_case *c = attn_case_at(index);
    return c->sq > ROW_QUERIES && c->dv <= d->dv && c->dv > d->dv - 64;
}

static enum tune_verdict confirm(void *user, const struct tune_tile *tile, char *why, size_t why_size)
{
    struct tune_device *d = user;
    struct anl_device *device;
    if (memcmp(&d->confirmed, tile, sizeof *tile) == 0) /* by a slot before */
        return TUNE_GOOD;
    enum tune_verdict verdict = get(d, NULL, tile, &device, why, why_size);
    for (int i = 0; i < d->op->count && verdict == TUNE_GOOD && !cli_interrupted(); i++) {
        if (goes_through(d, i))
            verdict = check_case(d, device, i, why, why_size);
    }
    if (verdict == TUNE_GOOD && !cli_interrupted())
        d->confirmed = *tile;
    return verdict;
}

/* The shape's call on one device or, beside another that has the same, on two. */
struct lane {
    struct anl_device *device;
    const struct place_call *call;
    struct run_result result;
    double best; /* seconds of a call */
};

struct race {
    struct tune_device *d;
    struct lane lane[2]; /* the tile; the best so far */
    int lanes;
    enum tune_verdict verdict;
    char *why;
    size_t why_size;
};

static int failed(struct race *r, const struct lane *l)
{
    r->verdict = TUNE_FAILED;
    snprintf(r->why, r->why_size, "%s", anl_device_message(l->device));
    return -1;
}

/* Seconds of a call, of so many; -1: failed. */
static double time_calls(struct race *r, struct lane *l, int64_t calls)
{
    double start = tune_now();
    for (int64_t i = 0; i < calls; i++) {
        if (l->call->op(l->device, l->call->params) != ANL_OK)
            return failed(r, l);
    }
    if (anl_device_finish(l->device) != ANL_OK)
        return failed(r, l);
    return (tune_now() - start) / (double)calls;
}

/* A first call, over a result full of ones, whose bits are looked at; it compiles, too. */
static int first_call(struct race *r, struct lane *l)
{
    if (run_call_cover(l->call, &l->result) != ANL_OK)
        return failed(r, l);
    if (time_calls(r, l, 1) < 0)
        return -1;
    if (run_call_fetch(l->call, &l->result) != ANL_OK)
        return failed(r, l);
    if (l->result.hash == r->d->hash)
        return 0;
    r->verdict = TUNE_WRONG;
    snprintf(r->why, r->why_size, "%s: hash %016llx, not %016llx", r->d->shape_text,
             (unsigned long long)l->result.hash, (unsigned long long)r->d->hash);
    return -1;
}

static void run_race(struct race *r)
{
    struct lane *mine = &r->lane[0], *other = &r->lane[1];
    double once;
    for (int i = 0; i < r->lanes; i++) {
        if (first_call(r, &r->lane[i]) != 0)
            return;
    }
    if ((once = time_calls(r, mine, 1)) < 0)
        return;
    int64_t calls = once >= ROUND_SECONDS ? 1 : once <= 1e-6 ? 10000 : (int64_t)(ROUND_SECONDS / once) + 1;
    for (int round = 0; round < ROUNDS && !cli_interrupted(); round++) {
        for (int i = 0; i < r->lanes; i++) {
            double seconds = time_calls(r, &r->lane[i], calls);
            if (seconds < 0)
                return;
            if (round == 0 || seconds < r->lane[i].best)
                r->lane[i].best = seconds;
        }
        if (r->lanes == 2 && mine->best > HOPELESS * other->best)
            break;
    }
    if (first_call(r, mine) == 0)
        r->verdict = TUNE_GOOD;
}

static void place_lane(struct race *r, int lane);

/* place_options.instead: the inmost one has all lanes placed. */
static void placed(struct race *r, int i, const struct place_call *call)
{
    struct lane *l = &r->lane[i];
    l->call = call;
    run_call_begin(call, &l->result);
    if (i + 1 < r->lanes)
        place_lane(r, i + 1);
    else
        run_race(r);
    run_free(&l->result);
}

static void placed_first(void *user, struct place *p, const struct place_call *call)
{
    (void)p;
    placed(user, 0, call);
}

static void placed_second(void *user, struct place *p, const struct place_call *call)
{
    (void)p;
    placed(user, 1, call);
}

static void place_lane(struct race *r, int lane)
{
    const struct place_options options = { .instead = lane == 0 ? placed_first : placed_second,
                                           .user = r };
    struct run_result result = { 0 };
    r->d->op->form->run(r->lane[lane].device, r->d->c, r->d->data, &options, &result);
    if (result.status != ANL_OK && r->verdict == TUNE_UNTRIED) {
        r->verdict = TUNE_FAILED;
        snprintf(r->why, r->why_size, "%s", result.message);
    }
    run_free(&result);
}

static enum tune_verdict race(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                              double *best_seconds, double *seconds, char *why, size_t why_size)
{
    struct tune_device *d = user;
    struct race r = { .d = d, .lanes = best != NULL ? 2 : 1, .why = why, .why_size = why_size };
    enum tune_verdict verdict = get(d, best, tile, &r.lane[0].device, why, why_size);
    if (verdict == TUNE_GOOD && best != NULL)
        verdict = get(d, tile, best, &r.lane[1].device, why, why_size);
    if (verdict != TUNE_GOOD)
        return verdict;
    place_lane(&r, 0);
    keep_programs(d, r.lane[0].device);
    *seconds = r.lane[0].best;
    *best_seconds = r.lane[1].best;
    return r.verdict == TUNE_UNTRIED ? TUNE_FAILED : r.verdict;
}

static int stop(void *user, int may_end)
{
    struct tune_device *d = user;
    cli_progress_step(&d->progress, (int64_t)((tune_now() - d->begun) * 1000));
    return cli_interrupted() || (may_end && tune_now() >= d->deadline);
}

struct tune_runner tune_device_runner(struct tune_device *d)
{
    return (struct tune_runner){ d, check, race, confirm, stop };
}

static void drop_shape(struct tune_device *d)
{
    if (d->data != NULL)
        d->op->drop(d->data);
    free(d->c);
    d->data = d->c = NULL;
    d->hash = 0;
}

void tune_slot_end(struct tune_device *d)
{
    drop_shape(d);
    for (int i = 0; i < 2; i++)
        close_held(&d->held[i]);
}

static double fma_of(const struct tune_device *d)
{
    const struct linear_case *l = d->c;
    const struct attn_case *a = d->c;
    return d->op == &linear_cases ? (double)l->t * (double)l->n * (double)l->k
                                  : (double)(a->h * a->sq) * (double)a->sk * (double)(a->d + a->dv);
}

static void set_shape(struct tune_device *d, const char *shape)
{
    char error[200];
    drop_shape(d);
    d->c = case_from_shape(d->op->form, shape, error, sizeof error);
    if (d->c == NULL)
        abort(); /* shapes are this file's caller's constants */
    shape_print(d->op->form->fields, d->op->form->n_fields, d->c, d->shape_text, sizeof d->shape_text);
}

/* Its data, and the known hash, or the law's. */
static void make_shape(struct tune_device *d, const char *shape)
{
    struct run_result law = { 0 };
    set_shape(d, shape);
    d->data = d->op->form->make(d->c);
    const struct golden *golden = golden_bench_find(d->op->name, d->shape_text);
    if (golden != NULL) {
        d->hash = golden->hash;
        return;
    }
    d->op->form->run(d->law, d->c, d->data, NULL, &law);
    d->hash = law.hash;
    run_free(&law);
}

/* Seconds of the shape with the first of the tiles that the device can have; below 0: with none. */
static double try_shape(struct tune_device *d, const struct tune_tile *tiles, int count, char *why,
                        size_t why_size)
{
    double seconds = 0, none = 0;
    for (int i = 0; i < count && !cli_interrupted(); i++) {
        if (race(d, NULL, &tiles[i], &none, &seconds, why, why_size) == TUNE_GOOD)
            return seconds;
    }
    return -1;
}

int tune_slot_begin(struct tune_device *d, const struct case_op *op, int dv, const char *const *checks,
                    const char *const *shapes, const struct tune_tile *tiles, int count, char *why,
                    size_t why_size)
{
    int last = 0;
    d->op = op;
    d->dv = dv;
    d->checks = checks;
    make_shape(d, shapes[0]);
    double seconds = try_shape(d, tiles, count, why, why_size), fma = fma_of(d);
    if (seconds < 0)
        return CLI_BAD_RESULT;
    while (shapes[last + 1] != NULL) {
        set_shape(d, shapes[last + 1]);
        if (seconds * fma_of(d) / fma > GOOD_TIME)
            break;
        last++;
    }
    if (last > 0 || shapes[1] != NULL)
        make_shape(d, shapes[last]);
    return CLI_OK;
}
