/* tests/test_ring_faults.c: what may go wrong on a ring: calls that fail, a device that is lost, memory that
 * is refused, a cancel, delays, wrong arguments, fork. It stops soon, says where, and goes on afterwards. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/ring_case.h"
#include "tests/ring_fault.h"

#define N 3

/* An allocator that counts, and refuses allocation number fail_at (from 1; 0: none). */
struct counter {
    long live, total, fail_at;
    pthread_mutex_t lock;
};

static void *counted_alloc(void *user, size_t size, size_t align)
{
    struct counter *c = user;
    void *memory = NULL;
    pthread_mutex_lock(&c->lock);
    int refused = ++c->total == c->fail_at;
    c->live += !refused;
    pthread_mutex_unlock(&c->lock);
    if (refused || posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size + !size))
        return NULL;
    memset(memory, 0xee, size); /* nothing may count on zeros */
    return memory;
}

static void counted_free(void *user, void *memory)
{
    struct counter *c = user;
    pthread_mutex_lock(&c->lock);
    c->live -= memory != NULL;
    pthread_mutex_unlock(&c->lock);
    free(memory);
}

static struct anl_context *counted_context(struct counter *c)
{
    struct anl_context *context = NULL;
    const struct anl_context_params p = { .size = sizeof p, .alloc = counted_alloc, .free = counted_free,
                                          .alloc_user = c };
    *c = (struct counter){ .lock = PTHREAD_MUTEX_INITIALIZER };
    ck_assert_int_eq(anl_context_create(&p, &context), ANL_OK);
    return context;
}

/* A ring of three, each device with a context and an allocator of its own; the one in the middle is the law's,
 * or OpenCL's where the environment asks for it. */
struct trio {
    struct counter ring_counter, counter[N];
    struct anl_context *ring_context, *context[N];
    struct anl_device *device[N];
    struct anl_ring *ring;
    struct ring_case rc;
    struct ring_expected expected;
    struct ring_placed placed;
    struct anl_ring_attn_params p;
};

static struct anl_device *open_cl(struct anl_context *context)
{
    char error[200] = "";
    struct anl_device *device = NULL;
    const struct anl_cl_params p = { .size = sizeof p, .error = error, .error_size = sizeof error };
    anl_status status = anl_device_create_cl(context, &p, &device);
    ck_assert_msg(status == ANL_OK, "%s", error);
    return device;
}

static void trio_open(struct trio *t, int causal)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 1, 0 };
    memset(t, 0, sizeof *t);
    t->rc = (struct ring_case){ .c = { .b = 1, .h = 2, .hkv = 1, .sq = 2600, .sk = 2600, .d = 2, .dv = 3,
                                       .causal = causal, .state = ATTN_OUT_AND_STATE },
                                .slots = 4 };
    t->ring_context = counted_context(&t->ring_counter);
    for (int i = 0; i < N; i++) {
        t->context[i] = counted_context(&t->counter[i]);
        t->device[i] = i != 1                      ? testing_cpu_open(t->context[i], &cpu)
                       : getenv("ANNULET_TEST_CL") ? open_cl(t->context[i])
                                                   : testing_law(t->context[i]);
    }
    ring_expect(t->device[0], &t->rc, &t->expected);
    t->ring = ring_open(t->ring_context, t->device, N, &t->rc, NULL);
    ring_place(t->ring, t->device, N, &t->rc, &t->expected.data, &t->placed);
    t->p = (struct anl_ring_attn_params){ .size = sizeof t->p, .shards = t->placed.shard,
                                          .n_shards = t->placed.n, .causal = causal };
}

static void trio_close(struct trio *t)
{
    anl_ring_destroy(t->ring);
    ring_placed_free(&t->placed);
    ring_expected_free(&t->expected);
    for (int i = 0; i < N; i++) {
        anl_device_destroy(t->device[i]);
        anl_context_destroy(t->context[i]);
        ck_assert_int_eq(t->counter[i].live, 0);
    }
    anl_context_destroy(t->ring_context);
    ck_assert_int_eq(t->ring_counter.live, 0);
}

static double now(void)
{
    struct timespec s;
    clock_gettime(CLOCK_MONOTONIC, &s);
    return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}

