/* tools/cli_device.c: devices by the names that the user writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/cli_cache.h"

static const char *const isa_names[] = { "auto", "generic", "avx2", "avx512", "neon" };

const char *cli_backend_name(anl_backend_kind backend)
{
    return backend == ANL_LAW ? "law" : backend == ANL_CPU ? "cpu" : "cl";
}

const char *cli_grade_name(anl_grade grade)
{
    return grade == ANL_EXACT ? "exact" : grade == ANL_EXACT_NORMAL ? "exact-normal" : "fast";
}

static int parse_isa(const char *text, anl_isa *isa)
{
    for (size_t i = 0; i < sizeof isa_names / sizeof *isa_names; i++) {
        if (strcmp(text, isa_names[i]) == 0) {
            *isa = (anl_isa)i;
            return CLI_OK;
        }
    }
    cli_error("unknown instruction set '%s': one of auto, generic, avx2, avx512, neon", text);
    return CLI_USAGE;
}

/* cpu[:THREADS[:ISA]] */
static int open_cpu(const char *spec, const char *isa, struct anl_context *context,
                    struct anl_device **device)
{
    char error[256] = "", threads[32] = "";
    struct anl_cpu_params params = { .size = sizeof params, .error = error,
                                     .error_size = sizeof error };
    const char *rest = spec + strlen("cpu"), *second;
    if (*rest == ':') {
        second = strchr(rest + 1, ':');
        int length = second != NULL ? (int)(second - rest - 1) : (int)strlen(rest + 1);
        int64_t n = 0;
        snprintf(threads, sizeof threads, "%.*s", length, rest + 1);
        if (cli_parse_int("the number of threads in cpu:THREADS", threads, 1, 1024, &n) != CLI_OK)
            return CLI_USAGE;
        params.threads = (int)n;
        if (second != NULL && parse_isa(second + 1, &params.isa) != CLI_OK)
            return CLI_USAGE;
    }
    if (isa != NULL && parse_isa(isa, &params.isa) != CLI_OK)
        return CLI_USAGE;
    if (anl_device_create_cpu(context, &params, device) != ANL_OK) {
        cli_error("device '%s'%s%s: %s", spec, isa != NULL ? " with instruction set " : "",
                  isa != NULL ? isa : "", error);
        return CLI_NO_DEVICE;
    }
    return CLI_OK;
}

/* The numbers of cl:PLATFORM.DEVICE; else prints how to write it and returns CLI_USAGE. */
static int parse_cl(const char *spec, int *platform, int *device)
{
    int64_t p = 0, d = 0;
    const char *numbers = spec + strlen("cl:"), *dot = strchr(numbers, '.');
    char first[32];
    if (dot == NULL) {
        cli_error("device '%s': write cl:PLATFORM.DEVICE, such as cl:0.0 (see annulet info)", spec);
        return CLI_USAGE;
    }
    snprintf(first, sizeof first, "%.*s", (int)(dot - numbers), numbers);
    if (cli_parse_int("PLATFORM in cl:PLATFORM.DEVICE", first, 0, 4095, &p) != CLI_OK ||
        cli_parse_int("DEVICE in cl:PLATFORM.DEVICE", dot + 1, 0, 4095, &d) != CLI_OK)
        return CLI_USAGE;
    *platform = (int)p;
    *device = (int)d;
    return CLI_OK;
}

/* The list's entry for these numbers, or why there is none. */
static int find_entry(const char *spec, int platform, int device, struct anl_cl_entry *entry)
{
    char error[256] = "";
    int count = 0, found = 0;
    anl_status status = anl_cl_list(NULL, NULL, NULL, 0, &count, error, sizeof error);
    if (status != ANL_OK || count <= 0) {
        cli_error("device '%s': %s", spec, error[0] ? error : "no OpenCL device here");
        return CLI_NO_DEVICE;
    }
    struct anl_cl_entry *entries = calloc((size_t)count, sizeof *entries);
    if (entries == NULL) {
        cli_error("out of memory");
        return CLI_NO_DEVICE;
    }
    int capacity = count;
    anl_cl_list(NULL, NULL, entries, capacity, &count, error, sizeof error);
    for (int i = 0; i < count && i < capacity; i++) {
        if (entries[i].platform == platform && entries[i].device == device) {
            *entry = entries[i];
            found = 1;
        }
    }
    free(entries);
    if (found)
        return CLI_OK;
    cli_error("no OpenCL device %d.%d here: annulet info lists those there are", platform, device);
    return CLI_NO_DEVICE;
}

int cli_find_cl(const char *spec, struct anl_cl_entry *entry)
{
    int platform, device, code = parse_cl(spec, &platform, &device);
    return code == CLI_OK ? find_entry(spec, platform, device, entry) : code;
}

/* With the user's own tiles, if there are any and the library takes them. */
static anl_status create_cl(struct anl_context *context, struct anl_cl_params *params,
                            const struct anl_cl_entry *entry, int *tuned, struct anl_device **device)
{
    char *tiles = cli_tiles_load(entry);
    size_t size = 0;
    anl_status status;
    params->tiles = tiles;
    status = anl_device_create_cl(context, params, device);
    if (status == ANL_E_ARGUMENT && tiles != NULL) {
        params->tiles = NULL;
        status = anl_device_create_cl(context, params, device);
    }
    if (status == ANL_OK && tuned != NULL) /* CPU-shaped devices have no use for them */
        *tuned = params->tiles != NULL && anl_device_tiles_get(*device, NULL, 0, &size) == ANL_OK &&
                 size > 0;
    params->tiles = NULL;
    free(tiles);
    return status;
}

