/* tools/plan/report.c: simulates each ring that was asked for, and prints it as text or JSON. */
#include <stdio.h>

#include "tools/bench/gauge.h"
#include "tools/plan/command.h"

#define MOST_EVENTS 2e9 /* some minutes */

int plan_simulate(const struct plan *plan, struct plan_result *result)
{
    double size = plan_size(plan);
    if (size > MOST_EVENTS) {
        cli_error("%d devices with %d slots a link are %.2g events to simulate, and %.0g is the most: "
                  "take fewer slots",
                  plan->devices, plan->slots, size, MOST_EVENTS);
        return CLI_USAGE;
    }
    enum sim_status status = plan_run(plan, result, NULL);
    if (status == SIM_OK)
        return CLI_OK;
    cli_error("%s", status == SIM_MEMORY ? "out of memory" : "the ring came to a stand: too few slots");
    return CLI_BAD_RESULT;
}

/* A ring, and how long its simulation took. */
struct line {
    struct plan_result result;
    struct plan_memory memory;
    int64_t largest;
    double simulated_in;
};

static int simulate(const struct plan *plan, struct line *line)
{
    double begun = gauge_now();
    int code = plan_simulate(plan, &line->result);
    line->simulated_in = gauge_now() - begun;
    plan_memory(plan, &line->memory);
    line->largest = plan->memory > 0 ? plan_largest(plan) : 0;
    return code;
}

static int pieces(const struct plan *plan)
{
    return plan->causal ? 2 : 1;
}

/* --- text */

static void print_hiding(const struct plan *plan)
{
    double inside = plan_hiding_piece(plan, 0) * pieces(plan);
    double between = plan_hiding_piece(plan, 1) * pieces(plan);
    if (inside <= 0 && between <= 0)
        return;
    printf("hiding    a shard hides its transfer from");
    if (inside > 0)
        printf(" %.0f tokens on%s", inside, plan->hosts > 1 ? " inside a host" : "");
    if (between > 0)
        printf("%s %.0f between hosts", inside > 0 ? "," : "", between);
    printf("\n");
}

static void print_title(const struct plan_command *c)
{
    static const char *const types[] = { "f32", "f16", "bf16" };
    const struct plan *p = &c->plan;
    const char *type = types[c->type == ANL_F32 ? 0 : c->type == ANL_F16 ? 1 : 2];
    printf("attention %lld tokens, %lld heads, %lld key heads, D %lld, keys and values in %s%s\n"
           "device    %.4g TFLOP/s, %.3g us a call and %.3g a query of it\n",
           (long long)p->tokens, (long long)p->heads, (long long)p->kv_heads, (long long)p->dim, type,
           p->causal ? ", causal" : "", p->flops * 1e-12, p->call * 1e6, p->query * 1e6);
    if (p->link > 0)
        printf("link      %.4g GB/s, %.3g us a chunk%s\n", p->link * 1e-9, p->latency * 1e6,
               p->blocking ? "; a device copies, and does not compute meanwhile" : "");
    if (p->hosts > 1)
        printf("hosts     %d, %.4g GB/s, %.3g us a chunk\n", p->hosts, p->host_link * 1e-9,
               p->host_latency * 1e6);
    print_hiding(p);
    printf("\n%7s %12s %12s %10s %8s %10s %10s %14s %14s %10s %9s\n", "devices", "tokens each",
           "seconds", "efficiency", "overlap", "shard MB", "slots MB", "longest each", "longest",
           "events", "simulated");
}

static void print_line(const struct plan *plan, const struct line *l)
{
    printf("%7d %12lld %12.6g %9.2f%% %7.1f%% %10.1f %10.1f", plan->devices,
           (long long)l->memory.tokens, l->result.seconds, l->result.efficiency * 100,
           l->result.overlap * 100, l->memory.shard * 1e-6, l->memory.slots * 1e-6);
    if (plan->memory > 0)
        printf(" %14lld %14lld", (long long)(l->largest / plan->devices), (long long)l->largest);
    else
        printf(" %14s %14s", "-", "-");
    printf(" %10llu %7.2f s\n", (unsigned long long)l->result.events, l->simulated_in);
}

/* --- JSON */

static cJSON *json_title(const struct plan *p)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "tokens", (double)p->tokens);
    cJSON_AddNumberToObject(o, "heads", (double)p->heads);
    cJSON_AddNumberToObject(o, "kv_heads", (double)p->kv_heads);
    cJSON_AddNumberToObject(o, "dim", (double)p->dim);
    cJSON_AddNumberToObject(o, "kv_bytes", p->kv_bytes);
    cJSON_AddBoolToObject(o, "causal", p->causal);
    cJSON_AddNumberToObject(o, "flops", p->flops);
    cJSON_AddNumberToObject(o, "call_seconds", p->call);
    cJSON_AddNumberToObject(o, "query_seconds", p->query);
    cJSON_AddNumberToObject(o, "hosts", p->hosts);
    cJSON_AddNumberToObject(o, "link", p->link);
    cJSON_AddNumberToObject(o, "latency", p->latency);
    cJSON_AddNumberToObject(o, "host_link", p->host_link);
    cJSON_AddNumberToObject(o, "host_latency", p->host_latency);
    cJSON_AddBoolToObject(o, "blocking", p->blocking);
    cJSON_AddNumberToObject(o, "slots", p->slots);
    cJSON_AddNumberToObject(o, "hiding_shard", plan_hiding_piece(p, 0) * pieces(p));
    cJSON_AddNumberToObject(o, "hiding_shard_between_hosts", plan_hiding_piece(p, 1) * pieces(p));
    return o;
}

static void json_line(cJSON *rings, const struct plan *plan, const struct line *l)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(rings, o);
    cJSON_AddNumberToObject(o, "devices", plan->devices);
    cJSON_AddNumberToObject(o, "tokens_each", (double)l->memory.tokens);
    cJSON_AddNumberToObject(o, "seconds", l->result.seconds);
    cJSON_AddNumberToObject(o, "efficiency", l->result.efficiency);
    cJSON_AddNumberToObject(o, "overlap", l->result.overlap);
    cJSON_AddNumberToObject(o, "compute_seconds", l->result.compute);
    cJSON_AddNumberToObject(o, "transfer_seconds", l->result.transfer);
    cJSON_AddNumberToObject(o, "shard_bytes", l->memory.shard);
    cJSON_AddNumberToObject(o, "slot_bytes", l->memory.slots);
    if (plan->memory > 0) {
        cJSON_AddNumberToObject(o, "longest_each", (double)(l->largest / plan->devices));
        cJSON_AddNumberToObject(o, "longest", (double)l->largest);
    }
    cJSON_AddNumberToObject(o, "events", (double)l->result.events);
    cJSON_AddNumberToObject(o, "simulated_in_seconds", l->simulated_in);
}

int plan_report(struct plan_command *c)
{
    cJSON *json = c->json ? json_title(&c->plan) : NULL;
    cJSON *rings = json != NULL ? cJSON_AddArrayToObject(json, "rings") : NULL;
    int code = CLI_OK;
    if (!c->json)
        print_title(c);
    for (int i = 0; i < c->n_rings && code == CLI_OK; i++) {
        struct plan plan = c->plan;
        struct line line;
        plan.devices = c->rings[i];
        code = simulate(&plan, &line);
        if (code == CLI_OK && c->json)
            json_line(rings, &plan, &line);
        else if (code == CLI_OK)
            print_line(&plan, &line);
    }
    if (code == CLI_OK)
        return c->json ? cli_print_json(json) : cli_finish_output();
    cJSON_Delete(json);
    return code;
}
