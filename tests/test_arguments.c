/* tests/test_arguments.c: a bad argument gives a status and a message that names the argument and its
 * value, and nothing is written. Each operation is called well once and then with one thing spoilt
 * at a time. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tests/testing.h"

/* Views that all operations share: one buffer of results, one of everything else. */
struct fixture {
    struct anl_context *context;
    struct anl_device *device, *other;
    struct anl_buffer *in, *out, *foreign;
    struct anl_weights *w, *square, *foreign_w; /* [6, 4], [4, 4] */
    struct anl_rope_table *table;
    int64_t far;
    struct anl_kv_piece pieces[2];
    int64_t spans[2];
};

#define OUT_BYTES 4096

/* A valid call of each operation. */
union params {
    struct anl_linear_params linear;
    struct anl_attn_params attn;
    struct anl_attn_states_params states;
    struct anl_attn_merge_params merge;
    struct anl_norm_params norm;
    struct anl_rope_params rope;
    struct anl_ffn_params ffn;
    struct anl_embed_params embed;
    struct anl_xent_params xent;
};

static const int32_t ids[3] = { 0, 1, 3 };
static const int32_t ids_high[3] = { 0, 6, 3 };
static const int32_t ids_low[3] = { 0, -1, 3 };

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

/* One row an operation: a valid call, its views, and its own faults. */
struct row {
    const char *name;
    void (*valid)(union params *p, struct fixture *f);
    anl_status (*call)(struct anl_device *device, const union params *p);
    struct anl_tensor *(*view)(union params *p, int i);        /* NULL: no more */
    const char *(*spoil)(union params *p, struct fixture *f, int what); /* NULL: no more */
};

static void linear_valid(union params *p, struct fixture *f)
{
    p->linear = (struct anl_linear_params){ .size = sizeof p->linear, .w = f->w };
    p->linear.x = anl_tensor_2d(f->in, 0, ANL_F32, 3, 4);
    p->linear.norm = anl_tensor_1d(f->in, 0, ANL_F32, 4);
    p->linear.eps = 1e-5f;
    p->linear.bias = anl_tensor_1d(f->in, 0, ANL_F32, 6);
    p->linear.gate = anl_tensor_2d(f->in, 0, ANL_F32, 3, 6);
    p->linear.residual = anl_tensor_2d(f->in, 0, ANL_F32, 3, 6);
    p->linear.out = anl_tensor_2d(f->out, 0, ANL_F32, 3, 6);
}
static anl_status linear_call(struct anl_device *device, const union params *p)
{
    return anl_linear(device, &p->linear);
}
static struct anl_tensor *linear_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->linear.x, &p->linear.norm, &p->linear.bias,
                                   &p->linear.gate, &p->linear.residual, &p->linear.out, NULL };
    return views[i];
}
static const char *linear_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->linear.size = 8; return "8";
    case 1: p->linear.w = NULL; return "w";
    case 2: p->linear.w = f->foreign_w; return "another device";
    case 3: p->linear.w = f->square; return "4";
    case 4: p->linear.act = (anl_act)77; return "77";
    case 5: p->linear.x.buffer = NULL; return "x";
    case 6: p->linear.out.buffer = NULL; return "out";
    case 7: p->linear.out.dim[0] = 2; return "out.dim[0] is 2";
    case 8: p->linear.gate.dim[1] = 5; return "gate.dim[1] is 5";
    case 9: p->linear.out.stride[0] = 0; return "out.stride[0]";
    case 10: p->linear.eps = 0; return "eps is 0";
    case 11: p->linear.eps = NAN; return "eps is";
    default: return NULL;
    }
}

