/* tests/test_ring.c: a ring of devices gives the bits of one device: any number and kind of devices,
 * however the sequence is cut, whatever the slots.
 *
 * test_ring random SECONDS [SEED]: random rings and shapes for so long. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/golden.h"
#include "tests/ring_case.h"

#define CPUS 8

/* The devices that rings are made of, and one more that tells what is right. */
struct pool {
    struct anl_context *context;
    struct anl_device *one, *law[2], *cpu[CPUS], *cl[3];
    int n_cl;
};

static struct anl_device *open_cpu(struct anl_context *context, int threads)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, threads, 0 };
    return testing_cpu_open(context, &cpu);
}

/* OpenCL devices where the environment asks for them: two in one context, if there are two, and one in a
 * context of its own. */
static void open_cl(struct pool *pool)
{
    char error[200] = "";
    const int second = 1, two = getenv("ANNULET_TEST_CL") && testing_cl_devices() > 1;
    struct anl_cl_params p = { .size = sizeof p, .worst_grade = ANL_EXACT, .error = error,
                               .error_size = sizeof error };
    for (int i = 0; getenv("ANNULET_TEST_CL") && i < 3; i++) {
        p.shape = i == 2 ? ANL_CL_SHAPE_GPU : ANL_CL_SHAPE_AUTO;
        p.device = two && i == 1;
        p.beside = two && i == 0 ? &second : NULL;
        p.n_beside = two && i == 0;
        p.share = two && i == 1 ? pool->cl[0] : NULL;
        anl_status status = anl_device_create_cl(pool->context, &p, &pool->cl[pool->n_cl]);
        ck_assert_msg(status == ANL_OK, "%s", error);
        pool->n_cl++;
    }
}

static void pool_open(struct pool *pool)
{
    memset(pool, 0, sizeof *pool);
    pool->context = testing_context();
    pool->one = open_cpu(pool->context, 1);
    for (int i = 0; i < 2; i++)
        pool->law[i] = testing_law(pool->context);
    for (int i = 0; i < CPUS; i++)
        pool->cpu[i] = open_cpu(pool->context, 1);
    open_cl(pool);
}

static void pool_close(struct pool *pool)
{
    for (int i = 0; i < pool->n_cl; i++)
        anl_device_destroy(pool->cl[i]);
    for (int i = 0; i < CPUS; i++)
        anl_device_destroy(pool->cpu[i]);
    for (int i = 0; i < 2; i++)
        anl_device_destroy(pool->law[i]);
    anl_device_destroy(pool->one);
    anl_context_destroy(pool->context);
}

/* The case on a fresh ring of these devices. */
static void check_on(struct pool *pool, struct anl_device *const *devices, int n, const struct ring_case *rc,
                     const double *weights, const struct ring_expected *expected)
{
    char what[200];
    struct anl_ring *ring = ring_open(pool->context, devices, n, rc, weights);
    ring_describe(rc, n, what, sizeof what);
    ring_check(ring, devices, n, rc, expected, what);
    anl_ring_destroy(ring);
}

#define SHAPE(B, H, HKV, T, D, DV) .c = { .b = B, .h = H, .hkv = HKV, .sq = T, .sk = T, .d = D, .dv = DV }
static const struct ring_case cases[] = {
    { SHAPE(1, 1, 1, 1, 4, 4) },
    { SHAPE(1, 2, 1, 700, 8, 8), .layout = PLACE_GAPS },
    { SHAPE(1, 1, 1, 1537, 3, 5), .c.kv = ANL_F16, .layout = PLACE_WRAPPED },
    { SHAPE(1, 2, 2, 4100, 8, 4), .c.state = ATTN_OUT_AND_STATE },
    { SHAPE(2, 4, 2, 2560, 5, 7), .c.kv = ANL_BF16, .c.out = ANL_F16, .layout = PLACE_GAPS },
    { SHAPE(1, 1, 1, 8192, 2, 3), .slots = 2 },
    { SHAPE(1, 3, 1, 6000, 4, 4), .slots = 3, .chunk_spans = 1, .c.state = ATTN_STATE },
    { SHAPE(1, 1, 1, 3000, 2, 4), .c.head.kind = GEN_ADVERSARIAL, .c.scale = 1 },
    { SHAPE(1, 2, 1, 3000, 4, 4), .queries = RING_LAST_QUERY },
    { SHAPE(1, 2, 1, 5000, 4, 4), .queries = RING_SOME_QUERIES, .seed = 3, .slots = 4 },
};
#define CASES (sizeof cases / sizeof *cases)

