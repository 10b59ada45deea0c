/* tools/ring/rig.c: see rig.h. */
#include "tools/ring/rig.h"

#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/gen.h"

int rig_open(struct rig *rig, const char *devices)
{
    int code = cli_open_devices(devices, NULL, &rig->devices);
    if (code != CLI_OK)
        return code;
    if (anl_context_create(NULL, &rig->ring_context) == ANL_OK)
        return CLI_OK;
    cli_error("ring: out of memory");
    return CLI_USAGE;
}

static int open_ring(struct rig *rig, const double *weights, int slots, int chunk_spans)
{
    char error[256] = "";
    const struct anl_ring_params p = { .size = sizeof p, .devices = rig->devices.device, .n_devices = rig->devices.n,
                                       .weights = weights, .slots = slots, .chunk_spans = chunk_spans,
                                       .error = error, .error_size = sizeof error };
    anl_status status = anl_ring_create(rig->ring_context, &p, &rig->ring);
    if (status == ANL_OK)
        return CLI_OK;
    cli_error("ring: %s: %s", anl_status_name(status), error);
    return CLI_USAGE;
}

static int failed(struct anl_device *device, anl_status status)
{
    cli_error("ring: %s: %s", anl_status_name(status), anl_device_message(device));
    return CLI_NO_DEVICE;
}

/* A view [1, heads, length, dim] of fresh memory; with array > 0 holding the sequence's numbers: each span
 * of each head of each array is a stream of its own. */
static int place_view(struct rig *rig, struct anl_device *device, uint32_t array, int64_t heads,
                      const struct anl_ring_piece *piece, anl_dtype type, struct anl_tensor *out)
{
    int64_t dim = rig->shape.dim, row = dim * (int64_t)gen_dtype_size(type);
    struct anl_buffer **b = &rig->buffer[rig->n_buffers];
    anl_status s = anl_buffer_create(device, (uint64_t)(heads * piece->length * row), b);
    float *values = gen_alloc((size_t)(512 * dim), sizeof *values);
    void *stored = gen_alloc((size_t)(512 * dim), gen_dtype_size(type));
    rig->n_buffers += s == ANL_OK;
    *out = anl_tensor_4d(*b, 0, type, 1, heads, piece->length, dim);
    for (int64_t h = 0; array && !s && h < heads; h++)
        for (int64_t t = 0; !s && t < piece->length; t += 512) {
            int64_t n = piece->length - t < 512 ? piece->length - t : 512;
            struct gen g = gen_seed((uint64_t)(piece->start + t) * 1024 + (uint64_t)h, 950 + array);
            gen_floats(&g, GEN_RANDOM, 1, values, (size_t)(n * dim));
            gen_store(type, values, (size_t)(n * dim), stored);
            s = anl_buffer_write(*b, (uint64_t)((h * piece->length + t) * row), stored, (uint64_t)(n * row));
        }
    free(values);
    free(stored);
    return s ? failed(device, s) : CLI_OK;
}

static int place_piece(struct rig *rig, int i)
{
    const struct anl_ring_piece *p = &rig->piece[i];
    struct anl_ring_shard *s = &rig->shard[i];
    struct anl_device *d = rig->devices.device[p->device];
    const struct rig_shape *shape = &rig->shape;
    int code;
    if (p->length == 0)
        return CLI_OK;
    code = place_view(rig, d, 1, shape->heads, p, ANL_F32, &s->q);
    if (code == CLI_OK)
        code = place_view(rig, d, 2, shape->kv_heads, p, shape->type, &s->k);
    if (code == CLI_OK)
        code = place_view(rig, d, 3, shape->kv_heads, p, shape->type, &s->v);
    return code == CLI_OK ? place_view(rig, d, 0, shape->heads, p, ANL_F32, &s->out) : code;
}