static void attn_valid(union params *p, struct fixture *f)
{
    p->attn = (struct anl_attn_params){ .size = sizeof p->attn, .pieces = f->pieces,
                                        .n_pieces = 2 };
    for (int i = 0; i < 2; i++) {
        f->pieces[i].k = anl_tensor_4d(f->in, 0, ANL_F32, 1, 1, i ? 3 : 512, 1);
        f->pieces[i].v = f->pieces[i].k;
        f->pieces[i].start = i * 512;
    }
    p->attn.q = anl_tensor_4d(f->in, 0, ANL_F32, 1, 2, 3, 1);
    p->attn.out = anl_tensor_4d(f->out, 0, ANL_F32, 1, 2, 3, 1);
    p->attn.m = anl_tensor_4d(f->out, 1024, ANL_F32, 1, 2, 3, 1);
    p->attn.l = anl_tensor_4d(f->out, 2048, ANL_F32, 1, 2, 3, 1);
    p->attn.o = anl_tensor_4d(f->out, 3072, ANL_F32, 1, 2, 3, 1);
}
static anl_status attn_call(struct anl_device *device, const union params *p)
{
    return anl_attn(device, &p->attn);
}
static struct anl_tensor *attn_view(union params *p, int i)
{
    struct anl_kv_piece *pieces = (struct anl_kv_piece *)p->attn.pieces;
    struct anl_tensor *views[] = { &p->attn.q, &p->attn.out, &p->attn.m, &p->attn.l, &p->attn.o,
                                   &pieces[0].k, &pieces[0].v, &pieces[1].k, &pieces[1].v, NULL };
    return views[i];
}
static const char *attn_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->attn.size = 8; return "8";
    case 1: p->attn.n_pieces = -3; return "-3";
    case 2: p->attn.pieces = NULL; return "pieces";
    case 3: p->attn.n_pieces = 1 << 20; return "1048576";
    case 4: p->attn.scale = NAN; return "scale is";
    case 5: p->attn.scale = -INFINITY; return "scale is -inf";
    case 6: p->attn.offset = &f->far; return "9223372036854775807";
    case 7: p->attn.m.buffer = NULL; return "m";
    case 8: p->attn.q.buffer = NULL; return "q";
    case 9: f->pieces[0].start = 512; return "start is 512";
    case 10: f->pieces[1].start = 1024; return "start is 1024";
    case 11: f->pieces[1].start = 511; return "start is 511";
    case 12: f->pieces[0].k.dim[2] = f->pieces[0].v.dim[2] = 500; return "512";
    case 13: f->pieces[1].k.buffer = NULL; return "pieces";
    case 14: f->pieces[1].v.dtype = ANL_F16; return "f16";
    case 15: f->pieces[1].v.dim[2] = 2; return "2";
    case 16: p->attn.q.dim[1] = 3; p->attn.out.dim[1] = 3; return "3";
    case 17: f->pieces[0].k.dim[1] = f->pieces[0].v.dim[1] = 3; return "pieces";
    case 18: p->attn.q.dim[3] = 257; return "257";
    case 19: p->attn.out.buffer = p->attn.m.buffer = p->attn.l.buffer = p->attn.o.buffer = NULL;
        return "out";
    case 20: p->attn.out.dim[3] = 0; return "0";
    case 21: p->attn.size = offsetof(struct anl_attn_params, keys) - 1; return "size is";
    case 22: p->attn.keys = -1; return "keys is -1";
    case 23: p->attn.keys = INT64_MAX; return "keys is 9223372036854775807";
    case 24: p->attn.keys = 100; return "keys, 100";
    case 25: p->attn.keys = 5000; return "ends at key";
    case 26: p->attn.keys = 5000; f->pieces[0].start = 100; return "start is 100";
    case 27: p->attn.keys = 5000; f->pieces[0].start = 5120; return "start is 5120";
    case 28: p->attn.keys = 5000; f->pieces[0].start = -512; return "start is -512";
    case 29: p->attn.spans = (anl_attn_spans)3; return "spans is 3";
    case 30: p->attn.spans = (anl_attn_spans)-1; return "spans is -1";
    case 31: p->attn.resume = 2; p->attn.m.buffer = p->attn.l.buffer = p->attn.o.buffer = NULL;
        return "resume is 2";
    default: return NULL;
    }
}

