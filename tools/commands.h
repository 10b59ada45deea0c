/* tools/commands.h: the commands of `annulet`, one tools/cmd_*.c each. argv[0] is the command's
 * name; the result is an exit code of tools/cli.h. */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

int cmd_info(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_tune(int argc, char **argv);
int cmd_ring(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_run(int argc, char **argv);

#endif
