/* tools/cmd_score.c: `annulet score`: how well a model predicts a text, and the hash of every hidden
 * state that it computed on the way. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <xxhash.h>

#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/lm_app.h"

static const char help[] =
    "usage: annulet score MODEL.gguf -f TEXT [OPTION]...\n\n"
    "Prints the mean cross-entropy of the text's tokens (nats per token), in one window from position\n"
    "0 with no BOS added, and the XXH3-64 hash of the final normed hidden states.\n\n"
    "  -f, --file TEXT  the text's file; - is standard input\n"
    "      --tokens N   only the first N tokens\n"
    "      --chunk N    compute N tokens at a time (changes no bit)\n"
    "  -d, --device D   law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE; default cpu; several with commas\n"
    "                   between them share the text (changes no bit)\n"
    "      --isa ISA    cpu: generic, avx2, avx512 or neon\n"
    "      --json       as JSON\n"
    "  -h, --help       this text\n";

struct score {
    const char *model, *text, *device, *isa;
    int64_t tokens, chunk;
    int json;
};

struct result {
    int64_t tokens;
    double nll, seconds;
    uint64_t hash, peak_bytes;
};

/* CLI_OK, an exit code, or -1: help was given. */
static int parse(struct score *s, int argc, char **argv)
{
    static const struct option options[] = {
        { "file", required_argument, NULL, 'f' },  { "tokens", required_argument, NULL, 't' },
        { "chunk", required_argument, NULL, 'c' }, { "device", required_argument, NULL, 'd' },
        { "isa", required_argument, NULL, 'i' },   { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },        { NULL, 0, NULL, 0 }
    };
    int c, code = CLI_OK;

    while (code == CLI_OK && (c = getopt_long(argc, argv, "f:d:h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (c == '?')
            return CLI_USAGE;
        if (c == 't')
            code = cli_parse_int("--tokens", optarg, 2, 1 << 28, &s->tokens);
        if (c == 'c')
            code = cli_parse_int("--chunk", optarg, 1, 1 << 20, &s->chunk);
        s->text = c == 'f' ? optarg : s->text;
        s->device = c == 'd' ? optarg : s->device;
        s->isa = c == 'i' ? optarg : s->isa;
        s->json |= c == 'j';
    }
    if (code != CLI_OK)
        return code;
    if (optind != argc - 1 || !s->text) {
        cli_error("score takes one model and -f TEXT (see annulet score --help)");
        return CLI_USAGE;
    }
    s->model = argv[optind];
    return CLI_OK;
}

/* The hash is over little-endian bytes. */
static void hash_floats(XXH3_state_t *state, float *x, size_t n)
{
    const uint16_t one = 1;

    if (!*(const unsigned char *)&one) {
        uint32_t *u = (uint32_t *)(void *)x;
        for (size_t i = 0; i < n; i++)
            u[i] = __builtin_bswap32(u[i]);
    }
    XXH3_64bits_update(state, x, n * sizeof *x);
}

/* One chunk: append, hash, add its tokens' nll. */
static enum lm_status chunk(struct lm_session *s, const int32_t *ids, int64_t at, int64_t n,
                            int64_t all, float *rows, XXH3_state_t *hash, struct result *r,
                            int64_t dm, struct gguf_error *err)
{
    double start = lm_app_now();
    enum lm_status status = lm_append(s, ids + at, n, err);
    int64_t predicted = at + n < all ? n : n - 1;

    if (!status)
        status = lm_hidden(s, 0, n, rows, err); /* waits for the device */
    r->seconds += lm_app_now() - start;
    if (status)
        return status;
    hash_floats(hash, rows, (size_t)(n * dm));
    status = lm_nll(s, 0, predicted, ids + at + 1, rows, err);
    for (int64_t i = 0; !status && i < predicted; i++)
        r->nll += (double)rows[i];
    return status;
}

static int evaluate(const struct lm_app *app, const struct score *s, const int32_t *ids, int64_t n,
                    struct result *r)
{
    struct gguf_error err = { "" };
    struct lm_session *session = NULL;
    XXH3_state_t *hash = XXH3_createState();
    struct cli_progress progress;
    struct anl_memory memory;
    float *rows = NULL;
    int64_t dm = lm_model_shape(app->model)->dm;
    enum lm_status status = lm_session_new(app->model, n, s->chunk, &session, &err);

    if (!status) {
        rows = malloc((size_t)(lm_chunk(session) * dm) * sizeof *rows);
        if (!rows || !hash) {
            snprintf(err.message, sizeof err.message, "out of memory");
            status = LM_DEVICE;
        }
    }
    if (hash)
        XXH3_64bits_reset(hash);
    cli_progress_begin(&progress, "score", n);
    for (int64_t i = 0; !status && i < n; i = lm_position(session)) {
        int64_t m = n - i < lm_chunk(session) ? n - i : lm_chunk(session);
        status = chunk(session, ids, i, m, n, rows, hash, r, dm, &err);
        cli_progress_step(&progress, i + m);
    }
    cli_progress_end(&progress);
    if (!status) {
        for (int i = 0; i < app->devices.n; i++) {
            anl_device_get_memory(app->devices.device[i], &memory);
            r->peak_bytes += memory.peak;
        }
        r->tokens = n;
        r->nll /= (double)(n - 1);
        r->hash = XXH3_64bits_digest(hash);
    }
    XXH3_freeState(hash);
    free(rows);
    lm_session_free(session);
    return lm_app_failed(status, &err);
}

static int print(const struct score *s, const struct result *r)
{
    struct rusage usage;
    char nll[40], hash[32];

    getrusage(RUSAGE_SELF, &usage);
    snprintf(nll, sizeof nll, "%.9g", r->nll);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
    if (s->json) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "device", s->device ? s->device : "cpu");
        cJSON_AddNumberToObject(o, "tokens", (double)r->tokens);
        if (isfinite(r->nll))
            cJSON_AddRawToObject(o, "nll", nll);
        else
            cJSON_AddNullToObject(o, "nll");
        cJSON_AddNumberToObject(o, "ppl", exp(r->nll));
        cJSON_AddStringToObject(o, "hash", hash);
        cJSON_AddNumberToObject(o, "prefill_tok_s", (double)r->tokens / r->seconds);
        cJSON_AddNumberToObject(o, "peak_bytes", (double)r->peak_bytes);
        cJSON_AddNumberToObject(o, "peak_rss_bytes", (double)usage.ru_maxrss * 1024);
        return cli_print_json(o);
    }
    printf("tokens   %lld\nnll      %s\nppl      %.6g\nhash     %s\nprefill  %.1f tok/s\n"
           "memory   %.1f MB on the device, %.1f MB in all\n",
           (long long)r->tokens, nll, exp(r->nll), hash, (double)r->tokens / r->seconds,
           (double)r->peak_bytes * 1e-6, (double)usage.ru_maxrss * 1024e-6);
    return cli_finish_output();
}

int cmd_score(int argc, char **argv)
{
    struct score s = { 0 };
    struct result r = { 0 };
    struct lm_app app = { 0 };
    struct gguf_error err = { "" };
    char *text = NULL;
    int32_t *ids = NULL;
    size_t len, n = 0;
    int code = parse(&s, argc, argv);

    if (code)
        return code < 0 ? cli_finish_output() : code;
    code = lm_app_read_text(s.text, &text, &len);
    if (!code)
        code = lm_app_open(&app, s.model, s.device, s.isa);
    if (!code && tok_encode(app.tok, text, len, 0, &ids, &n, &err)) {
        cli_error("%s: %s", s.text, err.message);
        code = CLI_BAD_FILE;
    }
    if (!code && (n < 2 || (int64_t)n < s.tokens)) {
        cli_error("%s has %zu tokens, %lld are needed", s.text, n,
                  (long long)(s.tokens ? s.tokens : 2));
        code = n < 2 ? CLI_BAD_FILE : CLI_USAGE;
    }
    if (!code)
        code = evaluate(&app, &s, ids, s.tokens ? s.tokens : (int64_t)n, &r);
    if (!code)
        code = print(&s, &r);
    free(ids);
    free(text);
    lm_app_close(&app);
    return code;
}