static void states_valid(union params *p, struct fixture *f)
{
    attn_valid(p, f);
    p->states = (struct anl_attn_states_params){ .size = sizeof p->states, .pieces = f->pieces,
                                                 .n_pieces = 2, .keys = 1027 };
    f->pieces[1].start = 1024; /* a gap */
    p->states.q = anl_tensor_4d(f->in, 0, ANL_F32, 1, 2, 3, 1);
    p->states.m = anl_tensor_4d(f->out, 1024, ANL_F32, 1, 2, 3, 2);
    p->states.l = anl_tensor_4d(f->out, 2048, ANL_F32, 1, 2, 3, 2);
    p->states.o = anl_tensor_4d(f->out, 3072, ANL_F32, 2, 3, 2, 1);
}
static anl_status states_call(struct anl_device *device, const union params *p)
{
    return anl_attn_states(device, &p->states);
}
static struct anl_tensor *states_view(union params *p, int i)
{
    struct anl_kv_piece *pieces = (struct anl_kv_piece *)p->states.pieces;
    struct anl_tensor *views[] = { &p->states.q, &p->states.m, &p->states.l, &p->states.o,
                                   &pieces[0].k, &pieces[0].v, &pieces[1].k, &pieces[1].v, NULL };
    return views[i];
}
static const char *states_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->states.size = 8; return "8";
    case 1: p->states.n_pieces = -3; return "-3";
    case 2: p->states.scale = NAN; return "scale is";
    case 3: p->states.offset = &f->far; return "9223372036854775807";
    case 4: p->states.keys = 0; return "start is 1024";
    case 5: p->states.keys = 1026; return "keys, 1026";
    case 6: p->states.keys = 1028; return "ends at key 1027";
    case 7: f->pieces[1].start = 0; return "start is 0";
    case 8: p->states.m.dim[3] = 1; return "m.dim[3] is 1";
    case 9: p->states.o.dim[0] = 1; return "o.dim[0] is 1";
    case 10: p->states.o.buffer = NULL; return "o has no buffer";
    case 11: p->states.o.dim[3] = 0; return "dim[3] is 1, not 0";
    default: return NULL;
    }
}

static void merge_valid(union params *p, struct fixture *f)
{
    f->spans[0] = 0;
    f->spans[1] = 2;
    p->merge = (struct anl_attn_merge_params){ .size = sizeof p->merge, .spans = f->spans,
                                               .keys = 1027 };
    p->merge.span_m = anl_tensor_4d(f->in, 0, ANL_F32, 1, 2, 3, 2);
    p->merge.span_l = anl_tensor_4d(f->in, 0, ANL_F32, 1, 2, 3, 2);
    p->merge.span_o = anl_tensor_4d(f->in, 0, ANL_F32, 2, 3, 2, 1);
    p->merge.out = anl_tensor_4d(f->out, 0, ANL_F32, 1, 2, 3, 1);
    p->merge.m = anl_tensor_4d(f->out, 1024, ANL_F32, 1, 2, 3, 1);
    p->merge.l = anl_tensor_4d(f->out, 2048, ANL_F32, 1, 2, 3, 1);
    p->merge.o = anl_tensor_4d(f->out, 3072, ANL_F32, 1, 2, 3, 1);
}
static anl_status merge_call(struct anl_device *device, const union params *p)
{
    return anl_attn_merge(device, &p->merge);
}
static struct anl_tensor *merge_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->merge.span_m, &p->merge.span_l, &p->merge.span_o,
                                   &p->merge.out, &p->merge.m, &p->merge.l, &p->merge.o, NULL };
    return views[i];
}
static const char *merge_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->merge.size = 8; return "8";
    case 1: p->merge.spans = NULL; return "spans is NULL";
    case 2: p->merge.keys = -1; return "keys is -1";
    case 3: p->merge.keys = 1024; return "spans[1] is 2";
    case 4: p->merge.keys = 0; return "spans[0] is 0";
    case 5: f->spans[0] = -1; return "spans[0] is -1";
    case 6: f->spans[1] = 0; return "spans[1] is 0";
    case 7: p->merge.offset = &f->far; return "9223372036854775807";
    case 8: p->merge.m.buffer = NULL; return "m, l and o 2";
    case 9: p->merge.out.buffer = p->merge.m.buffer = p->merge.l.buffer = p->merge.o.buffer = NULL;
        return "out";
    case 10: p->merge.span_o.buffer = NULL; return "span_o";
    case 11: p->merge.span_l.dim[3] = 1; return "span_l.dim[3] is 1";
    default: return NULL;
    }
}

