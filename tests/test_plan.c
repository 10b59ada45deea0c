/* tests/test_plan.c: the planner: the paper's cells beside its formulas, and what holds of every
 * simulated ring: nothing is computed twice or left out, it moves with few slots, and its time is what
 * can be known. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "tools/plan/model.h"
#include "tools/plan/paper.h"

/* As the paper prints: to one decimal, in tenths. */
static long tenths(double x)
{
    return lround(x * 10);
}

START_TEST(figure5)
{
    int cells = 0;
    for (int i = 0; i < paper_n_figure5; i++) {
        for (int c = 0; c < PAPER_CONTEXTS; c++, cells++) {
            const struct paper_figure5 *r = &paper_figure5[i];
            ck_assert_msg(tenths(r->cell[c]) ==
                              tenths(paper_flops_ratio(r->hidden, paper_context_tokens[c])),
                          "%s at %s", r->model, paper_context_name[c]);
        }
    }
    ck_assert_int_eq(cells, 54);
}
END_TEST

START_TEST(table2)
{
    int follow = 0;
    for (int i = 0; i < paper_n_table2; i++) {
        const struct paper_table2 *r = &paper_table2[i];
        int same = tenths(r->block) == tenths(paper_block(r)) &&
                   tenths(r->sequence) == tenths(6 * paper_block(r));
        ck_assert_msg(same == r->follows, "%s", r->device);
        follow += same;
    }
    ck_assert_int_eq(follow, paper_n_table2 - 1);
    ck_assert(!paper_table2[1].follows); /* InfiniBand; nor do its two cells follow from each other */
    ck_assert_int_ne(tenths(paper_table2[1].sequence), tenths(6 * paper_table2[1].block));
}
END_TEST

START_TEST(table3)
{
    for (int i = 0; i < paper_n_table3; i++) {
        const struct paper_table3 *r = &paper_table3[i];
        ck_assert_int_ne(r->tensor_mark, PAPER_UNVERIFIED);
        ck_assert_msg(r->cell[PAPER_RING] == r->gain * r->cell[PAPER_BLOCKWISE], "%s %s", r->machine,
                      r->model);
        ck_assert_msg(r->gain * r->tensor == r->devices, "%s %s", r->machine, r->model);
        for (int m = 0; m < PAPER_METHODS; m++)
            ck_assert_msg(r->cell[m] <= paper_context(r, (enum paper_method)m), "%s %s %d", r->machine,
                          r->model, m);
    }
    ck_assert_int_eq(paper_n_table3, 13);
}
END_TEST

/* A ring with a piece's width such that all can be even. */
static struct plan even(int devices, int causal)
{
    struct plan p = { .devices = devices,
                      .hosts = 1,
                      .flops = 1e12,
                      .tokens = (int64_t)devices * 8192,
                      .heads = 4,
                      .kv_heads = 4,
                      .dim = 64,
                      .kv_bytes = 4,
                      .slots = PLAN_SLOTS,
                      .causal = causal };
    return p;
}

static double seconds(const struct plan *plan)
{
    struct plan_result result;
    ck_assert_int_eq(plan_run(plan, &result, NULL), SIM_OK);
    return result.seconds;
}

static void near(double a, double b)
{
    ck_assert_msg(fabs(a - b) <= 1e-9 * fabs(b), "%.17g is not %.17g", a, b);
}

START_TEST(closed_forms)
{
    struct plan one = even(1, 0), two = even(2, 0);
    one.call = two.call = 1e-3;
    two.batch = 1;
    one.tokens = 8192 - 100;
    near(seconds(&one), one.call + plan_flops(&one) / one.flops);
    one.causal = 1; /* nor has one device two pieces then */
    near(seconds(&one), one.call + plan_flops(&one) / one.flops);
    /* the other's piece in 8 chunks; the own spans up to a query's, and those above */
    near(seconds(&two), (1 + 8 + 1) * two.call + plan_flops(&two) / two.flops / 2);
    /* four chunks, half of the slots, in a call, and each query has its cost */
    two.batch = 0;
    two.query = 1e-6;
    near(seconds(&two), (1 + 2 + 1) * (two.call + 8192 * two.query) + plan_flops(&two) / two.flops / 2);
    /* but a chunk in a call where it is passed on around a closed ring */
    struct plan three = even(3, 0), apart = three;
    apart.batch = 1;
    near(seconds(&three), seconds(&apart));
    three.causal = apart.causal = 1;
    three.call = apart.call = 1e-3;
    ck_assert_double_lt(seconds(&three), seconds(&apart) - 2 * three.call);
    /* a link so slow that it is all that counts: 7 pieces over each link */
    struct plan slow = even(8, 0);
    slow.link = 1;
    double carried = 7 * 8192.0 * plan_kv_bytes(&slow);
    ck_assert_double_gt(seconds(&slow), carried);
    ck_assert_double_lt(seconds(&slow), carried * 1.001);
}
END_TEST

