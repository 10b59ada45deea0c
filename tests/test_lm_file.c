/* tests/test_lm_file.c: what a language model refuses: files whose numbers or tensors make no
 * model, requests that do not fit, memory that is not there. Always a message, and nothing stays
 * behind.
 * ANNULET_TEST_DIR is the folder of the tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault_case.h"
#include "tests/lm_tiny.h"
#include "tests/testing.h"
#include "tools/lm/model.h"

/* f32 values */
#define BITS_2 0x40000000u
#define BITS_MINUS 0xb727c5acu /* -1e-5 */
#define BITS_NAN 0x7fc00000u
#define BITS_INFINITY 0x7f800000u

static struct gguf *open_bytes(const struct blob *bytes)
{
    struct gguf_error err = { "" };
    struct gguf *g;
    ck_assert_msg(gguf_from_memory(bytes->data, bytes->size, &g, &err) == GGUF_OK, "%s",
                  err.message);
    return g;
}

static struct lm_model *load(const struct gguf *g, struct anl_device *device)
{
    struct gguf_error err = { "" };
    struct lm_model *model;
    ck_assert_msg(lm_model_load(g, &device, 1, NULL, NULL, &model, &err) == LM_OK, "%s", err.message);
    return model;
}

/* The device holds nothing any more but scratch, which it may keep. */
static void check_empty(struct anl_device *device, const char *what)
{
    struct anl_memory memory;
    anl_device_get_memory(device, &memory);
    ck_assert_msg(memory.live == memory.scratch, "%s: %llu bytes are left", what,
                  (unsigned long long)(memory.live - memory.scratch));
}

static void check_refused(const struct gguf *g, struct anl_device *device, const char *says)
{
    struct gguf_error err = { "" };
    struct lm_model *model = (struct lm_model *)&err;
    enum lm_status status = lm_model_load(g, &device, 1, NULL, NULL, &model, &err);

    ck_assert_msg(status == LM_BAD_FILE, "status %d, not a bad file: %s", status, says);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(err.message, says) != NULL, "\"%s\" does not name %s", err.message, says);
    check_empty(device, says);
}

/* A value of a key; what the message names where that is not the key. */
static const struct {
    const char *key;
    uint32_t bits;
    const char *says;
} bad_values[] = {
    { "llama.block_count", 0, NULL },
    { "llama.block_count", 0xffffffff, NULL },
    { "llama.block_count", 100000, NULL },
    { "llama.block_count", 4, "blk.3.attn_q.weight" },
    { "llama.embedding_length", 0, NULL },
    { "llama.embedding_length", 0x80000000, NULL },
    { "llama.embedding_length", 65, "llama.attention.head_count" },
    { "llama.embedding_length", 128, "token_embd.weight" },
    { "llama.feed_forward_length", 0, NULL },
    { "llama.feed_forward_length", 0xffffffff, NULL },
    { "llama.feed_forward_length", 128, "blk.0.ffn_gate.weight" },
    { "llama.attention.head_count", 0, NULL },
    { "llama.attention.head_count", 0xffffffff, NULL },
    { "llama.attention.head_count", 3, NULL },
    { "llama.attention.head_count", 32, "rope.dimension_count" }, /* heads of 2, a rope of 16 */
    { "llama.attention.head_count_kv", 0, NULL },
    { "llama.attention.head_count_kv", 3, NULL },
    { "llama.attention.head_count_kv", 8, NULL },
    { "llama.attention.head_count_kv", 4, "blk.0.attn_k.weight" },
    { "llama.attention.key_length", 0, NULL },
    { "llama.attention.key_length", 257, NULL },
    { "llama.attention.key_length", 32, "blk.0.attn_q.weight" },
    { "llama.rope.dimension_count", 0, NULL },
    { "llama.rope.dimension_count", 15, NULL },
    { "llama.rope.dimension_count", 18, NULL },
    { "llama.rope.dimension_count", 0xfffffffe, NULL },
    { "llama.attention.layer_norm_rms_epsilon", 0, NULL },
    { "llama.attention.layer_norm_rms_epsilon", 1, NULL }, /* the smallest subnormal */
    { "llama.attention.layer_norm_rms_epsilon", BITS_MINUS, NULL },
    { "llama.attention.layer_norm_rms_epsilon", BITS_2, NULL },
    { "llama.attention.layer_norm_rms_epsilon", BITS_NAN, NULL },
    { "llama.attention.layer_norm_rms_epsilon", BITS_INFINITY, NULL },
    { "llama.rope.freq_base", 0, NULL },
    { "llama.rope.freq_base", BITS_MINUS, NULL },
    { "llama.rope.freq_base", BITS_NAN, NULL },
    { "llama.rope.freq_base", BITS_INFINITY, NULL },
    { "llama.context_length", 0, NULL },
    { "llama.context_length", 0xffffffff, NULL },
};