/* The call of a ring that is well again. */
static void goes_on(struct trio *t, const char *what)
{
    anl_status s = anl_ring_attn(t->ring, &t->p);
    ck_assert_msg(s == ANL_OK, "%s: afterwards: %s", what, anl_ring_message(t->ring));
    ck_assert_str_eq(anl_ring_message(t->ring), "");
    ring_compare(&t->rc, &t->placed, &t->expected, what);
}

/* Every call of a device fails once, or it and all after it. */
static long fail_each_call(struct trio *t, int device, int lost)
{
    for (long n = 1;; n++) {
        char what[80], word[16];
        struct ring_fault *f = ring_fault_begin(t->device[device], n, lost, 0, 0);
        double began = now();
        anl_status s = anl_ring_attn(t->ring, &t->p);
        ck_assert_msg(now() - began < 20, "call %ld: it took %.1f s to stop", n, now() - began);
        if (ring_fault_end(f) < n) {
            ck_assert_int_eq(s, ANL_OK);
            return n - 1;
        }
        snprintf(what, sizeof what, "call %ld of device %d", n, device);
        snprintf(word, sizeof word, "device %d ", device);
        ck_assert_msg(s == ANL_E_DEVICE, "%s: %s", what, anl_status_name(s));
        ck_assert_msg(strstr(anl_ring_message(t->ring), word) && strstr(anl_ring_message(t->ring), "test's") &&
                          (strstr(anl_ring_message(t->ring), "piece ") ||
                           strstr(anl_ring_message(t->ring), "finishing") ||
                           strstr(anl_ring_message(t->ring), "before the first chunk")),
                      "%s: %s", what, anl_ring_message(t->ring));
        goes_on(t, what);
    }
}

START_TEST(any_call_may_fail)
{
    for (int causal = 0; causal < 2; causal++) {
        struct trio t;
        trio_open(&t, causal);
        for (int i = 0; i < N; i++) {
            /* how many there are is a matter of what arrives in time */
            ck_assert_int_gt(fail_each_call(&t, i, 0), 2);
            ck_assert_int_gt(fail_each_call(&t, i, 1), 2);
        }
        trio_close(&t);
    }
}
END_TEST

/* Allocation after allocation refused, on one device alone or for the ring's own. */
static long refuse_each(struct trio *t, struct counter *c)
{
    for (long n = 1;; n++) {
        char what[80];
        anl_status s;
        anl_ring_destroy(t->ring);
        t->ring = ring_open(t->ring_context, t->device, N, &t->rc, NULL);
        c->total = 0;
        c->fail_at = n;
        s = anl_ring_attn(t->ring, &t->p);
        c->fail_at = 0;
        if (c->total < n) {
            ck_assert_int_eq(s, ANL_OK);
            return n - 1;
        }
        snprintf(what, sizeof what, "allocation %ld", n);
        ck_assert_msg(s == ANL_E_MEMORY, "%s: %s", what, anl_status_name(s));
        ck_assert_msg(strstr(anl_ring_message(t->ring), "device ") != NULL, "%s: %s", what,
                      anl_ring_message(t->ring));
        goes_on(t, what);
    }
}

START_TEST(memory_may_be_refused)
{
    for (int causal = 0; causal < 2; causal++) {
        struct trio t;
        trio_open(&t, causal);
        for (int i = 0; i < N; i++)
            ck_assert_int_gt(refuse_each(&t, &t.counter[i]), 0);
        ck_assert_int_gt(refuse_each(&t, &t.ring_counter), 1);
        trio_close(&t);
    }
}
END_TEST

START_TEST(create_may_be_refused)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 1, 0 };
    struct counter counter;
    struct anl_context *context = counted_context(&counter);
    struct anl_device *device[2] = { testing_cpu_open(context, &cpu), testing_cpu_open(context, &cpu) };
    char error[200];
    const struct anl_ring_params p = { .size = sizeof p, .devices = device, .n_devices = 2, .error = error,
                                       .error_size = sizeof error };
    long before = counter.live;
    for (long n = 1;; n++) {
        struct anl_ring *ring = (struct anl_ring *)&counter;
        error[0] = 0;
        counter.total = 0;
        counter.fail_at = n;
        anl_status s = anl_ring_create(context, &p, &ring);
        counter.fail_at = 0;
        if (counter.total < n) {
            ck_assert_int_eq(s, ANL_OK);
            ck_assert_int_gt(n, 5);
            anl_ring_destroy(ring);
            break;
        }
        ck_assert_int_eq(s, ANL_E_MEMORY);
        ck_assert(ring == NULL && error[0] != 0);
        ck_assert_int_eq(counter.live, before);
    }
    for (int i = 0; i < 2; i++)
        anl_device_destroy(device[i]);
    anl_context_destroy(context);
    ck_assert_int_eq(counter.live, 0);
}
END_TEST