static void check_sizes(struct pool *pool, const struct ring_case *given, int causal)
{
    static const int sizes[] = { 1, 2, 3, 4, 5, 8 };
    static const double weights[8] = { 1, 3, 0, 2, 0.5, 1, 7, 1 };
    struct ring_case rc = *given;
    struct ring_expected expected;
    rc.c.causal = causal;
    ring_expect(pool->one, &rc, &expected);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        check_on(pool, pool->cpu, sizes[k], &rc, NULL, &expected);
        check_on(pool, pool->cpu, sizes[k], &rc, weights, &expected);
        rc.cut_by_seed = 1;
        check_on(pool, pool->cpu, sizes[k], &rc, NULL, &expected);
        rc.cut_by_seed = 0;
    }
    ring_expected_free(&expected);
}

START_TEST(any_number_of_cpus)
{
    struct pool pool;
    pool_open(&pool);
    for (size_t i = 0; i < CASES; i++)
        for (int causal = 0; causal < 2; causal++)
            check_sizes(&pool, &cases[i], causal);
    pool_close(&pool);
}
END_TEST

/* The law, the CPU with one thread and with two, and OpenCL, in turn. */
START_TEST(mixed_devices)
{
    struct pool pool;
    pool_open(&pool);
    struct anl_device *two = open_cpu(pool.context, 2);
    struct anl_device *mix[] = { pool.law[0], pool.cpu[0], two, pool.law[1], pool.cpu[1], pool.cl[0],
                                 pool.cl[1], pool.cl[2] };
    for (size_t i = 0; i < CASES; i++)
        for (int causal = 0; causal < 2; causal++) {
            struct ring_case rc = cases[i];
            struct ring_expected expected;
            rc.c.causal = causal;
            rc.c.head.seed = 1;
            ring_expect(pool.one, &rc, &expected);
            check_on(&pool, mix, 2, &rc, NULL, &expected);
            check_on(&pool, mix, 5 + pool.n_cl, &rc, NULL, &expected);
            if (pool.n_cl)
                check_on(&pool, &mix[4], 1 + pool.n_cl, &rc, NULL, &expected);
            ring_expected_free(&expected);
        }
    anl_device_destroy(two);
    pool_close(&pool);
}
END_TEST

/* The bench's golden hashes, which are those of one device, from a ring. */
START_TEST(golden_hashes)
{
    struct pool pool;
    pool_open(&pool);
    for (int causal = 0; causal < 2; causal++) {
        const struct golden *golden =
            golden_bench_find("attn", causal ? "b1 h8 hkv8 sq4096 sk4096 d64 dv64 f32 causal"
                                             : "b1 h8 hkv8 sq4096 sk4096 d64 dv64 f32");
        struct ring_case rc = { SHAPE(1, 8, 8, 4096, 64, 64) };
        struct ring_expected expected;
        rc.c.causal = causal;
        ring_expect(pool.one, &rc, &expected);
        ck_assert(golden != NULL);
        ck_assert_uint_eq(run_hash(ANL_F32, expected.result.array[0].count, expected.result.array[0].data),
                          golden->hash);
        check_on(&pool, pool.cpu, 3, &rc, NULL, &expected);
        ring_expected_free(&expected);
    }
    pool_close(&pool);
}
END_TEST

