/* tools/lm_app.c: opening a model for a command: see lm_app.h. */
#include "tools/lm_app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int lm_app_failed(enum lm_status status, const struct gguf_error *err)
{
    if (status == LM_OK)
        return CLI_OK;
    cli_error("%s", err->message);
    return status == LM_BAD_FILE ? CLI_BAD_FILE : CLI_BAD_RESULT;
}

static void on_progress(void *user, uint64_t done, uint64_t total)
{
    struct cli_progress *p = user;
    p->total = (int64_t)total;
    cli_progress_step(p, (int64_t)done);
}

int lm_app_open(struct lm_app *app, const char *path, const char *device, const char *isa)
{
    struct cli_device_options options = { .isa = isa, .worst_grade = ANL_EXACT_NORMAL };
    struct cli_progress progress;
    struct gguf_error err = { "" };
    enum lm_status status;
    int code;

    *app = (struct lm_app){ 0 };
    /* the file first: its faults are found without waking a device */
    if (gguf_open(path, &app->file, &err) != GGUF_OK || tok_new(app->file, &app->tok, &err) != 0) {
        cli_error("%s: %s", path, err.message);
        return CLI_BAD_FILE;
    }
    code = cli_open_devices(device, &options, &app->devices);
    if (code != CLI_OK)
        return code;
    cli_progress_begin(&progress, "load", 1);
    status = lm_model_load(app->file, app->devices.device, app->devices.n, on_progress, &progress,
                           &app->model, &err);
    cli_progress_end(&progress);
    if (status)
        return lm_app_failed(status, &err);
    if ((int64_t)tok_vocab_size(app->tok) != lm_model_shape(app->model)->vocab) {
        cli_error("%s: the tokenizer has %lld tokens, the embedding %lld rows", path,
                  (long long)tok_vocab_size(app->tok),
                  (long long)lm_model_shape(app->model)->vocab);
        return CLI_BAD_FILE;
    }
    return CLI_OK;
}

void lm_app_close(struct lm_app *app)
{
    lm_model_free(app->model);
    cli_close_devices(&app->devices);
    tok_free(app->tok);
    gguf_close(app->file);
    *app = (struct lm_app){ 0 };
}

/* Reads to the end in growing steps: the input may be a pipe. */
static int slurp(FILE *f, char **text, size_t *len)
{
    size_t room = 1 << 16;
    char *t = malloc(room + 1);

    *len = 0;
    while (t) {
        *len += fread(t + *len, 1, room - *len, f);
        if (*len < room)
            break;
        if (room >= TOK_MAX_TEXT) {
            free(t);
            errno = EFBIG;
            return -1;
        }
        room *= 2;
        char *more = realloc(t, room + 1);
        if (!more)
            free(t);
        t = more;
    }
    if (!t || ferror(f)) {
        free(t);
        return -1;
    }
    t[*len] = 0;
    *text = t;
    return 0;
}

int lm_app_read_text(const char *path, char **text, size_t *len)
{
    int is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    int r = f ? slurp(f, text, len) : -1, e = errno;

    if (f && !is_stdin)
        fclose(f);
    if (r == 0)
        return CLI_OK;
    cli_error("cannot read %s: %s", path, strerror(e));
    return CLI_BAD_FILE;
}

double lm_app_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
