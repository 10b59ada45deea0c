/* tests/test_arguments.c: a bad argument gives a status and a message that names the argument and its
 * value, and nothing is written. Each operation is called well once and then with one thing spoilt
 * at a time. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/argument_rows.h"

static struct anl_weights *pack(struct anl_device *device, int64_t n, int64_t k)
{
    static const float ones[24] = { 1, 2, 3 };
    struct anl_weights *w = NULL;
    struct anl_weights_params params = { .size = sizeof params, .n = n, .k = k, .data = ones };
    ck_ok(anl_weights_create(device, &params, &w), device);
    return w;
}

static void fixture_open(struct fixture *f, int cpu)
{
    const struct testing_cpu one = { ANL_ISA_AUTO, 2, 0 };
    struct anl_rope_table_params table = { .size = sizeof table, .dims = 4, .base = 10000,
                                           .positions = 10 };
    static const float zeros[OUT_BYTES / 4];
    memset(f, 0, sizeof *f);
    f->context = testing_context();
    f->device = cpu ? testing_cpu_open(f->context, &one) : testing_law(f->context);
    f->other = testing_law(f->context);
    ck_ok(anl_buffer_create(f->device, OUT_BYTES, &f->in), f->device);
    ck_ok(anl_buffer_create(f->device, OUT_BYTES, &f->out), f->device);
    ck_ok(anl_buffer_create(f->other, OUT_BYTES, &f->foreign), f->other);
    ck_ok(anl_buffer_write(f->in, 0, zeros, OUT_BYTES), f->device);
    f->w = pack(f->device, 6, 4);
    f->square = pack(f->device, 4, 6);
    f->foreign_w = pack(f->other, 6, 4);
    ck_ok(anl_rope_table_create(f->device, &table, &f->table), f->device);
    f->far = INT64_MAX;
}

static void fixture_close(struct fixture *f)
{
    anl_rope_table_destroy(f->table);
    anl_weights_destroy(f->w);
    anl_weights_destroy(f->square);
    anl_weights_destroy(f->foreign_w);
    anl_buffer_destroy(f->in);
    anl_buffer_destroy(f->out);
    anl_buffer_destroy(f->foreign);
    anl_device_destroy(f->device);
    anl_device_destroy(f->other);
    anl_context_destroy(f->context);
}

/* What is wrong with a view, for every view of every operation. The text must be in the message. */
static const char *spoil_view(struct anl_tensor *t, struct fixture *f, int what)
{
    int last = t->ndim - 1;
    switch (what) {
    case 0: t->buffer = f->foreign; return "another device";
    case 1: t->dtype = ANL_Q8_0; return "q8_0";
    case 2: t->dtype = (anl_dtype)99; return "99";
    case 3: t->ndim = 7; return "7";
    case 4: t->dim[last] = -5; return "-5";
    case 5: t->dim[0] = INT64_MAX / 2; return "";
    case 6: t->stride[last] = 2; return "2";
    case 7: t->stride[last] = -1; return "-1";
    case 8: t->offset = 2; return "2";
    case 9: t->offset = OUT_BYTES; return "4096";
    case 10: t->offset = UINT64_MAX - 3; return "";
    case 11: t->stride[0] = INT64_MAX; return t->dim[0] > 1 && last > 0 ? "" : NULL;
    default: return NULL;
    }
}
#define VIEW_FAULTS 12

/* Calls and sees that it was refused, said why, and left the results alone. */
static void refused(struct fixture *f, anl_status status, const char *op, const char *text)
{
    uint8_t bytes[OUT_BYTES];
    const char *message = anl_device_message(f->device);
    ck_assert_msg(status == ANL_E_ARGUMENT, "%s: '%s' gives %s", op, text, anl_status_name(status));
    ck_assert_msg(strstr(message, op) != NULL, "'%s' does not name %s", message, op);
    ck_assert_msg(strstr(message, text) != NULL, "'%s' does not say '%s'", message, text);
    ck_ok(anl_buffer_read(f->out, 0, bytes, OUT_BYTES), f->device);
    for (size_t i = 0; i < OUT_BYTES; i++)
        ck_assert_msg(bytes[i] == 0xa5, "%s: '%s': wrote to a result", op, text);
}

static void fill_out(struct fixture *f)
{
    uint8_t bytes[OUT_BYTES];
    memset(bytes, 0xa5, sizeof bytes);
    ck_ok(anl_buffer_write(f->out, 0, bytes, OUT_BYTES), f->device);
}