/* No device holds more than its shard and its slots, but for 5 %. */
START_TEST(memory_of_a_share)
{
    static const int sizes[] = { 1, 2, 4, 8 };
    struct pool pool;
    pool_open(&pool);
    for (int k = 0; k < 8; k++) {
        const int n = sizes[k / 2];
        struct ring_case rc = { SHAPE(1, 8, 8, 8192, 64, 64) };
        struct anl_ring_account account[CPUS];
        struct attn_data data;
        struct ring_placed pl;
        rc.c.causal = k % 2;
        attn_data_make(&rc.c, &data);
        struct anl_ring *ring = ring_open(pool.context, pool.cpu, n, &rc, NULL);
        ring_place(ring, pool.cpu, n, &rc, &data, &pl);
        const struct anl_ring_attn_params p = { .size = sizeof p, .shards = pl.shard, .n_shards = pl.n,
                                                .causal = rc.c.causal, .accounts = account };
        for (int i = 0; i < n; i++)
            anl_device_memory_reset_peak(pool.cpu[i]);
        ck_assert_int_eq(anl_ring_attn(ring, &p), ANL_OK);
        for (int i = 0; i < n; i++) {
            struct anl_memory m;
            anl_device_get_memory(pool.cpu[i], &m);
            double most = 1.05 * (double)(m.tensors + account[i].slot_bytes);
            ck_assert_msg((double)m.peak <= most, "N%d%s, device %d: %.0f of %.0f bytes", n,
                          k % 2 ? " causal" : "", i, (double)m.peak, most);
            ck_assert(m.tensors >= (uint64_t)(8192 / n - 512) * 8 * 64 * 16);
        }
        ring_placed_free(&pl);
        anl_ring_destroy(ring);
        attn_data_free(&data);
    }
    pool_close(&pool);
}
END_TEST

/* Without weights devices that differ are measured, and those that look alike are not. */
START_TEST(measured_weights)
{
    struct pool pool;
    pool_open(&pool);
    struct anl_device *mix[] = { pool.law[0], pool.cpu[0] };
    for (int alike = 0; alike < 2; alike++) {
        char error[200] = "";
        struct anl_ring *ring;
        struct anl_ring_piece piece[2];
        const struct anl_ring_params p = { .size = sizeof p, .devices = alike ? pool.cpu : mix,
                                           .n_devices = 2, .error = error, .error_size = sizeof error };
        ck_assert_msg(anl_ring_create(pool.context, &p, &ring) == ANL_OK, "%s", error);
        for (int again = 0; again < 2; again++) {
            ck_assert_int_eq(anl_ring_plan(ring, 512000, 0, piece), ANL_OK);
            ck_assert_int_eq(piece[0].length + piece[1].length, 512000);
            if (alike)
                ck_assert_int_eq(piece[0].length, 256000);
            else /* the law takes more than ten times as long */
                ck_assert_int_lt(piece[0].length, 512000 / 11);
        }
        anl_ring_destroy(ring);
    }
    pool_close(&pool);
}
END_TEST

/* A slow device gets a span only if it has it done as soon as the others theirs. */
START_TEST(slow_devices_do_not_hold_up)
{
    static const struct {
        double weights[3];
        int64_t spans, width[3];
    } cut[] = { { { 200, 1, 0 }, 128, { 128, 0, 0 } },    { { 100, 1, 1 }, 150, { 148, 1, 1 } },
                { { 1, 1, 1 }, 8, { 3, 3, 2 } },          { { 3, 1, 2 }, 12, { 6, 2, 4 } },
                { { 1, 0, 1 }, 1, { 1, 0, 0 } },          { { 0.5, 0.25, 0.25 }, 7, { 4, 2, 1 } } };
    struct pool pool;
    pool_open(&pool);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        const struct ring_case rc = { .slots = 0 };
        struct anl_ring *ring = ring_open(pool.context, pool.cpu, 3, &rc, cut[i].weights);
        struct anl_ring_piece piece[6];
        for (int causal = 0; causal < 2; causal++) {
            ck_assert_int_eq(anl_ring_plan(ring, cut[i].spans * 512, causal, piece), ANL_OK);
            for (int d = 0; d < 3; d++)
                ck_assert_int_eq(piece[d].length + (causal ? piece[5 - d].length : 0),
                                 cut[i].width[d] * 512);
        }
        anl_ring_destroy(ring);
    }
    pool_close(&pool);
}
END_TEST

