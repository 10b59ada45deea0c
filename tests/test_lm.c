/* tests/test_lm.c: a language model gives the same bits on every device, in any chunks, token by
 * token; near the double-precision oracle; and one text for a seed.
 *
 * ANNULET_TEST_CL=1 adds every OpenCL device that is found. ANNULET_TEST_MODEL names SmolLM2's
 * file: 256 tokens of a real text then, or 2,048 with ANNULET_TEST_LONG=1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lm_oracle.h"
#include "tests/lm_tiny.h"
#include "tests/testing.h"
#include "tools/lm/model.h"
#include "tools/lm/tokenizer.h"

enum { MAX_TEXT = 1 << 16, MAX_CL = 16, DECODED = 24 };

#define lm_good(call, err) ck_assert_msg((call) == LM_OK, "%s: %s", #call, (err).message)

/* What a model says about a prompt. */
struct answer {
    float *hidden; /* [n][dm] */
    float *nll;    /* n - 1 */
    float *logits; /* [vocab], after the last token */
};

/* One file and prompt, and what is expected of every device. */
struct subject {
    struct gguf *g;
    struct tok *tok;
    int32_t *ids;
    int64_t n, dm, vocab;
    struct answer law;
    char text[DECODED * 8]; /* sampled after a prompt, by the law */
};

typedef void device_check(struct anl_device *device, const char *name, const struct subject *s);

static void answer_free(struct answer *a)
{
    free(a->hidden);
    free(a->nll);
    free(a->logits);
}

/* Appends the prompt, `step` tokens a call or, if that is 0, calls of uneven lengths. */
static struct answer ask(struct lm_model *model, const struct subject *s, int64_t chunk,
                         int64_t step)
{
    static const int64_t uneven[] = { 1, 63, 2, 65, 1, 1, 447, 511, 3 };
    struct gguf_error err = { "" };
    struct lm_session *session;
    struct answer a;

    a.hidden = gen_alloc((size_t)(s->n * s->dm), sizeof *a.hidden);
    a.nll = gen_alloc((size_t)s->n, sizeof *a.nll);
    a.logits = gen_alloc((size_t)s->vocab, sizeof *a.logits);
    lm_good(lm_session_new(model, s->n, chunk, &session, &err), err);
    for (int64_t at = 0, call = 0; at < s->n; call++) {
        int64_t want = step ? step : uneven[call % 9], n = s->n - at < want ? s->n - at : want;
        int64_t known = at + n < s->n ? n : n - 1;
        ck_assert_int_le(n, lm_chunk(session));
        ck_assert_int_eq(lm_position(session), at);
        lm_good(lm_append(session, s->ids + at, n, &err), err);
        lm_good(lm_hidden(session, 0, n, a.hidden + at * s->dm, &err), err);
        lm_good(lm_nll(session, 0, known, s->ids + at + 1, a.nll + at, &err), err);
        at += n;
        if (at == s->n)
            lm_good(lm_logits(session, n - 1, a.logits, &err), err);
    }
    lm_session_free(session);
    return a;
}

static void same_floats(const float *found, const float *expected, int64_t n, int64_t row,
                        const char *what, const char *where)
{
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(gen_bits(found[i]) == gen_bits(expected[i]),
                      "%s: %s of token %d, feature %d: %.9g, not %.9g", where, what, (int)(i / row),
                      (int)(i % row), (double)found[i], (double)expected[i]);
}

static void same_answer(const struct answer *found, const struct subject *s, const char *where)
{
    same_floats(found->hidden, s->law.hidden, s->n * s->dm, s->dm, "hidden state", where);
    same_floats(found->nll, s->law.nll, s->n - 1, 1, "nll", where);
    same_floats(found->logits, s->law.logits, s->vocab, s->vocab, "logits", where);
}

static struct lm_model *load(const struct subject *s, struct anl_device *device)
{
    struct gguf_error err = { "" };
    struct lm_model *model;
    lm_good(lm_model_load(s->g, &device, 1, NULL, NULL, &model, &err), err);
    return model;
}

static void same_way(struct lm_model *model, const struct subject *s, const char *name,
                     int64_t chunk, int64_t step)
{
    struct answer a = ask(model, s, chunk, step);
    char where[200];

    snprintf(where, sizeof where, "%s, chunk %d, %d a call", name, (int)chunk, (int)step);
    same_answer(&a, s, where);
    answer_free(&a);
}

