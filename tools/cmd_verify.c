/* tools/cmd_verify.c: `annulet verify`: the conformance cases of every operation on each device,
 * hash beside the law's. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/golden.h"
#include "tests/runner.h"
#include "tools/cli.h"
#include "tools/commands.h"

static const char help[] =
    "usage: annulet verify [--device D]... [--isa ISA] [--quick] [--json]\n\n"
    "Runs the conformance cases of every operation on each device and prints the XXH3-64 hash of\n"
    "the result beside the law's. Exit code 1 if any differs.\n\n"
    "  -d, --device D  a device (may be given more than once); default: cpu and every cl device\n"
    "      --isa ISA   cpu: generic, avx2, avx512 or neon\n"
    "  -q, --quick     a few small cases of each operation, compared also with the hashes that\n"
    "                  other machines gave\n"
    "      --json      as JSON\n"
    "  -h, --help      this text\n";

#define MAX_DEVICES 32

struct verify {
    const char *device[MAX_DEVICES];
    int devices;
    char found[MAX_DEVICES][32]; /* names of devices that the user did not name */
    const char *isa;
    int quick, json;
    struct anl_context *law_context;
    struct anl_device *law;
    cJSON *root, *cases;
    int64_t run, different, refused;
    struct cli_progress progress;
};

/* A device of grade exact-normal does not promise denormals, and is too slow for big cases. */
static int promised(const struct case_head *head, const struct anl_device_info *info, int quick)
{
    unsigned avoid = info->grade == ANL_EXACT ? 0 : CASE_DENORMAL | CASE_BIG;
    return (!quick || head->flags & CASE_QUICK) && !(head->flags & avoid);
}

static void show(struct verify *v, const char *device, const char *op, const char *name,
                 const struct run_result *result, const struct run_result *law, int same)
{
    if (v->cases != NULL) {
        char hash[32], expected[32];
        cJSON *o = cJSON_CreateObject();
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)result->hash);
        snprintf(expected, sizeof expected, "%016llx", (unsigned long long)law->hash);
        cJSON_AddStringToObject(o, "device", device);
        cJSON_AddStringToObject(o, "op", op);
        cJSON_AddStringToObject(o, "case", name);
        cJSON_AddStringToObject(o, "hash", hash);
        cJSON_AddStringToObject(o, "law", expected);
        cJSON_AddBoolToObject(o, "same", same);
        if (result->status != ANL_OK)
            cJSON_AddStringToObject(o, "error", result->message);
        cJSON_AddItemToArray(v->cases, o);
        return;
    }
    printf("%-6s %-60s %016llx %016llx%s\n", op, name, (unsigned long long)result->hash,
           (unsigned long long)law->hash, same ? "" : "  DIFFERENT");
    if (result->status != ANL_OK)
        printf("       %s: %s\n", anl_status_name(result->status), result->message);
}

/* The law itself must still be what it was on other machines. */
static int law_is_golden(const char *op, const char *name, const struct case_head *head,
                         const struct run_result *law)
{
    const struct golden *g = head->flags & CASE_QUICK ? golden_find(op, name) : NULL;
    return law->status == ANL_OK && (g == NULL || g->hash == law->hash);
}

static void verify_case(struct verify *v, const char *spec, struct anl_device *device,
                        const struct case_op *op, int index)
{
    struct run_result result = { 0 }, law = { 0 };
    char name[160];
    void *data = op->make(index);
    op->describe(index, name, sizeof name);
    op->run(v->law, index, data, NULL, &law);
    op->run(device, index, data, NULL, &result);
    op->drop(data);
    int same = law_is_golden(op->name, name, op->head(index), &law) && run_equal(&result, &law) &&
               !result.damaged;
    v->run++;
    v->different += !same;
    show(v, spec, op->name, name, &result, &law, same);
    cli_progress_step(&v->progress, v->run);
    run_free(&result);
    run_free(&law);
}

static int64_t count_cases(const struct anl_device_info *info, int quick)
{
    int ops;
    int64_t n = 0;
    const struct case_op *const *op = case_ops(&ops);
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++)
            n += promised(op[o]->head(i), info, quick);
    }
    return n;
}