START_TEST(cuts_that_cannot_be)
{
    static const double good[2] = { 1, 2 }, bad[][2] = { { 0, 0 }, { 1, -1 }, { NAN, 1 }, { INFINITY, 1 } };
    struct anl_ring_piece piece[4];
    ck_assert_int_eq(anl_ring_cut(good, 2, 1000, 1, piece), ANL_OK);
    ck_assert_int_eq(anl_ring_cut(good, 0, 1000, 0, piece), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_cut(good, 2, -1, 0, piece), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_cut(good, 2, (INT64_C(1) << 40) + 1, 0, piece), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_cut(good, 2, 1000, 0, NULL), ANL_E_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(anl_ring_cut(bad[i], 2, 1000, 0, piece), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_ring_cut(NULL, 2, 1LL << 40, 0, piece), ANL_OK);
    ck_assert_int_eq(piece[1].start + piece[1].length, 1LL << 40);
}
END_TEST

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct ring_case random_case(struct gen *g)
{
    static const anl_dtype types[] = { ANL_F32, ANL_F16, ANL_BF16 };
    const uint32_t hkv = 1 + gen_below(g, 2), h = hkv * (1 + gen_below(g, 3));
    const uint32_t spans = 1 + gen_below(g, gen_below(g, 4) ? 8 : 20);
    const uint32_t tokens = gen_below(g, 2) ? spans * 512 : spans * 512 - gen_below(g, 512);
    struct ring_case rc = { SHAPE(1 + gen_below(g, 2), h, hkv, tokens, 1 + gen_below(g, 12),
                                  1 + gen_below(g, 12)) };
    rc.c.causal = (int)gen_below(g, 2);
    rc.c.kv = types[gen_below(g, 3)];
    rc.c.out = types[gen_below(g, 3)];
    rc.c.state = (enum attn_state)gen_below(g, 3);
    rc.c.head.seed = gen_below(g, 1000);
    if (gen_below(g, 4) == 0) {
        rc.c.head.kind = GEN_ADVERSARIAL;
        rc.c.scale = 1;
    }
    rc.slots = gen_below(g, 2) ? 0 : 2 + (int)gen_below(g, 5);
    rc.chunk_spans = gen_below(g, 2) ? 0 : 1 + (int)gen_below(g, 3);
    rc.queries = gen_below(g, 2) ? RING_ALL_QUERIES : (enum ring_queries)gen_below(g, 3);
    rc.layout = (enum place_layout)gen_below(g, 3);
    rc.cut_by_seed = (int)gen_below(g, 2);
    rc.seed = gen_next(g);
    return rc;
}

/* Devices in any order; two calls on a ring, of different shapes, since it keeps its memory. */
static int random_ring(struct pool *pool, struct gen *g)
{
    struct anl_device *all[CPUS + 5], *devices[8];
    int n_all = 0, n = 1 + (int)gen_below(g, 8);
    double weights[8];
    struct ring_case rc = random_case(g);
    struct anl_ring *ring;
    for (int i = 0; i < CPUS; i++)
        all[n_all++] = pool->cpu[i];
    for (int i = 0; i < 2; i++)
        all[n_all++] = pool->law[i];
    for (int i = 0; i < pool->n_cl; i++)
        all[n_all++] = pool->cl[i];
    for (int i = 0; i < n; i++) {
        uint32_t k = gen_below(g, (uint32_t)n_all);
        devices[i] = all[k];
        all[k] = all[--n_all];
        weights[i] = i && gen_below(g, 4) == 0 ? 0 : 1 + gen_below(g, 5);
    }
    ring = ring_open(pool->context, devices, n, &rc, gen_below(g, 2) ? weights : NULL);
    for (int call = 0; call < 2; call++) {
        struct ring_expected expected;
        char what[200];
        ring_describe(&rc, n, what, sizeof what);
        ring_expect(pool->one, &rc, &expected);
        ring_check(ring, devices, n, &rc, &expected, what);
        ring_expected_free(&expected);
        rc = random_case(g);
    }
    anl_ring_destroy(ring);
    return 2;
}

static void random_for(double seconds, uint64_t seed)
{
    struct gen g = gen_seed(seed, 901);
    struct pool pool;
    double end = now() + seconds;
    int calls = 0;
    pool_open(&pool);
    while (now() < end)
        calls += random_ring(&pool, &g);
    printf("%d random rings from seed %llu\n", calls, (unsigned long long)seed);
    pool_close(&pool);
}

static double seconds = 3;
static uint64_t seed = 1;

START_TEST(random_rings)
{
    random_for(seconds, seed);
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = { any_number_of_cpus, mixed_devices, golden_hashes, memory_of_a_share,
                             measured_weights, slow_devices_do_not_hold_up, cuts_that_cannot_be,
                             random_rings };
    if (argc > 2 && strcmp(argv[1], "random") == 0) {
        seconds = atof(argv[2]);
        seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
        return testing_main("ring random", tests + sizeof tests / sizeof *tests - 1, 1);
    }
    return testing_main("ring", tests, sizeof tests / sizeof *tests);
}
