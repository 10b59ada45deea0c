/* tools/plan/model.c: see model.h. */
#include "tools/plan/model.h"

#include <stdlib.h>

#include <annulet/ring.h>

#define MAX_RANKS (2 * PLAN_MAX_DEVICES)

double plan_pair_flops(const struct plan *plan)
{
    return 4.0 * (double)plan->heads * (double)plan->dim; /* q k and p v, an fma each */
}

double plan_flops(const struct plan *plan)
{
    double n = (double)plan->tokens;
    return plan_pair_flops(plan) * (plan->causal ? n * (n + 1) / 2 : n * n);
}

double plan_kv_bytes(const struct plan *plan)
{
    return 2.0 * (double)plan->kv_heads * (double)plan->dim * plan->kv_bytes;
}

double plan_hiding_piece(const struct plan *plan, int between_hosts)
{
    double link = between_hosts ? plan->host_link : plan->link;
    return link > 0 ? plan_kv_bytes(plan) / plan_pair_flops(plan) * plan->flops / link : 0;
}

static double weight(const struct plan *plan, int device)
{
    return plan->weights != NULL ? plan->weights[device] : 1;
}

static int host(const struct plan *plan, int device)
{
    return (int)((int64_t)device * plan->hosts / plan->devices);
}

/* What the link from one device to another costs. Two pieces of one device need none. */
static void set_link(const struct plan *plan, int from, struct sim_rank *to)
{
    int between = host(plan, from) != host(plan, to->device);
    double rate = between ? plan->host_link : plan->link;
    to->latency = to->token_seconds = 0;
    if (from == to->device && !plan->blocking)
        return;
    to->latency = between ? plan->host_latency : plan->latency;
    to->token_seconds = rate > 0 ? plan_kv_bytes(plan) / rate : 0;
}

static int64_t spans_of(int64_t tokens)
{
    return (tokens + SIM_SPAN - 1) / SIM_SPAN;
}

int plan_cut(const struct plan *plan, struct sim_rank *ranks)
{
    struct anl_ring_piece pieces[MAX_RANKS];
    int n = plan->causal ? 2 * plan->devices : plan->devices, count = 0;
    if (anl_ring_cut(plan->weights, plan->devices, plan->tokens, plan->causal, pieces) != ANL_OK)
        return 0;
    for (int i = 0; i < n; i++)
        if (pieces[i].length > 0)
            ranks[count++] =
                (struct sim_rank){ .device = pieces[i].device, .tokens = pieces[i].length };
    for (int i = 0; i < count; i++)
        set_link(plan, ranks[i > 0 ? i - 1 : count - 1].device, &ranks[i]);
    return count;
}

int64_t plan_chunk(const struct plan *plan, const struct sim_rank *ranks, int n, int *slots)
{
    int64_t most = 1, chunk;
    for (int i = 0; i < n; i++)
        most = ranks[i].tokens > most ? ranks[i].tokens : most;
    most = spans_of(most);
    chunk = plan->slots > 1 ? (most + plan->slots - 2) / (plan->slots - 1) : most;
    most = (most + chunk - 1) / chunk + 1;
    /* a closed ring needs a slot more than a piece has chunks, or it may stand still */
    *slots = plan->causal && plan->slots < most ? plan->slots : (int)most;
    return chunk * SIM_SPAN;
}

/* Queries and results in f32, keys and values, and of the softmax state m and l: o is kept where the results
 * go. */
static double token_bytes(const struct plan *plan)
{
    double d = (double)plan->dim, h = (double)plan->heads;
    return 4 * h * (2 * d) + plan_kv_bytes(plan) + 4 * h * 2;
}