static void spoil_row(struct fixture *f, const struct row *row)
{
    union params p;
    const char *text;
    row->valid(&p, f);
    ck_ok(row->call(f->device, &p), f->device);
    ck_assert_str_eq(anl_device_message(f->device), "");
    fill_out(f);
    ck_assert_int_eq(row->call(NULL, &p), ANL_E_ARGUMENT);
    for (int i = 0; row->valid(&p, f), (text = row->spoil(&p, f, i)) != NULL; i++)
        refused(f, row->call(f->device, &p), row->name, text);
    for (int i = 0; row->valid(&p, f), row->view(&p, i) != NULL; i++) {
        for (int what = 0; what < VIEW_FAULTS; what++) {
            row->valid(&p, f);
            text = spoil_view(row->view(&p, i), f, what);
            if (text != NULL)
                refused(f, row->call(f->device, &p), row->name, text);
        }
    }
}

START_TEST(operations_on_law)
{
    struct fixture f;
    fixture_open(&f, 0);
    for (int i = 0; i < argument_row_count; i++)
        spoil_row(&f, &argument_rows[i]);
    fixture_close(&f);
}
END_TEST

START_TEST(operations_on_cpu)
{
    struct fixture f;
    fixture_open(&f, 1);
    for (int i = 0; i < argument_row_count; i++)
        spoil_row(&f, &argument_rows[i]);
    fixture_close(&f);
}
END_TEST

START_TEST(null_params)
{
    struct fixture f;
    fixture_open(&f, 1);
    fill_out(&f);
    refused(&f, anl_linear(f.device, NULL), "anl_linear", "NULL");
    refused(&f, anl_attn(f.device, NULL), "anl_attn", "NULL");
    refused(&f, anl_norm(f.device, NULL), "anl_norm", "NULL");
    refused(&f, anl_rope(f.device, NULL), "anl_rope", "NULL");
    refused(&f, anl_ffn(f.device, NULL), "anl_ffn", "NULL");
    refused(&f, anl_embed(f.device, NULL), "anl_embed", "NULL");
    refused(&f, anl_xent(f.device, NULL), "anl_xent", "NULL");
    ck_assert_uint_eq(anl_ffn_scratch(f.device, NULL), 0);
    fixture_close(&f);
}
END_TEST

/* anl_attn_params has grown: what an older caller's struct does not have is not read. */
START_TEST(older_params)
{
    struct fixture f;
    union params p;
    fixture_open(&f, 1);
    argument_rows[1].valid(&p, &f); /* anl_attn */
    p.attn.size = offsetof(struct anl_attn_params, keys);
    p.attn.keys = -1;
    p.attn.resume = 1;
    p.attn.m.buffer = p.attn.l.buffer = p.attn.o.buffer = NULL;
    ck_ok(anl_attn(f.device, &p.attn), f.device);
    fixture_close(&f);
}
END_TEST

START_TEST(weights)
{
    struct fixture f;
    const float data[64] = { 0 };
    const struct anl_weights_params good = { .size = sizeof good, .n = 2, .k = 32, .data = data };
    fixture_open(&f, 1);
    fill_out(&f);
    for (int i = 0;; i++) {
        struct anl_weights_params p = good;
        struct anl_weights *w = NULL;
        const char *text = NULL;
        switch (i) {
        case 0: p.size = 4; text = "4"; break;
        case 1: p.dtype = (anl_dtype)9; text = "9"; break;
        case 2: p.n = 0; text = "n is 0"; break;
        case 3: p.k = -1; text = "k is -1"; break;
        case 4: p.n = INT64_C(1) << 40; text = "1099511627776"; break;
        case 5: p.data = NULL; text = "data"; break;
        case 6: p.row_bytes = 127; text = "row_bytes is 127"; break;
        case 7: p.dtype = ANL_Q4_0; p.k = 33; text = "k is 33"; break;
        default: break;
        }
        if (text == NULL)
            break;
        refused(&f, anl_weights_create(f.device, &p, &w), "anl_weights_create", text);
        ck_assert_ptr_null(w);
    }
    refused(&f, anl_weights_create(f.device, NULL, &(struct anl_weights *){ NULL }),
            "anl_weights_create", "NULL");
    ck_assert_int_eq(anl_weights_create(f.device, &good, NULL), ANL_E_ARGUMENT);
    fixture_close(&f);
}
END_TEST