START_TEST(free_links)
{
    for (int n = 1; n <= 128; n += n < 9 ? 1 : 17) {
        for (int causal = 0; causal < 2; causal++) {
            struct plan p = even(n, causal);
            struct plan_result result;
            ck_assert_int_eq(plan_run(&p, &result, NULL), SIM_OK);
            ck_assert_msg(result.efficiency > 0.999 && result.efficiency < 1 + 1e-9, "%d: %g", n,
                          result.efficiency);
            ck_assert_double_gt(result.overlap, 0.999);
        }
    }
}
END_TEST

/* Whole shards that hide their transfer, and half of such. */
START_TEST(hiding)
{
    for (int causal = 0; causal < 2; causal++) {
        struct plan p = even(8, causal);
        struct plan_result result;
        p.link = p.flops / 2048; /* f32: 2F/B = 4096 tokens a piece */
        near(plan_hiding_piece(&p, 0), 4096);
        p.tokens = 8 * (1 + causal) * 4096 * 5 / 4;
        ck_assert_int_eq(plan_run(&p, &result, NULL), SIM_OK);
        ck_assert_double_gt(result.efficiency, 0.95);
        p.tokens = 8 * (1 + causal) * 2048;
        ck_assert_int_eq(plan_run(&p, &result, NULL), SIM_OK);
        ck_assert_double_lt(result.efficiency, 0.6);
        ck_assert_double_gt(result.efficiency, 0.4);
    }
    struct plan p = even(8, 0);
    p.link = 1e9;
    p.kv_bytes = 2;
    near(plan_hiding_piece(&p, 0), p.flops / p.link);
    p.heads = 16;
    near(plan_hiding_piece(&p, 0), p.flops / p.link / 4);
}
END_TEST

/* Faster links, more of the same speed, and fewer hosts never cost time. */
START_TEST(monotone)
{
    for (int causal = 0; causal < 2; causal++) {
        for (int n = 2; n <= 16; n *= 2) {
            double last = INFINITY;
            struct plan p = even(n, causal);
            for (p.link = 1e6; p.link < 1e12; p.link *= 1.5) {
                double now = seconds(&p);
                ck_assert_msg(now <= last * (1 + 1e-9), "%d devices at %g: %g after %g", n, p.link, now,
                              last);
                last = now;
            }
            p.hosts = 2;
            p.host_link = 1e7;
            ck_assert_double_gt(seconds(&p), last);
        }
    }
}
END_TEST

/* What a blocking copy costs, it costs the device. */
START_TEST(blocking)
{
    struct plan p = even(4, 0);
    struct sim_device devices[4];
    struct plan_result result;
    p.link = 1e9;
    p.blocking = 1;
    p.batch = 1; /* a long call would keep the next device waiting */
    ck_assert_int_eq(plan_run(&p, &result, devices), SIM_OK);
    for (int d = 0; d < 4; d++) {
        near(devices[d].send, 3 * 8192 * plan_kv_bytes(&p) / p.link);
        ck_assert_double_ge(result.seconds * (1 + 1e-12), devices[d].send + devices[d].compute);
    }
    near(result.seconds, devices[0].send + devices[0].compute);
}
END_TEST

/* --- the simulator alone, on any pieces */

struct draw {
    uint64_t state;
};

static int below(struct draw *d, int n)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((d->state >> 33) % (uint64_t)n);
}

/* Pieces of whole spans, but for the last; a device has up to two, as in a plan. */
static int draw_ranks(struct draw *d, int devices, int causal, struct sim_rank *ranks)
{
    int n = causal ? 2 * devices : devices, count = 0;
    for (int i = 0; i < n; i++) {
        int spans = below(d, 5);
        if (spans > 0)
            ranks[count++] = (struct sim_rank){ .device = i < devices ? i : n - 1 - i,
                                                .tokens = spans * SIM_SPAN,
                                                .latency = below(d, 3) * 1e4,
                                                .token_seconds = below(d, 4) * 100.0 };
    }
    if (count > 0)
        ranks[count - 1].tokens -= below(d, SIM_SPAN);
    return count;
}

static int64_t most_chunks(const struct sim_params *p)
{
    int64_t most = 0;
    for (int i = 0; i < p->n_ranks; i++) {
        int64_t chunks = (p->ranks[i].tokens + p->chunk - 1) / p->chunk;
        most = chunks > most ? chunks : most;
    }
    return most;
}

