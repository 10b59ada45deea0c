/* tools/cmd_ring.c: `annulet ring`: attention of one sequence on a ring of devices: the time, what each
 * device did, and the hash of the result. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gen.h"
#include "tools/commands.h"
#include "tools/ring/rig.h"

static const char help[] =
    "usage: annulet ring --devices D,D,... [OPTION]...\n\n"
    "Runs attention of one sequence on a ring of devices (docs/ring.md), prints what each did, and the\n"
    "XXH3-64 of the result: the same for any devices. The round shown is the median one.\n\n"
    "  -d, --devices D,D,...  the devices, in the order of the ring\n"
    "  -t, --tokens N         of the sequence (default 8192)\n"
    "      --heads N          query heads (16)\n"
    "      --kv-heads N       key and value heads (as many)\n"
    "      --dim N            features of a head (64)\n"
    "      --type T           of keys and values: f32, f16 or bf16 (f32)\n"
    "  -c, --causal           a token sees those before it only\n"
    "      --weights W,W,...  how fast each device is; its share follows (measured, unless all are of a kind)\n"
    "      --slots N          of each link (9; 4 with an OpenCL device)\n"
    "      --chunk-spans N    of 512 keys in a slot (all slots but one hold a piece)\n"
    "      --rounds N         that are timed, after one that is not (3)\n"
    "      --trace FILE       what each device did when, in the last round: for chrome://tracing or Perfetto\n"
    "      --json             as JSON\n"
    "  -h, --help             this text\n";

#define MAX_ROUNDS 64
#define MAX_STEPS 200000

struct options {
    const char *devices, *weights, *trace;
    int64_t slots, chunk_spans, rounds;
    int json;
};

static int parse_type(const char *text, anl_dtype *type)
{
    for (*type = ANL_F32; *type <= ANL_BF16; ++*type)
        if (strcmp(text, anl_dtype_name(*type)) == 0)
            return CLI_OK;
    cli_error("--type is '%s': give f32, f16 or bf16", text);
    return CLI_USAGE;
}

static int parse_weights(const char *text, int n, double *weights)
{
    for (int i = 0; i < n; i++) {
        char one[32] = "";
        size_t length = strcspn(text, ",");
        if (length < sizeof one)
            memcpy(one, text, length);
        if (cli_parse_float("--weights", one, 0, 1e9, &weights[i]) != CLI_OK)
            return CLI_USAGE;
        text += length + (text[length] == ',');
    }
    if (*text == 0)
        return CLI_OK;
    cli_error("--weights: more than the %d devices", n);
    return CLI_USAGE;
}

static const struct option long_options[] = {
    { "devices", required_argument, NULL, 'd' },     { "tokens", required_argument, NULL, 't' },
    { "heads", required_argument, NULL, 'H' },       { "kv-heads", required_argument, NULL, 'K' },
    { "dim", required_argument, NULL, 'D' },         { "type", required_argument, NULL, 'T' },
    { "causal", no_argument, NULL, 'c' },            { "weights", required_argument, NULL, 'w' },
    { "slots", required_argument, NULL, 's' },       { "chunk-spans", required_argument, NULL, 'C' },
    { "rounds", required_argument, NULL, 'r' },      { "trace", required_argument, NULL, 'x' },
    { "json", no_argument, NULL, 'j' },              { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 }
};

static int parse_one(struct options *o, struct rig_shape *s, int c)
{
    switch (c) {
    case 'd':
        o->devices = optarg;
        return CLI_OK;
    case 't':
        return cli_parse_int("--tokens", optarg, 1, 1 << 26, &s->tokens);
    case 'H':
        return cli_parse_int("--heads", optarg, 1, 1024, &s->heads);
    case 'K':
        return cli_parse_int("--kv-heads", optarg, 1, 1024, &s->kv_heads);
    case 'D':
        return cli_parse_int("--dim", optarg, 1, ANL_ATTN_MAX_D, &s->dim);
    case 'T':
        return parse_type(optarg, &s->type);
    case 'w':
        o->weights = optarg;
        return CLI_OK;
    case 's':
        return cli_parse_int("--slots", optarg, 2, 4096, &o->slots);
    case 'C':
        return cli_parse_int("--chunk-spans", optarg, 1, 1 << 20, &o->chunk_spans);
    case 'r':
        return cli_parse_int("--rounds", optarg, 1, MAX_ROUNDS, &o->rounds);
    case 'x':
        o->trace = optarg;
        return CLI_OK;
    default:
        s->causal |= c == 'c';
        o->json |= c == 'j';
        return c == '?' ? CLI_USAGE : CLI_OK;
    }
}

/* CLI_OK, an exit code, or -1: help was asked for and given. */
static int parse(struct options *o, struct rig_shape *s, int argc, char **argv)
{
    int c;
    while ((c = getopt_long(argc, argv, "d:t:ch", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (parse_one(o, s, c) != CLI_OK)
            return CLI_USAGE;
    }
    s->kv_heads = s->kv_heads ? s->kv_heads : s->heads;
    if (optind < argc)
        cli_error("ring takes no argument '%s' (see annulet ring --help)", argv[optind]);
    else if (o->devices == NULL)
        cli_error("ring: name its devices: --devices D,D,...");
    else if (s->heads % s->kv_heads)
        cli_error("--heads is %lld: it must be a multiple of --kv-heads, %lld", (long long)s->heads,
                  (long long)s->kv_heads);
    else
        return CLI_OK;
    return CLI_USAGE;
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct rig_round *)a)->seconds, y = ((const struct rig_round *)b)->seconds;
    return (x > y) - (x < y);
}

