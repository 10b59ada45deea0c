/* tests/test_life.c: what surrounds the operations: an allocator that fails at any allocation, the
 * memory account, independent contexts, the log, and use after fork(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/attn_case.h"
#include "tests/linear_case.h"
#include "tests/testing.h"

/* An allocator that counts, and refuses allocation number fail_at (from 1; 0: none). */
struct counter {
    long live, total, fail_at;
};

static void *counted_alloc(void *user, size_t size, size_t align)
{
    struct counter *c = user;
    void *memory = NULL;
    if (++c->total == c->fail_at)
        return NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size + !size) != 0)
        return NULL;
    memset(memory, 0xee, size); /* nothing may count on zeros */
    c->live++;
    return memory;
}

static void counted_free(void *user, void *memory)
{
    struct counter *c = user;
    c->live -= memory != NULL;
    free(memory);
}

/* The first cases of each operation that take several allocations. */
static anl_status run_some(struct anl_device *device)
{
    int ops;
    const struct case_op *const *op = case_ops(&ops);
    anl_status first = ANL_OK;
    for (int o = 0; o < ops; o++) {
        int run = 0;
        for (int i = 0; i < op[o]->count && run < 3; i++) {
            struct run_result result = { 0 };
            if (!(op[o]->head(i)->flags & CASE_QUICK))
                continue;
            case_run(op[o], device, i, NULL, &result);
            if (first == ANL_OK)
                first = result.status;
            ck_assert_msg(result.status == ANL_OK || result.message[0] != 0,
                          "%s: a failure without a message", op[o]->name);
            run_free(&result);
            run++;
        }
    }
    return first;
}

/* A whole life of a context and a device. */
static anl_status live(struct counter *c, int cpu)
{
    struct anl_context_params params = { .size = sizeof params, .alloc = counted_alloc,
                                         .free = counted_free, .alloc_user = c };
    struct anl_cpu_params cpu_params = { .size = sizeof cpu_params, .threads = 2 };
    struct anl_context *context = NULL;
    struct anl_device *device = NULL;
    anl_status status = anl_context_create(&params, &context);
    if (status != ANL_OK)
        return status;
    status = cpu ? anl_device_create_cpu(context, &cpu_params, &device)
                 : anl_device_create_law(context, &device);
    if (status == ANL_OK)
        status = run_some(device);
    anl_device_destroy(device);
    anl_context_destroy(context);
    return status;
}

static void fail_everywhere(int cpu)
{
    struct counter c = { 0, 0, 0 };
    ck_assert_int_eq(live(&c, cpu), ANL_OK);
    ck_assert_int_eq(c.live, 0);
    long all = c.total;
    ck_assert_int_gt(all, 20);
    for (long n = 1; n <= all; n++) {
        c = (struct counter){ 0, 0, n };
        anl_status status = live(&c, cpu);
        ck_assert_msg(status == ANL_E_MEMORY, "allocation %ld of %ld refused: %s", n, all,
                      anl_status_name(status));
        ck_assert_msg(c.live == 0, "allocation %ld of %ld refused: %ld blocks leaked", n, all,
                      c.live);
    }
    printf("%ld allocations on %s, each refused once\n", all, cpu ? "cpu" : "law");
}

START_TEST(refused_memory_on_law)
{
    fail_everywhere(0);
}
END_TEST

START_TEST(refused_memory_on_cpu)
{
    fail_everywhere(1);
}
END_TEST