struct canceller {
    struct anl_ring *ring;
    unsigned us;
    double at;
};

static void *cancel_later(void *arg)
{
    struct canceller *c = arg;
    usleep(c->us);
    c->at = now();
    anl_ring_cancel(c->ring);
    return NULL;
}

START_TEST(cancel_from_another_thread)
{
    struct trio t;
    int cancelled = 0;
    trio_open(&t, 1);
    anl_ring_cancel(t.ring); /* no call runs */
    goes_on(&t, "a cancel before");
    for (unsigned i = 0; i < 40; i++) {
        struct canceller c = { t.ring, i * 200, 0 };
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_later, &c), 0);
        anl_status s = anl_ring_attn(t.ring, &t.p);
        pthread_join(thread, NULL);
        if (s == ANL_E_CANCELLED) {
            cancelled++;
            ck_assert_msg(now() - c.at < 10, "it took %.1f s to stop", now() - c.at);
            ck_assert(strstr(anl_ring_message(t.ring), "cancel") != NULL);
        } else {
            ck_assert_int_eq(s, ANL_OK);
        }
        if (i % 8 == 0)
            goes_on(&t, "cancelled");
    }
    ck_assert_int_gt(cancelled, 3);
    trio_close(&t);
}
END_TEST

/* Delays and yields at every hop, different in every round. */
START_TEST(delays_at_every_hop)
{
    for (int causal = 0; causal < 2; causal++) {
        struct trio t;
        trio_open(&t, causal);
        for (uint64_t round = 0; round < 12; round++) {
            struct ring_fault *f[N];
            for (int i = 0; i < N; i++)
                f[i] = ring_fault_begin(t.device[i], 0, 0, round % 3 ? 200 : 3000, round * N + (uint64_t)i);
            goes_on(&t, "delays");
            for (int i = 0; i < N; i++)
                ring_fault_end(f[i]);
        }
        trio_close(&t);
    }
}
END_TEST

/* The parts of the account add up, and the steps say the same. */
START_TEST(account_adds_up)
{
    struct trio t;
    struct anl_ring_account a[N];
    struct anl_ring_step steps[400];
    size_t n_steps = 0;
    double by_kind[N][4] = { { 0 } };
    uint64_t in = 0, out = 0;
    trio_open(&t, 1);
    t.p.accounts = a;
    t.p.steps = steps;
    t.p.capacity = 400;
    t.p.n_steps = &n_steps;
    goes_on(&t, "account");
    ck_assert_uint_gt(n_steps, 3 * N);
    ck_assert_uint_le(n_steps, 400);
    for (size_t i = 0; i < n_steps; i++) {
        ck_assert(steps[i].begin >= 0 && steps[i].end >= steps[i].begin);
        by_kind[steps[i].device][steps[i].kind] += steps[i].end - steps[i].begin;
    }
    for (int i = 0; i < N; i++) {
        const double part[4] = { a[i].compute, a[i].send, a[i].take, a[i].wait };
        double sum = 0;
        for (int k = 0; k < 4; k++) {
            ck_assert_double_eq_tol(part[k], by_kind[i][k], 1e-6);
            sum += part[k];
        }
        ck_assert_double_le(a[i].compute + a[i].wait, a[i].total);
        ck_assert(sum <= a[i].total || (i == 1 && getenv("ANNULET_TEST_CL")));
        ck_assert_uint_le(a[i].early, a[i].chunks);
        in += a[i].bytes_in;
        out += a[i].bytes_out;
    }
    ck_assert_uint_gt(out, 0);
    ck_assert_uint_eq(in, out);
    t.p.capacity = 2;
    goes_on(&t, "account");
    ck_assert_uint_gt(n_steps, 2);
    trio_close(&t);
}
END_TEST