static void norm_valid(union params *p, struct fixture *f)
{
    p->norm = (struct anl_norm_params){ .size = sizeof p->norm, .eps = 1e-5f };
    p->norm.x = anl_tensor_2d(f->in, 0, ANL_F32, 3, 4);
    p->norm.w = anl_tensor_1d(f->in, 0, ANL_F32, 4);
    p->norm.out = anl_tensor_2d(f->out, 0, ANL_F32, 3, 4);
}
static anl_status norm_call(struct anl_device *device, const union params *p)
{
    return anl_norm(device, &p->norm);
}
static struct anl_tensor *norm_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->norm.x, &p->norm.w, &p->norm.out, NULL };
    return views[i];
}
static const char *norm_spoil(union params *p, struct fixture *f, int what)
{
    (void)f;
    switch (what) {
    case 0: p->norm.size = 8; return "8";
    case 1: p->norm.eps = 0; return "eps is 0";
    case 2: p->norm.eps = -1; return "eps is -1";
    case 3: p->norm.eps = NAN; return "eps is";
    case 4: p->norm.eps = INFINITY; return "eps is inf";
    case 5: p->norm.w.dim[0] = 3; return "w.dim[0] is 3";
    case 6: p->norm.out.dim[1] = 3; return "out.dim[1] is 3";
    case 7: p->norm.out.dtype = ANL_F16; return "f16";
    case 8: p->norm.x.buffer = NULL; return "x";
    case 9: p->norm.w.buffer = NULL; return "w";
    default: return NULL;
    }
}

static void rope_valid(union params *p, struct fixture *f)
{
    p->rope = (struct anl_rope_params){ .size = sizeof p->rope, .table = f->table };
    p->rope.x = anl_tensor_3d(f->in, 0, ANL_F32, 3, 2, 4);
    p->rope.out = anl_tensor_3d(f->out, 0, ANL_F32, 3, 2, 4);
}
static anl_status rope_call(struct anl_device *device, const union params *p)
{
    return anl_rope(device, &p->rope);
}
static struct anl_tensor *rope_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->rope.x, &p->rope.out, NULL };
    return views[i];
}
static const char *rope_spoil(union params *p, struct fixture *f, int what)
{
    (void)f;
    switch (what) {
    case 0: p->rope.size = 8; return "8";
    case 1: p->rope.table = NULL; return "table";
    case 2: p->rope.position = -1; return "-1";
    case 3: p->rope.position = 8; return "8";
    case 4: p->rope.position = INT64_MAX; return "9223372036854775807";
    case 5: p->rope.pairs = (anl_rope_pairs)5; return "5";
    case 6: p->rope.x.dim[2] = p->rope.out.dim[2] = 3; return "3";
    case 7: p->rope.out.dim[1] = 1; return "out.dim[1] is 1";
    default: return NULL;
    }
}

static void ffn_valid(union params *p, struct fixture *f)
{
    p->ffn = (struct anl_ffn_params){ .size = sizeof p->ffn, .gate = f->w, .up = f->w,
                                      .down = f->square, .act = ANL_ACT_SILU };
    p->ffn.x = anl_tensor_2d(f->in, 0, ANL_F32, 3, 4);
    p->ffn.norm = anl_tensor_1d(f->in, 0, ANL_F32, 4);
    p->ffn.eps = 1e-5f;
    p->ffn.gate_bias = anl_tensor_1d(f->in, 0, ANL_F32, 6);
    p->ffn.up_bias = anl_tensor_1d(f->in, 0, ANL_F32, 6);
    p->ffn.down_bias = anl_tensor_1d(f->in, 0, ANL_F32, 4);
    p->ffn.residual = anl_tensor_2d(f->in, 0, ANL_F32, 3, 4);
    p->ffn.out = anl_tensor_2d(f->out, 0, ANL_F32, 3, 4);
}
static anl_status ffn_call(struct anl_device *device, const union params *p)
{
    return anl_ffn(device, &p->ffn);
}
static struct anl_tensor *ffn_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->ffn.x, &p->ffn.norm, &p->ffn.gate_bias, &p->ffn.up_bias,
                                   &p->ffn.down_bias, &p->ffn.residual, &p->ffn.out, NULL };
    return views[i];
}
static const char *ffn_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->ffn.size = 8; return "8";
    case 1: p->ffn.up = NULL; return "up";
    case 2: p->ffn.down = NULL; return "down";
    case 3: p->ffn.down = f->w; return "6";
    case 4: p->ffn.gate = f->square; return "";
    case 5: p->ffn.gate = f->foreign_w; return "another device";
    case 6: p->ffn.act = (anl_act)-1; return "-1";
    case 7: p->ffn.out.buffer = NULL; return "out";
    case 8: p->ffn.residual.dim[0] = 2; return "residual.dim[0] is 2";
    case 9: p->ffn.eps = INFINITY; return "eps is inf";
    default: return NULL;
    }
}

