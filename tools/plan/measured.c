/* tools/plan/measured.c: runs that were measured, beside the simulation of the same. A file holds JSON
 * objects one behind the other; docs/plan.md says which members. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lm_app.h"
#include "tools/plan/command.h"

/* Where in the file, and what is sure to be the caller's fault. */
static int bad_run(const struct plan_command *c, int run, const char *what)
{
    cli_error("%s, run %d: %s", c->measured, run, what);
    return CLI_BAD_FILE;
}

/* A whole number of the run in place of the option's; 0: it is there, and is none in the range. */
static int take(const cJSON *o, const char *name, double low, double high, int64_t *value)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    if (n == NULL)
        return 1;
    if (!cJSON_IsNumber(n) || !(n->valuedouble >= low && n->valuedouble <= high) ||
        n->valuedouble != floor(n->valuedouble))
        return 0;
    *value = (int64_t)n->valuedouble;
    return 1;
}

/* A number, a list, or names with commas between. 0: none of these. */
static int64_t count_devices(const cJSON *o)
{
    const cJSON *d = cJSON_GetObjectItemCaseSensitive(o, "devices");
    int64_t n = 0;
    if (cJSON_IsArray(d))
        return cJSON_GetArraySize(d);
    if (!cJSON_IsString(d))
        return take(o, "devices", 1, PLAN_MAX_DEVICES, &n) ? n : 0;
    for (const char *at = d->valuestring; at != NULL; at = strchr(at + 1, ','))
        n++;
    return n;
}

static int take_type(const cJSON *o, int *kv_bytes)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(o, "type");
    if (type == NULL)
        return 1;
    if (!cJSON_IsString(type))
        return 0;
    *kv_bytes = strcmp(type->valuestring, "f32") == 0 ? 4 : 2;
    return *kv_bytes == 4 || strcmp(type->valuestring, "f16") == 0 ||
           strcmp(type->valuestring, "bf16") == 0;
}

/* The options with what the run says instead; NULL, or what is wrong. */
static const char *take_run(const cJSON *o, struct plan *plan, double *seconds)
{
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(o, "seconds");
    const cJSON *causal = cJSON_GetObjectItemCaseSensitive(o, "causal");
    int64_t devices = count_devices(o), slots = plan->slots, batch = plan->batch;
    if (devices < 1 || devices > PLAN_MAX_DEVICES)
        return "\"devices\" is missing, or neither a number from 1 to 1024 nor a list of devices";
    if (!cJSON_IsNumber(time) || !(time->valuedouble > 0) || !isfinite(time->valuedouble))
        return "\"seconds\" is missing, or no number above 0";
    if (!take(o, "tokens", 1, 0x1p40, &plan->tokens) || plan->tokens == 0)
        return "\"tokens\" is missing, or no whole number above 0";
    if (!take(o, "heads", 1, 65536, &plan->heads) || !take(o, "kv_heads", 1, 65536, &plan->kv_heads) ||
        plan->heads % plan->kv_heads != 0 || !take(o, "dim", 1, ANL_ATTN_MAX_D, &plan->dim))
        return "\"heads\", \"kv_heads\" or \"dim\" is no such number, or heads no multiple of kv_heads";
    if (!take(o, "slots", 2, 4096, &slots) || !take_type(o, &plan->kv_bytes))
        return "\"slots\" is no number from 2 to 4096, or \"type\" none of f32, f16, bf16";
    if (!take(o, "batch", 1, 4096, &batch))
        return "\"batch\" is no number from 1 to 4096";
    if (causal != NULL)
        plan->causal = cJSON_IsTrue(causal);
    plan->devices = (int)devices;
    plan->slots = (int)slots;
    plan->batch = (int)batch;
    *seconds = time->valuedouble;
    return NULL;
}

/* The file so far. */
struct comparison {
    struct plan_command *command;
    cJSON *lines;    /* NULL: text */
    double flops[2]; /* found from runs on one device; not causal, causal */
    int count, off;
};

static void tell(struct comparison *k, const struct plan *plan, double measured, double simulated)
{
    double off = (simulated / measured - 1) * 100;
    k->off += fabs(off) > k->command->within;
    if (k->lines == NULL) {
        if (k->count++ == 0)
            printf("%7s %12s %7s %12s %12s %9s\n", "devices", "tokens", "causal", "measured",
                   "simulated", "off by");
        printf("%7d %12lld %7s %12.6g %12.6g %+8.1f%%\n", plan->devices, (long long)plan->tokens,
               plan->causal ? "yes" : "no", measured, simulated, off);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToArray(k->lines, o);
    cJSON_AddNumberToObject(o, "devices", plan->devices);
    cJSON_AddNumberToObject(o, "tokens", (double)plan->tokens);
    cJSON_AddBoolToObject(o, "causal", plan->causal);
    cJSON_AddNumberToObject(o, "measured", measured);
    cJSON_AddNumberToObject(o, "simulated", simulated);
    cJSON_AddNumberToObject(o, "off_by", off / 100);
}

static int compare_run(struct comparison *k, const cJSON *o, int run)
{
    struct plan_command *c = k->command;
    struct plan plan = c->plan;
    struct plan_result result;
    double seconds = 0;
    const char *wrong = take_run(o, &plan, &seconds);
    if (wrong != NULL)
        return bad_run(c, run, wrong);
    if (c->n_weights > 0 && c->n_weights != plan.devices && plan.devices != 1)
        return bad_run(c, run, "--weights has another number of devices");
    if (c->n_weights != plan.devices)
        plan.weights = NULL;
    if (plan.hosts > plan.devices)
        plan.hosts = plan.devices;
    if (plan.devices == 1 && c->plan.flops == 0)
        k->flops[plan.causal] = plan_flops(&plan) / seconds;
    if (plan.flops == 0)
        plan.flops = k->flops[plan.causal];
    if (plan.flops == 0)
        return bad_run(c, run, "no run on one device comes before it: give --flops or --device");
    int code = plan_simulate(&plan, &result);
    if (code == CLI_OK)
        tell(k, &plan, seconds, result.seconds);
    return code;
}

static int compare_text(struct comparison *k, const char *text)
{
    int code = CLI_OK, run = 1;
    for (text += strspn(text, " \t\r\n"); *text != 0 && code == CLI_OK; run++) {
        const char *end = text;
        cJSON *o = cJSON_ParseWithOpts(text, &end, 0);
        code = cJSON_IsObject(o) ? compare_run(k, o, run)
                                 : bad_run(k->command, run, "this is no JSON object");
        cJSON_Delete(o);
        text = end + strspn(end, " \t\r\n");
    }
    return code;
}

int plan_compare(struct plan_command *c)
{
    struct comparison k = { .command = c };
    cJSON *json = c->json ? cJSON_CreateObject() : NULL;
    char *text = NULL;
    size_t length;
    int code = lm_app_read_text(c->measured, &text, &length);
    if (json != NULL)
        k.lines = cJSON_AddArrayToObject(json, "runs");
    if (code == CLI_OK)
        code = compare_text(&k, text);
    free(text);
    if (code != CLI_OK) {
        cJSON_Delete(json);
        return code;
    }
    if (json != NULL)
        cJSON_AddNumberToObject(json, "off", k.off);
    code = c->json ? cli_print_json(json) : cli_finish_output();
    if (code == CLI_OK && k.off > 0) {
        cli_error("%d of the runs are further off than %g %%", k.off, c->within);
        return CLI_BAD_RESULT;
    }
    return code;
}
