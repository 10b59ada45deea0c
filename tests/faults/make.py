#!/usr/bin/env python3
"""Writes the small model files of this folder, good and faulty, and the table ../fault_case.h.

    make.py           writes them all
    make.py --check   writes nothing; exits 1 where a file differs from what would be written

A case is a class of faults (1 to 19), a stage, a name, what the error must say, and the bytes.
The stage is the part of the tool that must refuse the file, all earlier ones accepting it: gguf
(the reader), tokenizer, chat, model (hyperparameters and the set of tensors). Files of stage "good"
are accepted by all of these but model: of them only valid.gguf is a whole model. Classes 14 (state
files) and 18 (numbers of the command line) have no model file.
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f",
           BOOL: "<B", U64: "<Q", I64: "<q", F64: "<d"}
T_F32, T_F16, T_Q4_0, T_Q4_1, T_Q8_0 = 0, 1, 2, 3, 8
BLOCKS = {T_F32: (1, 4), T_F16: (1, 2), T_Q4_0: (32, 18), T_Q4_1: (32, 20), T_Q8_0: (32, 34)}
ALIGNMENT = 32


def string(text, length=None):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data) if length is None else length) + data


def value(kind, content):
    return string(content) if kind == STRING else struct.pack(FORMATS[kind], content)


def array(element, items, count=None):
    data = b"".join(value(element, item) for item in items)
    return struct.pack("<IQ", element, len(items) if count is None else count) + data


class Noise:
    """A small generator of numbers that is the same everywhere."""

    def __init__(self, seed):
        self.state = seed

    def next(self, below):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % below


def tensor_data(kind, elements, noise):
    """Plausible weights: small, with a scale and a minimum in every block."""
    if kind == T_F32:
        return b"".join(struct.pack("<f", 1 + noise.next(64) / 256) for _ in range(elements))
    out = b""
    for _ in range(elements // 32):
        scale = (1 + noise.next(32)) / 512
        if kind == T_Q8_0:
            out += struct.pack("<e", scale / 8) + bytes(noise.next(256) for _ in range(32))
        else:
            out += struct.pack("<ee", scale, -8 * scale) + bytes(noise.next(256) for _ in range(16))
    return out


class File:
    """A GGUF file in parts, any of which a fault may change before bytes() joins them."""

    def __init__(self):
        self.magic = b"GGUF"
        self.version = struct.pack("<I", 3)
        self.n_kv = None
        self.n_tensors = None
        self.kv = []  # [key bytes with length, type, value bytes]
        self.tensors = []  # dicts
        self.cut = 0
        self.tail = b""

    def set(self, key, kind, content):
        raw = content if kind == ARRAY else value(kind, content)
        return self.raw(key, kind, raw)

    def raw(self, key, kind, raw):
        for entry in self.kv:
            if entry[0] == string(key):
                entry[1:] = [kind, raw]
                return self
        self.kv.append([string(key), kind, raw])
        return self

    def drop(self, key):
        self.kv = [entry for entry in self.kv if entry[0] != string(key)]
        return self

    def tensor(self, name, kind, *dims, **changes):
        self.tensors.append(dict(name=name, kind=kind, dims=list(dims), **changes))
        return self

    def change(self, which, **changes):
        for tensor in self.tensors:
            if tensor["name"] == which:
                tensor.update(changes)
        return self

    def with_(self, **changes):
        for name, content in changes.items():
            setattr(self, name, content)
        return self

    def bytes(self):
        noise = Noise(1)
        head = self.magic + self.version
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_kv = len(self.kv) if self.n_kv is None else self.n_kv
        head += struct.pack("<QQ", n_tensors, n_kv)
        for key, kind, raw in self.kv:
            head += key + struct.pack("<I", kind) + raw
        data = b""
        for tensor in self.tensors:
            kind, dims = tensor["kind"], tensor["dims"]
            elements = 1
            for dim in tensor.get("stored", dims):
                elements *= dim
            offset = tensor.get("offset", len(data))
            head += string(tensor["name"]) + struct.pack("<I", tensor.get("n_dims", len(dims)))
            head += b"".join(struct.pack("<Q", dim) for dim in dims)
            head += struct.pack("<IQ", tensor.get("says", kind), offset)
            data += tensor_data(kind, elements, noise)
            data += b"\0" * (-len(data) % ALIGNMENT)
        whole = head + (b"\0" * (-len(head) % ALIGNMENT) + data if data else b"") + self.tail
        return whole[: len(whole) - self.cut]


def plain():
    """Two keys and two tensors: enough for the reader."""
    f = File().set("general.architecture", STRING, "llama").set("a.number", U32, 7)
    return f.tensor("w", T_Q4_1, 32, 2).tensor("v", T_F32, 8)


TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "c", "d", "e", "Ġ", "Ċ", "1",
          "2", "ab", "abc", "de", "Ġa", "Ġab", "ĠĠ", "Ã", "¤", "Ã¤", "Ĥ", "ÿ", "cd"]
MERGES = ["a b", "Ġ a", "d e", "ab c", "Ġ ab", "Ã ¤", "c d", "Ġ Ġ", "Ġa b"]
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def vocabulary(f=None):
    f = f or File().set("general.architecture", STRING, "llama")
    f.set("tokenizer.ggml.model", STRING, "gpt2").set("tokenizer.ggml.pre", STRING, "smollm")
    f.set("tokenizer.ggml.tokens", ARRAY, array(STRING, TOKENS))
    f.set("tokenizer.ggml.token_type", ARRAY, array(I32, [3] * 3 + [1] * (len(TOKENS) - 3)))
    f.set("tokenizer.ggml.merges", ARRAY, array(STRING, MERGES))
    f.set("tokenizer.ggml.bos_token_id", U32, 1).set("tokenizer.ggml.eos_token_id", U32, 2)
    return f.set("tokenizer.chat_template", STRING, CHATML)


def special():
    """Special tokens of all kinds, a merge twice, a word without merges, BOS by default."""
    more = [("  ", 4), ("<|im", 3), ("<|im_end|>a", 3), ("<|Ġ|>", 3), ("ca", 1)]
    types = [3] * 3 + [1] * (len(TOKENS) - 3) + [kind for _, kind in more]
    f = vocabulary().set("tokenizer.ggml.pre", STRING, "llama-bpe")
    f.set("tokenizer.ggml.tokens", ARRAY, array(STRING, TOKENS + [text for text, _ in more]))
    f.set("tokenizer.ggml.merges", ARRAY, array(STRING, MERGES + [MERGES[0]]))
    return f.set("tokenizer.ggml.token_type", ARRAY, array(I32, types))


def model():
    """A whole model of one layer: DM 32, 2 heads, 1 KV head, D 16, DFF 32."""
    f = File().set("general.architecture", STRING, "llama")
    for key, number in [("block_count", 1), ("context_length", 64), ("embedding_length", 32),
                        ("feed_forward_length", 32), ("attention.head_count", 2),
                        ("attention.head_count_kv", 1), ("rope.dimension_count", 16),
                        ("vocab_size", len(TOKENS))]:
        f.set("llama." + key, U32, number)
    f.set("llama.rope.freq_base", F32, 10000.0)
    f.set("llama.attention.layer_norm_rms_epsilon", F32, 1e-5)
    vocabulary(f)
    f.tensor("token_embd.weight", T_Q8_0, 32, len(TOKENS))
    for name, kind, *dims in [("attn_norm", T_F32, 32), ("ffn_down", T_Q4_1, 32, 32),
                              ("ffn_gate", T_Q4_1, 32, 32), ("ffn_up", T_Q4_1, 32, 32),
                              ("ffn_norm", T_F32, 32), ("attn_k", T_Q4_1, 32, 16),
                              ("attn_output", T_Q4_1, 32, 32), ("attn_q", T_Q4_1, 32, 32),
                              ("attn_v", T_Q4_1, 32, 16)]:
        f.tensor("blk.0.%s.weight" % name, kind, *dims)
    return f.tensor("output_norm.weight", T_F32, 32)


def hyper(key, kind, number):
    return model().set("llama." + key, kind, number)


def without(name):
    f = model()
    f.tensors = [tensor for tensor in f.tensors if tensor["name"] != name]
    return f


def raw_key(key_bytes, kind=U32, raw=b"\7\0\0\0"):
    f = plain()
    f.kv.append([key_bytes, kind, raw])
    return f


def tokens(items):
    types = [3 if t.startswith("<|") else 1 for t in items]
    f = vocabulary().set("tokenizer.ggml.tokens", ARRAY, array(STRING, items))
    return f.set("tokenizer.ggml.token_type", ARRAY, array(I32, types))


def merges(*items):
    return vocabulary().set("tokenizer.ggml.merges", ARRAY, array(STRING, MERGES + list(items)))


def align(kind, number):
    return plain().set("general.alignment", kind, number)


G, T, C, M = "gguf", "tokenizer", "chat", "model"
TOK = "tokenizer.ggml."
CASES = [
    (0, "good", "valid", "", model()),
    (0, "good", "vocabulary-only", "", vocabulary()),
    (0, "good", "special", "", special()),
    (1, G, "key-count-wraps", "key count is 2305843009213693952", plain().with_(n_kv=2**61)),
    (1, G, "tensor-count-wraps", "tensor count is 1152921504606846977, more than 65536",
     plain().with_(n_tensors=2**60 + 1)),
    (1, G, "tensor-count-unheld", "tensor count is 60000", plain().with_(n_tensors=60000)),
    (1, G, "array-wraps", "key 'an.array': element count 2305843009213693953",
     plain().raw("an.array", ARRAY, array(U64, [1, 2], 2**61 + 1))),
    (2, G, "dims-wrap", "tensor 'v': dimension 1 is 4294967296",
     plain().change("v", dims=[2**32, 2**32], stored=[8])),
    (2, G, "row-bytes-wrap", "tensor 'v': its size in bytes overflows",
     plain().change("v", dims=[2**62], stored=[8])),
    (2, G, "quantised-row", "tensor 'w': offset 0 and size 9799832789158199296",
     plain().change("w", dims=[2**63], stored=[64], says=T_Q8_0)),
    (2, G, "part-of-a-block", "tensor 'w': dimension 0 is 33",
     plain().change("w", dims=[33, 2], stored=[64])),
    (2, G, "dim-zero", "tensor 'w': dimension 1 is 0",
     plain().change("w", dims=[32, 0], stored=[64])),
    (3, G, "padded-sum-wraps", "tensor 'v': offset 18446744073709551584",
     plain().change("v", offset=2**64 - 32)),
    (3, G, "end-wraps", "tensor 'v': offset 9223372036854775808",
     plain().change("v", dims=[2**61 - 1], stored=[8], offset=2**63)),
    (4, G, "alignment-zero", "'general.alignment' is 0", align(U32, 0)),
    (4, G, "alignment-one", "'general.alignment' is 1,", align(U32, 1)),
    (4, G, "alignment-huge", "'general.alignment' is 2147483648", align(U32, 2**31)),
    (4, G, "alignment-48", "'general.alignment' is 48", align(U32, 48)),
    (4, G, "alignment-u64", "'general.alignment' is of type u64", align(U64, 32)),
    (4, G, "alignment-string", "'general.alignment' is of type string", align(STRING, "32")),
    (5, G, "string-past-end", "key 'a.text': string of 1000000 bytes",
     plain().raw("a.text", STRING, string("abc", 1000000))),
    (5, G, "string-huge", "key 'a.text': string has length 9223372036854775807",
     plain().raw("a.text", STRING, string("abc", 2**63 - 1))),
    (5, G, "string-wraps", "key 'a.text': string has length 18446744073709551615",
     plain().raw("a.text", STRING, string("abc", 2**64 - 1))),
    (5, G, "array-past-end", "key 'an.array': array of 4000000 bytes",
     plain().raw("an.array", ARRAY, array(F32, [1.0], 1000000))),
    (5, G, "strings-past-end", "key 'an.array': array of strings has length",
     plain().raw("an.array", ARRAY, array(STRING, ["a"], 1000000))),
    (5, G, "100000-keys", "key count is 100000, more than 65536", plain().with_(n_kv=100000)),
    (5, G, "65000-keys", "key count is 65000", plain().with_(n_kv=65000)),
    (6, T, "tokens-int8", "'tokenizer.ggml.tokens' is of type array of i8",
     vocabulary().set(TOK + "tokens", ARRAY, array(I8, list(range(24))))),
    (6, T, "tokens-string", "'tokenizer.ggml.tokens' is of type string",
     vocabulary().set(TOK + "tokens", STRING, "abc")),
    (6, T, "types-f32", "'tokenizer.ggml.token_type' is of type array of f32",
     vocabulary().set(TOK + "token_type", ARRAY, array(F32, [1.0] * len(TOKENS)))),
    (6, T, "merges-u8", "'tokenizer.ggml.merges' is of type array of u8",
     vocabulary().set(TOK + "merges", ARRAY, array(U8, [1, 2]))),
    (6, T, "bos-i32", "'tokenizer.ggml.bos_token_id' is of type i32",
     vocabulary().set(TOK + "bos_token_id", I32, -1)),
    (6, M, "block-count-f32", "llama.block_count", hyper("block_count", F32, 1.0)),
    (7, G, "n-dims-5", "tensor 'v': n_dims is 5", plain().change("v", dims=[8, 1, 1, 1, 1])),
    (7, G, "n-dims-0", "tensor 'v': n_dims is 0", plain().change("v", n_dims=0)),
    (7, G, "n-dims-huge", "tensor 'v': n_dims is 4294967295",
     plain().change("v", n_dims=2**32 - 1)),
    (8, M, "block-count-huge", "llama.block_count", hyper("block_count", U32, 2**31)),
    (8, M, "block-count-2", "blk.1.", hyper("block_count", U32, 2)),
    (8, M, "block-count-0", "llama.block_count", hyper("block_count", U32, 0)),
    (9, G, "key-nul", "key 'a\\\\x00b': name holds a NUL", raw_key(string("a\0b"))),
    (9, G, "key-empty", "key 2: name is empty", raw_key(string(""))),
    (9, G, "key-twice", "key 'a.number': the key is there twice", raw_key(string("a.number"))),
    (9, G, "key-long", "key 2: name has length 5000", raw_key(string("k" * 5000))),
    (9, G, "key-control", "key 'a\\\\x1b[2J\\\\x5c': value type 99",
     raw_key(string("a\x1b[2J\\"), 99)),
    (9, G, "tensor-nul", "tensor 'v\\\\x00': name holds a NUL", plain().change("v", name="v\0")),
    (9, G, "tensor-twice", "tensor 'w': the name is there twice", plain().change("v", name="w")),
    (10, G, "past-end", "tensor 'v': offset 640", plain().change("v", offset=640)),
    (10, G, "overlap", "tensor 'v': offset 32 is inside", plain().change("v", offset=32)),
    (10, G, "descending", "tensor 'v': offset 0 is inside", plain().change("v", offset=0)),
    (10, G, "unaligned", "tensor 'v': offset 65 is not a multiple", plain().change("v", offset=65)),
    (10, G, "data-short", "tensor 'v': offset 64 and size 32", plain().with_(cut=1)),
    (10, G, "no-data", "tensor 'w': offset 0 and size 40", plain().with_(cut=100)),
    (11, G, "string-length-narrowed", "key 'a.text': string has length 4294967299",
     plain().raw("a.text", STRING, string("abc", 2**32 + 3))),
    (11, G, "array-length-narrowed", "key 'an.array': element count 4294967297",
     plain().raw("an.array", ARRAY, array(U32, [1], 2**32 + 1))),
    (11, G, "rows-narrowed", "tensor 'v': offset 64 and size 137438953504",
     plain().change("v", dims=[8, 2**32 + 1], stored=[8])),
    (12, T, "tokens-missing", "'tokenizer.ggml.tokens' is missing",
     vocabulary().drop(TOK + "tokens")),
    (12, T, "tokens-none", "'tokenizer.ggml.tokens' is empty",
     vocabulary().set(TOK + "tokens", ARRAY, array(STRING, []))),
    (12, T, "tokens-twice", "'tokenizer.ggml.tokens': tokens 3 and 24 are both 'a'",
     tokens(TOKENS + ["a"])),
    (12, T, "special-long", "'tokenizer.ggml.tokens': the special token 24 has 602 bytes",
     tokens(TOKENS + ["<|" + "x" * 600])),
    (12, T, "types-fewer", "'tokenizer.ggml.token_type' has 23 elements for 24 tokens",
     vocabulary().set(TOK + "token_type", ARRAY, array(I32, [1] * 23))),
    (12, T, "type-negative", "'tokenizer.ggml.token_type': token 5 has the unknown type -1",
     vocabulary().set(TOK + "token_type", ARRAY, array(I32, [1] * 5 + [-1] + [1] * 18))),
    (12, T, "bos-beyond", "'tokenizer.ggml.bos_token_id' is 24", vocabulary().set(
        TOK + "bos_token_id", U32, 24)),
    (12, T, "eos-beyond", "'tokenizer.ggml.eos_token_id' is 4294967295", vocabulary().set(
        TOK + "eos_token_id", U32, 2**32 - 1)),
    (12, T, "eot-beyond", "'tokenizer.ggml.eot_token_id' is 2147483648", vocabulary().set(
        TOK + "eot_token_id", U32, 2**31)),
    (12, T, "bos-missing", "'tokenizer.ggml.bos_token_id' is missing", vocabulary().drop(
        TOK + "bos_token_id").set(TOK + "add_bos_token", BOOL, 1)),
    (12, T, "merges-missing", "'tokenizer.ggml.merges' is missing",
     vocabulary().drop(TOK + "merges")),
    (12, T, "merge-left-absent", "'tokenizer.ggml.merges': the left of 'zz a'", merges("zz a")),
    (12, T, "merge-right-absent", "'tokenizer.ggml.merges': the right of 'a zz'", merges("a zz")),
    (12, T, "merge-result-absent", "'tokenizer.ggml.merges': the result of 'a c'", merges("a c")),
    (12, T, "merge-no-space", "'tokenizer.ggml.merges': 'abc' is not two", merges("abc")),
    (12, T, "merge-empty", "'tokenizer.ggml.merges': '' is not two", merges("")),
    (12, T, "model-unknown", "'tokenizer.ggml.model' is 'llama'",
     vocabulary().set(TOK + "model", STRING, "llama")),
    (12, T, "pre-unknown", "'tokenizer.ggml.pre': the pre-tokenizer '(a+)+$'",
     vocabulary().set(TOK + "pre", STRING, "(a+)+$")),
    (13, C, "template-unknown", "'tokenizer.chat_template': the template '{{ cycler",
     vocabulary().set("tokenizer.chat_template", STRING,
                      "{{ cycler.__init__.__globals__.os.popen('id').read() }}")),
    (13, C, "template-other-system", "'tokenizer.chat_template'",
     vocabulary().set("tokenizer.chat_template", STRING, "You are a parrot. " + CHATML)),
    (13, C, "template-missing", "'tokenizer.chat_template' is missing",
     vocabulary().drop("tokenizer.chat_template")),
    (13, C, "template-array", "'tokenizer.chat_template' is of type array of string",
     vocabulary().set("tokenizer.chat_template", ARRAY, array(STRING, [CHATML]))),
    (15, G, "empty", "magic of 4 bytes", File().with_(cut=24)),
    (15, G, "magic", "magic is 'lmgg'", plain().with_(magic=b"lmgg")),
    (15, G, "header-cut", "key 'a.number': value of 4 bytes goes past the end",
     File().set("general.architecture", STRING, "llama").set("a.number", U32, 7).with_(cut=2)),
    (15, G, "value-type", "key 'a.text': value type 13", plain().raw("a.text", 13, b"\0" * 8)),
    (15, G, "element-type", "key 'an.array': element type 200",
     plain().raw("an.array", ARRAY, array(200, [], 2))),
    (15, G, "array-nested", "key 'an.array': element type is array",
     plain().raw("an.array", ARRAY, array(ARRAY, [], 1) + array(U8, [1]))),
    (15, G, "bool-7", "key 'a.switch': bool is 7", plain().raw("a.switch", BOOL, b"\7")),
    (16, G, "data-cut", "tensor 'output_norm.weight': offset", model().with_(cut=64)),
    (17, M, "heads-0", "llama.attention.head_count", hyper("attention.head_count", U32, 0)),
    (17, M, "heads-huge", "llama.attention.head_count",
     hyper("attention.head_count", U32, 2**32 - 1)),
    (17, M, "heads-3", "llama.attention.head_count", hyper("attention.head_count", U32, 3)),
    (17, M, "kv-heads-0", "llama.attention.head_count_kv",
     hyper("attention.head_count_kv", U32, 0)),
    (17, M, "kv-heads-3", "llama.attention.head_count_kv",
     hyper("attention.head_count_kv", U32, 3)),
    (17, M, "rope-odd", "llama.rope.dimension_count", hyper("rope.dimension_count", U32, 15)),
    (17, M, "rope-wide", "llama.rope.dimension_count", hyper("rope.dimension_count", U32, 64)),
    (17, M, "eps-nan", "llama.attention.layer_norm_rms_epsilon",
     hyper("attention.layer_norm_rms_epsilon", F32, float("nan"))),
    (17, M, "eps-negative", "llama.attention.layer_norm_rms_epsilon",
     hyper("attention.layer_norm_rms_epsilon", F32, -1.0)),
    (17, M, "base-zero", "llama.rope.freq_base", hyper("rope.freq_base", F32, 0.0)),
    (17, M, "base-infinite", "llama.rope.freq_base", hyper("rope.freq_base", F32, float("inf"))),
    (17, M, "context-0", "llama.context_length", hyper("context_length", U32, 0)),
    (17, M, "context-2-63", "llama.context_length", hyper("context_length", U64, 2**63)),
    (17, M, "embedding-0", "llama.embedding_length", hyper("embedding_length", U32, 0)),
    (17, M, "embedding-64", "token_embd.weight", hyper("embedding_length", U32, 64)
     .set("llama.rope.dimension_count", U32, 32)),
    (17, M, "ffn-0", "llama.feed_forward_length", hyper("feed_forward_length", U32, 0)),
    (17, M, "vocab-size", "token_embd.weight", model().change(
        "token_embd.weight", dims=[32, len(TOKENS) - 1])),
    (17, M, "architecture", "general.architecture",
     model().set("general.architecture", STRING, "gpt2")),
    (17, M, "tensor-missing", "blk.0.ffn_up.weight", without("blk.0.ffn_up.weight")),
    (17, M, "tensor-shape", "blk.0.attn_k.weight", model().change(
        "blk.0.attn_k.weight", dims=[32, 15])),
    (17, M, "norm-quantised", "output_norm.weight", model().change(
        "output_norm.weight", kind=T_Q8_0)),
    (19, G, "big-endian", "version is 3 in big-endian order", plain().with_(
        version=struct.pack(">I", 3))),
    (19, G, "version-1", "version is 1", plain().with_(version=struct.pack("<I", 1))),
    (19, G, "version-2", "version is 2", plain().with_(version=struct.pack("<I", 2))),
    (19, G, "version-4", "version is 4", plain().with_(version=struct.pack("<I", 4))),
    (19, G, "tensor-type", "tensor 'w': type 12 is not", plain().change("w", says=12)),
    (19, G, "split", "'split.count' is 5", plain().set("split.count", U16, 5)),
    (19, G, "split-number", "'split.no' is 3", plain().set("split.no", U16, 3)),
    (19, G, "split-type", "'split.count' is of type i32", plain().set("split.count", I32, -1)),
    (19, G, "split-disagrees", "'split.tensors.count' is 9", plain().set(
        "split.tensors.count", I32, 9)),
]

HEADER = """/*
 * The model files of tests/faults, written by tests/faults/make.py with this table: which stage
 * must refuse each, all earlier ones accepting it, and what its error must say.
 */
