/* tools/plan/options.c: the options of `annulet plan`. */
#include <ctype.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/plan/command.h"

static const char help[] =
    "usage: annulet plan --tokens N (--flops F | --device D) [OPTION]...\n"
    "       annulet plan --measured FILE [OPTION]...\n"
    "       annulet plan --paper\n\n"
    "Says what attention of one sequence on a ring of devices would take: time, efficiency, overlap\n"
    "and memory, by simulating the ring's schedule event by event; the smallest shard that hides its\n"
    "transfer, and the longest sequence that fits.\n\n"
    "  -n, --devices N,...   of the ring; several: a line for each; up to 1024; default 1\n"
    "      --hosts N         neighbours share a host; default 1\n"
    "  -t, --tokens N        the sequence\n"
    "      --heads N         query heads; default 16\n"
    "      --kv-heads N      default: as many\n"
    "      --dim N           of a head; default 128\n"
    "      --type TYPE       of keys and values: f32, f16 or bf16; default f32\n"
    "      --causal          a query sees no later key\n"
    "      --slots N         of a link, 2 or more: a piece is cut into one chunk less; default 9\n"
    "      --weights W,...   the devices' speeds beside each other; default: all alike\n"
    "  -f, --flops F         float operations a second of a device, an fma is two\n"
    "      --call S          seconds that a call of attention costs beside them; default 0\n"
    "      --query S         seconds that each of its queries costs beside them; default 0\n"
    "      --batch N         chunks that a call meets at most, and half of the slots; default 16\n"
    "      --link B          bytes a second between neighbours, in each direction\n"
    "      --latency S       seconds for a chunk beside them; default 0\n"
    "      --host-link B, --host-latency S   the same between hosts\n"
    "      --blocking        a device does not compute while it copies\n"
    "      --memory B        of a device\n"
    "  -d, --device D        measures --flops, --call, --query and --link here, if they are not given:\n"
    "                        law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE\n"
    "      --measured FILE   runs that annulet ring --json wrote, one behind the other: simulates each;\n"
    "      --within P        exit code 1 if one is off by more than P per cent; default 10. A run on one\n"
    "                        device sets --flops for those after it, if it is not given.\n"
    "      --paper           the tables of the Ring Attention paper, beside the formulas\n"
    "      --json            as JSON\n"
    "  -h, --help            this text\n\n"
    "F and B take k, M, G and T for thousands, and Ki, Mi, Gi and Ti for 1024s; tokens take K, M and G\n"
    "for 1024s.\n";

enum option_id {
    O_HOSTS = 1000,
    O_HEADS,
    O_KV_HEADS,
    O_DIM,
    O_TYPE,
    O_CAUSAL,
    O_SLOTS,
    O_WEIGHTS,
    O_CALL,
    O_QUERY,
    O_BATCH,
    O_LINK,
    O_LATENCY,
    O_HOST_LINK,
    O_HOST_LATENCY,
    O_BLOCKING,
    O_MEMORY,
    O_MEASURED,
    O_WITHIN,
    O_PAPER,
    O_JSON
};

int plan_number(const char *option, const char *text, int all_binary, double low, double high,
                double *out)
{
    static const char letters[] = "KMGT";
    char *end;
    double value = isdigit((unsigned char)text[0]) ? strtod(text, &end) : (end = (char *)text, 0);
    const char *letter = *end != 0 ? strchr(letters, toupper((unsigned char)*end)) : NULL;
    if (letter != NULL && end != text) {
        int binary = all_binary || end[1] == 'i';
        value *= pow(binary ? 1024 : 1000, (double)(letter - letters + 1));
        end += 1 + (end[1] == 'i');
    }
    if (end != text && *end == 0 && isfinite(value) && value >= low && value <= high) {
        *out = value;
        return CLI_OK;
    }
    cli_error("%s is '%s': give a number from %g to %g, such as 12, 1.5G or 64Ki", option, text, low,
              high);
    return CLI_USAGE;
}

static int parse_tokens(struct plan_command *c, const char *text)
{
    double tokens = 0;
    int code = plan_number("--tokens", text, 1, 1, 0x1p40, &tokens);
    if (code == CLI_OK && tokens != floor(tokens)) {
        cli_error("--tokens is '%s': that is no whole number", text);
        return CLI_USAGE;
    }
    c->plan.tokens = (int64_t)tokens;
    return code;
}

static int parse_small(const char *option, const char *text, int64_t low, int64_t high, int *out)
{
    int64_t value = 0;
    int code = cli_parse_int(option, text, low, high, &value);
    *out = (int)value;
    return code;
}