void plan_memory(const struct plan *plan, struct plan_memory *memory)
{
    struct sim_rank ranks[MAX_RANKS];
    int64_t tokens[PLAN_MAX_DEVICES] = { 0 };
    int links[PLAN_MAX_DEVICES] = { 0 }, slots, n = plan_cut(plan, ranks);
    int64_t chunk = plan_chunk(plan, ranks, n, &slots);
    *memory = (struct plan_memory){ 0 };
    for (int i = 0; i < n; i++) {
        tokens[ranks[i].device] += ranks[i].tokens;
        links[ranks[i].device] += n > 1 && (i > 0 || !plan->causal);
    }
    for (int d = 0; d < plan->devices; d++) {
        double shard = (double)tokens[d] * token_bytes(plan);
        double in_slots = (double)links[d] * slots * (double)chunk * plan_kv_bytes(plan);
        memory->tokens = tokens[d] > memory->tokens ? tokens[d] : memory->tokens;
        if (shard + in_slots > memory->shard + memory->slots) {
            memory->shard = shard;
            memory->slots = in_slots;
        }
    }
}

static int fits(const struct plan *plan, int64_t spans)
{
    struct plan with = *plan;
    struct plan_memory memory;
    with.tokens = spans * plan->devices * SIM_SPAN;
    plan_memory(&with, &memory);
    return memory.shard + memory.slots <= plan->memory;
}

int64_t plan_largest(const struct plan *plan)
{
    int64_t low = 0, high = 1;
    while (high < (int64_t)1 << 30 && fits(plan, high))
        high *= 2;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (fits(plan, middle))
            low = middle;
        else
            high = middle;
    }
    return low * plan->devices * SIM_SPAN;
}

static void fill(const struct plan *plan, struct sim_rank *ranks, double *pair_seconds,
                 struct sim_params *sim)
{
    *sim = (struct sim_params){ .ranks = ranks,
                                .n_devices = plan->devices,
                                .pair_seconds = pair_seconds,
                                .call_seconds = plan->call,
                                .causal = plan->causal,
                                .blocking = plan->blocking };
    sim->n_ranks = plan_cut(plan, ranks);
    sim->chunk = plan_chunk(plan, ranks, sim->n_ranks, &sim->slots);
    sim->query_seconds = plan->query;
    sim->batch = plan->batch > 0 ? plan->batch : PLAN_BATCH;
    sim->batch = sim->batch > sim->slots / 2 ? sim->slots / 2 : sim->batch;
    sim->batch = sim->batch > 0 && (plan->causal || plan->devices < 3) ? sim->batch : 1;
    for (int d = 0; d < plan->devices; d++)
        pair_seconds[d] = weight(plan, d) > 0 ? plan_pair_flops(plan) / (plan->flops * weight(plan, d))
                                              : 0; /* it gets nothing */
}

static void summarise(const struct plan *plan, const struct sim_device *devices,
                      struct plan_result *result)
{
    double chunks = 0, early = 0, rate = 0;
    for (int d = 0; d < plan->devices; d++) {
        const struct sim_device *device = &devices[d];
        result->compute = device->compute > result->compute ? device->compute : result->compute;
        result->transfer = device->transfer > result->transfer ? device->transfer : result->transfer;
        chunks += (double)device->chunks;
        early += (double)device->early;
        rate += plan->flops * weight(plan, d);
    }
    result->overlap = chunks > 0 ? early / chunks : 1;
    result->efficiency = result->seconds > 0 ? plan_flops(plan) / rate / result->seconds : 1;
}

enum sim_status plan_run(const struct plan *plan, struct plan_result *result,
                         struct sim_device *devices)
{
    struct sim_rank ranks[MAX_RANKS];
    double pair_seconds[PLAN_MAX_DEVICES];
    struct sim_device *own = NULL;
    struct sim_params sim;
    enum sim_status status = SIM_MEMORY;
    *result = (struct plan_result){ 0 };
    fill(plan, ranks, pair_seconds, &sim);
    if (devices == NULL)
        devices = own = calloc((size_t)plan->devices, sizeof *own);
    if (devices != NULL)
        status = sim_run(&sim, devices, &result->seconds, &result->events);
    if (status == SIM_OK)
        summarise(plan, devices, result);
    free(own);
    return status;
}

double plan_size(const struct plan *plan)
{
    struct sim_rank ranks[MAX_RANKS];
    double pair_seconds[PLAN_MAX_DEVICES];
    struct sim_params sim;
    fill(plan, ranks, pair_seconds, &sim);
    return sim_size(&sim);
}