START_TEST(values)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct lm_tiny tiny = lm_tiny_plain;

    tiny.rope_dims = 16;
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        const char *key = bad_values[i].key;
        const struct lm_tiny_fault fault = { .key = key, .bits = bad_values[i].bits };
        struct blob bytes = lm_tiny_bytes(&tiny, &fault);
        struct gguf *g = open_bytes(&bytes);
        check_refused(g, law, bad_values[i].says ? bad_values[i].says : key);
        gguf_close(g);
        free(bytes.data);
    }
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

static void check_fault(const struct lm_tiny_fault *fault, struct anl_device *device,
                        const char *says)
{
    struct blob bytes = lm_tiny_bytes(&lm_tiny_wide, fault);
    struct gguf *g = open_bytes(&bytes);

    check_refused(g, device, says);
    gguf_close(g);
    free(bytes.data);
}

/* Every tensor in turn is missing and has a shape that is not the model's. */
START_TEST(tensors)
{
    static const char *const names[] = {
        "token_embd.weight",     "output_norm.weight",       "blk.0.attn_norm.weight",
        "blk.0.attn_q.weight",   "blk.0.attn_k.weight",      "blk.0.attn_v.weight",
        "blk.0.ffn_norm.weight", "blk.0.attn_output.weight", "blk.0.ffn_gate.weight",
        "blk.0.ffn_up.weight",   "blk.0.ffn_down.weight",    "output.weight",
    };
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    int count = (int)(sizeof names / sizeof *names);

    for (int i = 0; i < count; i++) {
        const struct lm_tiny_fault missing = { .missing = names[i] };
        const struct lm_tiny_fault misshapen = { .misshapen = names[i] };
        /* without a head of its own the embedding serves; a longer one sets the vocabulary */
        if (i < count - 1)
            check_fault(&missing, law, names[i]);
        check_fault(&misshapen, law, i == 0 ? "output.weight" : names[i]);
    }
    check_fault(&(struct lm_tiny_fault){ .halved = "blk.0.ffn_norm.weight" }, law,
                "blk.0.ffn_norm.weight");
    check_fault(&(struct lm_tiny_fault){ .missing = "llama.embedding_length" }, law,
                "llama.embedding_length");
    check_fault(&(struct lm_tiny_fault){ .missing = "llama.attention.layer_norm_rms_epsilon" }, law,
                "llama.attention.layer_norm_rms_epsilon");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

/* The files of tests/faults that only the model can refuse, and the good one. */
START_TEST(fault_files)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct gguf_error err = { "" };
    struct gguf *g;
    int refused = 0;

    for (size_t i = 0; i < sizeof fault_cases / sizeof *fault_cases; i++) {
        char path[1024];
        if (fault_cases[i].stage != FAULT_MODEL)
            continue;
        snprintf(path, sizeof path, "%s/faults/%s", ANNULET_TEST_DIR, fault_cases[i].file);
        ck_assert_msg(gguf_open(path, &g, &err) == GGUF_OK, "%s", err.message);
        check_refused(g, law, fault_cases[i].says);
        gguf_close(g);
        refused++;
    }
    ck_assert_int_gt(refused, 20);
    ck_assert_int_eq(gguf_open(ANNULET_TEST_DIR "/faults/valid.gguf", &g, &err), GGUF_OK);
    lm_model_free(load(g, law));
    gguf_close(g);
    check_empty(law, "a whole model");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

/* Another process cuts the file between opening and loading. */
START_TEST(cut_while_open)
{
    struct blob bytes = lm_tiny_bytes(&lm_tiny_plain, NULL);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct gguf_error err = { "" };
    struct gguf *g;
    char path[64];

    lm_tiny_write(&bytes, path);
    ck_assert_int_eq(gguf_open(path, &g, &err), GGUF_OK);
    ck_assert_int_eq(truncate(path, (off_t)bytes.size - 5000), 0);
    unlink(path);
    check_refused(g, law, "the file was cut");
    gguf_close(g);
    free(bytes.data);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

static void note_progress(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;
    ck_assert_uint_gt(done, *last);
    ck_assert_uint_le(done, total);
    *last = done;
    last[1] = total;
}

START_TEST(progress)
{
    struct blob bytes = lm_tiny_bytes(&lm_tiny_wide, NULL);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct gguf *g = open_bytes(&bytes);
    struct gguf_error err = { "" };
    struct lm_model *model;
    uint64_t seen[2] = { 0, 0 };

    ck_assert_int_eq(lm_model_load(g, &law, 1, note_progress, seen, &model, &err), LM_OK);
    ck_assert_uint_gt(seen[0], 0);
    ck_assert_uint_eq(seen[0], seen[1]);
    gguf_close(g);
    lm_model_free(model);
    free(bytes.data);
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

/* An allocator that refuses one request, and counts what is out. */
struct stingy {
    int left; /* requests until the refused one */
    int out;
};

static void *stingy_alloc(void *user, size_t size, size_t align)
{
    struct stingy *s = user;
    void *memory = NULL;

    if (s->left-- == 0)
        return NULL;
    if (posix_memalign(&memory, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL;
    s->out++;
    return memory;
}

static void stingy_free(void *user, void *memory)
{
    struct stingy *s = user;
    s->out -= memory != NULL;
    free(memory);
}

/* Loads a model and computes; false where that was refused, which must be for want of memory. */
static int try_to_run(const struct gguf *g, struct anl_device *device)
{
    static const int32_t ids[5] = { 1, 2, 3, 4, 5 };
    struct gguf_error err = { "" };
    struct lm_model *model = NULL;
    struct lm_session *session = NULL;
    float nll[5];
    enum lm_status status = lm_model_load(g, &device, 1, NULL, NULL, &model, &err);

    if (!status)
        status = lm_session_new(model, 8, 0, &session, &err);
    if (!status)
        status = lm_append(session, ids, 5, &err);
    if (!status)
        status = lm_nll(session, 0, 5, ids, nll, &err);
    lm_session_free(session);
    lm_model_free(model);
    ck_assert_msg(status == LM_OK || status == LM_DEVICE, "status %d: %s", status, err.message);
    ck_assert_msg(status == LM_OK || err.message[0] != 0, "a refusal without a reason");
    check_empty(device, err.message);
    return status == LM_OK;
}

/* Each request for memory in turn is refused. */
static void starve(int cpu)
{
    struct blob bytes = lm_tiny_bytes(&lm_tiny_plain, NULL);
    struct gguf *g = open_bytes(&bytes);
    int refused = 0, done = 0;

    while (!done) {
        struct stingy stingy = { -1, 0 };
        const struct anl_context_params params = { .size = sizeof params, .alloc = stingy_alloc,
                                                   .free = stingy_free, .alloc_user = &stingy };
        const struct anl_cpu_params one = { .size = sizeof one, .threads = 1 };
        struct anl_context *context;
        struct anl_device *device;
        ck_assert_int_eq(anl_context_create(&params, &context), ANL_OK);
        ck_assert_int_eq(cpu ? anl_device_create_cpu(context, &one, &device)
                             : anl_device_create_law(context, &device), ANL_OK);
        stingy.left = refused;
        done = try_to_run(g, device);
        refused += !done;
        anl_device_destroy(device);
        anl_context_destroy(context);
        ck_assert_int_eq(stingy.out, 0);
    }
    printf("%s: %d requests for memory refused\n", cpu ? "cpu" : "law", refused);
    ck_assert_int_gt(refused, 20);
    gguf_close(g);
    free(bytes.data);
}

START_TEST(no_memory)
{
    starve(0);
    starve(1);
}
END_TEST

static void refused_sessions(struct lm_model *model)
{
    static const int64_t capacities[] = { 0, -1, INT64_MIN, 2049, INT64_MAX };
    struct gguf_error err;
    struct lm_session *session;

    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        err.message[0] = 0;
        ck_assert_int_eq(lm_session_new(model, capacities[i], 0, &session, &err), LM_BAD_FILE);
        ck_assert_ptr_null(session);
        ck_assert_ptr_nonnull(strstr(err.message, "2048"));
    }
}

/* Appends that are refused, after which the session goes on as if nothing had been asked. */
static void refused_appends(struct lm_session *session)
{
    int32_t ids[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, bad[2] = { 1, -1 };
    struct gguf_error err;

    ck_assert_int_eq(lm_append(session, ids, 0, &err), LM_BAD_FILE);
    ck_assert_int_eq(lm_append(session, ids, -1, &err), LM_BAD_FILE);
    ck_assert_int_eq(lm_append(session, ids, 6, &err), LM_BAD_FILE); /* a chunk is 5 */
    ck_assert_msg(lm_append(session, ids, 5, &err) == LM_OK, "%s", err.message);
    err.message[0] = 0;
    ck_assert_int_eq(lm_append(session, ids, 4, &err), LM_BAD_FILE);
    ck_assert_ptr_nonnull(strstr(err.message, "5 of 8"));
    for (int i = 0; i < 2; i++) {
        err.message[0] = 0;
        ck_assert_int_ne(lm_append(session, bad, 2, &err), LM_OK);
        ck_assert_ptr_nonnull(strstr(err.message, i ? "577" : "-1"));
        bad[1] = LM_TINY_VOCAB;
    }
    ck_assert_int_eq(lm_position(session), 5);
    ck_assert_msg(lm_append(session, ids + 5, 3, &err) == LM_OK, "%s", err.message);
    ck_assert_int_eq(lm_append(session, ids, 1, &err), LM_BAD_FILE);
    ck_assert_int_eq(lm_position(session), 8);
}

/* What was rewound is computed again to the same bits; there is no way forward. */
static void rewound(struct lm_session *session, const int32_t *ids, const float *expected)
{
    struct gguf_error err = { "" };
    float found[3 * 64];

    lm_rewind(session, 9);
    lm_rewind(session, -1);
    ck_assert_int_eq(lm_position(session), 8);
    lm_rewind(session, 5);
    ck_assert_int_eq(lm_position(session), 5);
    ck_assert_int_eq(lm_hidden(session, 0, 1, found, &err), LM_BAD_FILE);
    ck_assert_msg(lm_append(session, ids + 5, 3, &err) == LM_OK, "%s", err.message);
    ck_assert_int_eq(lm_hidden(session, 0, 3, found, &err), LM_OK);
    ck_assert_mem_eq(found, expected + 5 * 64, sizeof found);
}

START_TEST(requests)
{
    struct blob bytes = lm_tiny_bytes(&lm_tiny_plain, NULL);
    struct gguf *g = open_bytes(&bytes);
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    struct lm_model *model = load(g, law);
    struct lm_session *session;
    struct gguf_error err = { "" };
    const int32_t ids[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    float expected[8 * 64], found[3 * 64];

    gguf_close(g); /* a model does not need its file any more */
    free(bytes.data);
    refused_sessions(model);
    ck_assert_int_eq(lm_session_new(model, 8, 5, &session, &err), LM_OK);
    refused_appends(session);
    ck_assert_int_eq(lm_hidden(session, 0, 3, found, &err), LM_OK);
    lm_session_free(session);

    ck_assert_int_eq(lm_session_new(model, 8, 0, &session, &err), LM_OK);
    ck_assert_int_eq(lm_append(session, ids, 8, &err), LM_OK);
    ck_assert_int_eq(lm_hidden(session, 0, 8, expected, &err), LM_OK);
    ck_assert_mem_eq(found, expected + 5 * 64, sizeof found);
    rewound(session, ids, expected);
    lm_session_free(session);
    lm_model_free(model);
    lm_model_free(NULL);
    lm_session_free(NULL);
    check_empty(law, "requests");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { values, tensors, fault_files, cut_while_open, progress, no_memory,
                             requests };
    return testing_main("lm file", tests, sizeof tests / sizeof *tests);
}
