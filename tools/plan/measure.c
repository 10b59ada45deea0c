/* tools/plan/measure.c: what a device here can do: attention of some queries with few and with many
 * keys, of which the difference is the work and the rest the call; and copies out of its memory, and
 * into it again where neighbours cannot read each other's. */
#include <stdlib.h>
#include <string.h>

#include "tools/bench/gauge.h"
#include "tools/plan/command.h"

#define FEW_KEYS 512
#define MANY_KEYS 4096
#define LEAST_SECONDS 5e-2 /* of a call with many keys, but for a large one */
#define MOST_QUERIES 8192
#define ROUNDS 7

struct probe {
    const struct plan *plan;
    anl_dtype type;
    struct anl_device *device;
    struct anl_buffer *q, *k, *v, *out;
    void *host; /* k's bytes */
    uint64_t kv_bytes;
};

/* Numbers of about a tenth, in any type. */
static void fill(void *memory, uint64_t bytes, anl_dtype type)
{
    for (uint64_t i = 0; type == ANL_F32 && i < bytes / sizeof(float); i++)
        ((float *)memory)[i] = 0.0625f + (float)(i * 7 % 64) * 0x1p-10f;
    for (uint64_t i = 0; type != ANL_F32 && i < bytes / sizeof(uint16_t); i++)
        ((uint16_t *)memory)[i] = (uint16_t)((type == ANL_F16 ? 0x2c00 : 0x3d80) + i * 7 % 64);
}

static anl_status create(struct probe *p, uint64_t bytes, anl_dtype type, struct anl_buffer **buffer)
{
    void *memory = malloc(bytes);
    anl_status status = anl_buffer_create(p->device, bytes, buffer);
    if (memory == NULL) {
        cli_error("out of memory");
        return ANL_E_MEMORY;
    }
    fill(memory, bytes, type);
    if (status == ANL_OK)
        status = anl_buffer_write(*buffer, 0, memory, bytes);
    free(memory);
    return status;
}

static anl_status open_probe(struct probe *p)
{
    uint64_t q_bytes = (uint64_t)(MOST_QUERIES * p->plan->heads * p->plan->dim) * sizeof(float);
    anl_status status;
    p->kv_bytes = (uint64_t)(MANY_KEYS * p->plan->kv_heads * p->plan->dim * p->plan->kv_bytes);
    p->host = malloc(p->kv_bytes);
    status = p->host != NULL ? ANL_OK : ANL_E_MEMORY;
    if (status == ANL_OK)
        status = create(p, q_bytes, ANL_F32, &p->q);
    if (status == ANL_OK)
        status = create(p, q_bytes, ANL_F32, &p->out);
    if (status == ANL_OK)
        status = create(p, p->kv_bytes, p->type, &p->k);
    if (status == ANL_OK)
        status = create(p, p->kv_bytes, p->type, &p->v);
    return status;
}

static void close_probe(struct probe *p)
{
    anl_buffer_destroy(p->q);
    anl_buffer_destroy(p->k);
    anl_buffer_destroy(p->v);
    anl_buffer_destroy(p->out);
    free(p->host);
}

/* Seconds of one call. */
static anl_status time_call(struct probe *p, int64_t queries, int64_t keys, double *seconds)
{
    const struct plan *plan = p->plan;
    struct anl_kv_piece piece = { anl_tensor_4d(p->k, 0, p->type, 1, plan->kv_heads, keys, plan->dim),
                                  anl_tensor_4d(p->v, 0, p->type, 1, plan->kv_heads, keys, plan->dim),
                                  0 };
    struct anl_attn_params params = { .size = sizeof params, .pieces = &piece, .n_pieces = 1 };
    double start = gauge_now();
    params.q = anl_tensor_4d(p->q, 0, ANL_F32, 1, plan->heads, queries, plan->dim);
    params.out = anl_tensor_4d(p->out, 0, ANL_F32, 1, plan->heads, queries, plan->dim);
    anl_status status = anl_attn(p->device, &params);
    if (status == ANL_OK)
        status = anl_device_finish(p->device);
    *seconds = gauge_now() - start;
    return status;
}

/* Seconds of k's way to a neighbour: out of the device, and in again if it does not share memory. */
static anl_status time_copy(struct probe *p, double *seconds)
{
    double start = gauge_now();
    anl_status status = anl_buffer_read(p->k, 0, p->host, p->kv_bytes);
    if (status == ANL_OK && anl_buffer_host(p->k) == NULL)
        status = anl_buffer_write(p->k, 0, p->host, p->kv_bytes);
    *seconds = gauge_now() - start;
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x)
{
    qsort(x, ROUNDS, sizeof *x, ascending);
    return x[ROUNDS / 2];
}

/* Medians of several rounds. */
struct times {
    double least, few, many, copy; /* least: one query with few keys */
};

static anl_status rounds(struct probe *p, int64_t queries, struct times *t)
{
    double l[ROUNDS], f[ROUNDS], m[ROUNDS], c[ROUNDS];
    anl_status status = ANL_OK;
    for (int i = 0; i < ROUNDS && status == ANL_OK; i++) {
        status = time_call(p, 1, FEW_KEYS, &l[i]);
        if (status == ANL_OK)
            status = time_call(p, queries, FEW_KEYS, &f[i]);
        if (status == ANL_OK)
            status = time_call(p, queries, MANY_KEYS, &m[i]);
        if (status == ANL_OK)
            status = time_copy(p, &c[i]);
    }
    if (status != ANL_OK)
        return status;
    *t = (struct times){ median(l), median(f), median(m), median(c) };
    return ANL_OK;
}

static double above_zero(double x)
{
    return x > 0 ? x : 0;
}

static anl_status measure(struct probe *p, struct plan_command *c)
{
    struct plan *plan = &c->plan;
    struct times t = { 0 };
    double many = 0;
    int64_t queries = 16;
    anl_status status = time_call(p, queries, MANY_KEYS, &many); /* may compile programs */
    while (status == ANL_OK) {
        status = time_call(p, queries, MANY_KEYS, &many);
        if (many >= LEAST_SECONDS || queries == MOST_QUERIES)
            break;
        queries *= 2;
    }
    if (status == ANL_OK)
        status = rounds(p, queries, &t);
    if (status != ANL_OK)
        return status;
    double pair = (t.many - t.few) / (double)(queries * (MANY_KEYS - FEW_KEYS));
    if (!(pair > 0)) /* a machine that is busy with other things */
        pair = t.many / (double)(queries * MANY_KEYS);
    double call = above_zero(t.least - pair * FEW_KEYS);
    double rest = above_zero(t.few - pair * (double)(queries * FEW_KEYS) - call);
    if (plan->flops == 0)
        plan->flops = plan_pair_flops(plan) / pair;
    if (!c->has_call)
        plan->call = call;
    if (!c->has_query)
        plan->query = rest / (double)queries;
    if (!c->has_link)
        plan->link = (double)p->kv_bytes / t.copy;
    return ANL_OK;
}

int plan_measure(struct plan_command *c)
{
    struct anl_context *context;
    struct probe p = { .plan = &c->plan, .type = c->type };
    int code = cli_open_device(c->device, &context, &p.device);
    if (code != CLI_OK)
        return code;
    anl_status status = open_probe(&p);
    if (status == ANL_OK)
        status = measure(&p, c);
    if (status != ANL_OK) {
        cli_error("device '%s': %s", c->device, anl_device_message(p.device));
        code = CLI_BAD_RESULT;
    }
    close_probe(&p);
    cli_close_device(c->device, context, p.device);
    return code;
}
