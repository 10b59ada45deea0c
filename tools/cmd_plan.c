/* tools/cmd_plan.c: `annulet plan`: what a ring of devices would take, before there is one. */
#include "tools/commands.h"
#include "tools/plan/command.h"
#include "tools/plan/paper.h"

int cmd_plan(int argc, char **argv)
{
    struct plan_command c = { .plan = { .devices = 1,
                                        .hosts = 1,
                                        .heads = 16,
                                        .dim = 128,
                                        .kv_bytes = 4,
                                        .slots = PLAN_SLOTS },
                              .rings = { 1 },
                              .n_rings = 1,
                              .type = ANL_F32,
                              .within = 10 };
    int code = plan_parse(&c, argc, argv);
    if (code != CLI_OK)
        return code == -1 ? cli_finish_output() : code;
    if (c.paper) {
        paper_print();
        return cli_finish_output();
    }
    if (c.n_weights > 0)
        c.plan.weights = c.weights;
    if (c.device != NULL)
        code = plan_measure(&c);
    if (code != CLI_OK)
        return code;
    return c.measured != NULL ? plan_compare(&c) : plan_report(&c);
}
