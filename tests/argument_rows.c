/* tests/argument_rows.c: see argument_rows.h. */
#include "tests/argument_rows.h"

#include <math.h>

static const int32_t ids[3] = { 0, 1, 3 };
static const int32_t ids_high[3] = { 0, 6, 3 };
static const int32_t ids_low[3] = { 0, -1, 3 };

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

const struct row argument_rows[] = {
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
const int argument_row_count = sizeof argument_rows / sizeof *argument_rows;
