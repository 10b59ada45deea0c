/* tools/bench/report.c: what a bench prints: lines of JSON, or a table. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench.h"

/* What the rounds say when they are put in order. */
struct summary {
    double median, best, worst, spread, peak, bandwidth;
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two nearest of n values in order. */
static double quantile(const double *x, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? x[i] + (at - i) * (x[i + 1] - x[i]) : x[n - 1];
}

static void summarise(const struct bench_result *r, struct summary *s)
{
    double x[BENCH_MAX_ROUNDS];
    const double *arrays[3] = { r->seconds, r->peak, r->bandwidth };
    double *medians[3] = { &s->median, &s->peak, &s->bandwidth };
    for (int a = 2; a >= 0; a--) {
        for (int i = 0; i < r->rounds; i++)
            x[i] = arrays[a][i];
        qsort(x, (size_t)r->rounds, sizeof *x, ascending);
        *medians[a] = quantile(x, r->rounds, 0.5);
    }
    s->best = x[0];
    s->worst = x[r->rounds - 1];
    s->spread = s->median > 0
                    ? (quantile(x, r->rounds, 0.75) - quantile(x, r->rounds, 0.25)) / s->median
                    : 0;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static cJSON *begin_line(const struct bench *b, const struct bench_task *task)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "op", task->op);
    cJSON_AddStringToObject(o, "shape", task->shape);
    cJSON_AddStringToObject(o, "device", b->spec);
    cJSON_AddStringToObject(o, "device_name", b->info.name);
    cJSON_AddStringToObject(o, "device_detail", b->info.detail);
    cJSON_AddNumberToObject(o, "threads", b->info.threads);
    if (b->entry.driver[0] != 0)
        cJSON_AddStringToObject(o, "driver", b->entry.driver);
    return o;
}

static uint64_t scratch_bytes(const struct bench *b)
{
    struct anl_memory memory = { 0 };
    if (b->device != NULL)
        anl_device_get_memory(b->device, &memory);
    return memory.peak_scratch;
}

static int report_json(const struct bench *b, const struct bench_task *task,
                       const struct bench_result *r, const struct summary *s)
{
    char hash[20];
    cJSON *o = begin_line(b, task), *seconds;
    cJSON_AddNumberToObject(o, "rounds", r->rounds);
    if (s->median > 0) {
        seconds = cJSON_AddObjectToObject(o, "seconds");
        cJSON_AddNumberToObject(seconds, "median", s->median);
        cJSON_AddNumberToObject(seconds, "best", s->best);
        cJSON_AddNumberToObject(seconds, "worst", s->worst);
        cJSON_AddNumberToObject(seconds, "spread", s->spread);
        cJSON_AddNumberToObject(o, "flop", task->flop);
        cJSON_AddNumberToObject(o, "bytes", task->bytes);
        cJSON_AddNumberToObject(o, "gflops", task->flop / s->median * 1e-9);
        if (task->tokens > 0)
            cJSON_AddNumberToObject(o, "tokens_per_second", (double)task->tokens / s->median);
        cJSON_AddNumberToObject(o, "gbs", task->bytes / s->median * 1e-9);
        cJSON_AddNumberToObject(o, "of_peak", ratio(task->flop / s->median, s->peak));
        cJSON_AddNumberToObject(o, "of_bandwidth", ratio(task->bytes / s->median, s->bandwidth));
        cJSON_AddNumberToObject(o, "scratch_bytes", (double)scratch_bytes(b));
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
        cJSON_AddStringToObject(o, "hash", hash);
        cJSON_AddBoolToObject(o, "hash_checked", task->has_golden);
        cJSON_AddBoolToObject(o, "hash_ok", r->hash_ok);
    }
    cJSON_AddNumberToObject(o, "peak_gflops", s->peak * 1e-9);
    cJSON_AddNumberToObject(o, "bandwidth_gbs", s->bandwidth * 1e-9);
    return cli_print_json_line(o);
}

static void print_title(struct bench *b)
{
    if (!b->titled)
        printf("%s: %s, %s, %d thread%s\n%-10s %-46s %11s %7s %9s %9s %6s %8s %8s %6s %9s  %s\n",
               b->spec, b->info.name, b->info.detail, b->info.threads,
               b->info.threads == 1 ? "" : "s", "op", "shape", "ms", "spread", "GFLOP/s", "peak",
               "of it", "GB/s", "memory", "of it", "scratch", "hash");
    b->titled = 1;
}

/* Hashes: "golden" is the one that other machines gave, "same" the first round's. */
static int report_table(struct bench *b, const struct bench_task *task,
                        const struct bench_result *r, const struct summary *s)
{
    const char *right = task->has_golden ? "golden" : "same";
    double flops = ratio(task->flop, s->median), read = ratio(task->bytes, s->median);
    print_title(b);
    if (s->median <= 0) {
        printf("%-10s %-46s %11s %7s %9s %9.1f %6s %8s %8.2f\n", task->op, task->shape, "", "", "",
               s->peak * 1e-9, "", "", s->bandwidth * 1e-9);
        return cli_finish_output();
    }
    printf("%-10s %-46s %11.4f %6.1f%% %9.1f %9.1f %5.1f%% ", task->op, task->shape,
           s->median * 1e3, s->spread * 100, flops * 1e-9, s->peak * 1e-9,
           ratio(flops, s->peak) * 100);
    printf("%8.2f %8.2f %5.1f%% %9.3g  %016llx %s\n", read * 1e-9, s->bandwidth * 1e-9,
           ratio(read, s->bandwidth) * 100, (double)scratch_bytes(b), (unsigned long long)r->hash,
           r->hash_ok ? right : "WRONG");
    if (task->tokens > 0)
        printf("%-10s %.1f tokens a second\n", "", (double)task->tokens / s->median);
    return cli_finish_output();
}

int bench_report(struct bench *b, const struct bench_task *task, const struct bench_result *result)
{
    struct summary s = { 0 };
    summarise(result, &s);
    return b->json ? report_json(b, task, result, &s) : report_table(b, task, result, &s);
}

int bench_report_ready(const struct bench *b, const struct bench_task *task)
{
    cJSON *o = begin_line(b, task);
    cJSON_AddBoolToObject(o, "ready", 1);
    return cli_print_json_line(o);
}

int bench_report_round(double seconds, double peak)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "seconds", seconds);
    cJSON_AddNumberToObject(o, "peak_gflops", peak * 1e-9);
    return cli_print_json_line(o);
}
