/* tools/cmd_run.c: `annulet run`: a model continues a text, or answers it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/commands.h"
#include "tools/lm/chat.h"
#include "tools/lm_app.h"
#include "tools/utf8.h"

static const char help[] =
    "usage: annulet run MODEL.gguf (-p TEXT | -f FILE) [OPTION]...\n\n"
    "Continues the text; the same seed gives the same text on every device.\n\n"
    "  -p, --prompt TEXT  the text\n"
    "  -f, --file FILE    its file; - is standard input\n"
    "      --tokens N     only the first N tokens of it\n"
    "  -n, --new M        at most M new tokens; default 64\n"
    "      --chat         take the text as a question and answer it\n"
    "      --temp T       temperature, 0 to 100; default 0: always the likeliest token\n"
    "      --top-p P      sample from the likeliest tokens that together reach P; default 1\n"
    "      --seed S       of the random choice; default 0\n"
    "      --chunk N      compute N tokens of the prompt at a time (changes no bit)\n"
    "  -d, --device D     law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE; default cpu; several with commas\n"
    "                     between them share the text (changes no bit)\n"
    "      --isa ISA      cpu: generic, avx2, avx512 or neon\n"
    "      --json         as JSON, when all is done\n"
    "  -h, --help         this text\n";

struct run {
    const char *model, *prompt, *file, *device, *isa;
    int64_t tokens, fresh, chunk, seed;
    double temp, top_p;
    int chat, json;
};

/* What was made, and how fast. */
struct result {
    char *text;
    size_t len, room;
    int64_t tokens;
    double prefill_tok_s, decode_tok_s;
};

static int parse_option(struct run *r, int c)
{
    switch (c) {
    case 'p':
        r->prompt = optarg;
        break;
    case 'f':
        r->file = optarg;
        break;
    case 't':
        return cli_parse_int("--tokens", optarg, 1, 1 << 28, &r->tokens);
    case 'n':
        return cli_parse_int("--new", optarg, 1, 1 << 28, &r->fresh);
    case 'k':
        return cli_parse_int("--chunk", optarg, 1, 1 << 20, &r->chunk);
    case 'T':
        return cli_parse_float("--temp", optarg, 0, 100, &r->temp);
    case 'P':
        return cli_parse_float("--top-p", optarg, 0, 1, &r->top_p);
    case 's':
        return cli_parse_int("--seed", optarg, 0, INT64_MAX, &r->seed);
    case 'd':
        r->device = optarg;
        break;
    case 'i':
        r->isa = optarg;
        break;
    case 'c':
        r->chat = 1;
        break;
    default:
        r->json = 1;
    }
    return CLI_OK;
}

