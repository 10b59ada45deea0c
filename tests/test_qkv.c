/* tests/test_qkv.c: anl_qkv() is its parts, bit for bit, and what it leaves on a device is what was
 * there before; a bad argument is named. */
#include <stdio.h>
#include <string.h>

#include "tests/qkv_case.h"
#include "tests/testing.h"

static void parts_of(struct anl_device *device, const char *where)
{
    for (int i = 0; i < qkv_cases.count; i++) {
        const struct qkv_case *c = qkv_case_at(i);
        struct run_result parts = { 0 }, result = { 0 };
        struct anl_memory before, after;
        struct qkv_data data;
        char name[160], what[220];
        qkv_cases.describe(i, name, sizeof name);
        snprintf(what, sizeof what, "%s on %s", name, where);
        qkv_data_make(c, &data);
        qkv_run(device, c, &data, NULL, 1, &parts);
        anl_device_get_memory(device, &before);
        qkv_run(device, c, &data, NULL, 0, &result);
        anl_device_get_memory(device, &after);
        testing_same(&result, &parts, what);
        ck_assert_uint_eq(after.tensors, before.tensors);
        ck_assert_uint_eq(after.weights, before.weights);
        run_free(&parts);
        run_free(&result);
        qkv_data_free(&data);
    }
}

START_TEST(parts_on_law)
{
    struct anl_context *context = testing_context();
    struct anl_device *law = testing_law(context);
    parts_of(law, "law");
    anl_device_destroy(law);
    anl_context_destroy(context);
}
END_TEST

START_TEST(parts_on_cpu)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 2, 0 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    parts_of(device, "cpu");
    anl_device_destroy(device);
    anl_context_destroy(context);
}
END_TEST

/* The scratch of a composed call is a tile's, however many tokens there are. */
static uint64_t peak_scratch(int64_t tokens)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 1, 0 };
    const struct qkv_case c = { .t = tokens, .dm = 16, .h = 1, .hkv = 1, .d = 4, .dv = 4, .norm = 1,
                                .dims = 4, .base = 10000, .positions = 5000, .kv = ANL_F16 };
    struct anl_context *context = testing_context();
    struct anl_device *device = testing_cpu_open(context, &cpu);
    struct run_result result = { 0 };
    struct anl_memory memory;
    struct qkv_data data;
    qkv_data_make(&c, &data);
    qkv_run(device, &c, &data, NULL, 0, &result);
    ck_assert_msg(result.status == ANL_OK, "%s", result.message);
    anl_device_get_memory(device, &memory);
    run_free(&result);
    qkv_data_free(&data);
    anl_device_destroy(device);
    anl_context_destroy(context);
    return memory.peak_scratch;
}

START_TEST(scratch_does_not_grow_with_tokens)
{
    uint64_t few = peak_scratch(600);
    ck_assert_uint_gt(few, 0);
    ck_assert_uint_eq(few, peak_scratch(5000));
}
END_TEST

/* A valid call, to be spoilt one thing at a time. */
struct fixture {
    struct anl_context *context;
    struct anl_device *device, *other;
    struct anl_buffer *in, *out, *foreign;
    struct anl_weights *w, *wide, *foreign_w; /* [8, 6], [8, 7] */
    struct anl_rope_table *table, *foreign_table;
};

static void fixture_make(struct anl_device *device, struct anl_buffer **buffer,
                         struct anl_weights **w, int64_t k, struct anl_rope_table **table)
{
    static const float zeros[64];
    struct anl_weights_params params = { .size = sizeof params, .n = 8, .k = k, .data = zeros };
    struct anl_rope_table_params rope = { .size = sizeof rope, .dims = 4, .base = 10000,
                                          .positions = 10 };
    ck_ok(anl_buffer_create(device, 1024, buffer), device);
    ck_ok(anl_weights_create(device, &params, w), device);
    ck_ok(anl_rope_table_create(device, &rope, table), device);
}

static struct anl_qkv_params valid(const struct fixture *f)
{
    struct anl_qkv_params p = { .size = sizeof p, .wq = f->w, .wk = f->w, .wv = f->w, .eps = 1,
                                .table = f->table, .position = 7 };
    p.x = anl_tensor_2d(f->in, 0, ANL_F32, 3, 6);
    p.norm = anl_tensor_1d(f->in, 0, ANL_F32, 6);
    p.q_bias = p.k_bias = p.v_bias = anl_tensor_1d(f->in, 0, ANL_F32, 8);
    p.q = anl_tensor_3d(f->out, 0, ANL_F32, 3, 2, 4);
    p.k = anl_tensor_3d(f->out, 256, ANL_F32, 3, 2, 4);
    p.v = anl_tensor_3d(f->out, 512, ANL_F32, 3, 2, 4);
    return p;
}