/* The whole prompt in as few calls as may be. */
static void at_once(struct anl_device *device, const char *name, const struct subject *s)
{
    struct lm_model *model = load(s, device);
    same_way(model, s, name, 0, s->n < 512 ? s->n : 512);
    lm_model_free(model);
}

/* In calls of few and many tokens by turns. */
static void unevenly(struct anl_device *device, const char *name, const struct subject *s)
{
    struct lm_model *model = load(s, device);
    same_way(model, s, name, s->n, s->n < 512 ? s->n : 512);
    same_way(model, s, name, s->n, 0);
    lm_model_free(model);
}

/* In chunks of every size, and token by token. */
static void any_chunks(struct anl_device *device, const char *name, const struct subject *s)
{
    static const int64_t chunks[] = { 1, 2, 7, 64, 513 };
    struct lm_model *model = load(s, device);

    same_way(model, s, name, s->n, s->n);
    same_way(model, s, name, s->n, 1);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks && chunks[i] < s->n; i++)
        same_way(model, s, name, chunks[i], chunks[i]);
    lm_model_free(model);
    unevenly(device, name, s);
}

/* Samples a text after a short prompt, with this temperature, top-p and seed. */
static void write_text(struct anl_device *device, const struct subject *s,
                       struct anl_sample_params how, char out[DECODED * 8])
{
    struct gguf_error err = { "" };
    struct lm_model *model = load(s, device);
    struct lm_session *session;
    float *logits = gen_alloc((size_t)s->vocab, sizeof *logits);
    int32_t *ids, id;
    size_t n, end = 0;

    ck_assert_int_eq(tok_encode(s->tok, "a cab, a bed", 12, 0, &ids, &n, &err), GGUF_OK);
    lm_good(lm_session_new(model, (int64_t)n + DECODED, 0, &session, &err), err);
    lm_good(lm_append(session, ids, (int64_t)n, &err), err);
    how.size = sizeof how;
    how.logits = logits;
    how.n = s->vocab;
    for (how.step = 0; how.step < DECODED; how.step++) {
        const char *piece;
        size_t len;
        lm_good(lm_logits(session, how.step == 0 ? (int64_t)n - 1 : 0, logits, &err), err);
        ck_assert_int_eq(anl_sample(&how, &id), ANL_OK);
        ck_assert_int_eq(tok_piece(s->tok, id, &piece, &len), GGUF_OK);
        ck_assert_uint_lt(end + len + 1, DECODED * 8);
        memcpy(out + end, piece, len);
        end += len;
        out[end++] = '|';
        lm_good(lm_append(session, &id, 1, &err), err);
    }
    out[end] = 0;
    lm_session_free(session);
    lm_model_free(model);
    free(logits);
    free(ids);
}

static const struct anl_sample_params seed_seven = { .temperature = 1, .top_p = 0.9f, .seed = 7 };

static void same_text(struct anl_device *device, const char *name, const struct subject *s)
{
    char text[DECODED * 8] = "";
    write_text(device, s, seed_seven, text);
    ck_assert_msg(memcmp(text, s->text, sizeof text) == 0, "%s: \"%s\", not \"%s\"", name, text,
                  s->text);
}

static void on_cpus(device_check *check, const struct subject *s, int threads)
{
    struct anl_context *context = testing_context();
    int count;
    const struct testing_cpu *cpus = testing_cpus(&count);

    for (int i = 0; i < count; i++) {
        struct anl_device *device;
        char name[64];
        if (threads != 0 && cpus[i].threads != threads)
            continue;
        device = testing_cpu_open(context, &cpus[i]);
        if (device == NULL)
            continue;
        testing_cpu_name(&cpus[i], name, sizeof name);
        check(device, name, s);
        anl_device_destroy(device);
    }
    anl_context_destroy(context);
}

/* Every OpenCL device that promises the law's bits, if they are asked for. Those of grade
 * exact-normal emulate much and are slow: a single pass of a tiny model must do. */
