/* tools/annulet.c: the command-line tool: finds the command and hands over. */
#include <annulet/annulet.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/commands.h"

struct command {
    const char *name, *about;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    { "info", "the devices here, and what each promises", cmd_info },
    { "verify", "run the conformance cases; compare every bit with the law", cmd_verify },
    { "bench", "how fast each operation is, beside what the machine can do", cmd_bench },
    { "tune", "find the fastest tiles of an OpenCL device, and keep them", cmd_tune },
    { "ring", "attention of one sequence on a ring of devices, and what each did", cmd_ring },
    { "plan", "what attention on a ring of devices would take", cmd_plan },
    { "score", "how well a model predicts a text", cmd_score },
    { "run", "continue a text with a model", cmd_run },
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void usage(FILE *out)
{
    fprintf(out, "usage: annulet COMMAND [OPTION]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\n"
                 "annulet COMMAND --help tells the options; annulet --version the version.\n"
                 "Devices: law, cpu, cpu:THREADS, cl:PLATFORM.DEVICE\n"
                 "Exit codes: 0 ok, 1 result bad, 2 usage, 3 no such device, 4 bad file\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return cli_finish_output();
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("annulet %s\n", anl_version());
        return cli_finish_output();
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    cli_error("no command '%s'", argv[1]);
    usage(stderr);
    return CLI_USAGE;
}
