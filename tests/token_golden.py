#!/usr/bin/env python3
"""Writes token_case.h: texts and the token ids that the model's reference tokenizer gives for them.

    token_golden.py MODEL.gguf > token_case.h

needs llama-cpp-python (made with 0.3.36) and the model of tools/fetch_model.sh.
"""
import os
import sys

from llama_cpp import Llama

GPL = "/usr/share/common-licenses/GPL-3"
TEXTS = [
    ("empty", "", 0),
    ("English", "The quick brown fox doesn't jump over the lazy dog's back; it's too tired.", 0),
    ("contractions", "I'll we've they're I'm he'd can't 'tis 'S 'LL ''s", 0),
    ("C", "for (int i = 0; i < n; ++i) {\n\tif (a[i] != '\\0')\n\t\treturn -1;\n}\n", 0),
    ("Python", "def f(x):\n    return {k: v**2 for k, v in x.items() if k >= 1_000}\n", 0),
    ("Chinese", "环形注意力机制在长序列上计算。", 0),
    ("Japanese", "吾輩は猫である。名前はまだ無い。カタカナ", 0),
    ("Korean", "안녕하세요 세계", 0),
    ("Arabic", "مرحبا بالعالم ٣٤٥", 0),
    ("Hindi", "नमस्ते दुनिया १२३", 0),
    ("accents", "Äpfel, naïve café — “quoted” e\u0301 n\u0303 ½ Ⅷ", 0),
    ("emoji", "🚀 (normal) 😶‍🌫️ family 👨‍👩‍👧‍👦 flags 🇩🇪🇯🇵 ✅", 0),
    ("digits", "1 12 123 1234 12345.678 0x1F 3.14e-10 2026-11-22", 0),
    ("white space", "  a   b\t\tc    \n   d  ", 0),
    ("spaces alone", "        ", 0),
    ("newlines", "a\nb\r\nc\rd\n\n\ne\r\n\r\n  \n\tf\n", 0),
    ("odd spaces", "a\u00a0b\u3000c\u2028d\u0085e\u180ef\u200bg \u2003 h", 0),
    ("controls", "a\x00b\x01c\x7fd", 0),
    ("special as text", "<|im_start|>user\nHi<|im_end|>", 0),
    ("special", "<|im_start|>user\nHi <|im_end|>\n<|endoftext|><|im_start|<|im_end|>", 1),
    ("repeats", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa================", 0),
    ("URL", "https://example.org/a_b?c=d&e=%20#f", 0),
]
POOL = ([chr(c) for c in range(32, 127)] + [" ", "\n", "\t", "'s", "'ll", " a", "  ", "\r\n"] * 4 +
        list("0123456789ÄßéñΩжאبहกあ漢字한🚀🇩½Ⅷ٣") + ["\u0301", "\u200d", "\u3000", "\u00a0", "\u2028"])
POOL_DRAWS = 4000


def wrapped(items, separator, indent):
    """Joins items, none wider than a line, into lines of at most 100 columns."""
    lines, line = [], ""
    for item in items:
        if line and len(indent) + len(line) + len(item) + len(separator) > 98:
            lines.append(indent + line.rstrip())
            line = ""
        line += item + separator
    return "\n".join(lines + [indent + line.rstrip()])


def escaped(data):
    """Octal escapes have three digits, so that what follows cannot join one."""
    return [chr(b) if 32 <= b < 127 and b not in b'"\\?' else "\\%03o" % b for b in data]


def c_string(data):
    lines, line = [], ""
    for one in escaped(data):
        if len(line) + len(one) > 90:
            lines.append(line)
            line = ""
        line += one
    return "\n     ".join('"%s"' % line for line in lines + [line])


def digest(ids):
    h = 0
    for i in ids:
        h = (h * 1000003 + i + 1) % 2**64
    return h


def drawn():
    state, out = 1, []
    for _ in range(POOL_DRAWS):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(POOL[(state >> 33) % len(POOL)])
    return "".join(out).encode()


def main():
    # The library writes to stdout's descriptor in places: keep that clean.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    model = Llama(sys.argv[1], vocab_only=True, verbose=False)
    rows, ids = "", []
    for name, text, special in TEXTS:
        data = text.encode()
        found = model.tokenize(data, add_bos=False, special=bool(special)) if data else []
        rows += '    {"%s",\n     %s,\n     %d, %d, %d, %d},\n' % (
            name, c_string(data), len(data), special, len(ids), len(found))
        ids += found
    with open(GPL, "rb") as file:
        gpl = file.read()
    gpl_ids = model.tokenize(gpl, add_bos=False, special=False)
    drawn_ids = model.tokenize(drawn(), add_bos=False, special=False)
    pool = wrapped([c_string(s.encode()) for s in POOL], ", ", "    ")
    numbers = wrapped([str(i) for i in ids], ", ", "    ")
    out.write(f"""/*
 * Texts and the ids that the reference tokenizer of SmolLM2 gives for them. Written by
 * tests/token_golden.py; not to be edited.
 */
#ifndef TOKEN_CASE_H
#define TOKEN_CASE_H

#include <stddef.h>
#include <stdint.h>

struct token_case {{
    const char *name;
    const char *text;
    size_t len;
    int special;  /* find control tokens in the text */
    size_t first; /* of token_ids */
    size_t n;
}};

static const struct token_case token_cases[] = {{
{rows}}};

static const int32_t token_ids[] = {{
{numbers}
}};

/* Long texts by count and digest: h = h * 1000003 + id + 1 over the ids, from 0, modulo 2^64. */
static const char token_long_file[] = "{GPL}";

enum {{
    TOKEN_LONG_BYTES = {len(gpl)},
    TOKEN_LONG_COUNT = {len(gpl_ids)},
    TOKEN_DRAWS = {POOL_DRAWS},
    TOKEN_DRAWN_BYTES = {len(drawn())},
    TOKEN_DRAWN_COUNT = {len(drawn_ids)}
}};

static const uint64_t token_long_digest = UINT64_C({digest(gpl_ids)});
static const uint64_t token_drawn_digest = UINT64_C({digest(drawn_ids)});

/*
 * A text of TOKEN_DRAWS draws from this pool: state = state * 6364136223846793005 +
 * 1442695040888963407 from state 1, modulo 2^64, and then the entry (state >> 33) mod the size.
 */
static const char *const token_pool[] = {{
{pool}
}};

#endif
""")


if __name__ == "__main__":
    main()
