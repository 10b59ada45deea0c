/* tests/test_lm_sharded.c: a language model on several devices gives the bits of one: a prompt at once, in
 * chunks, token by token over the ends of spans, after a rewind.
 *
 * ANNULET_TEST_CL=1 adds rings with the first OpenCL device, twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lm_tiny.h"
#include "tests/testing.h"
#include "tools/lm/model.h"

enum { TOKENS = 1700, DM = 64, MAX = 3 };

#define lm_good(call, err) ck_assert_msg((call) == LM_OK, "%s: %s", #call, (err).message)

struct answer {
    float hidden[TOKENS][DM], nll[TOKENS], logits[LM_TINY_VOCAB];
};

static void append(struct lm_session *s, const int32_t *ids, int64_t n, struct answer *a)
{
    struct gguf_error err = { "" };
    int64_t at = lm_position(s), known = at + n < TOKENS ? n : n - 1;

    lm_good(lm_append(s, ids + at, n, &err), err);
    lm_good(lm_hidden(s, 0, n, a->hidden[at], &err), err);
    lm_good(lm_nll(s, 0, known, ids + at + 1, a->nll + at, &err), err);
    lm_good(lm_logits(s, n - 1, a->logits, &err), err);
}

/* The first tokens at once, then `step` a call; after that back, and on once more by another step. */
static void ask(struct lm_model *model, const int32_t *ids, int64_t first, int64_t step, struct answer *a)
{
    struct gguf_error err = { "" };
    struct lm_session *s;

    memset(a, 0, sizeof *a);
    lm_good(lm_session_new(model, TOKENS, 0, &s, &err), err);
    for (int again = 0; again < 2; again++, step = 77)
        for (int64_t at = lm_position(s); at < TOKENS; at = lm_position(s)) {
            int64_t n = at == 0 ? first : step;
            append(s, ids, n < TOKENS - at ? n : TOKENS - at, a);
            if (again == 0 && lm_position(s) == TOKENS) {
                lm_rewind(s, 513);
                break;
            }
        }
    lm_session_free(s);
}

static void check_ring(const struct gguf *g, struct anl_device *const *devices, int n, const int32_t *ids,
                       const struct answer *expected, const char *name)
{
    static const int64_t ways[][2] = { { TOKENS, 1 }, { 1020, 1 }, { 3, 200 }, { 600, 511 }, { 1536, 33 } };
    static const double alike[] = { 1, 1, 1 };
    struct answer *a = gen_alloc(1, sizeof *a);
    struct gguf_error err = { "" };
    struct lm_model *model;

    lm_good(lm_model_load(g, devices, n, NULL, NULL, &model, &err), err);
    lm_model_weights(model, alike); /* measured, the law would get nothing */
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        ask(model, ids, ways[i][0], ways[i][1], a);
        ck_assert_msg(memcmp(a->hidden, expected->hidden, sizeof a->hidden) == 0, "%s, way %d: states",
                      name, (int)i);
        ck_assert_msg(memcmp(a->nll, expected->nll, sizeof a->nll) == 0, "%s, way %d: nll", name, (int)i);
        ck_assert_msg(memcmp(a->logits, expected->logits, sizeof a->logits) == 0, "%s, way %d: logits",
                      name, (int)i);
    }
    lm_model_free(model);
    free(a);
}

/* A letter a device: l(aw), 1 or 2 (threads), c(l). NULL: there is none. */
static struct anl_device *open_one(struct anl_context *context, char kind)
{
    struct testing_cpu cpu = { ANL_ISA_AUTO, kind - '0', 0 };
    struct anl_cl_params cl = { .size = sizeof cl, .worst_grade = ANL_EXACT };
    struct anl_device *device = NULL;

    if (kind == 'l')
        return testing_law(context);
    if (kind != 'c')
        return testing_cpu_open(context, &cpu);
    if (getenv("ANNULET_TEST_CL") != NULL)
        anl_device_create_cl(context, &cl, &device);
    return device;
}

static void on_devices(const struct gguf *g, const char *kinds, const int32_t *ids,
                       const struct answer *expected)
{
    struct anl_context *context = testing_context();
    struct anl_device *devices[MAX] = { NULL };
    int n = (int)strlen(kinds), there = 1;

    for (int i = 0; i < n; i++) {
        devices[i] = open_one(context, kinds[i]);
        there &= devices[i] != NULL;
    }
    printf("%s: %s\n", kinds, there ? "compared" : "not here");
    if (there)
        check_ring(g, devices, n, ids, expected, kinds);
    for (int i = 0; i < n; i++)
        anl_device_destroy(devices[i]);
    anl_context_destroy(context);
}

START_TEST(rings)
{
    static const char *const lists[] = { "11", "21", "1l", "121", "1c", "cc", "c1c" };
    struct blob bytes = lm_tiny_bytes(&lm_tiny_plain, NULL);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct answer *expected = gen_alloc(1, sizeof *expected);
    struct gen gen = gen_seed(6, 0);
    struct gguf_error err = { "" };
    struct lm_model *model;
    struct lm_session *session;
    int32_t ids[TOKENS];
    struct gguf *g;

    ck_assert_int_eq(gguf_from_memory(bytes.data, bytes.size, &g, &err), GGUF_OK);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)gen_below(&gen, LM_TINY_VOCAB);
    lm_good(lm_model_load(g, &law, 1, NULL, NULL, &model, &err), err);
    memset(expected, 0, sizeof *expected);
    lm_good(lm_session_new(model, TOKENS, TOKENS, &session, &err), err);
    append(session, ids, TOKENS, expected);
    lm_session_free(session);
    lm_model_free(model);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        on_devices(g, lists[i], ids, expected);
    anl_device_destroy(law);
    anl_context_destroy(context);
    gguf_close(g);
    free(bytes.data);
    free(expected);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { rings };
    return testing_main("lm sharded", tests, sizeof tests / sizeof *tests);
}