/* CLI_OK, an exit code, or -1: help was given. */
static int parse(struct run *r, int argc, char **argv)
{
    static const struct option options[] = {
        { "prompt", required_argument, NULL, 'p' }, { "file", required_argument, NULL, 'f' },
        { "tokens", required_argument, NULL, 't' }, { "new", required_argument, NULL, 'n' },
        { "chunk", required_argument, NULL, 'k' },  { "temp", required_argument, NULL, 'T' },
        { "top-p", required_argument, NULL, 'P' },  { "seed", required_argument, NULL, 's' },
        { "device", required_argument, NULL, 'd' }, { "isa", required_argument, NULL, 'i' },
        { "chat", no_argument, NULL, 'c' },         { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    int c, code;

    while ((c = getopt_long(argc, argv, "p:f:n:d:h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        code = c == '?' ? CLI_USAGE : parse_option(r, c);
        if (code)
            return code;
    }
    if (optind != argc - 1 || !r->prompt == !r->file) {
        cli_error("run takes one model and either -p TEXT or -f FILE (see annulet run --help)");
        return CLI_USAGE;
    }
    if (r->temp != 0 && r->temp < 0x1p-20) {
        cli_error("--temp %g is too small: use 0 for always the likeliest token", r->temp);
        return CLI_USAGE;
    }
    r->model = argv[optind];
    return CLI_OK;
}

/* The prompt's tokens; the caller frees *ids. */
static int encode(const struct lm_app *app, const struct run *r, int32_t **ids, size_t *n)
{
    struct gguf_error err = { "" };
    char *text = NULL, *chat = NULL;
    size_t len = 0, chat_len = 0;
    int code = CLI_OK, failed = 0;

    if (r->file)
        code = lm_app_read_text(r->file, &text, &len);
    if (code)
        return code;
    if (r->prompt) {
        text = NULL;
        len = strlen(r->prompt);
    }
    if (r->chat)
        failed = chat_format(app->file, text ? text : r->prompt, len, &chat, &chat_len, &err);
    if (!failed)
        failed = r->chat ? tok_encode(app->tok, chat, chat_len, TOK_PARSE_SPECIAL, ids, n, &err)
                         : tok_encode(app->tok, text ? text : r->prompt, len, 0, ids, n, &err);
    free(chat);
    free(text);
    if (failed) {
        cli_error("%s", err.message);
        return CLI_BAD_FILE;
    }
    if (r->tokens && (int64_t)*n > r->tokens)
        *n = (size_t)r->tokens;
    if (*n)
        return CLI_OK;
    cli_error("the text has no tokens: give some");
    return CLI_USAGE;
}

/* Adds a token's bytes to the text, and to the terminal unless JSON is wanted. */
static int emit(const struct lm_app *app, const struct run *r, int32_t id, struct result *out)
{
    const char *bytes = "";
    size_t len = 0;

    tok_piece(app->tok, id, &bytes, &len);
    if (out->len + len + 1 > out->room) {
        size_t room = 2 * (out->len + len) + 256;
        char *more = realloc(out->text, room);
        if (!more) {
            cli_error("out of memory");
            return CLI_BAD_RESULT;
        }
        out->text = more;
        out->room = room;
    }
    memcpy(out->text + out->len, bytes, len);
    out->len += len;
    out->text[out->len] = 0;
    if (r->json)
        return CLI_OK;
    fwrite(bytes, 1, len, stdout);
    return fflush(stdout) == 0 ? CLI_OK : cli_finish_output();
}

static enum lm_status prefill(struct lm_session *s, const int32_t *ids, int64_t n, float *logits,
                              struct gguf_error *err)
{
    enum lm_status status = LM_OK;
    struct cli_progress progress;
    int64_t m = 0;

    cli_progress_begin(&progress, "prompt", n);
    for (int64_t i = 0; !status && i < n; i += m) {
        m = n - i < lm_chunk(s) ? n - i : lm_chunk(s);
        status = lm_append(s, ids + i, m, err);
        cli_progress_step(&progress, i + m);
    }
    if (!status)
        status = lm_logits(s, m - 1, logits, err);
    cli_progress_end(&progress);
    return status;
}

static int decode(const struct lm_app *app, const struct run *r, struct lm_session *s,
                  float *logits, struct result *out)
{
    struct anl_sample_params p = { .size = sizeof p, .logits = logits,
                                   .n = lm_model_shape(app->model)->vocab,
                                   .temperature = (float)r->temp, .top_p = (float)r->top_p,
                                   .seed = (uint64_t)r->seed };
    struct gguf_error err = { "" };
    double start = lm_app_now();
    enum lm_status status = LM_OK;
    int code = CLI_OK;
    int32_t id;

    while (!code) {
        p.step = (uint64_t)out->tokens;
        if (anl_sample(&p, &id) != ANL_OK) {
            cli_error("the model's logits are not numbers");
            return CLI_BAD_RESULT;
        }
        if (tok_is_end(app->tok, id))
            break;
        code = emit(app, r, id, out);
        if (code || ++out->tokens == r->fresh)
            break;
        status = lm_append(s, &id, 1, &err);
        if (!status)
            status = lm_logits(s, 0, logits, &err);
        if (status)
            code = lm_app_failed(status, &err);
    }
    if (out->tokens > 1)
        out->decode_tok_s = (double)(out->tokens - 1) / (lm_app_now() - start);
    return code;
}

static int generate(const struct lm_app *app, const struct run *r, const int32_t *ids, int64_t n,
                    struct result *out)
{
    struct gguf_error err = { "" };
    struct lm_session *s = NULL;
    float *logits = malloc((size_t)lm_model_shape(app->model)->vocab * sizeof *logits);
    int64_t context = lm_model_shape(app->model)->context;
    double start;
    enum lm_status status;
    int code;

    if (n + r->fresh > context) {
        cli_error("%lld tokens and %lld new ones do not fit the model's context of %lld: lower "
                  "--tokens or --new",
                  (long long)n, (long long)r->fresh, (long long)context);
        free(logits);
        return CLI_USAGE;
    }
    status = logits ? lm_session_new(app->model, n + r->fresh, r->chunk, &s, &err) : LM_DEVICE;
    start = lm_app_now();
    if (!status)
        status = prefill(s, ids, n, logits, &err);
    out->prefill_tok_s = (double)n / (lm_app_now() - start);
    code = lm_app_failed(status, &err);
    if (!code)
        code = decode(app, r, s, logits, out);
    lm_session_free(s);
    free(logits);
    return code;
}

static int print(const struct run *r, const struct result *out)
{
    if (!r->json) {
        printf("\n");
        fprintf(stderr, "%lld tokens; prefill %.1f tok/s, decode %.1f tok/s\n",
                (long long)out->tokens, out->prefill_tok_s, out->decode_tok_s);
        return cli_finish_output();
    }
    char *clean = utf8_clean(out->text ? out->text : "", out->len);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "device", r->device ? r->device : "cpu");
    cJSON_AddStringToObject(o, "text", clean ? clean : "");
    cJSON_AddNumberToObject(o, "tokens", (double)out->tokens);
    cJSON_AddNumberToObject(o, "prefill_tok_s", out->prefill_tok_s);
    cJSON_AddNumberToObject(o, "decode_tok_s", out->decode_tok_s);
    free(clean);
    return cli_print_json(o);
}

int cmd_run(int argc, char **argv)
{
    struct run r = { .fresh = 64, .top_p = 1 };
    struct result out = { 0 };
    struct lm_app app = { 0 };
    int32_t *ids = NULL;
    size_t n = 0;
    int code = parse(&r, argc, argv);

    if (code)
        return code < 0 ? cli_finish_output() : code;
    code = lm_app_open(&app, r.model, r.device, r.isa);
    if (!code)
        code = encode(&app, &r, &ids, &n);
    if (!code)
        code = generate(&app, &r, ids, (int64_t)n, &out);
    if (!code)
        code = print(&r, &out);
    free(ids);
    free(out.text);
    lm_app_close(&app);
    return code;
}