static int64_t tokens_of(const struct rig *rig, int device)
{
    int64_t tokens = 0;
    for (int i = 0; i < anl_ring_pieces(rig->ring, rig->shape.causal); i++)
        tokens += rig->piece[i].device == device ? rig->piece[i].length : 0;
    return tokens;
}

/* The ring's own code: what is left of the time. Where chunks are sent and taken beside computing (OpenCL)
 * that cannot be told. */
static double rest(const struct anl_ring_account *a)
{
    double left = a->total - a->compute - a->send - a->take - a->wait;
    return left > 0 ? left : 0;
}

/* Of the ring's own code, for each chunk that travelled from one rank to the next; of the rounds the one with
 * the least, since what the machine does meanwhile counts too. */
static double seconds_per_hop(const struct rig *rig, const struct rig_round *rounds, int64_t n)
{
    double least = -1;
    for (int64_t k = 0; k < n; k++) {
        double seconds = 0, hops = 0;
        for (int i = 0; i < rig->devices.n; i++) {
            seconds += rest(&rounds[k].account[i]);
            hops += (double)rounds[k].account[i].chunks;
        }
        if (hops > 0 && (least < 0 || seconds / hops < least))
            least = seconds / hops;
    }
    return least < 0 ? 0 : least;
}

static int print_table(const struct rig *rig, const struct rig_round *rounds, int64_t n, uint64_t hash)
{
    const struct rig_round *r = &rounds[(n - 1) / 2];
    printf("%-16s %9s %9s %9s %8s %8s %8s %7s %9s %9s %11s %9s %7s %7s\n", "device", "tokens",
           "total ms", "compute", "send", "take", "wait", "ring", "in MiB", "out MiB", "early", "shard MiB",
           "slots", "peak");
    for (int i = 0; i < rig->devices.n; i++) {
        const struct anl_ring_account *a = &r->account[i];
        struct anl_memory m;
        char early[32];
        anl_device_get_memory(rig->devices.device[i], &m);
        snprintf(early, sizeof early, "%llu/%llu", (unsigned long long)a->early, (unsigned long long)a->chunks);
        printf("%-16s %9lld %9.2f %9.2f %8.2f %8.2f %8.2f %7.3f %9.1f %9.1f %11s %9.1f %7.1f %7.1f\n", rig->devices.spec[i],
               (long long)tokens_of(rig, i), a->total * 1e3, a->compute * 1e3, a->send * 1e3, a->take * 1e3,
               a->wait * 1e3, rest(a) * 1e3, (double)a->bytes_in / 1048576, (double)a->bytes_out / 1048576,
               early, (double)m.tensors / 1048576, (double)a->slot_bytes / 1048576, (double)m.peak / 1048576);
    }
    printf("%.2f ms, %.3f TFLOP/s, %.1f us of ring code a hop, hash %016llx\n", r->seconds * 1e3,
           rig_flop(rig) / r->seconds * 1e-12, seconds_per_hop(rig, rounds, n) * 1e6, (unsigned long long)hash);
    return cli_finish_output();
}

/* Such devices meet one chunk a call. */
static int has_cl(const struct rig *rig)
{
    int found = 0;
    for (int i = 0; i < rig->devices.n; i++) {
        struct anl_device_info info;
        anl_device_get_info(rig->devices.device[i], &info);
        found |= info.backend == ANL_CL;
    }
    return found;
}