/* A pair takes a second, so that busy seconds are whole numbers, and their sum is that of all pairs. */
static void run_drawn(struct draw *d)
{
    struct sim_rank ranks[32];
    struct sim_device devices[16], again[16];
    double pair[16], tokens = 0, busy = 0, carried = 0, transfer = 0, total, repeated;
    uint64_t events, chunks = 0;
    struct sim_params p = { .ranks = ranks,
                            .n_devices = 1 + below(d, 16),
                            .pair_seconds = pair,
                            .chunk = SIM_SPAN * (1 + below(d, 3)),
                            .causal = below(d, 2),
                            .blocking = below(d, 2) };
    p.n_ranks = draw_ranks(d, p.n_devices, p.causal, ranks);
    if (p.n_ranks == 0)
        return;
    p.slots = 1 + below(d, 4);
    p.batch = 1 + below(d, 3);
    if (!p.causal && p.slots <= most_chunks(&p))
        p.slots = (int)most_chunks(&p) + 1;
    for (int i = 0; i < p.n_devices; i++)
        pair[i] = 1;
    ck_assert_int_eq(sim_run(&p, devices, &total, &events), SIM_OK);
    ck_assert_int_eq(sim_run(&p, again, &repeated, NULL), SIM_OK);
    ck_assert_double_eq(total, repeated);
    for (int i = 0; i < p.n_ranks; i++) {
        carried += tokens * ranks[i].token_seconds; /* by causal links, beside a chunk's latency */
        tokens += (double)ranks[i].tokens;
        ranks[i].latency = 0;
    }
    ck_assert_int_eq(sim_run(&p, again, &repeated, NULL), SIM_OK);
    for (int i = 0; i < p.n_devices; i++) {
        transfer += again[i].transfer;
        busy += devices[i].compute;
        chunks += devices[i].chunks;
        ck_assert_double_le(devices[i].compute + devices[i].send, devices[i].finish);
        ck_assert_double_le(devices[i].finish, total);
        ck_assert_uint_le(devices[i].early, devices[i].chunks);
    }
    ck_assert_double_eq(busy, p.causal ? tokens * (tokens + 1) / 2 : tokens * tokens);
    if (p.batch == 1)
        ck_assert_double_eq((double)events, sim_size(&p));
    ck_assert_double_le((double)events, sim_size(&p));
    ck_assert(!p.causal || transfer == carried);
    ck_assert_uint_lt(chunks, events + 1);
}

START_TEST(random_rings)
{
    struct draw d = { 1 };
    for (int i = 0; i < 3000; i++)
        run_drawn(&d);
}
END_TEST

/* An open chain moves with one slot; a closed ring needs one more than a piece has chunks. */
START_TEST(slots)
{
    struct sim_rank ranks[6];
    struct sim_device devices[3];
    double pair[3] = { 1, 1, 1 }, total;
    struct sim_params p = { .ranks = ranks,
                            .n_devices = 3,
                            .n_ranks = 3,
                            .pair_seconds = pair,
                            .chunk = SIM_SPAN,
                            .batch = 1 };
    for (int i = 0; i < 6; i++)
        ranks[i] = (struct sim_rank){ .device = i < 3 ? i : 5 - i, .tokens = 4 * SIM_SPAN };
    for (p.slots = 1; p.slots < 8; p.slots++)
        ck_assert_int_eq(sim_run(&p, devices, &total, NULL), p.slots > 4 ? SIM_OK : SIM_STALLED);
    p.causal = 1;
    p.n_ranks = 6;
    p.slots = 1;
    ck_assert_int_eq(sim_run(&p, devices, &total, NULL), SIM_OK);
}
END_TEST

/* Two devices, one piece each, by hand: 4 chunks to the second, which is busy with its own piece first.
 * With one slot a chunk is sent when the one before it is computed with; with two, meanwhile. */
START_TEST(by_hand)
{
    const double own = 512 * 513 / 2, chunk = 512 * 512, link = 1e5;
    struct sim_rank ranks[2] = { { .device = 0, .tokens = 4 * SIM_SPAN },
                                 { .device = 1, .tokens = SIM_SPAN, .latency = link } };
    struct sim_device devices[2];
    double pair[2] = { 0, 1 }, total;
    struct sim_params p = { .ranks = ranks,
                            .n_devices = 2,
                            .n_ranks = 2,
                            .pair_seconds = pair,
                            .chunk = SIM_SPAN,
                            .batch = 1,
                            .slots = 1,
                            .causal = 1 };
    ck_assert_int_eq(sim_run(&p, devices, &total, NULL), SIM_OK);
    ck_assert_double_eq(total, own + 4 * chunk + 3 * link);
    ck_assert_uint_eq(devices[1].chunks, 4);
    ck_assert_uint_eq(devices[1].early, 1);
    p.slots = 2;
    ck_assert_int_eq(sim_run(&p, devices, &total, NULL), SIM_OK);
    ck_assert_double_eq(total, own + 4 * chunk);
    ck_assert_uint_eq(devices[1].early, 4);
    ck_assert_double_eq(devices[1].transfer, 4 * link);
}
END_TEST