static void on_cl(device_check *check, const struct subject *s)
{
    const char *wish = getenv("ANNULET_TEST_CL");
    struct anl_context *context = testing_context();
    struct anl_cl_entry entries[MAX_CL];
    char error[512] = "";
    int count = 0;

    if (wish != NULL && strcmp(wish, "1") == 0)
        anl_cl_list(NULL, NULL, entries, MAX_CL, &count, error, sizeof error);
    for (int i = 0; i < count && i < MAX_CL; i++) {
        struct anl_device *device = NULL;
        struct anl_cl_params p = { .size = sizeof p, .platform = entries[i].platform,
                                   .device = entries[i].device, .worst_grade = ANL_EXACT_NORMAL,
                                   .error = error, .error_size = sizeof error };
        anl_status status = anl_device_create_cl(context, &p, &device);
        ck_assert_msg(status == ANL_OK || status == ANL_E_UNSUPPORTED, "%s: %s", entries[i].name,
                      error);
        if (status == ANL_OK) {
            struct anl_device_info info;
            anl_device_get_info(device, &info);
            if (info.grade == ANL_EXACT)
                check(device, entries[i].name, s);
            else if (check == any_chunks)
                at_once(device, entries[i].name, s);
        }
        printf("%s: %s\n", entries[i].name, status == ANL_OK ? "compared" : error);
        anl_device_destroy(device);
    }
    anl_context_destroy(context);
}

/* Prints and bounds the distance to the oracle: of the mean, and of the worst token. */
static void near_oracle(const struct subject *s, const struct answer *a, double worst_token)
{
    struct lm_oracle o = lm_oracle(s->g, s->ids, s->n);
    double mean = 0, sum = 0, worst = 0, square = 0, error = 0;
    int64_t count = s->n - 1;

    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a->nll[i] - o.nll[i]);
        mean += o.nll[i] / (double)count;
        sum += (double)a->nll[i] / (double)count;
        worst = d > worst || isnan(d) ? d : worst;
    }
    for (int64_t i = 0; i < s->n * s->dm; i++) {
        square += o.hidden[i] * o.hidden[i];
        error += pow((double)a->hidden[i] - o.hidden[i], 2);
    }
    printf("%d tokens: nll %.9f, oracle %.9f, difference %.2e; worst token %.2e; hidden states "
           "%.2e relative\n", (int)s->n, sum, mean, fabs(sum - mean), worst, sqrt(error / square));
    ck_assert_msg(fabs(sum - mean) <= 2e-5, "mean nll is %.9f, not %.9f", sum, mean);
    ck_assert_msg(worst <= worst_token * mean, "a token's nll is off by %g", worst);
    ck_assert_msg(sqrt(error / square) <= 2e-5, "hidden states are off by %g",
                  sqrt(error / square));
    free(o.nll);
    free(o.hidden);
}

static struct subject subject_open(const char *path)
{
    struct gguf_error err = { "" };
    struct subject s = { 0 };

    ck_assert_msg(gguf_open(path, &s.g, &err) == GGUF_OK, "%s", err.message);
    ck_assert_msg(tok_new(s.g, &s.tok, &err) == GGUF_OK, "%s", err.message);
    s.vocab = tok_vocab_size(s.tok);
    return s;
}

static void subject_close(struct subject *s)
{
    answer_free(&s->law);
    tok_free(s->tok);
    gguf_close(s->g);
    free(s->ids);
}

/* A tiny model, n random tokens, and the law's answer. */
static struct subject tiny_subject(const struct lm_tiny *tiny, int64_t n)
{
    struct blob bytes = lm_tiny_bytes(tiny, NULL);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct gen gen = gen_seed(99, 0);
    struct lm_model *model;
    struct subject s;
    char path[64];

    lm_tiny_write(&bytes, path);
    s = subject_open(path);
    unlink(path);
    free(bytes.data);
    s.n = n;
    s.dm = tiny->dm;
    ck_assert_int_eq(s.vocab, LM_TINY_VOCAB);
    s.ids = gen_alloc((size_t)n, sizeof *s.ids);
    for (int64_t i = 0; i < n; i++)
        s.ids[i] = (int32_t)gen_below(&gen, LM_TINY_VOCAB);
    model = load(&s, law);
    s.law = ask(model, &s, n, n);
    lm_model_free(model);
    write_text(law, &s, seed_seven, s.text);
    anl_device_destroy(law);
    anl_context_destroy(context);
    return s;
}

/* More than two spans of keys. */
START_TEST(plain)
{
    struct subject s = tiny_subject(&lm_tiny_plain, 1100);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);

    near_oracle(&s, &s.law, 2e-5);
    any_chunks(law, "law", &s);
    on_cpus(any_chunks, &s, 1);
    on_cpus(unevenly, &s, 0);
    on_cpus(same_text, &s, 0);
    on_cl(any_chunks, &s);
    on_cl(same_text, &s);
    anl_device_destroy(law);
    anl_context_destroy(context);
    subject_close(&s);
}
END_TEST