START_TEST(rope_tables)
{
    struct fixture f;
    const struct anl_rope_table_params good = { .size = sizeof good, .dims = 8, .base = 10000,
                                                .positions = 100 };
    fixture_open(&f, 1);
    fill_out(&f);
    for (int i = 0;; i++) {
        struct anl_rope_table_params p = good;
        struct anl_rope_table *t = NULL;
        const char *text = NULL;
        switch (i) {
        case 0: p.size = 4; text = "4"; break;
        case 1: p.dims = 0; text = "dims is 0"; break;
        case 2: p.dims = 7; text = "dims is 7"; break;
        case 3: p.dims = 1026; text = "dims is 1026"; break;
        case 4: p.base = 1; text = "base is 1"; break;
        case 5: p.base = NAN; text = "base is"; break;
        case 6: p.base = 2e12; text = "base is 2e+12"; break;
        case 7: p.positions = 0; text = "positions is 0"; break;
        case 8: p.positions = INT64_C(1) << 31; text = "positions is 2147483648"; break;
        default: break;
        }
        if (text == NULL)
            break;
        refused(&f, anl_rope_table_create(f.device, &p, &t), "anl_rope_table_create", text);
        ck_assert_ptr_null(t);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(buffers)
{
    struct fixture f;
    struct anl_buffer *b = NULL;
    uint32_t memory[4] = { 0 };
    fixture_open(&f, 1);
    fill_out(&f);
    ck_ok(anl_buffer_create(f.device, 0, &b), f.device);
    ck_assert_uint_eq(anl_buffer_size(b), 0);
    ck_ok(anl_buffer_read(b, 0, memory, 0), f.device);
    anl_buffer_destroy(b);
    anl_buffer_destroy(NULL);
    ck_assert_int_eq(anl_buffer_create(NULL, 4, &b), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_create(f.device, 4, NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_create(f.device, UINT64_MAX / 2, &b), ANL_E_MEMORY);
    ck_assert_ptr_null(b);
    ck_assert_int_ne(anl_buffer_create(f.device, UINT64_MAX, &b), ANL_OK);
    ck_assert_int_eq(anl_buffer_wrap(f.device, (char *)memory + 1, 8, &b), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_wrap(f.device, NULL, 8, &b), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_write(f.out, OUT_BYTES - 3, memory, 4), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_write(f.out, UINT64_MAX - 1, memory, 4), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_buffer_write(f.out, 0, NULL, 4), ANL_E_ARGUMENT);
    refused(&f, anl_buffer_read(f.out, OUT_BYTES + 1, memory, 0), "anl_buffer_read", "4097");
    ck_ok(anl_buffer_wrap(f.device, memory, sizeof memory, &b), f.device);
    ck_assert_ptr_eq(anl_buffer_host(b), memory);
    anl_buffer_destroy(b);
    fixture_close(&f);
}
END_TEST

START_TEST(constructors)
{
    struct anl_context *context = testing_context();
    struct anl_device *device = NULL;
    char error[128] = "";
    struct anl_cpu_params cpu = { .size = sizeof cpu, .error = error, .error_size = sizeof error };
    ck_assert_int_eq(anl_context_create(NULL, NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_device_create_law(NULL, &device), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_device_create_law(context, NULL), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_device_create_cpu(NULL, NULL, &device), ANL_E_ARGUMENT);
    ck_assert_int_eq(anl_device_create_cpu(context, NULL, NULL), ANL_E_ARGUMENT);
    cpu.threads = -2;
    ck_assert_int_eq(anl_device_create_cpu(context, &cpu, &device), ANL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error, "-2"));
    cpu.threads = 1025;
    ck_assert_int_eq(anl_device_create_cpu(context, &cpu, &device), ANL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error, "1025"));
    cpu.threads = 1;
    cpu.isa = (anl_isa)42;
    ck_assert_int_eq(anl_device_create_cpu(context, &cpu, &device), ANL_E_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error, "42"));
    cpu.size = 4;
    ck_assert_int_eq(anl_device_create_cpu(context, &cpu, &device), ANL_E_ARGUMENT);
    ck_assert_ptr_null(device);
    anl_device_destroy(NULL);
    anl_context_destroy(NULL);
    anl_context_destroy(context);
    ck_assert_str_eq(anl_status_name((anl_status)77), "unknown status");
    ck_assert_str_eq(anl_dtype_name(ANL_Q4_1), "q4_1");
}
END_TEST

int main(void)
{
    const TTest *tests[] = { operations_on_law, operations_on_cpu, null_params, older_params, weights,
                             rope_tables,       buffers,           constructors };
    return testing_main("arguments", tests, sizeof tests / sizeof *tests);
}
