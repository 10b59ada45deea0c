/* tests/test_lm_pieces.c: a KV cache cut into pieces, as for a device whose largest allocation is
 * too small for it, gives the bits of one that is whole. The session is compiled in here, with a
 * device that says of itself what the test wants. */
#include <annulet/annulet.h>

static uint64_t largest_allocation;

static void modest_device_info(const struct anl_device *device, struct anl_device_info *out)
{
    anl_device_get_info(device, out);
    out->max_alloc = largest_allocation;
}

#define anl_device_get_info modest_device_info
#include "tools/lm/session.c"
#undef anl_device_get_info

#include "tests/lm_tiny.h"
#include "tests/testing.h"

enum { TOKENS = 1100, DM = 64, CACHED_BYTES = 2 * 16 * 4 }; /* of a token: two heads of 16 */

/* All hidden states of the prompt, `step` tokens a call; the caller frees them. */
static float *hidden_states(struct lm_model *model, const int32_t *ids, uint64_t largest,
                            int64_t step, int64_t pieces)
{
    float *hidden = gen_alloc(TOKENS, DM * sizeof *hidden);
    struct gguf_error err = { "" };
    struct lm_session *session;

    largest_allocation = largest;
    ck_assert_int_eq(lm_session_new(model, TOKENS, step, &session, &err), LM_OK);
    ck_assert_int_eq(session->n_pieces, pieces);
    for (int64_t at = 0; at < TOKENS; at += step) {
        int64_t n = TOKENS - at < step ? TOKENS - at : step;
        ck_assert_msg(lm_append(session, ids + at, n, &err) == LM_OK, "%s", err.message);
        ck_assert_int_eq(lm_hidden(session, 0, n, hidden + at * DM, &err), LM_OK);
    }
    lm_session_free(session);
    return hidden;
}

static void check_device(struct anl_device *device, const struct gguf *g, const int32_t *ids)
{
    static const struct {
        uint64_t largest;
        int64_t pieces;
    } cuts[] = { { CACHED_BYTES * 1099, 2 }, { CACHED_BYTES * 1000, 3 }, { 100, 3 } };
    static const int64_t steps[] = { TOKENS, 1, 300 };
    struct gguf_error err = { "" };
    struct lm_model *model;
    float *whole;

    ck_assert_int_eq(lm_model_load(g, &device, 1, NULL, NULL, &model, &err), LM_OK);
    whole = hidden_states(model, ids, 0, TOKENS, 1);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            float *cut = hidden_states(model, ids, cuts[i].largest, steps[k], cuts[i].pieces);
            ck_assert_msg(memcmp(cut, whole, TOKENS * DM * sizeof *cut) == 0,
                          "%d pieces, %d tokens a call", (int)cuts[i].pieces, (int)steps[k]);
            free(cut);
        }
    free(whole);
    lm_model_free(model);
}

START_TEST(pieces)
{
    static const struct testing_cpu one = { ANL_ISA_AUTO, 1, 0 }, two = { ANL_ISA_AUTO, 2, 0 };
    struct blob bytes = lm_tiny_bytes(&lm_tiny_plain, NULL);
    struct anl_context *context = testing_context();
    struct anl_device *device[3] = { testing_law(context), testing_cpu_open(context, &one),
                                     testing_cpu_open(context, &two) };
    struct gen gen = gen_seed(5, 0);
    struct gguf_error err = { "" };
    int32_t ids[TOKENS];
    struct gguf *g;

    ck_assert_int_eq(gguf_from_memory(bytes.data, bytes.size, &g, &err), GGUF_OK);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (int32_t)gen_below(&gen, LM_TINY_VOCAB);
    for (int i = 0; i < 3; i++) {
        check_device(device[i], g, ids);
        anl_device_destroy(device[i]);
    }
    gguf_close(g);
    free(bytes.data);
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { pieces };
    return testing_main("lm pieces", tests, sizeof tests / sizeof *tests);
}
