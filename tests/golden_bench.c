/* tests/golden_bench.c: see golden.h. A hash is of all results of a case, one after another. A new case:
 * annulet bench prints it; enter it once the law (bench --device law), or where that would take hours the
 * generic instruction set, gives the same. */
#include <string.h>

#include "tests/golden.h"

const struct golden golden_bench[] = {
    { "linear", "t2048 n4096 k4096 f32", 0x9900f1a661ad0f0b },
    { "linear", "t8192 n1536 k576 q4_1", 0x64a69878d00bff93 },
    { "linear", "t1 n1536 k576 q4_1", 0x7f9c0b2980344dfe },
    { "linear", "t1 n11008 k4096 q4_1", 0x05ca75d6a577935e },
    { "attn", "b1 h8 hkv8 sq4096 sk4096 d64 dv64 f32", 0x6f6719164f28c978 },
    { "attn", "b1 h8 hkv8 sq4096 sk4096 d64 dv64 f32 causal", 0x20edf8c69760ac60 },
    { "attn", "b1 h8 hkv8 sq4096 sk4096 d128 dv128 f32", 0xcb6dfc7554aab813 },
    { "attn", "b1 h8 hkv8 sq4096 sk4096 d128 dv128 f32 causal", 0xe3fd7cae5e6e476a },
    { "attn", "b1 h8 hkv8 sq16384 sk16384 d64 dv64 f32", 0xad618157ac04e47b },
    { "attn", "b1 h8 hkv8 sq16384 sk16384 d64 dv64 f32 causal", 0x0aa38bbe2d550a1a },
    { "attn", "b1 h8 hkv8 sq16384 sk16384 d128 dv128 f32", 0x67f2b1a12c4bc9f7 },
    { "attn", "b1 h8 hkv8 sq16384 sk16384 d128 dv128 f32 causal", 0x13fedf37c1499135 },
    { "attn", "b1 h9 hkv3 sq1 sk8192 d64 dv64 f32 causal", 0x3cac8f1892051737 },
    { "norm", "t8192 dm4096", 0xfa22ff3d0cbfed47 },
    { "rope", "t8192 h32 d64", 0x9d4e682d3a99842d },
    { "ffn", "t4096 dm768 dff3072 f32 gelu", 0x8f500da14e217b92 },
    { "ffn", "t4096 dm576 dff1536 f32 swiglu", 0x619fedd46d44e605 },
    { "ffn", "t2048 dm4096 dff11008 f32 swiglu", 0x8a908079a75821aa },
    { "qkv", "t1 dm576 h9 hkv3 d64 q4_1", 0x73423e5d7d820763 },
    { "qkv", "t2048 dm576 h9 hkv3 d64 q4_1", 0xa5f91f6f8736558d },
    { "embed", "t32768 n49152 dm576 q8_0", 0xab64e8cac316bce8 },
    { "xent", "t512 n49152", 0xdc434110e60a5ef8 },
};
const size_t golden_bench_count = sizeof golden_bench / sizeof *golden_bench;

const struct golden *golden_bench_find(const char *op, const char *shape)
{
    for (size_t i = 0; i < golden_bench_count; i++) {
        if (strcmp(golden_bench[i].op, op) == 0 && strcmp(golden_bench[i].name, shape) == 0)
            return &golden_bench[i];
    }
    return NULL;
}