START_TEST(wide)
{
    struct subject s = tiny_subject(&lm_tiny_wide, 150);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);

    near_oracle(&s, &s.law, 2e-5);
    any_chunks(law, "law", &s);
    on_cpus(unevenly, &s, 0);
    on_cpus(same_text, &s, 3);
    on_cl(any_chunks, &s);
    anl_device_destroy(law);
    anl_context_destroy(context);
    subject_close(&s);
}
END_TEST

/* Equal numbers: equal texts. Without temperature, or with a top-p that the most probable token
 * alone reaches, the seed says nothing; a top-p of 0 is one of 1. */
START_TEST(seeds)
{
    static const struct {
        struct anl_sample_params how;
        int text;
    } cases[] = {
        { { .temperature = 1, .top_p = 0.9f, .seed = 7 }, 0 },
        { { .temperature = 1, .top_p = 0.9f, .seed = 8 }, 1 },
        { { .temperature = 0, .top_p = 0.9f, .seed = 7 }, 2 },
        { { .temperature = 0, .top_p = 0, .seed = 8 }, 2 },
        { { .temperature = 1, .top_p = 1e-9f, .seed = 7 }, 2 },
        { { .temperature = 0x1p-20f, .top_p = 1, .seed = 9 }, 2 },
        { { .temperature = 1, .top_p = 0, .seed = 7 }, 3 },
        { { .temperature = 1, .top_p = 1, .seed = 7 }, 3 },
        { { .temperature = 0x1p20f, .top_p = 1, .seed = 7 }, 4 },
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    struct subject s = tiny_subject(&lm_tiny_plain, 2);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    char text[COUNT][DECODED * 8] = { "" };

    for (int i = 0; i < COUNT; i++) {
        write_text(law, &s, cases[i].how, text[i]);
        for (int j = 0; j < i; j++)
            ck_assert_msg((strcmp(text[i], text[j]) == 0) == (cases[i].text == cases[j].text),
                          "cases %d and %d: \"%s\" and \"%s\"", j, i, text[j], text[i]);
    }
    ck_assert_str_eq(text[0], s.text);
    anl_device_destroy(law);
    anl_context_destroy(context);
    subject_close(&s);
}
END_TEST

/* Whether there are a model and a text to read. */
static int real_subject(struct subject *s, int64_t n)
{
    const char *path = getenv("ANNULET_TEST_MODEL");
    FILE *file = fopen("/usr/share/common-licenses/GPL-3", "rb");
    struct gguf_error err = { "" };
    char *text = gen_alloc(1, MAX_TEXT);
    size_t len = file != NULL ? fread(text, 1, MAX_TEXT, file) : 0, count = 0;

    if (file != NULL)
        fclose(file);
    if (path != NULL && len > 0) {
        *s = subject_open(path);
        ck_assert_int_eq(tok_encode(s->tok, text, len, 0, &s->ids, &count, &err), GGUF_OK);
        ck_assert_int_le(n, (int64_t)count);
        s->n = n;
        s->dm = 576;
    }
    free(text);
    return path != NULL && len > 0;
}

START_TEST(real)
{
    static const struct testing_cpu cpus[] = { { ANL_ISA_AUTO, 1, 0 }, { ANL_ISA_AUTO, 2, 0 },
                                               { ANL_ISA_AVX2, 2, 0 }, { ANL_ISA_AVX512, 2, 0 },
                                               { ANL_ISA_NEON, 2, 0 } };
    struct anl_context *context = testing_context();
    struct subject s;
    int64_t n = getenv("ANNULET_TEST_LONG") != NULL ? 2048 : 256;

    if (!real_subject(&s, n)) {
        printf("real model: skipped, no ANNULET_TEST_MODEL or no text\n");
        anl_context_destroy(context);
        return;
    }
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        struct anl_device *device = testing_cpu_open(context, &cpus[i]);
        char name[64];
        if (device == NULL)
            continue;
        testing_cpu_name(&cpus[i], name, sizeof name);
        if (s.law.hidden == NULL) { /* the first stands for the law, which would take minutes */
            struct lm_model *model = load(&s, device);
            s.law = ask(model, &s, 64, 64);
            lm_model_free(model);
            near_oracle(&s, &s.law, 2e-5);
        } else {
            at_once(device, name, &s);
        }
        anl_device_destroy(device);
    }
    on_cl(at_once, &s);
    anl_context_destroy(context);
    subject_close(&s);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { plain, wide, seeds, real };
    return testing_main("lm", tests, sizeof tests / sizeof *tests);
}