/* A link that just suffices, and few slots: the rank with more work left must come first. */
START_TEST(more_work_first)
{
    struct plan p = even(4, 1);
    struct plan_result result;
    p.link = p.flops / 2000;
    p.slots = 3;
    ck_assert_int_eq(plan_run(&p, &result, NULL), SIM_OK);
    ck_assert_double_gt(result.efficiency, 0.999);
}
END_TEST

/* --- the model */

START_TEST(cut)
{
    static struct sim_rank ranks[2 * PLAN_MAX_DEVICES];
    double weights[PLAN_MAX_DEVICES];
    struct draw d = { 2 };
    for (int i = 0; i < 2000; i++) {
        struct plan p = even(1 + below(&d, 20), below(&d, 2));
        int64_t sum = 0;
        p.tokens = 1 + below(&d, 200000);
        for (int k = 0; k < p.devices; k++)
            weights[k] = below(&d, 4);
        weights[below(&d, p.devices)] = 1;
        p.weights = below(&d, 2) ? weights : NULL;
        int n = plan_cut(&p, ranks);
        for (int k = 0; k < n; k++) {
            ck_assert_int_eq(sum % SIM_SPAN, 0);
            ck_assert_int_gt(ranks[k].tokens, 0);
            sum += ranks[k].tokens;
        }
        ck_assert_int_eq(sum, p.tokens);
    }
}
END_TEST

/* Twice as fast, twice the tokens, and as long busy. */
START_TEST(uneven)
{
    for (int causal = 0; causal < 2; causal++) {
        const double weights[3] = { 1, 2, 1 };
        struct plan p = even(3, causal);
        struct sim_device devices[3];
        struct plan_result result;
        p.tokens = 32768;
        p.weights = weights;
        ck_assert_int_eq(plan_run(&p, &result, devices), SIM_OK);
        ck_assert_double_gt(result.efficiency, 0.99);
        for (int d = 0; d < 3; d++)
            ck_assert_double_gt(devices[d].compute, result.seconds * 0.99);
    }
}
END_TEST

START_TEST(memory)
{
    for (int causal = 0; causal < 2; causal++) {
        for (int n = 1; n <= 8; n *= 2) {
            struct plan p = even(n, causal);
            struct plan_memory m;
            plan_memory(&p, &m);
            ck_assert_int_eq(m.tokens, 8192);
            /* nine slots of an eighth of a piece, into each of a device's pieces */
            int links = n > 1 ? 1 + causal : 0;
            ck_assert_double_eq(m.slots, links * 9 * (causal ? 512 : 1024) * plan_kv_bytes(&p));
            near(m.shard, 8192.0 * 4 * (4 * 64 * 4 + 4 * 2)); /* q, k, v and out, where o is too; m and l */
            p.memory = 1e9;
            p.tokens = plan_largest(&p);
            plan_memory(&p, &m);
            ck_assert_double_le(m.shard + m.slots, p.memory);
            p.tokens += n * SIM_SPAN;
            plan_memory(&p, &m);
            ck_assert_double_gt(m.shard + m.slots, p.memory);
            p.memory = 1;
            ck_assert_int_eq(plan_largest(&p), 0);
        }
    }
}
END_TEST

START_TEST(thousand_devices)
{
    for (int causal = 0; causal < 2; causal++) {
        struct plan p = even(PLAN_MAX_DEVICES, causal);
        struct plan_result result;
        p.slots = 3; /* two chunks a piece: enough, and sooner done than eight */
        p.link = 1e10;
        ck_assert_int_eq(plan_run(&p, &result, NULL), SIM_OK);
        ck_assert_double_gt(result.efficiency, 0.95);
        ck_assert_double_eq((double)result.events, plan_size(&p)); /* half of the slots is one */
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plan");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, figure5);
    tcase_add_test(tests, table2);
    tcase_add_test(tests, table3);
    tcase_add_test(tests, closed_forms);
    tcase_add_test(tests, free_links);
    tcase_add_test(tests, hiding);
    tcase_add_test(tests, monotone);
    tcase_add_test(tests, blocking);
    tcase_add_test(tests, random_rings);
    tcase_add_test(tests, slots);
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, more_work_first);
    tcase_add_test(tests, cut);
    tcase_add_test(tests, uneven);
    tcase_add_test(tests, memory);
    tcase_add_test(tests, thousand_devices);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
