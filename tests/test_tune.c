/* tests/test_tune.c: the search of `annulet tune`, with a runner that lies: a tile that is wrong never
 * wins, wherever that shows. And tiles as text, and the table made of the winners. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tune/tune.h"

#define TILES 6

/* What the runner says of each tile, told apart by its bm. */
struct liar {
    struct {
        enum tune_verdict check, race, confirm;
        double seconds;
    } of[TILES];
    double slower; /* all times grow by this factor with every race */
    double now;
    int races, confirmed, time_is_up, stopped;
};

static enum tune_verdict check(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                               char *why, size_t why_size)
{
    struct liar *l = user;
    (void)best;
    snprintf(why, why_size, "check %d", tile->n[0]);
    return l->of[tile->n[0]].check;
}

static enum tune_verdict race(void *user, const struct tune_tile *best, const struct tune_tile *tile,
                              double *best_seconds, double *seconds, char *why, size_t why_size)
{
    struct liar *l = user;
    snprintf(why, why_size, "race %d", tile->n[0]);
    l->now = l->races++ == 0 ? 1 : l->now * l->slower;
    *seconds = l->of[tile->n[0]].seconds * l->now;
    if (best != NULL)
        *best_seconds = l->of[best->n[0]].seconds * l->now;
    return l->of[tile->n[0]].race;
}

static enum tune_verdict confirm(void *user, const struct tune_tile *tile, char *why, size_t why_size)
{
    struct liar *l = user;
    snprintf(why, why_size, "confirm %d", tile->n[0]);
    l->confirmed++;
    return l->of[tile->n[0]].confirm;
}

static int stop(void *user, int may_end)
{
    const struct liar *l = user;
    return l->stopped || (may_end && l->time_is_up);
}

/* All right, the later the faster. */
static struct liar honest(void)
{
    struct liar l = { .slower = 1 };
    for (int i = 0; i < TILES; i++) {
        l.of[i].check = l.of[i].race = l.of[i].confirm = TUNE_GOOD;
        l.of[i].seconds = 10 - i;
    }
    return l;
}

static int search(struct liar *l, struct tune_trial *trials, int always)
{
    const struct tune_runner runner = { l, check, race, confirm, stop };
    memset(trials, 0, TILES * sizeof *trials);
    for (int i = 0; i < TILES; i++)
        trials[i].tile.n[0] = i;
    return tune_search(&runner, trials, TILES, always);
}

START_TEST(fastest_wins)
{
    struct tune_trial trials[TILES];
    struct liar l = honest();
    ck_assert_int_eq(search(&l, trials, 1), TILES - 1);
    l = honest();
    l.of[2].seconds = 1;
    ck_assert_int_eq(search(&l, trials, 1), 2);
    ck_assert_int_eq(l.confirmed, 1);
    /* a clock that sinks from race to race hides no gain and makes none */
    l = honest();
    l.slower = 1.5;
    ck_assert_int_eq(search(&l, trials, 1), TILES - 1);
    ck_assert_double_eq_tol(trials[TILES - 1].relative, 0.5, 1e-9);
    /* what is in use stays unless another gains something */
    l = honest();
    for (int i = 0; i < TILES; i++)
        l.of[i].seconds = i == 0 ? 1 : 0.995;
    ck_assert_int_eq(search(&l, trials, 1), 0);
}
END_TEST

START_TEST(wrong_never_wins)
{
    for (int where = 0; where < 3; where++) {
        for (int verdict = TUNE_UNFIT; verdict <= TUNE_FAILED; verdict++) {
            struct tune_trial trials[TILES];
            struct liar l = honest();
            enum tune_verdict v = (enum tune_verdict)verdict;
            l.of[3].seconds = 0.001;
            l.of[3].check = where == 0 ? v : TUNE_GOOD;
            l.of[3].race = where == 1 ? v : TUNE_GOOD;
            l.of[3].confirm = where == 2 ? v : TUNE_GOOD;
            ck_assert_int_eq(search(&l, trials, 1), TILES - 1);
            ck_assert_int_eq(trials[3].verdict, v);
            ck_assert_str_eq(trials[3].why, where == 0 ? "check 3" : where == 1 ? "race 3" : "confirm 3");
        }
    }
}
END_TEST

START_TEST(none_is_right)
{
    struct tune_trial trials[TILES];
    struct liar l = honest();
    for (int i = 0; i < TILES; i++)
        l.of[i].confirm = TUNE_WRONG;
    ck_assert_int_eq(search(&l, trials, 1), -1);
    ck_assert_int_eq(l.confirmed, TILES);
    l = honest();
    for (int i = 0; i < TILES; i++)
        l.of[i].check = TUNE_FAILED;
    ck_assert_int_eq(search(&l, trials, 1), -1);
    ck_assert_int_eq(l.races, 0);
}
END_TEST