static int print_json(const struct rig *rig, const struct rig_round *rounds, int64_t n, uint64_t hash)
{
    const struct rig_round *r = &rounds[(n - 1) / 2];
    const struct rig_shape *s = &rig->shape;
    cJSON *root = cJSON_CreateObject(), *devices;
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    cJSON_AddNumberToObject(root, "tokens", (double)s->tokens);
    cJSON_AddNumberToObject(root, "heads", (double)s->heads);
    cJSON_AddNumberToObject(root, "kv_heads", (double)s->kv_heads);
    cJSON_AddNumberToObject(root, "dim", (double)s->dim);
    cJSON_AddStringToObject(root, "type", anl_dtype_name(s->type));
    cJSON_AddBoolToObject(root, "causal", s->causal);
    cJSON_AddNumberToObject(root, "slots", anl_ring_slots(rig->ring));
    cJSON_AddNumberToObject(root, "batch", has_cl(rig) ? 1 : 16);
    cJSON_AddNumberToObject(root, "seconds", r->seconds);
    cJSON_AddNumberToObject(root, "seconds_per_hop", seconds_per_hop(rig, rounds, n));
    cJSON_AddNumberToObject(root, "flop_per_second", rig_flop(rig) / r->seconds);
    cJSON_AddStringToObject(root, "hash", text);
    devices = cJSON_AddArrayToObject(root, "devices");
    for (int i = 0; i < rig->devices.n; i++) {
        const struct anl_ring_account *a = &r->account[i];
        struct anl_memory m;
        cJSON *o = cJSON_CreateObject();
        anl_device_get_memory(rig->devices.device[i], &m);
        cJSON_AddStringToObject(o, "device", rig->devices.spec[i]);
        cJSON_AddNumberToObject(o, "tokens", (double)tokens_of(rig, i));
        cJSON_AddNumberToObject(o, "total", a->total);
        cJSON_AddNumberToObject(o, "compute", a->compute);
        cJSON_AddNumberToObject(o, "send", a->send);
        cJSON_AddNumberToObject(o, "take", a->take);
        cJSON_AddNumberToObject(o, "wait", a->wait);
        cJSON_AddNumberToObject(o, "ring", rest(a));
        cJSON_AddNumberToObject(o, "bytes_in", (double)a->bytes_in);
        cJSON_AddNumberToObject(o, "bytes_out", (double)a->bytes_out);
        cJSON_AddNumberToObject(o, "chunks", (double)a->chunks);
        cJSON_AddNumberToObject(o, "early", (double)a->early);
        cJSON_AddNumberToObject(o, "shard_bytes", (double)m.tensors);
        cJSON_AddNumberToObject(o, "slot_bytes", (double)a->slot_bytes);
        cJSON_AddNumberToObject(o, "peak_bytes", (double)m.peak);
        cJSON_AddItemToArray(devices, o);
    }
    return cli_print_json(root);
}

/* The rounds, in order of their time; the trace is the last one's. */
static int run_rounds(struct rig *rig, const struct options *o, struct rig_round *rounds,
                      struct anl_ring_step *steps, size_t *n_steps)
{
    int code = rig_run(rig, &rounds[0], NULL, 0, NULL);
    for (int i = 0; code == CLI_OK && i < o->rounds; i++)
        code = rig_run(rig, &rounds[i], steps, steps ? MAX_STEPS : 0, steps ? n_steps : NULL);
    qsort(rounds, (size_t)o->rounds, sizeof *rounds, by_seconds);
    return code;
}

int cmd_ring(int argc, char **argv)
{
    struct options o = { .rounds = 3 };
    struct rig *rig = gen_alloc(1, sizeof *rig);
    struct rig_round *rounds = gen_alloc(MAX_ROUNDS, sizeof *rounds);
    struct anl_ring_step *steps = NULL;
    double weights[RIG_DEVICES];
    size_t n_steps = 0;
    uint64_t hash = 0;
    int code;
    rig->shape = (struct rig_shape){ .tokens = 8192, .heads = 16, .dim = 64 };
    code = parse(&o, &rig->shape, argc, argv);
    if (code == -1) {
        code = cli_finish_output();
        goto done;
    }
    if (code != CLI_OK || (code = rig_open(rig, o.devices)) != CLI_OK)
        goto done;
    if (o.weights && (code = parse_weights(o.weights, rig->devices.n, weights)) != CLI_OK)
        goto done;
    if (o.trace)
        steps = gen_alloc(MAX_STEPS, sizeof *steps);
    code = rig_place(rig, o.weights ? weights : NULL, (int)o.slots, (int)o.chunk_spans);
    if (code == CLI_OK)
        code = run_rounds(rig, &o, rounds, steps, &n_steps);
    if (code == CLI_OK)
        code = rig_hash(rig, &hash);
    if (code == CLI_OK && o.trace)
        code = rig_trace(rig, o.trace, steps, n_steps < MAX_STEPS ? n_steps : MAX_STEPS);
    if (code == CLI_OK)
        code = (o.json ? print_json : print_table)(rig, rounds, o.rounds, hash);
done:
    rig_close(rig);
    free(steps);
    free(rounds);
    free(rig);
    return code;
}