START_TEST(account)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    struct anl_memory m;
    struct anl_buffer *buffer = NULL, *wrapped = NULL;
    uint32_t memory[16] = { 0 };
    ck_assert_int_eq(run_some(device), ANL_OK);
    anl_device_get_memory(device, &m);
    ck_assert_uint_eq(m.tensors, 0);
    ck_assert_uint_eq(m.weights, 0);
    ck_assert_uint_eq(m.live, m.scratch);
    ck_assert_uint_gt(m.peak, m.live);
    uint64_t scratch = m.scratch;
    ck_ok(anl_buffer_create(device, 1000, &buffer), device);
    ck_ok(anl_buffer_wrap(device, memory, sizeof memory, &wrapped), device);
    anl_device_get_memory(device, &m);
    ck_assert_uint_eq(m.tensors, 1000); /* wrapped memory is the caller's */
    ck_assert_uint_eq(m.live, scratch + 1000);
    anl_device_memory_reset_peak(device);
    anl_buffer_destroy(buffer);
    anl_buffer_destroy(wrapped);
    anl_device_get_memory(device, &m);
    ck_assert_uint_eq(m.peak, scratch + 1000);
    ck_assert_uint_eq(m.live, scratch);
    anl_device_memory_reset_peak(device);
    anl_device_get_memory(device, &m);
    ck_assert_uint_eq(m.peak, scratch);
    anl_device_destroy(device);
    anl_context_destroy(context);
}
END_TEST

/* Peak scratch of a fresh two-thread CPU device over one case. */
static uint64_t attn_scratch(const struct attn_case *c)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    struct attn_data data;
    struct run_result result = { 0 };
    struct anl_memory m;
    attn_data_make(c, &data);
    attn_run(device, c, &data, NULL, &result);
    ck_assert_msg(result.status == ANL_OK, "%s", result.message);
    anl_device_get_memory(device, &m);
    run_free(&result);
    attn_data_free(&data);
    anl_device_destroy(device);
    anl_context_destroy(context);
    return m.peak_scratch;
}

START_TEST(attention_scratch_is_linear)
{
    struct attn_case c = { .b = 1, .h = 2, .hkv = 1, .sq = 1, .d = 8, .dv = 8, .causal = 1 };
    const int64_t keys[] = { 512, 5120, 20480 };
    for (int i = 0; i < 3; i++) {
        uint64_t states;
        c.sk = keys[i];
        states = (uint64_t)(c.sk / 512 * c.h * (c.dv + 2)) * sizeof(float);
        uint64_t decode = attn_scratch(&c);
        printf("scratch of one query on %d keys: %llu bytes, its states %llu\n", (int)c.sk,
               (unsigned long long)decode, (unsigned long long)states);
        ck_assert_uint_le(decode, 2 * (512 << 10) + 16 * states);
    }
    c.sq = c.sk = 600;
    uint64_t small = attn_scratch(&c);
    c.sq = c.sk = 2400;
    uint64_t large = attn_scratch(&c);
    printf("scratch of 600 x 600: %llu bytes, 2400 x 2400: %llu\n", (unsigned long long)small,
           (unsigned long long)large);
    ck_assert_uint_le(large, 2 * (512 << 10) + 4 * small);
    ck_assert_uint_lt(large, 2400 * 2400 * sizeof(float) / 4);
}
END_TEST

/* What a log callback saw. */
struct logged {
    int count;
    anl_log_level level;
    char text[300];
};

static void keep_log(void *user, anl_log_level level, const char *message)
{
    struct logged *l = user;
    l->count++;
    l->level = level;
    snprintf(l->text, sizeof l->text, "%s", message);
}