/* The next of some numbers with commas between, into piece; 0: there is none. */
static int next_of(const char **text, char *piece, size_t size)
{
    const char *comma;
    if (*text == NULL)
        return 0;
    comma = strchr(*text, ',');
    snprintf(piece, size, "%.*s", comma != NULL ? (int)(comma - *text) : (int)strlen(*text), *text);
    *text = comma != NULL ? comma + 1 : NULL;
    return 1;
}

static int parse_devices(struct plan_command *c, const char *text)
{
    char piece[32];
    int code = CLI_OK;
    for (c->n_rings = 0; code == CLI_OK && next_of(&text, piece, sizeof piece); c->n_rings++) {
        if (c->n_rings == PLAN_MAX_RINGS) {
            cli_error("--devices: at most %d numbers", PLAN_MAX_RINGS);
            return CLI_USAGE;
        }
        code = parse_small("--devices", piece, 1, PLAN_MAX_DEVICES, &c->rings[c->n_rings]);
    }
    return code;
}

static int parse_weights(struct plan_command *c, const char *text)
{
    char piece[32];
    double sum = 0;
    int code = CLI_OK;
    for (c->n_weights = 0; code == CLI_OK && next_of(&text, piece, sizeof piece); c->n_weights++) {
        if (c->n_weights == PLAN_MAX_DEVICES) {
            cli_error("--weights: at most %d numbers", PLAN_MAX_DEVICES);
            return CLI_USAGE;
        }
        code = cli_parse_float("--weights", piece, 0, 1e6, &c->weights[c->n_weights]);
        sum += c->weights[c->n_weights];
    }
    if (code == CLI_OK && sum <= 0) {
        cli_error("--weights: they are all 0, so no device would get anything");
        return CLI_USAGE;
    }
    return code;
}

static int parse_type(struct plan_command *c, const char *text)
{
    static const char *const names[] = { "f32", "f16", "bf16" };
    static const anl_dtype types[] = { ANL_F32, ANL_F16, ANL_BF16 };
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            c->type = types[i];
            c->plan.kv_bytes = i == 0 ? 4 : 2;
            return CLI_OK;
        }
    }
    cli_error("--type is '%s': one of f32, f16, bf16", text);
    return CLI_USAGE;
}

/* What a device and a link can do. */
static int parse_rate(struct plan_command *c, int o)
{
    struct plan *p = &c->plan;
    switch (o) {
    case 'f':
        return plan_number("--flops", optarg, 0, 1, 1e21, &p->flops);
    case O_CALL:
        c->has_call = 1;
        return cli_parse_float("--call", optarg, 0, 1e3, &p->call);
    case O_QUERY:
        c->has_query = 1;
        return cli_parse_float("--query", optarg, 0, 1e3, &p->query);
    case O_LINK:
        c->has_link = 1;
        return plan_number("--link", optarg, 0, 1, 1e18, &p->link);
    case O_HOST_LINK:
        c->has_host_link = 1;
        return plan_number("--host-link", optarg, 0, 1, 1e18, &p->host_link);
    case O_LATENCY:
        return cli_parse_float("--latency", optarg, 0, 1e3, &p->latency);
    case O_HOST_LATENCY:
        return cli_parse_float("--host-latency", optarg, 0, 1e3, &p->host_latency);
    case O_MEMORY:
        return plan_number("--memory", optarg, 0, 1, 1e18, &p->memory);
    default:
        return cli_parse_float("--within", optarg, 0, 1e6, &c->within);
    }
}

static int parse_option(struct plan_command *c, int o)
{
    struct plan *p = &c->plan;
    switch (o) {
    case 'n':
        return parse_devices(c, optarg);
    case 't':
        return parse_tokens(c, optarg);
    case O_HOSTS:
        return parse_small("--hosts", optarg, 1, PLAN_MAX_DEVICES, &p->hosts);
    case O_HEADS:
        return cli_parse_int("--heads", optarg, 1, 65536, &p->heads);
    case O_KV_HEADS:
        return cli_parse_int("--kv-heads", optarg, 1, 65536, &p->kv_heads);
    case O_DIM:
        return cli_parse_int("--dim", optarg, 1, ANL_ATTN_MAX_D, &p->dim);
    case O_SLOTS:
        return parse_small("--slots", optarg, 2, 4096, &p->slots);
    case O_BATCH:
        return parse_small("--batch", optarg, 1, 4096, &p->batch);
    case O_TYPE:
        return parse_type(c, optarg);
    case O_WEIGHTS:
        return parse_weights(c, optarg);
    case 'd':
        c->device = optarg;
        return CLI_OK;
    case O_MEASURED:
        c->measured = optarg;
        return CLI_OK;
    case O_CAUSAL:
    case O_BLOCKING:
        *(o == O_CAUSAL ? &p->causal : &p->blocking) = 1;
        return CLI_OK;
    case O_PAPER:
    case O_JSON:
        *(o == O_PAPER ? &c->paper : &c->json) = 1;
        return CLI_OK;
    default:
        return parse_rate(c, o);
    }
}