/* The shape of the account is: what a device holds is its shard, its slots and its state. */
START_TEST(memory_is_shard_and_slots)
{
    struct trio t;
    trio_open(&t, 1);
    goes_on(&t, "memory");
    for (int i = 0; i < N; i++) {
        struct anl_memory before, m;
        anl_device_get_memory(t.device[i], &m);
        ck_assert_uint_gt(m.scratch, 0);
        goes_on(&t, "memory");
        before = m;
        anl_device_get_memory(t.device[i], &m);
        ck_assert_uint_eq(m.live, before.live); /* a second call takes no more */
    }
    trio_close(&t);
}
END_TEST

static int wrong(struct trio *t, const char *word)
{
    anl_status s = anl_ring_attn(t->ring, &t->p);
    const char *message = anl_ring_message(t->ring);
    ck_assert_msg(s == ANL_E_ARGUMENT, "%s: %s", word, anl_status_name(s));
    ck_assert_msg(strstr(message, word) != NULL, "'%s' is not in: %s", word, message);
    return 1;
}

START_TEST(wrong_arguments)
{
    struct trio t;
    trio_open(&t, 1);
    struct anl_ring_attn_params good = t.p;
    struct anl_ring_shard *s = t.placed.shard, shard = s[2];
    ck_assert_int_eq(anl_ring_attn(NULL, &good), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_attn(t.ring, NULL), ANL_E_ARGUMENT);
#define WRONG(change, word) \
    do {                    \
        change;             \
        wrong(&t, word);    \
        t.p = good;         \
        s[2] = shard;       \
    } while (0)
    WRONG(t.p.size = 8, "size");
    WRONG(t.p.n_shards = 3, "n_shards");
    WRONG(t.p.causal = 0, "n_shards");
    WRONG(t.p.shards = NULL, "n_shards");
    WRONG(t.p.scale = (float)(1e30 * 1e30), "scale");
    WRONG(t.p.capacity = 4, "capacity");
    WRONG(s[2].k.dim[2] -= 5, "shards[2]: v.dim[2]");
    WRONG(s[2].k.dim[2] -= 5; s[2].v.dim[2] -= 5, "shards[2].first");
    WRONG(s[2].first = 1, "shards[2].first");
    WRONG(s[2].first = -1, "shards[2].first");
    WRONG(s[2].q = s[1].q, "another device");
    WRONG(s[2].out.buffer = NULL; s[2].m.buffer = NULL, "shards[2]: out");
    WRONG(s[2].m.buffer = NULL, "shards[2].m");
    WRONG(s[2].o.buffer = NULL, "shards[2]: o");
    WRONG(s[2].v.buffer = NULL, "shards[2]: v");
    WRONG(s[2].k.dtype = ANL_F16, "shards[2]: k");
    WRONG(s[2].q.dim[3] = 3, "shards[2]: q.dim[3]");
    s[2].q.dim[2] = s[2].out.dim[2] = s[2].m.dim[2] = s[2].l.dim[2] = s[2].o.dim[2] = 5;
    WRONG(s[2].k.dim[2] -= 5; s[2].v.dim[2] -= 5, "inside a span");
    goes_on(&t, "wrong arguments");
    trio_close(&t);
}
END_TEST

