/* tools/cmd_bench.c: `annulet bench`: how fast each operation is, beside what the machine could do in
 * the very same seconds. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/bench/bench.h"
#include "tools/commands.h"

static const char help[] =
    "usage: annulet bench OP [OPTION]...\n\n"
    "Times an operation: linear, attn, norm, rope, qkv, ffn, embed or xent; a model's lm-prefill\n"
    "or lm-decode; peak, the machine alone; or all. Between the rounds the device's own fma peak and\n"
    "its memory bandwidth are measured, and each round's result is checked by its hash: exit code 1\n"
    "if it is not the known one, or for a --shape of your own not the first round's.\n\n"
    "  -s, --shape TEXT  one case of OP, instead of those of the table, in any order of\n"
    "                      attn    b1 h8 hkv8 sq4096 sk4096 d64 dv64 f32|f16|bf16 causal\n"
    "                      linear  t2048 n4096 k4096 f32|f16|bf16|q8_0|q4_0|q4_1\n"
    "                      ffn     t4096 dm768 dff3072 gelu|swiglu|relu, weights as linear\n"
    "                      qkv     t2048 dm576 h9 hkv3 d64, weights as linear\n"
    "                      norm    t8192 dm4096\n"
    "                      rope    t8192 h32 d64 half\n"
    "                      embed   t32768 n49152 dm576, weights as linear\n"
    "                      xent    t512 n49152\n"
    "  -q, --quick       leave out the cases that take long\n"
    "  -m, --model FILE  for lm-prefill and lm-decode\n"
    "      --tokens N    lm-prefill: of so many tokens, with the last one's logits; lm-decode: after\n"
    "                    so many; default 512\n"
    "  -d, --device D    law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE; default cpu\n"
    "      --isa ISA     cpu: generic, avx2, avx512 or neon\n"
    "      --rounds N    exactly N rounds a case, after the warm-up\n"
    "      --seconds S   else at least five, and rounds for S seconds; default 2\n"
    "      --json        a line of JSON a case\n"
    "      --paced       for one case: say when warm, then one round for each line of standard input\n"
    "  -h, --help        this text\n";

int bench_open_device(struct bench *b)
{
    const struct gauge_cl cl = b->gauge != NULL ? gauge_handles(b->gauge) : (struct gauge_cl){ 0 };
    const struct cli_device_options options = { .isa = b->isa, .worst_grade = ANL_EXACT_NORMAL,
                                                .cl_context = cl.context, .cl_device = cl.device,
                                                .cl_queue = cl.queue };
    int code = cli_open_device_with(b->spec, &options, &b->context, &b->device);
    if (code == CLI_OK)
        anl_device_get_info(b->device, &b->info);
    return code;
}

void bench_close_device(struct bench *b)
{
    cli_close_device(b->spec, b->context, b->device);
    b->context = NULL;
    b->device = NULL;
}

static int parse_option(struct bench *b, int c)
{
    if (c == 'r')
        return cli_parse_int("--rounds", optarg, 1, BENCH_MAX_ROUNDS, &b->rounds);
    if (c == 't')
        return cli_parse_int("--tokens", optarg, 1, 1 << 28, &b->tokens);
    if (c == 'S')
        return cli_parse_float("--seconds", optarg, 0, 86400, &b->seconds);
    b->shape = c == 's' ? optarg : b->shape;
    b->spec = c == 'd' ? optarg : b->spec;
    b->isa = c == 'i' ? optarg : b->isa;
    b->model = c == 'm' ? optarg : b->model;
    b->quick |= c == 'q';
    b->json |= c == 'j';
    b->paced |= c == 'p';
    return CLI_OK;
}

/* CLI_OK, an exit code, or -1: help was given. */
static int parse(struct bench *b, int argc, char **argv)
{
    static const struct option options[] = {
        { "shape", required_argument, NULL, 's' },  { "quick", no_argument, NULL, 'q' },
        { "model", required_argument, NULL, 'm' },  { "tokens", required_argument, NULL, 't' },
        { "device", required_argument, NULL, 'd' }, { "isa", required_argument, NULL, 'i' },
        { "rounds", required_argument, NULL, 'r' }, { "seconds", required_argument, NULL, 'S' },
        { "json", no_argument, NULL, 'j' },         { "paced", no_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    int c, code = CLI_OK;
    while (code == CLI_OK && (c = getopt_long(argc, argv, "s:qm:d:h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (c == '?')
            return CLI_USAGE;
        code = parse_option(b, c);
    }
    if (code != CLI_OK)
        return code;
    if (optind != argc - 1) {
        cli_error("bench takes one operation, or all (see annulet bench --help)");
        return CLI_USAGE;
    }
    b->op = argv[optind];
    return CLI_OK;
}

static const struct case_op *find_op(const char *name)
{
    int count;
    const struct case_op *const *op = case_ops(&count);
    for (int i = 0; i < count; i++) {
        if (strcmp(op[i]->name, name) == 0)
            return op[i];
    }
    return NULL;
}

static int is_lm(const struct bench *b)
{
    return strcmp(b->op, "lm-prefill") == 0 || strcmp(b->op, "lm-decode") == 0;
}

/* Whether the options go together. */
static int check(const struct bench *b)
{
    const struct case_op *op = find_op(b->op);
    if (op == NULL && !is_lm(b) && strcmp(b->op, "peak") != 0 && strcmp(b->op, "all") != 0) {
        cli_error("no operation '%s': one of linear, attn, norm, rope, qkv, ffn, embed, xent, "
                  "lm-prefill, lm-decode, peak, all",
                  b->op);
        return CLI_USAGE;
    }
    if (is_lm(b) && b->model == NULL) {
        cli_error("%s needs a model: add --model FILE", b->op);
        return CLI_USAGE;
    }
    if (b->shape != NULL && op == NULL) {
        cli_error("--shape is for one operation: %s has none", b->op);
        return CLI_USAGE;
    }
    if (b->paced && b->shape == NULL && !is_lm(b)) {
        cli_error("--paced times one case: add --shape");
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int run_all(struct bench *b)
{
    int count, code = bench_peak(b);
    const struct case_op *const *op = case_ops(&count);
    for (int i = 0; i < count && code == CLI_OK && !cli_interrupted(); i++)
        code = bench_op(b, op[i]);
    for (int decode = 0; decode < 2 && b->model != NULL && code == CLI_OK && !cli_interrupted(); decode++)
        code = bench_lm(b, decode);
    return code;
}

static int run(struct bench *b)
{
    if (strcmp(b->op, "all") == 0)
        return run_all(b);
    if (strcmp(b->op, "peak") == 0)
        return bench_peak(b);
    if (is_lm(b))
        return bench_lm(b, strcmp(b->op, "lm-decode") == 0);
    return bench_op(b, find_op(b->op));
}

/* The device's own objects first, where it is OpenCL's; then one look at the device. */
static int open_gauge(struct bench *b)
{
    char error[512] = "out of memory";
    int code;
    if (strncmp(b->spec, "cl:", 3) == 0) {
        code = cli_find_cl(b->spec, &b->entry);
        if (code != CLI_OK)
            return code;
        b->gauge = gauge_open_cl(b->entry.platform, b->entry.device, error, sizeof error);
    }
    code = b->gauge != NULL || strncmp(b->spec, "cl:", 3) != 0 ? bench_open_device(b) : CLI_OK;
    if (code != CLI_OK)
        return code;
    bench_close_device(b);
    if (b->gauge == NULL && strncmp(b->spec, "cl:", 3) != 0)
        b->gauge = gauge_open_cpu(&b->info);
    if (b->gauge != NULL)
        return CLI_OK;
    cli_error("device '%s': %s", b->spec, error);
    return CLI_NO_DEVICE;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = { .spec = "cpu", .seconds = 2, .tokens = 512 };
    int code = parse(&b, argc, argv);
    if (code == -1)
        return cli_finish_output();
    if (code == CLI_OK)
        code = check(&b);
    if (code == CLI_OK)
        code = open_gauge(&b);
    if (code == CLI_OK) {
        cli_catch_interrupts();
        code = run(&b);
    }
    gauge_close(b.gauge);
    cli_end_interrupted();
    return code == CLI_OK && b.bad > 0 ? CLI_BAD_RESULT : code;
}