static int usage(const char *message)
{
    cli_error("plan: %s (see annulet plan --help)", message);
    return CLI_USAGE;
}

/* Whether each ring can be: hosts, weights, links. */
static int check_rings(const struct plan_command *c)
{
    for (int i = 0; i < c->n_rings; i++) {
        if (c->rings[i] < c->plan.hosts) {
            cli_error("--hosts is %d, but --devices %d: give each host a device", c->plan.hosts,
                      c->rings[i]);
            return CLI_USAGE;
        }
        if (c->n_weights > 0 && c->n_weights != c->rings[i]) {
            cli_error("--weights has %d numbers, but --devices is %d", c->n_weights, c->rings[i]);
            return CLI_USAGE;
        }
        if (c->rings[i] > c->plan.hosts && !c->has_link && c->device == NULL)
            return usage("a ring needs its links' speed: give --link, such as 25G, or --device");
        if (c->plan.hosts > 1 && !c->has_host_link)
            return usage("several hosts need --host-link, such as 12.5G");
    }
    return CLI_OK;
}

static int check(struct plan_command *c)
{
    struct plan *p = &c->plan;
    if (c->paper)
        return c->json ? usage("--paper is text: leave out --json") : CLI_OK;
    if (p->kv_heads == 0)
        p->kv_heads = p->heads;
    if (p->heads % p->kv_heads != 0) {
        cli_error("--heads is %lld, no multiple of --kv-heads, %lld", (long long)p->heads,
                  (long long)p->kv_heads);
        return CLI_USAGE;
    }
    if (c->measured != NULL)
        return CLI_OK;
    if (p->tokens == 0)
        return usage("how long is the sequence? Give --tokens");
    if (p->flops == 0 && c->device == NULL)
        return usage("how fast is a device? Give --flops, such as 40T, or --device to measure one");
    return check_rings(c);
}

int plan_parse(struct plan_command *c, int argc, char **argv)
{
    static const struct option options[] = {
        { "devices", required_argument, NULL, 'n' },
        { "hosts", required_argument, NULL, O_HOSTS },
        { "tokens", required_argument, NULL, 't' },
        { "heads", required_argument, NULL, O_HEADS },
        { "kv-heads", required_argument, NULL, O_KV_HEADS },
        { "dim", required_argument, NULL, O_DIM },
        { "type", required_argument, NULL, O_TYPE },
        { "causal", no_argument, NULL, O_CAUSAL },
        { "slots", required_argument, NULL, O_SLOTS },
        { "weights", required_argument, NULL, O_WEIGHTS },
        { "flops", required_argument, NULL, 'f' },
        { "call", required_argument, NULL, O_CALL },
        { "query", required_argument, NULL, O_QUERY },
        { "batch", required_argument, NULL, O_BATCH },
        { "link", required_argument, NULL, O_LINK },
        { "latency", required_argument, NULL, O_LATENCY },
        { "host-link", required_argument, NULL, O_HOST_LINK },
        { "host-latency", required_argument, NULL, O_HOST_LATENCY },
        { "blocking", no_argument, NULL, O_BLOCKING },
        { "memory", required_argument, NULL, O_MEMORY },
        { "device", required_argument, NULL, 'd' },
        { "measured", required_argument, NULL, O_MEASURED },
        { "within", required_argument, NULL, O_WITHIN },
        { "paper", no_argument, NULL, O_PAPER },
        { "json", no_argument, NULL, O_JSON },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };
    int o, code = CLI_OK;
    while (code == CLI_OK && (o = getopt_long(argc, argv, "n:t:f:d:h", options, NULL)) != -1) {
        if (o == 'h') {
            fputs(help, stdout);
            return -1;
        }
        code = o == '?' ? CLI_USAGE : parse_option(c, o);
    }
    if (code == CLI_OK && optind < argc) {
        cli_error("plan takes no argument '%s' (see annulet plan --help)", argv[optind]);
        return CLI_USAGE;
    }
    return code == CLI_OK ? check(c) : code;
}
