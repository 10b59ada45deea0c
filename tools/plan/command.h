/* tools/plan/command.h: what the parts of `annulet plan` share: its options, and what they print. Calls
 * return exit codes of tools/cli.h and have printed why. */
#ifndef PLAN_COMMAND_H
#define PLAN_COMMAND_H

#include "tools/cli.h"
#include "tools/plan/model.h"

#define PLAN_MAX_RINGS 32

struct plan_command {
    struct plan plan;                   /* .devices is that of the ring at hand */
    int rings[PLAN_MAX_RINGS], n_rings; /* numbers of devices */
    double weights[PLAN_MAX_DEVICES];
    int n_weights;
    anl_dtype type;                                   /* of keys and values */
    int has_link, has_host_link, has_call, has_query; /* given, not to be measured */
    const char *device, *measured;
    double within; /* per cent */
    int json, paper;
};

/* tools/plan/options.c. CLI_OK, an exit code, or -1: help was given. */
int plan_parse(struct plan_command *command, int argc, char **argv);

/* "40T", "12.5G", "80Gi": a number with k, M, G or T, which are thousands, or Ki, Mi, Gi, Ti, which are
 * 1024s; all_binary: so are those without i. */
int plan_number(const char *option, const char *text, int all_binary, double low, double high,
                double *out);

/* tools/plan/measure.c: FLOP/s, seconds a call and bytes a second to its neighbours of a device here,
 * where they were not given. */
int plan_measure(struct plan_command *command);

/* tools/plan/measured.c: simulates the runs of a file, and says how far off each is. */
int plan_compare(struct plan_command *command);

/* tools/plan/report.c: simulates each ring and prints what comes of it. */
int plan_report(struct plan_command *command);

/* The same for one ring, into *result; prints why not. */
int plan_simulate(const struct plan *plan, struct plan_result *result);

#endif