static int open_cl(const char *spec, const struct cli_device_options *options,
                   struct anl_context *context, struct anl_device **device)
{
    char error[1024] = "";
    struct anl_cl_entry entry;
    struct anl_cl_params params = { .size = sizeof params, .worst_grade = options->worst_grade,
                                    .cl_context = options->cl_context,
                                    .cl_device = options->cl_device,
                                    .cl_queue = options->cl_queue, .shape = options->shape,
                                    .beside = options->beside, .n_beside = options->n_beside,
                                    .share = options->share,
                                    .error = error, .error_size = sizeof error };
    int code = cli_find_cl(spec, &entry);
    if (code != CLI_OK)
        return code;
    params.platform = entry.platform;
    params.device = entry.device;
    void *cache = cli_cache_load(&entry, &params.cache_size);
    params.cache = cache;
    anl_status status = create_cl(context, &params, &entry, options->tuned, device);
    free(cache);
    if (status != ANL_OK) {
        cli_error("device '%s': %s", spec, error[0] ? error : anl_status_name(status));
        return CLI_NO_DEVICE;
    }
    return CLI_OK;
}

int cli_open_device_with(const char *spec, const struct cli_device_options *options,
                         struct anl_context **context, struct anl_device **device)
{
    const struct cli_device_options none = { .worst_grade = ANL_EXACT_NORMAL };
    int code;
    *device = NULL;
    if (options == NULL)
        options = &none;
    if (spec == NULL)
        spec = "cpu";
    if (anl_context_create(NULL, context) != ANL_OK) {
        cli_error("out of memory");
        return CLI_NO_DEVICE;
    }
    if (strcmp(spec, "law") == 0) {
        code = anl_device_create_law(*context, device) == ANL_OK ? CLI_OK : CLI_NO_DEVICE;
    } else if (strcmp(spec, "cpu") == 0 || strncmp(spec, "cpu:", 4) == 0) {
        code = open_cpu(spec, options->isa, *context, device);
    } else if (strncmp(spec, "cl:", 3) == 0) {
        code = open_cl(spec, options, *context, device);
    } else {
        cli_error("unknown device '%s': write law, cpu, cpu:THREADS or cl:PLATFORM.DEVICE "
                  "(annulet info lists what is here)",
                  spec);
        code = CLI_USAGE;
    }
    if (code != CLI_OK) {
        anl_context_destroy(*context);
        *context = NULL;
    }
    return code;
}

int cli_open_device(const char *spec, struct anl_context **context, struct anl_device **device)
{
    return cli_open_device_with(spec, NULL, context, device);
}

void cli_close_device(const char *spec, struct anl_context *context, struct anl_device *device)
{
    struct anl_cl_entry entry;
    if (device != NULL && spec != NULL && strncmp(spec, "cl:", 3) == 0 &&
        cli_find_cl(spec, &entry) == CLI_OK)
        cli_cache_store(&entry, device);
    anl_device_destroy(device);
    anl_context_destroy(context);
}

/* The names of a list. */
static int split_devices(const char *list, struct cli_devices *out)
{
    const char *rest = list;
    for (int more = 1; more;) {
        size_t length = strcspn(rest, ",");
        if (out->n == CLI_DEVICES || length >= sizeof *out->spec || (length == 0 && strchr(list, ','))) {
            cli_error("device list '%s': give 1 to %d devices with one comma between two", list,
                      CLI_DEVICES);
            return CLI_USAGE;
        }
        memcpy(out->spec[out->n++], rest, length);
        more = rest[length] == ',';
        rest += length + 1;
    }
    return CLI_OK;
}

/* Device i's context is that of the first of its platform, which is made for all of them. platform is -1
 * where a device is not OpenCL's. */
static int open_listed(struct cli_devices *all, int i, const struct anl_cl_entry *at,
                       const struct cli_device_options *options)
{
    struct cli_device_options own = { .worst_grade = ANL_EXACT_NORMAL };
    int beside[CLI_DEVICES], first = 0;
    if (options != NULL)
        own = *options;
    while (at[first].platform != at[i].platform)
        first++;
    own.beside = beside;
    if (at[i].platform >= 0 && first < i)
        own.share = all->device[first];
    for (int k = i + 1; at[i].platform >= 0 && first == i && k < all->n; k++)
        if (at[k].platform == at[i].platform)
            beside[own.n_beside++] = at[k].device;
    return cli_open_device_with(all->spec[i], &own, &all->context[i], &all->device[i]);
}

int cli_open_devices(const char *list, const struct cli_device_options *options,
                     struct cli_devices *out)
{
    struct anl_cl_entry at[CLI_DEVICES];
    int code = split_devices(list != NULL ? list : "cpu", out);
    for (int i = 0; code == CLI_OK && i < out->n; i++) {
        at[i].platform = -1;
        if (out->n > 1 && strncmp(out->spec[i], "cl:", 3) == 0)
            code = cli_find_cl(out->spec[i], &at[i]);
    }
    for (int i = 0; code == CLI_OK && i < out->n; i++)
        code = open_listed(out, i, at, options);
    return code;
}

void cli_close_devices(struct cli_devices *devices)
{
    for (int i = 0; i < devices->n; i++)
        cli_close_device(devices->spec[i], devices->context[i], devices->device[i]);
    devices->n = 0;
}
