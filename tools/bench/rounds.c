/* tools/bench/rounds.c: warms up, times rounds with the gauge between them, and sees to it that every
 * round computed the same bits. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench.h"

#define ROUND_SECONDS 2.0e-2 /* a round has as many calls as take this long */
#define WARM_SECONDS 2.0     /* no second call to warm up if the first took longer */
#define LEAST_ROUNDS 5
#define SHORT_CALL 1.0e-2 /* the gauge emptied the caches: such calls get one to fill them again */

static int device_failed(struct bench *b)
{
    cli_error("%s", anl_device_message(b->device));
    return -1;
}

/* Seconds per call of this many; below 0: failed. */
static double time_calls(struct bench *b, const struct bench_task *task, int64_t calls)
{
    double start = gauge_now();
    for (int64_t i = 0; i < calls; i++) {
        if (task->call(task->user) != 0)
            return -1;
    }
    if (anl_device_finish(b->device) != ANL_OK)
        return device_failed(b);
    return (gauge_now() - start) / (double)calls;
}

static int prepare(const struct bench_task *task)
{
    return task->prepare != NULL ? task->prepare(task->user) : 0;
}

/* *calls becomes the number of a round; below 0: failed. The first call may compile programs. */
static double warm_up(struct bench *b, const struct bench_task *task, int64_t *calls)
{
    double seconds = 0;
    *calls = 1;
    for (int i = 0; i < 2 && seconds < WARM_SECONDS && !cli_interrupted(); i++) {
        if (prepare(task) != 0 || (seconds = time_calls(b, task, 1)) < 0)
            return -1;
    }
    while (!task->single && !cli_interrupted() && seconds * (double)*calls < ROUND_SECONDS) {
        *calls *= 2;
        if ((seconds = time_calls(b, task, *calls)) < 0)
            return -1;
    }
    return seconds;
}

/* What the machine can do just now, as the round's; -1: its own device failed at that. */
static int measure_machine(struct bench *b, struct bench_result *result)
{
    int n = result->rounds;
    result->bandwidth[n] = gauge_bandwidth(b->gauge);
    result->peak[n] = gauge_flops(b->gauge);
    if (result->bandwidth[n] > 0 && result->peak[n] > 0)
        return 0;
    cli_error("device '%s': its peak cannot be measured: a kernel of the bench's own failed", b->spec);
    return -1;
}

/* One round; what it says of the machine and of the bits goes into result. -1: failed. */
static int one_round(struct bench *b, const struct bench_task *task, int64_t calls, double estimate,
                     struct bench_result *result)
{
    int n = result->rounds;
    uint64_t hash;
    if (measure_machine(b, result) != 0 || prepare(task) != 0)
        return -1;
    if (!task->single && estimate < SHORT_CALL && time_calls(b, task, 1) < 0)
        return -1;
    result->seconds[n] = time_calls(b, task, calls);
    if (result->seconds[n] < 0 || task->hash(task->user, &hash) != 0)
        return -1;
    if (n == 0 && !task->has_golden)
        result->hash = hash;
    if (hash != result->hash && result->hash_ok) {
        cli_error("%s %s: the hash is %016llx, not %016llx", task->op, task->shape,
                  (unsigned long long)hash, (unsigned long long)result->hash);
        result->hash_ok = 0;
        result->hash = hash;
    }
    result->rounds++;
    return 0;
}

/* Waits for a line of standard input; 0: the end of it. */
static int another(void)
{
    int c;
    while ((c = getchar()) != EOF && c != '\n')
        ;
    return c == '\n';
}

static int enough(const struct bench *b, const struct bench_result *result, double begun)
{
    if (result->rounds == BENCH_MAX_ROUNDS || cli_interrupted())
        return 1;
    if (b->paced)
        return !another();
    if (b->rounds > 0)
        return result->rounds >= b->rounds;
    return result->rounds >= LEAST_ROUNDS && gauge_now() - begun >= b->seconds;
}

/* How far it is, by rounds or by time, of 1000. */
static int64_t share_done(const struct bench *b, const struct bench_result *result, double begun)
{
    if (b->rounds > 0)
        return result->rounds * 1000 / b->rounds;
    double by_time = (gauge_now() - begun) / b->seconds;
    int64_t least = result->rounds * 1000 / LEAST_ROUNDS;
    return by_time * 1000 < (double)least ? (int64_t)(by_time * 1000) : least;
}

static int all_rounds(struct bench *b, const struct bench_task *task, struct bench_result *result)
{
    struct cli_progress progress;
    int64_t calls;
    int failed = 0;
    if (!b->paced)
        cli_progress_begin(&progress, task->shape, 1000);
    double estimate = warm_up(b, task, &calls), begun = gauge_now();
    failed = estimate < 0;
    if (b->paced && !failed && !cli_interrupted())
        failed = bench_report_ready(b, task) != CLI_OK;
    while (!failed && !enough(b, result, begun)) {
        failed = one_round(b, task, calls, estimate, result) != 0;
        if (b->paced && !failed)
            failed = bench_report_round(result->seconds[result->rounds - 1],
                                        result->peak[result->rounds - 1]) != CLI_OK;
        else if (!b->paced)
            cli_progress_step(&progress, share_done(b, result, begun));
    }
    if (!b->paced)
        cli_progress_end(&progress);
    return failed ? -1 : 0;
}

int bench_rounds(struct bench *b, const struct bench_task *task)
{
    struct bench_result *result = gen_alloc(1, sizeof *result);
    int code = CLI_BAD_RESULT;
    result->hash = task->golden;
    result->hash_ok = 1;
    if (all_rounds(b, task, result) == 0) {
        b->bad += !result->hash_ok;
        code = result->rounds > 0 && !cli_interrupted() ? bench_report(b, task, result) : CLI_OK;
    }
    free(result);
    return code;
}

int bench_peak(struct bench *b)
{
    const struct bench_task task = { .op = "peak", .shape = "" };
    struct bench_result *result = gen_alloc(1, sizeof *result);
    double begun = gauge_now();
    int code = CLI_OK;
    result->hash_ok = 1;
    while (code == CLI_OK && !enough(b, result, begun)) {
        code = measure_machine(b, result) == 0 ? CLI_OK : CLI_BAD_RESULT;
        result->rounds++; /* of no seconds: nothing is called */
    }
    if (code == CLI_OK && !cli_interrupted())
        code = bench_report(b, &task, result);
    free(result);
    return code;
}