/* What the message must say; NULL: no more. */
static const char *spoil(struct anl_qkv_params *p, const struct fixture *f, int what)
{
    switch (what) {
    case 0: p->size = 8; return "8";
    case 1: p->wq = NULL; return "wq is NULL";
    case 2: p->wv = NULL; return "wv is NULL";
    case 3: p->wk = f->foreign_w; return "wk lies on another device";
    case 4: p->wk = f->wide; return "wk has rows of 7";
    case 5: p->x.buffer = NULL; return "x has no buffer";
    case 6: p->x.buffer = f->foreign; return "x lies on another device";
    case 7: p->x.dim[0] = 2; return "q.dim[0] is 3";
    case 8: p->q.dim[1] = 3; return "wq has 8 rows, q has 3 heads";
    case 9: p->k.dim[1] = 1; return "v.dim[1] is 2";
    case 10: p->k.dim[2] = 2; return "k.dim[2] is 2";
    case 11: p->v.dim[2] = 0; return "wv has 8 rows";
    case 12: p->k.stride[1] = 5; return "k.stride[1] is 5";
    case 13: p->v.stride[0] = 0; return "v.stride[0] is 0";
    case 14: p->q.dtype = ANL_F16; return "q is of type f16";
    case 15: p->v.dtype = ANL_Q8_0; return "q8_0";
    case 16: p->q.offset = 1000; return "q passes the end";
    case 17: p->norm.dim[0] = 5; return "norm.dim[0] is 5";
    case 18: p->eps = 0; return "eps is 0";
    case 19: p->k_bias.dim[0] = 7; return "k_bias.dim[0] is 7";
    case 20: p->v_bias.buffer = f->foreign; return "v_bias lies on another device";
    case 21: p->table = f->foreign_table; return "table";
    case 22: p->pairs = (anl_rope_pairs)5; return "pairs is 5";
    case 23: p->position = 8; return "position is 8";
    case 24: p->position = -1; return "position is -1";
    case 25: p->position = INT64_MAX; return "9223372036854775807";
    case 26: p->q.dim[1] = p->k.dim[1] = 4; p->q.dim[2] = p->k.dim[2] = 2;
        p->q.stride[1] = p->k.stride[1] = 2; p->v.dim[1] = 4; p->v.dim[2] = p->v.stride[1] = 2;
        return "the table turns 4";
    default: return NULL;
    }
}

static void refuses(struct anl_device *device, struct fixture *f)
{
    static const float zeros[56];
    struct anl_weights_params wide = { .size = sizeof wide, .n = 8, .k = 7, .data = zeros };
    struct anl_qkv_params p;
    const char *text;
    uint8_t bytes[1024];
    f->device = device;
    fixture_make(device, &f->in, &f->w, 6, &f->table);
    ck_ok(anl_buffer_create(device, 1024, &f->out), device);
    fixture_make(f->other, &f->foreign, &f->foreign_w, 6, &f->foreign_table);
    ck_ok(anl_weights_create(device, &wide, &f->wide), device);
    memset(bytes, 0, sizeof bytes);
    ck_ok(anl_buffer_write(f->in, 0, bytes, sizeof bytes), device);
    p = valid(f);
    ck_ok(anl_qkv(device, &p), device);
    memset(bytes, 0xa5, sizeof bytes);
    ck_ok(anl_buffer_write(f->out, 0, bytes, sizeof bytes), device);
    ck_assert_int_eq(anl_qkv(NULL, &p), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_qkv(device, NULL), ANL_E_ARGUMENT);
    for (int i = 0; p = valid(f), (text = spoil(&p, f, i)) != NULL; i++) {
        ck_assert_msg(anl_qkv(device, &p) == ANL_E_ARGUMENT, "'%s' passed", text);
        ck_assert_msg(strstr(anl_device_message(device), text) != NULL, "'%s' does not say '%s'",
                      anl_device_message(device), text);
        ck_assert_msg(strstr(anl_device_message(device), "anl_qkv") != NULL, "%s",
                      anl_device_message(device));
        ck_ok(anl_buffer_read(f->out, 0, bytes, sizeof bytes), device);
        for (size_t k = 0; k < sizeof bytes; k++)
            ck_assert_msg(bytes[k] == 0xa5, "'%s': wrote to a result", text);
    }
    anl_rope_table_destroy(f->table);
    anl_rope_table_destroy(f->foreign_table);
    anl_weights_destroy(f->w);
    anl_weights_destroy(f->wide);
    anl_weights_destroy(f->foreign_w);
    anl_buffer_destroy(f->in);
    anl_buffer_destroy(f->out);
    anl_buffer_destroy(f->foreign);
}

START_TEST(bad_arguments)
{
    const struct testing_cpu cpu = { ANL_ISA_AUTO, 1, 0 };
    struct fixture f = { .context = testing_context() };
    f.other = testing_law(f.context);
    for (int i = 0; i < 2; i++) {
        struct anl_device *device = i ? testing_cpu_open(f.context, &cpu) : testing_law(f.context);
        refuses(device, &f);
        anl_device_destroy(device);
    }
    anl_device_destroy(f.other);
    anl_context_destroy(f.context);
}
END_TEST

int main(void)
{
    const TTest *tests[] = { parts_on_law, parts_on_cpu, scratch_does_not_grow_with_tokens,
                             bad_arguments };
    return testing_main("qkv", tests, sizeof tests / sizeof *tests);
}