START_TEST(time_is_up)
{
    struct tune_trial trials[TILES];
    struct liar l = honest();
    l.time_is_up = 1;
    ck_assert_int_eq(search(&l, trials, 2), 1);
    ck_assert_int_eq(trials[1].verdict, TUNE_GOOD);
    ck_assert_int_eq(trials[2].verdict, TUNE_UNTRIED);
    l.stopped = 1;
    ck_assert_int_eq(search(&l, trials, 2), -1);
}
END_TEST

START_TEST(text)
{
    static const char *const bad[] = { "", "linear", "linear ", "attn dv64", "gemm bm64",
                                       "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail",
                                       "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60 ",
                                       "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail12345",
                                       "linear bm64  bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60",
                                       "linear bm-4 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60",
                                       "linear bn64 bm64 tm4 tn4 bk16 uk4 groups4 speed100 tail60" };
    static const char table[] = "linear bm64 bn64 tm4 tn4 bk16 uk4 groups4 speed100 tail60\n"
                                "attn dv64 bq64 rq8 rk8 dc64 vc64 qres1 uq8 uv8 flow0\n"
                                "attn dv128 bq128 rq8 rk4 dc32 vc16 qres1 uq8 uv8 flow0";
    struct tune_tile tile, tiles[TUNE_CANDIDATES];
    char line[TUNE_TEXT];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!tune_parse(bad[i], &tile), "'%s' was taken", bad[i]);
    for (int i = 0; i < 3; i++) {
        int n = tune_candidates(i == 0 ? TUNE_LINEAR : TUNE_ATTN, i * 64, tiles, TUNE_CANDIDATES);
        ck_assert_int_gt(n, 20);
        ck_assert_int_lt(n, TUNE_CANDIDATES);
        for (int k = 0; k < n; k++) {
            tune_print(&tiles[k], line);
            ck_assert_msg(tune_parse(line, &tile), "%s", line);
            ck_assert_int_eq(memcmp(&tile, &tiles[k], sizeof tile), 0);
            for (int j = 0; j < k; j++)
                ck_assert_msg(!tune_same(&tiles[j], &tiles[k]), "%s is there twice", line);
        }
    }
    ck_assert_int_eq(tune_lines(table, TUNE_LINEAR, tiles, 4), 1);
    ck_assert_int_eq(tiles[0].n[LINEAR_GROUPS], 4);
    ck_assert_int_eq(tune_lines(table, TUNE_ATTN, tiles, 4), 2);
    ck_assert_int_eq(tiles[1].n[ATTN_BQ], 128);
    ck_assert_int_eq(tune_lines(table, TUNE_ATTN, tiles, 1), 1);
}
END_TEST

/* Speeds are those of the large shape, old lines of other sizes stay, the small winner is taken. */
START_TEST(linear_table)
{
    static const struct tune_trial trials[] = {
        { { TUNE_LINEAR, { 64, 64, 4, 4, 16, 4, 4, 100, 0 } }, TUNE_GOOD, 1, 1, "" },
        { { TUNE_LINEAR, { 32, 64, 4, 4, 16, 4, 4, 100, 0 } }, TUNE_GOOD, 1, 2, "" },
        { { TUNE_LINEAR, { 256, 64, 4, 4, 16, 4, 4, 100, 0 } }, TUNE_WRONG, 1, 0.1, "" },
        { { TUNE_LINEAR, { 128, 128, 8, 8, 16, 4, 2, 100, 0 } }, TUNE_GOOD, 1, 0.5, "" },
        { { TUNE_LINEAR, { 32, 32, 4, 4, 16, 4, 64, 100, 0 } }, TUNE_GOOD, 1, 1.25, "" },
    };
    struct tune_linear l = { trials, 3, 3, 4, 100, 256, 576, 576 };
    struct tune_tile out[TUNE_LINES];
    ck_assert_int_eq(tune_linear_table(&l, out), 4);
    ck_assert(tune_same(&out[0], &trials[3].tile) && tune_same(&out[1], &trials[4].tile));
    ck_assert(tune_same(&out[2], &trials[0].tile) && tune_same(&out[3], &trials[1].tile));
    ck_assert_int_eq(out[0].n[LINEAR_SPEED], 100);
    ck_assert_int_eq(out[1].n[LINEAR_SPEED], 40);
    ck_assert_int_eq(out[2].n[LINEAR_SPEED], 50);
    ck_assert_int_eq(out[3].n[LINEAR_SPEED], 25);
    ck_assert_int_lt(out[1].n[LINEAR_GROUPS], 64);
    ck_assert_int_ge(out[1].n[LINEAR_GROUPS], 1);
    l.small = 3;
    ck_assert_int_eq(tune_linear_table(&l, out), 3);
    ck_assert(tune_same(&out[0], &trials[3].tile));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tune");
    TCase *tests = tcase_create("tune");
    tcase_add_test(tests, fastest_wins);
    tcase_add_test(tests, wrong_never_wins);
    tcase_add_test(tests, none_is_right);
    tcase_add_test(tests, time_is_up);
    tcase_add_test(tests, text);
    tcase_add_test(tests, linear_table);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