#ifndef FAULT_CASE_H
#define FAULT_CASE_H

enum fault_stage {
    FAULT_NONE,
    FAULT_GGUF,
    FAULT_TOKENIZER,
    FAULT_CHAT,
    FAULT_MODEL
};

struct fault_case {
    const char *file;
    enum fault_stage stage;
    const char *says;
};

static const struct fault_case fault_cases[] = {
%s};

#endif
"""


def outputs():
    files = {}
    rows = ""
    for number, stage, name, says, content in CASES:
        file = name + ".gguf" if number == 0 else "%02d-%s.gguf" % (number, name)
        assert HERE / file not in files, file
        files[HERE / file] = content.bytes()
        kind = "NONE" if stage == "good" else stage.upper()
        row = '    {"%s", FAULT_%s, "%s"},\n' % (file, kind, says)
        if len(row) > 101:
            row = '    {"%s", FAULT_%s,\n     "%s"},\n' % (file, kind, says)
        rows += row
    files[HERE.parent / "fault_case.h"] = (HEADER % rows).encode()
    return files


def main():
    check = sys.argv[1:] == ["--check"]
    stray = set(HERE.glob("*.gguf"))
    bad = 0
    for path, content in outputs().items():
        stray.discard(path)
        if not check:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            print("%s differs from what make.py writes" % path.name, file=sys.stderr)
            bad = 1
    for path in stray:
        print("%s is in no case" % path.name, file=sys.stderr)
        bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
