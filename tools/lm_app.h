/* tools/lm_app.h: what `score` and `run` share: a model file, its tokenizer, devices and the model on
 * them, opened with messages and a progress bar. */
#ifndef TOOLS_LM_APP_H
#define TOOLS_LM_APP_H

#include "tools/cli.h"
#include "tools/lm/model.h"
#include "tools/lm/tokenizer.h"

struct lm_app {
    struct gguf *file;
    struct tok *tok;
    struct cli_devices devices;
    struct lm_model *model;
};

/* Opens all of it; device, a list, and isa may be NULL. Returns an exit code; on failure the reason is printed
 * and lm_app_close() may still be called. */
int lm_app_open(struct lm_app *app, const char *path, const char *device, const char *isa);
void lm_app_close(struct lm_app *app);

/* The whole of a file ("-": standard input), terminated; the caller frees *text. */
int lm_app_read_text(const char *path, char **text, size_t *len);

/* Prints err and gives the exit code of a failed lm_ call. */
int lm_app_failed(enum lm_status status, const struct gguf_error *err);

/* Seconds, from an arbitrary start. */
double lm_app_now(void);

#endif