int rig_place(struct rig *rig, const double *weights, int slots, int chunk_spans)
{
    int code = open_ring(rig, weights, slots, chunk_spans);
    if (code != CLI_OK)
        return code;
    if (anl_ring_plan(rig->ring, rig->shape.tokens, rig->shape.causal, rig->piece) != ANL_OK) {
        cli_error("ring: %s", anl_ring_message(rig->ring));
        return CLI_NO_DEVICE;
    }
    for (int i = 0; i < rig->devices.n; i++)
        anl_device_memory_reset_peak(rig->devices.device[i]);
    for (int i = 0; i < anl_ring_pieces(rig->ring, rig->shape.causal); i++) {
        code = place_piece(rig, i);
        if (code != CLI_OK)
            return code;
    }
    return CLI_OK;
}

int rig_run(struct rig *rig, struct rig_round *round, struct anl_ring_step *steps, size_t capacity,
            size_t *n_steps)
{
    const struct anl_ring_attn_params p = {
        .size = sizeof p,        .shards = rig->shard,           .n_shards = anl_ring_pieces(rig->ring, rig->shape.causal),
        .causal = rig->shape.causal, .accounts = round->account, .steps = steps,
        .capacity = capacity,    .n_steps = n_steps
    };
    anl_status status = anl_ring_attn(rig->ring, &p);
    round->seconds = 0;
    for (int i = 0; i < rig->devices.n; i++)
        if (round->account[i].total > round->seconds)
            round->seconds = round->account[i].total;
    if (status == ANL_OK)
        return CLI_OK;
    cli_error("ring: %s: %s", anl_status_name(status), anl_ring_message(rig->ring));
    return CLI_BAD_RESULT;
}

int rig_hash(struct rig *rig, uint64_t *hash)
{
    XXH3_state_t *state = XXH3_createState();
    anl_status s = ANL_OK;
    XXH3_64bits_reset(state);
    for (int64_t h = 0; h < rig->shape.heads; h++)
        for (int i = 0; !s && i < anl_ring_pieces(rig->ring, rig->shape.causal); i++) {
            size_t bytes = (size_t)(rig->piece[i].length * rig->shape.dim) * sizeof(float);
            float *rows = gen_alloc(1, bytes);
            if (bytes > 0)
                s = anl_buffer_read(rig->shard[i].out.buffer, (uint64_t)h * bytes, rows, bytes);
            XXH3_64bits_update(state, rows, bytes);
            free(rows);
            if (s)
                failed(rig->devices.device[rig->piece[i].device], s);
        }
    *hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return s ? CLI_BAD_RESULT : CLI_OK;
}

double rig_flop(const struct rig *rig)
{
    const struct rig_shape *s = &rig->shape;
    double t = (double)s->tokens, pairs = s->causal ? t * (t + 1) / 2 : t * t;
    return pairs * (double)s->heads * (double)s->dim * 4;
}

void rig_close(struct rig *rig)
{
    anl_ring_destroy(rig->ring);
    for (int i = 0; i < rig->n_buffers; i++)
        anl_buffer_destroy(rig->buffer[i]);
    cli_close_devices(&rig->devices);
    anl_context_destroy(rig->ring_context);
}

int rig_trace(const struct rig *rig, const char *path, const struct anl_ring_step *steps, size_t n)
{
    static const char *const kinds[] = { "compute", "send", "take", "wait" };
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        cli_error("%s: cannot be written", path);
        return CLI_BAD_FILE;
    }
    fputs("{\"traceEvents\":[\n", f);
    for (int i = 0; i < rig->devices.n; i++)
        fprintf(f, "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":%d,\"args\":{\"name\":\"%d %s\"}},\n", i,
                i, rig->devices.spec[i]);
    for (size_t i = 0; i < n; i++) {
        const struct anl_ring_step *s = &steps[i];
        fprintf(f,
                "{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":0,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,"
                "\"args\":{\"piece\":%d,\"start\":%lld,\"keys\":%lld}},\n",
                kinds[s->kind], kinds[s->kind], s->device, s->begin * 1e6, (s->end - s->begin) * 1e6, s->piece,
                (long long)s->start, (long long)s->keys);
    }
    fputs("{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":0,\"args\":{\"name\":\"annulet ring\"}}\n]}\n", f);
    if (fclose(f) == 0)
        return CLI_OK;
    cli_error("%s: writing failed", path);
    return CLI_BAD_FILE;
}