START_TEST(wrong_rings)
{
    struct anl_context *context = testing_context();
    struct anl_device *d[2] = { testing_law(context), testing_law(context) };
    struct anl_device *twice[2] = { d[0], d[0] }, *none[2] = { d[0], NULL };
    const double zeros[2] = { 0, 0 }, minus[2] = { 1, -1 };
    char error[200];
    const struct anl_ring_params p = { .size = sizeof p, .devices = d, .n_devices = 2, .error = error,
                                       .error_size = sizeof error };
    struct anl_ring_params wrong[] = { p, p, p, p, p, p, p, p, p, p };
    struct anl_ring *ring = NULL;
    wrong[0].size = 8;
    wrong[1].n_devices = 0;
    wrong[2].n_devices = ANL_RING_MAX_DEVICES + 1;
    wrong[3].devices = NULL;
    wrong[4].devices = twice;
    wrong[5].devices = none;
    wrong[6].weights = zeros;
    wrong[7].weights = minus;
    wrong[8].slots = 1;
    wrong[9].chunk_spans = -1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        error[0] = 0;
        ck_assert_msg(anl_ring_create(context, &wrong[i], &ring) == ANL_E_ARGUMENT, "ring %zu", i);
        ck_assert(ring == NULL && (i == 0 || error[0] != 0));
    }
    ck_assert_int_eq(anl_ring_create(context, &p, NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_create(NULL, &p, &ring), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_create(context, &p, &ring), ANL_OK);
    ck_assert_int_eq(anl_ring_each(ring, NULL, NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_plan(ring, -1, 0, NULL), ANL_E_ARGUMENT);
    anl_ring_destroy(ring);
    anl_ring_destroy(NULL);
    for (int i = 0; i < 2; i++)
        anl_device_destroy(d[i]);
    anl_context_destroy(context);
}
END_TEST

/* anl_ring_each(): the tasks of all devices run at the same time: each waits for the others. */
struct meeting {
    pthread_barrier_t barrier;
    int seen[N], fail;
};

static anl_status meet(void *user, int index, struct anl_device *device)
{
    struct meeting *m = user;
    (void)device;
    m->seen[index]++;
    if (m->fail)
        return index == 1 ? ANL_E_UNSUPPORTED : ANL_OK;
    pthread_barrier_wait(&m->barrier);
    return ANL_OK;
}

START_TEST(each_device_at_once)
{
    struct trio t;
    struct meeting m = { .fail = 0 };
    trio_open(&t, 1);
    pthread_barrier_init(&m.barrier, NULL, N);
    ck_assert_int_eq(anl_ring_each(t.ring, meet, &m), ANL_OK);
    m.fail = 1;
    ck_assert_int_eq(anl_ring_each(t.ring, meet, &m), ANL_E_UNSUPPORTED);
    ck_assert(strstr(anl_ring_message(t.ring), "device 1") != NULL);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(m.seen[i], 2);
    pthread_barrier_destroy(&m.barrier);
    goes_on(&t, "each");
    trio_close(&t);
}
END_TEST

START_TEST(fork_is_noticed)
{
    struct trio t;
    int status = 0;
    trio_open(&t, 1);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(anl_ring_attn(t.ring, &t.p) != ANL_E_FORKED || !strstr(anl_ring_message(t.ring), "process"));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    goes_on(&t, "fork");
    trio_close(&t);
}
END_TEST

/* Many small rings in a row: threads, memory and devices come and go. ANNULET_TEST_RINGS: how many. */
START_TEST(many_rings)
{
    const char *text = getenv("ANNULET_TEST_RINGS");
    long n = text ? atol(text) : 500;
    struct trio t;
    trio_open(&t, 1);
    struct ring_case rc = { .c = { .b = 1, .h = 1, .hkv = 1, .sq = 1600, .sk = 1600, .d = 1, .dv = 1 } };
    struct ring_expected expected[2];
    for (int causal = 0; causal < 2; causal++) {
        rc.c.causal = causal;
        ring_expect(t.device[0], &rc, &expected[causal]);
    }
    struct counter before = t.ring_counter;
    struct anl_device *cpus[2] = { t.device[0], t.device[2] };
    for (long i = 0; i < n; i++) {
        rc.c.causal = (int)(i & 1);
        struct anl_ring *ring = ring_open(t.ring_context, cpus, 2, &rc, NULL);
        ring_check(ring, cpus, 2, &rc, &expected[i & 1], "many");
        anl_ring_destroy(ring);
    }
    ck_assert_int_eq(t.ring_counter.live, before.live);
    for (int causal = 0; causal < 2; causal++)
        ring_expected_free(&expected[causal]);
    trio_close(&t);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { any_call_may_fail, memory_may_be_refused, create_may_be_refused,
                             cancel_from_another_thread, delays_at_every_hop, account_adds_up,
                             memory_is_shard_and_slots, wrong_arguments, wrong_rings,
                             each_device_at_once, fork_is_noticed, many_rings };
    return testing_main("ring faults", tests, sizeof tests / sizeof *tests);
}
