/* tools/bench/ops.c: times an operation on cases that the tests' own generators make: their run places
 * a case on the device and hands over the call, to be made many times. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/golden.h"
#include "tools/bench/bench.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* A case that lies on the device. */
struct op_run {
    struct bench *b;
    struct bench_task task;
    const struct place_call *call;
    struct run_result result;
    int code;
};

static int device_failed(const struct op_run *r)
{
    cli_error("%s %s: %s", r->task.op, r->task.shape, anl_device_message(r->b->device));
    return -1;
}

static int prepare(void *user)
{
    struct op_run *r = user;
    return run_call_cover(r->call, &r->result) == ANL_OK ? 0 : device_failed(r);
}

static int call(void *user)
{
    struct op_run *r = user;
    return r->call->op(r->b->device, r->call->params) == ANL_OK ? 0 : device_failed(r);
}

static int hash(void *user, uint64_t *out)
{
    struct op_run *r = user;
    if (run_call_fetch(r->call, &r->result) != ANL_OK)
        return device_failed(r);
    *out = r->result.hash;
    return 0;
}

/* place_options.instead */
static void rounds(void *user, struct place *p, const struct place_call *place_call)
{
    struct op_run *r = user;
    (void)p;
    r->call = place_call;
    run_call_begin(place_call, &r->result);
    r->code = bench_rounds(r->b, &r->task);
    run_free(&r->result);
}

/* The generators' arrays, the copies in which they are packed, and the device's own. */
static int fits(const char *shape, double bytes)
{
    double all = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (bytes * 4 <= all)
        return 1;
    cli_error("shape '%s' takes about %.1f GiB of memory here and this machine has %.1f: make it "
              "smaller",
              shape, bytes * 4 / GIB, all / GIB);
    return 0;
}

static int run_case(struct bench *b, const struct case_op *op, const void *c)
{
    const struct case_form *form = op->form;
    char shape[160];
    struct op_run r = { .b = b, .code = CLI_BAD_RESULT };
    struct run_result result = { 0 };
    const struct place_options options = { .instead = rounds, .user = &r };
    shape_print(form->fields, form->n_fields, c, shape, sizeof shape);
    const struct golden *golden = golden_bench_find(op->name, shape);
    r.task = (struct bench_task){ .op = op->name, .shape = shape, .prepare = prepare, .call = call,
                                  .hash = hash, .user = &r, .has_golden = golden != NULL,
                                  .golden = golden != NULL ? golden->hash : 0 };
    bench_work(op->name, c, &r.task.flop, &r.task.bytes);
    if (!fits(shape, bench_room(op->name, c)))
        return CLI_USAGE;
    int code = bench_open_device(b);
    if (code != CLI_OK)
        return code;
    void *data = form->make(c);
    form->run(b->device, c, data, &options, &result);
    op->drop(data);
    if (result.status != ANL_OK)
        cli_error("%s %s: %s", op->name, shape, result.message);
    run_free(&result);
    bench_close_device(b);
    return r.code;
}

static int run_shape(struct bench *b, const struct case_op *op, const char *shape)
{
    char error[400] = "";
    void *c = case_from_shape(op->form, shape, error, sizeof error);
    if (c == NULL) {
        cli_error("--shape for %s: %s; for example '%s'", op->name, error, op->form->bench[0].shape);
        return CLI_USAGE;
    }
    int code = run_case(b, op, c);
    free(c);
    return code;
}

int bench_op(struct bench *b, const struct case_op *op)
{
    int code = CLI_OK;
    if (b->shape != NULL)
        return run_shape(b, op, b->shape);
    for (int i = 0; i < op->form->n_bench && code == CLI_OK && !cli_interrupted(); i++) {
        if (!b->quick || !op->form->bench[i].slow)
            code = run_shape(b, op, op->form->bench[i].shape);
    }
    return code;
}
