/* tools/cli.h: what the commands of `annulet` share: exit codes, numbers, devices, progress, JSON. */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <annulet/annulet.h>
#include <cjson/cJSON.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_BAD_RESULT = 1,
    CLI_USAGE = 2,
    CLI_NO_DEVICE = 3,
    CLI_BAD_FILE = 4
};

/* Prints "annulet COMMAND: ..." on stderr. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From cli_catch_interrupts() on, Ctrl-C or SIGTERM only sets what cli_interrupted() tells, so that what is
 * on a device can be finished; a second one kills. When all is freed cli_end_interrupted() ends the
 * process by the signal that came, as whoever sent it expects; it returns if none did. */
void cli_catch_interrupts(void);
int cli_interrupted(void);
void cli_end_interrupted(void);

/* Whole numbers and fractions of an option, in full and in range; else prints what is wrong and how
 * to put it right, and returns CLI_USAGE. */
int cli_parse_int(const char *option, const char *text, int64_t low, int64_t high, int64_t *out);
int cli_parse_float(const char *option, const char *text, double low, double high, double *out);

/* Opens `law`, `cpu[:THREADS[:ISA]]` or `cl:PLATFORM.DEVICE`; ISA is generic, avx2, avx512 or neon.
 * NULL is cpu. Returns CLI_OK, or prints why not and returns CLI_USAGE or CLI_NO_DEVICE. A cl device
 * of grade `fast` is refused; it has the tiles that `annulet tune` found for it, if there are any. Only a
 * cl device makes OpenCL calls. */
int cli_open_device(const char *spec, struct anl_context **context, struct anl_device **device);

/* The same with the instruction set in an option of its own (NULL: that of the spec), and the
 * worst grade to accept. */
struct cli_device_options {
    const char *isa;
    anl_grade worst_grade;
    /* For a cl device: the caller's own objects, or NULLs. */
    void *cl_context, *cl_device, *cl_queue;
    anl_cl_shape shape;
    /* For a cl device of several of one platform: see struct anl_cl_params. */
    const int *beside;
    int n_beside;
    struct anl_device *share;
    int *tuned; /* NULL, or becomes whether tiles of `annulet tune` are in use */
};
int cli_open_device_with(const char *spec, const struct cli_device_options *options,
                         struct anl_context **context, struct anl_device **device);

/* What the list says of the device cl:PLATFORM.DEVICE; or prints why not and returns CLI_USAGE or
 * CLI_NO_DEVICE. */
int cli_find_cl(const char *spec, struct anl_cl_entry *entry);

/* Stores the programs that a cl device built in the user's cache, and closes both. NULLs allowed. */
void cli_close_device(const char *spec, struct anl_context *context, struct anl_device *device);

#define CLI_DEVICES 64

/* The devices of a list. */
struct cli_devices {
    int n;
    char spec[CLI_DEVICES][64];
    struct anl_context *context[CLI_DEVICES];
    struct anl_device *device[CLI_DEVICES];
};

/* Opens each of `D,D,...` as cli_open_device_with() does; NULL is cpu. Also after a failure
 * cli_close_devices() is due. */
int cli_open_devices(const char *list, const struct cli_device_options *options,
                     struct cli_devices *out);
void cli_close_devices(struct cli_devices *devices);

const char *cli_backend_name(anl_backend_kind backend);
const char *cli_grade_name(anl_grade grade);

/* A bar on stderr while it is a terminal, else nothing. */
struct cli_progress {
    const char *label;
    int64_t total;
    int shown; /* per cent; -1: no terminal */
};
void cli_progress_begin(struct cli_progress *p, const char *label, int64_t total);
void cli_progress_step(struct cli_progress *p, int64_t done);
void cli_progress_end(struct cli_progress *p);

/* Prints as one indented object with a newline, and deletes it. CLI_BAD_RESULT: stdout failed. */
int cli_print_json(cJSON *json);
/* The same on one line, flushed, so that a reader at the other end of a pipe has it at once. */
int cli_print_json_line(cJSON *json);

/* Flushes stdout; what could not be written (a full disk, a closed pipe) is an error. */
int cli_finish_output(void);

#endif
