/* tools/cli.c: errors, interrupts, numbers, progress and JSON of the commands. See cli.h. */
#include "tools/cli.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void cli_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("annulet: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static volatile sig_atomic_t signal_caught; /* its number, or 0 */

static void on_interrupt(int number)
{
    signal_caught = number;
}

void cli_catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_interrupted(void)
{
    return signal_caught != 0;
}

void cli_end_interrupted(void)
{
    if (signal_caught == 0)
        return;
    signal(signal_caught, SIG_DFL);
    raise(signal_caught);
}

int cli_parse_int(const char *option, const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    /* strtoll takes white space and a sign by itself; a number begins with a digit or a minus */
    int whole = (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) && end != text && *end == 0;
    if (whole && errno == 0 && value >= low && value <= high) {
        *out = value;
        return CLI_OK;
    }
    cli_error("%s is '%s': give a whole number from %lld to %lld", option, text, (long long)low,
              (long long)high);
    return CLI_USAGE;
}

int cli_parse_float(const char *option, const char *text, double low, double high, double *out)
{
    char *end;
    double value = strtod(text, &end);
    int whole = end != text && *end == 0 && strchr("0123456789.-", text[0]) != NULL;
    if (whole && isfinite(value) && value >= low && value <= high) {
        *out = value;
        return CLI_OK;
    }
    cli_error("%s is '%s': give a number from %g to %g", option, text, low, high);
    return CLI_USAGE;
}

#define BAR 30

static void draw(const struct cli_progress *p)
{
    char bar[BAR + 1];
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)(p->shown * BAR / 100));
    bar[BAR] = 0;
    fprintf(stderr, "\r%s [%s] %3d%%", p->label, bar, p->shown);
    fflush(stderr);
}

void cli_progress_begin(struct cli_progress *p, const char *label, int64_t total)
{
    p->label = label;
    p->total = total > 0 ? total : 1;
    p->shown = isatty(STDERR_FILENO) ? 0 : -1;
    if (p->shown == 0)
        draw(p);
}

void cli_progress_step(struct cli_progress *p, int64_t done)
{
    double share = (double)done / (double)p->total;
    int percent = share <= 0 ? 0 : share >= 1 ? 100 : (int)(share * 100);
    if (p->shown < 0 || percent <= p->shown)
        return;
    p->shown = percent;
    draw(p);
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->shown >= 0)
        fputs("\r\033[K", stderr); /* the line again as it was */
    p->shown = -1;
}

int cli_finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_OK;
    cli_error("standard output: %s", strerror(errno));
    return CLI_BAD_RESULT;
}

/* Takes both; text is the json's, or NULL. */
static int print_json(cJSON *json, char *text)
{
    cJSON_Delete(json);
    if (text == NULL) {
        cli_error("out of memory");
        return CLI_BAD_RESULT;
    }
    printf("%s\n", text);
    cJSON_free(text);
    return cli_finish_output();
}

int cli_print_json(cJSON *json)
{
    return print_json(json, json != NULL ? cJSON_Print(json) : NULL);
}

int cli_print_json_line(cJSON *json)
{
    return print_json(json, json != NULL ? cJSON_PrintUnformatted(json) : NULL);
}
