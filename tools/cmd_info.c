/* tools/cmd_info.c: `annulet info`: every device here, its grade, and what is missing. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/commands.h"

static const char help[] =
    "usage: annulet info [--device D]... [--json]\n\n"
    "Lists the devices here with backend, instruction set or OpenCL version, memory and grade, and\n"
    "says where tiles that annulet tune found are in use. The grades:\n"
    "  exact         the law's bits, always\n"
    "  exact-normal  the law's bits while no operand or result is subnormal\n"
    "  fast          no promise\n\n"
    "  -d, --device D  only this device (may be given more than once)\n"
    "      --json      as JSON\n"
    "  -h, --help      this text\n";

/* Where the lines go: text at once, JSON at the end. */
struct report {
    cJSON *devices; /* NULL: text */
};

static void show_text(const char *spec, const struct anl_device_info *info, int tuned)
{
    printf("%-8s %s\n         %s, %d thread%s, ", spec, info->name, info->detail, info->threads,
           info->threads == 1 ? "" : "s");
    if (info->memory > 0)
        printf("%.1f GiB, ", (double)info->memory / (double)(1 << 30));
    printf("grade %s", cli_grade_name(info->grade));
    if (info->failed_probe[0] != 0)
        printf(": %s", info->failed_probe);
    printf("%s\n", tuned ? "; tuned tiles" : "");
}

static void show(struct report *report, const char *spec, const struct anl_device_info *info,
                 int tuned)
{
    if (report->devices == NULL) {
        show_text(spec, info, tuned);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "device", spec);
    cJSON_AddStringToObject(o, "backend", cli_backend_name(info->backend));
    cJSON_AddStringToObject(o, "name", info->name);
    cJSON_AddStringToObject(o, "detail", info->detail);
    cJSON_AddNumberToObject(o, "threads", info->threads);
    cJSON_AddNumberToObject(o, "memory", (double)info->memory);
    cJSON_AddNumberToObject(o, "max_alloc", (double)info->max_alloc);
    cJSON_AddBoolToObject(o, "unified", info->unified);
    cJSON_AddStringToObject(o, "grade", cli_grade_name(info->grade));
    cJSON_AddStringToObject(o, "failed_probe", info->failed_probe);
    if (info->backend == ANL_CL)
        cJSON_AddBoolToObject(o, "tuned_tiles", tuned);
    cJSON_AddItemToArray(report->devices, o);
}

static int show_device(struct report *report, const char *spec)
{
    int tuned = 0;
    const struct cli_device_options options = { .worst_grade = ANL_FAST, .tuned = &tuned };
    struct anl_context *context;
    struct anl_device *device;
    struct anl_device_info info;
    int code = cli_open_device_with(spec, &options, &context, &device);
    if (code != CLI_OK)
        return code;
    anl_device_get_info(device, &info);
    show(report, spec, &info, tuned);
    cli_close_device(spec, context, device);
    return CLI_OK;
}

/* The OpenCL devices, or what is missing; a device that does not open is told and passed over. */
static char *show_cl(struct report *report)
{
    char error[256] = "", spec[32];
    int count = 0;
    anl_status status = anl_cl_list(NULL, NULL, NULL, 0, &count, error, sizeof error);
    if (status == ANL_OK && count > 0) {
        struct anl_cl_entry *entries = calloc((size_t)count, sizeof *entries);
        int capacity = entries != NULL ? count : 0;
        anl_cl_list(NULL, NULL, entries, capacity, &count, error, sizeof error);
        for (int i = 0; i < capacity && i < count; i++) {
            snprintf(spec, sizeof spec, "cl:%d.%d", entries[i].platform, entries[i].device);
            show_device(report, spec);
        }
        free(entries);
        return NULL;
    }
    return strdup(error[0] != 0 ? error : "no OpenCL device");
}

static int show_all(struct report *report, cJSON *root)
{
    int code = show_device(report, "law");
    int code_cpu = show_device(report, "cpu");
    char *missing = show_cl(report);
    if (missing != NULL && report->devices != NULL)
        cJSON_AddStringToObject(root, "opencl", missing);
    else if (missing != NULL)
        printf("cl       none: %s\n", missing);
    free(missing);
    return code != CLI_OK ? code : code_cpu;
}

int cmd_info(int argc, char **argv)
{
    static const struct option options[] = { { "device", required_argument, NULL, 'd' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    int code = CLI_OK, c, json = 0, named = 0;
    while ((c = getopt_long(argc, argv, "d:h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return cli_finish_output();
        }
        if (c == '?')
            return CLI_USAGE;
        json |= c == 'j';
        named += c == 'd';
    }
    if (optind < argc) {
        cli_error("info takes no argument '%s' (see annulet info --help)", argv[optind]);
        return CLI_USAGE;
    }
    cJSON *root = json ? cJSON_CreateObject() : NULL;
    struct report report = { root != NULL ? cJSON_AddArrayToObject(root, "devices") : NULL };
    if (named == 0)
        code = show_all(&report, root);
    optind = 1;
    while ((c = getopt_long(argc, argv, "d:h", options, NULL)) != -1) {
        if (c == 'd' && code == CLI_OK)
            code = show_device(&report, optarg);
    }
    if (code != CLI_OK) {
        cJSON_Delete(root);
        return code;
    }
    return json ? cli_print_json(root) : cli_finish_output();
}