START_TEST(contexts_are_independent)
{
    struct logged logged[2] = { { 0, ANL_LOG_INFO, "" }, { 0, ANL_LOG_INFO, "" } };
    struct counter counter[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    struct anl_context *context[2];
    struct anl_device *device[2];
    for (int i = 0; i < 2; i++) {
        struct anl_context_params params = { .size = sizeof params, .alloc = counted_alloc,
                                             .free = counted_free, .alloc_user = &counter[i],
                                             .log = keep_log, .log_user = &logged[i] };
        ck_assert_int_eq(anl_context_create(&params, &context[i]), ANL_OK);
        ck_assert_int_eq(anl_device_create_law(context[i], &device[i]), ANL_OK);
    }
    long other = counter[0].total;
    ck_assert_int_eq(run_some(device[1]), ANL_OK);
    ck_assert_int_eq(counter[0].total, other);
    ck_assert_int_eq(anl_norm(device[1], NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(logged[0].count, 0);
    ck_assert_int_eq(logged[1].count, 1);
    ck_assert_int_eq(logged[1].level, ANL_LOG_ERROR);
    ck_assert_str_eq(logged[1].text, anl_device_message(device[1]));
    ck_assert_str_eq(anl_device_message(device[0]), "");
    /* the message lasts until the next call */
    ck_ok(anl_device_finish(device[1]), device[1]);
    ck_assert_str_eq(anl_device_message(device[1]), "");
    anl_device_destroy(device[0]);
    anl_context_destroy(context[0]);
    ck_assert_int_eq(counter[0].live, 0);
    ck_assert_int_eq(run_some(device[1]), ANL_OK);
    anl_device_destroy(device[1]);
    anl_context_destroy(context[1]);
    ck_assert_int_eq(counter[1].live, 0);
}
END_TEST

/* In the child: every call on the parent's device says so, and none hangs. Exit code: how many did
 * not. */
static int use_in_child(struct anl_device *device, struct anl_buffer *buffer)
{
    struct anl_buffer *made = NULL;
    struct anl_norm_params norm = { .size = sizeof norm, .eps = 1 };
    float memory = 0;
    norm.x = norm.out = anl_tensor_2d(buffer, 0, ANL_F32, 1, 1);
    norm.w = anl_tensor_1d(buffer, 0, ANL_F32, 1);
    return (anl_norm(device, &norm) != ANL_E_FORKED) +
           (strstr(anl_device_message(device), "process") == NULL) +
           (anl_device_finish(device) != ANL_E_FORKED) +
           (anl_buffer_create(device, 4, &made) != ANL_E_FORKED) +
           (anl_buffer_write(buffer, 0, &memory, 4) != ANL_E_FORKED) +
           (anl_buffer_read(buffer, 0, &memory, 4) != ANL_E_FORKED);
}

/* Forks after OpenMP's threads have run. */
START_TEST(fork_is_noticed)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device[2] = { testing_law(context), testing_cpu_open(context, &cpu) };
    for (int i = 0; i < 2; i++) {
        struct anl_buffer *buffer = NULL;
        int status = 0;
        ck_assert_int_eq(run_some(device[i]), ANL_OK);
        ck_ok(anl_buffer_create(device[i], 64, &buffer), device[i]);
        fflush(stdout);
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            alarm(20);
            _exit(use_in_child(device[i], buffer));
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x",
                      (unsigned)status);
        anl_buffer_destroy(buffer);
        ck_assert_int_eq(run_some(device[i]), ANL_OK); /* the parent goes on */
        anl_device_destroy(device[i]);
    }
    anl_context_destroy(context);
}
END_TEST

/* The caller's pool may run its workers one after another on one thread. */
static void in_turn(void *user, int workers, void (*task)(void *arg, int worker), void *arg)
{
    *(int *)user += workers;
    for (int i = workers - 1; i >= 0; i--)
        task(arg, i);
}

START_TEST(a_pool_of_one_thread)
{
    int calls = 0;
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context), *device = NULL;
    struct anl_cpu_params params = { .size = sizeof params, .threads = 5, .parallel = in_turn,
                                     .parallel_user = &calls };
    ck_assert_int_eq(anl_device_create_cpu(context, &params, &device), ANL_OK);
    for (int i = 0; i < attn_cases.count; i++) {
        struct run_result expected = { 0 }, result = { 0 };
        if (attn_cases.head(i)->flags & CASE_QUICK) {
            case_run(&attn_cases, law, i, NULL, &expected);
            case_run(&attn_cases, device, i, NULL, &result);
            testing_same(&result, &expected, "attn in turn");
        }
        run_free(&expected);
        run_free(&result);
    }
    ck_assert_int_gt(calls, 0);
    anl_device_destroy(device);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { refused_memory_on_law, refused_memory_on_cpu, account,
                             attention_scratch_is_linear, contexts_are_independent,
                             fork_is_noticed, a_pool_of_one_thread };
    return testing_main("life", tests, sizeof tests / sizeof *tests);
}