static int verify_device(struct verify *v, const char *spec)
{
    const struct cli_device_options options = { .isa = v->isa, .worst_grade = ANL_EXACT_NORMAL };
    struct anl_context *context;
    struct anl_device *device;
    struct anl_device_info info;
    int ops, code = cli_open_device_with(spec, &options, &context, &device);
    int64_t before_run = v->run, before_different = v->different;
    const struct case_op *const *op = case_ops(&ops);
    if (code != CLI_OK)
        return code;
    anl_device_get_info(device, &info);
    if (!v->json)
        printf("%s: %s, %s, grade %s\n%-6s %-60s %-16s %-16s\n", spec, info.name, info.detail,
               cli_grade_name(info.grade), "op", "case", "XXH3-64", "law");
    /* lines on a terminal show progress by themselves */
    cli_progress_begin(&v->progress, spec, v->run + count_cases(&info, v->quick));
    if (!v->json)
        cli_progress_end(&v->progress);
    for (int o = 0; o < ops; o++) {
        for (int i = 0; i < op[o]->count; i++) {
            if (promised(op[o]->head(i), &info, v->quick))
                verify_case(v, spec, device, op[o], i);
        }
    }
    cli_progress_end(&v->progress);
    if (!v->json)
        printf("%s: %lld cases, %lld different\n\n", spec, (long long)(v->run - before_run),
               (long long)(v->different - before_different));
    cli_close_device(spec, context, device);
    return CLI_OK;
}

/* cpu, and the OpenCL devices that are here. */
static void find_devices(struct verify *v)
{
    struct anl_cl_entry entries[MAX_DEVICES - 1];
    char error[256] = "";
    int count = 0, capacity = MAX_DEVICES - 1;
    v->device[v->devices++] = "cpu";
    if (anl_cl_list(NULL, NULL, entries, capacity, &count, error, sizeof error) != ANL_OK) {
        if (!v->json)
            printf("no OpenCL device: %s\n", error);
        return;
    }
    for (int i = 0; i < count && i < capacity; i++) {
        char *name = v->found[v->devices];
        snprintf(name, sizeof *v->found, "cl:%d.%d", entries[i].platform, entries[i].device);
        v->device[v->devices++] = name;
    }
}

/* CLI_OK, an exit code, or -1: help was asked for and given. */
static int parse(struct verify *v, int argc, char **argv)
{
    static const struct option options[] = {
        { "device", required_argument, NULL, 'd' }, { "isa", required_argument, NULL, 'i' },
        { "quick", no_argument, NULL, 'q' },        { "json", no_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    int c;
    while ((c = getopt_long(argc, argv, "d:qh", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return -1;
        }
        if (c == '?')
            return CLI_USAGE;
        if (c == 'd' && v->devices == MAX_DEVICES) {
            cli_error("more than %d devices: leave some out", MAX_DEVICES);
            return CLI_USAGE;
        }
        if (c == 'd')
            v->device[v->devices++] = optarg;
        if (c == 'i')
            v->isa = optarg;
        v->quick |= c == 'q';
        v->json |= c == 'j';
    }
    if (optind < argc) {
        cli_error("verify takes no argument '%s' (see annulet verify --help)", argv[optind]);
        return CLI_USAGE;
    }
    return CLI_OK;
}

static int summary(struct verify *v)
{
    int code = v->different > 0 ? CLI_BAD_RESULT : CLI_OK, written;
    if (v->json) {
        cJSON_AddNumberToObject(v->root, "cases_run", (double)v->run);
        cJSON_AddNumberToObject(v->root, "different", (double)v->different);
        cJSON_AddNumberToObject(v->root, "devices_refused", (double)v->refused);
        written = cli_print_json(v->root);
        v->root = NULL;
    } else {
        printf("%lld cases on %d device%s: %s\n", (long long)v->run, v->devices - (int)v->refused,
               v->devices - (int)v->refused == 1 ? "" : "s",
               v->different > 0 ? "DIFFERENT from the law" : "the law's bits");
        written = cli_finish_output();
    }
    return code != CLI_OK ? code : written;
}

int cmd_verify(int argc, char **argv)
{
    struct verify *v = gen_alloc(1, sizeof *v);
    int code = parse(v, argc, argv), named = v->devices > 0;
    if (code == -1) {
        code = cli_finish_output();
        goto done;
    }
    if (code != CLI_OK || (code = cli_open_device("law", &v->law_context, &v->law)) != CLI_OK)
        goto done;
    if (v->json) {
        v->root = cJSON_CreateObject();
        v->cases = cJSON_AddArrayToObject(v->root, "cases");
    }
    if (!named)
        find_devices(v);
    for (int i = 0; i < v->devices; i++) {
        code = verify_device(v, v->device[i]);
        if (code != CLI_OK && named)
            goto done;
        /* found here, but it promises no bits or does not open: said, and no difference */
        v->refused += code != CLI_OK;
    }
    code = summary(v);
done:
    cJSON_Delete(v->root);
    cli_close_device("law", v->law_context, v->law);
    free(v);
    return code;
}