static void embed_valid(union params *p, struct fixture *f)
{
    p->embed = (struct anl_embed_params){ .size = sizeof p->embed, .table = f->w, .ids = ids };
    p->embed.out = anl_tensor_2d(f->out, 0, ANL_F32, 3, 4);
}
static anl_status embed_call(struct anl_device *device, const union params *p)
{
    return anl_embed(device, &p->embed);
}
static struct anl_tensor *embed_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->embed.out, NULL };
    return views[i];
}
static const char *embed_spoil(union params *p, struct fixture *f, int what)
{
    switch (what) {
    case 0: p->embed.size = 8; return "8";
    case 1: p->embed.table = NULL; return "table";
    case 2: p->embed.table = f->foreign_w; return "another device";
    case 3: p->embed.ids = NULL; return "ids";
    case 4: p->embed.ids = ids_high; return "ids[1] is 6";
    case 5: p->embed.ids = ids_low; return "ids[1] is -1";
    case 6: p->embed.out.dim[1] = 3; return "out.dim[1] is 3";
    case 7: p->embed.out.dtype = ANL_BF16; return "bf16";
    default: return NULL;
    }
}

static void xent_valid(union params *p, struct fixture *f)
{
    p->xent = (struct anl_xent_params){ .size = sizeof p->xent, .targets = ids };
    p->xent.logits = anl_tensor_2d(f->in, 0, ANL_F32, 3, 6);
    p->xent.out = anl_tensor_1d(f->out, 0, ANL_F32, 3);
}
static anl_status xent_call(struct anl_device *device, const union params *p)
{
    return anl_xent(device, &p->xent);
}
static struct anl_tensor *xent_view(union params *p, int i)
{
    struct anl_tensor *views[] = { &p->xent.logits, &p->xent.out, NULL };
    return views[i];
}
static const char *xent_spoil(union params *p, struct fixture *f, int what)
{
    (void)f;
    switch (what) {
    case 0: p->xent.size = 8; return "8";
    case 1: p->xent.targets = NULL; return "targets";
    case 2: p->xent.targets = ids_high; return "targets[1] is 6";
    case 3: p->xent.targets = ids_low; return "targets[1] is -1";
    case 4: p->xent.out.dim[0] = 2; return "out.dim[0] is 2";
    case 5: p->xent.logits.buffer = NULL; return "logits";
    case 6: p->xent.logits.dim[1] = 0; return "0";
    default: return NULL;
    }
}

static const struct row rows[] = {
    { "anl_linear", linear_valid, linear_call, linear_view, linear_spoil },
    { "anl_attn", attn_valid, attn_call, attn_view, attn_spoil },
    { "anl_attn_states", states_valid, states_call, states_view, states_spoil },
    { "anl_attn_merge", merge_valid, merge_call, merge_view, merge_spoil },
    { "anl_norm", norm_valid, norm_call, norm_view, norm_spoil },
    { "anl_rope", rope_valid, rope_call, rope_view, rope_spoil },
    { "anl_ffn", ffn_valid, ffn_call, ffn_view, ffn_spoil },
    { "anl_embed", embed_valid, embed_call, embed_view, embed_spoil },
    { "anl_xent", xent_valid, xent_call, xent_view, xent_spoil },
};

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
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        spoil_row(&f, &rows[i]);
    fixture_close(&f);
}
END_TEST

START_TEST(operations_on_cpu)
{
    struct fixture f;
    fixture_open(&f, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        spoil_row(&f, &rows[i]);
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
    attn_valid(&p, &f);
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
