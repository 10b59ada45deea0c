#!/usr/bin/env python3
"""The law once more, in plain Python, written from docs/numerics.md and docs/elementary.md alone: a
check that the two pages say enough. Reads the table of section 8, computes every row of it and the
two witnesses, and compares the hashes. Needs the module xxhash (exit code 77 without it)."""

import math
import pathlib
import re
import sys

try:
    from stranger_num import *
except ImportError:
    print("stranger: no python module xxhash: skipped")
    sys.exit(77)

# Section 3


class State:
    def __init__(self, width):
        self.empty, self.m, self.l, self.o = True, 0.0, 0.0, [0.0] * width


def span_state(scores, values, width):
    """scores: (key, score) of the keys that the mask lets be; one span."""
    s, lane = State(width), [0.0] * 16
    for block in range(0, 512, 64):
        seen = [(j, x) for j, x in scores if block <= j % 512 < block + 64 and x != -INF]
        if not seen:
            continue
        b = -INF
        for _, x in seen:
            b = top(x, b)
        b = float(math.ceil(b))
        if s.empty:
            s.m, s.empty = b, False
        elif b > s.m:
            a = pow2(s.m - b)
            lane = [mul(x, a) for x in lane]
            s.o = [mul(x, a) for x in s.o]
            s.m = b
        for j, x in seen:
            p = p2(x, s.m)
            lane[j % 16] = add(lane[j % 16], p)
            if width:
                s.o = [fma(p, v, o) for v, o in zip(values[j], s.o)]
    s.l = tree(lane)
    return s


def merge(run, s):
    if s.empty:
        return run
    if run.empty:
        return s
    big, small = (s, run) if s.m > run.m else (run, s)
    a = pow2(small.m - big.m)
    big.l = fma(small.l, a, big.l)
    big.o = [fma(x, a, y) for x, y in zip(small.o, big.o)]
    return big


# Section 4


def attend(q, k, v, position, causal):
    last = (len(k) - 1) // 512
    own = min(max(position // 512, 0), last)
    order = list(range(own, -1, -1)) + ([] if causal else list(range(last, own, -1)))
    run = State(len(v[0]))
    for g in order:
        keys = range(512 * g, min(512 * g + 512, len(k)))
        scores = [(j, contract(q, k[j])) for j in keys if not causal or j <= position]
        run = merge(run, span_state(scores, v, len(v[0])))
    return run


def attention(q, k, v, causal=False, scale=None, offset=None):
    """One head: the states of its rows."""
    d = len(q[0])
    c = mul(f32(1 / math.sqrt(d)) if scale is None else scale, LOG2E)
    at = len(k) - len(q) if offset is None else offset
    return [attend([mul(x, c) for x in row], k, v, at + i, causal) for i, row in enumerate(q)]


def results(states):
    for s in states:
        r = 0.0 if s.empty else recip(s.l)
        yield from (0.0 if s.empty else mul(x, r) for x in s.o)


# Section 5


def linear(x, w, bias=None, act=None, gate=None, residual=None):
    out = []
    for t, row in enumerate(x):
        line = []
        for n, weights in enumerate(w):
            v = contract(row, weights)
            if bias:
                v = add(v, bias[n])
            if act:
                v = act(v)
            if gate:
                v = fma(v, gate[t][n], residual[t][n] if residual else 0.0)
            elif residual:
                v = add(v, residual[t][n])
            line.append(v)
        out.append(line)
    return out


def norm(x, w, eps):
    out = []
    for row in x:
        total = 0.0
        for i0 in range(0, len(row), 512):
            lane = [0.0] * 16
            for i in range(i0, min(i0 + 512, len(row))):
                lane[i % 16] = fma(row[i], row[i], lane[i % 16])
            total = add(total, tree(lane)) if i0 else tree(lane)
        r = rsqrt(fma(total, recip(float(len(row))), eps))
        out.append([mul(mul(a, r), b) for a, b in zip(row, w)])
    return out


def theta(i, dims, base):
    ln2 = H("0x1.62e42fefa39efp-1")
    e, x = 0, base
    while x >= 2:
        x, e = x / 2, e + 1
    z = (x - 1) / (x + 1)
    zz, s = z * z, 0.0
    for j in range(41, 0, -2):
        s = s * zz + 1.0 / j
    x = (2 * z * s + e * ln2) * ((2.0 * i) / dims)
    n = int(x * H("0x1.71547652b82fep+0"))
    y, r = n * ln2 - x, 1.0
    for j in range(22, 0, -1):
        r = 1 + (r * y) / j
    for _ in range(n):
        r = r / 2
    return r


def cos_sin(x):
    n = int(x * H("0x1.45f306dc9c883p-1") + 0.5)
    y = x - n * H("0x1.921fb0p+0")
    y = y - n * H("0x1.5110b0p-22")
    y = y - n * H("0x1.184698p-44")
    y = y - n * H("0x1.3198a2e037073p-69")
    yy, c, s = y * y, 1.0, 1.0
    for k in range(20, 0, -2):
        c = 1 - (c * yy) / (k * (k - 1))
        s = 1 - (s * yy) / (k * (k + 1))
    s = s * y
    c, s = [(c, s), (-s, c), (-c, -s), (s, -c)][n % 4]
    return f32(c), f32(s)


def rope(heads, position, dims, base, half):
    """The heads of one token."""
    out = [list(h) for h in heads]
    for i in range(dims // 2):
        t = theta(i, dims, base)
        ca, sa = cos_sin(float(position // 512 * 512) * t)
        cb, sb = cos_sin(float(position % 512) * t)
        c = fma(ca, cb, -mul(sa, sb))
        s = fma(sa, cb, mul(ca, sb))
        a, b = (i, i + dims // 2) if half else (2 * i, 2 * i + 1)
        for x, y in zip(heads, out):
            y[a] = fma(x[a], c, -mul(x[b], s))
            y[b] = fma(x[b], c, mul(x[a], s))
    return out


def xent(logits, target):
    run = State(0)
    for n0 in range(0, len(logits), 512):
        words = range(n0, min(n0 + 512, len(logits)))
        run = merge(run, span_state([(j, mul(logits[j], LOG2E)) for j in words], None, 0))
    return fma(add(run.m, log2(run.l)), LN2, -logits[target])


# Section 8


class Generator:
    def __init__(self, a):
        self.state = a
        self.state = self.next() ^ (a << 32)

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return ((self.next() >> 32) * n) >> 32

    def normal(self):
        a, b = self.next(), self.next()
        u = (a >> 40) + (a >> 8 & 0xFFFFFF) + (b >> 40) + (b >> 8 & 0xFFFFFF)
        return f32(u - (1 << 25)) * 2.0**-24

    def floats(self, n, e):
        self.normal()
        return [self.normal() * 2.0**e for _ in range(n)]

    def matrix(self, rows, width, e=0):
        x = self.floats(rows * width, e)
        return [x[i * width : (i + 1) * width] for i in range(rows)]

    def q4_1(self, rows, width):
        out = []
        for _ in range(rows):
            row = []
            for _ in range(width // 32):
                x, y = self.floats(2, 0)
                d, m = from_f16(to_f16(x * 2.0**-2)), from_f16(to_f16(y))
                q = [self.next() >> 56 for _ in range(16)]
                q[self.below(16)] = 0xF0
                row += [fma(d, float(b & 15), m) for b in q] + [fma(d, float(b >> 4), m) for b in q]
            out.append(row)
        return out


def flat(rows):
    return [x for row in rows for x in row]


def attention_case(sq, sk, d, dv, b=1, h=1, hkv=1, kv=None, state=False, **options):
    g = Generator(200)
    q, k, v = g.matrix(b * h * sq, d, 1), g.matrix(b * hkv * sk, d, 1), g.matrix(b * hkv * sk, dv)
    if kv == "f16":
        k, v = ([[from_f16(to_f16(x)) for x in row] for row in m] for m in (k, v))
    states = []
    for i in range(b * h):
        j = i // h * hkv + i % h // (h // hkv)
        part = q[i * sq : (i + 1) * sq], k[j * sk : (j + 1) * sk], v[j * sk : (j + 1) * sk]
        states += attention(*part, **options)
    out = Hash().put(results(states))
    if state:
        out.put(s.m for s in states).put(s.l for s in states).put(flat(s.o for s in states))
    return out


def act_case(act):
    g = Generator(100)
    return Hash().put(flat(linear(g.matrix(5, 19), g.matrix(71, 19), act=act)))


def narrow_case(dtype):
    g = Generator(100)
    return Hash().put(flat(linear(g.matrix(6, 45), g.matrix(35, 45))), dtype)


def epilogue_case():
    g = Generator(100)
    x, w, bias = g.matrix(4, 600), g.matrix(21, 600), g.floats(21, 0)
    return Hash().put(flat(linear(x, w, bias, silu, g.matrix(4, 21, 1), g.matrix(4, 21, 1))))


def linear_case():
    g = Generator(100)
    return Hash().put(flat(linear(g.matrix(3, 1699), g.matrix(11, 1699))))


def quantised_case():
    g = Generator(100)
    return Hash().put(flat(linear(g.matrix(3, 544), g.q4_1(33, 544))))


def ffn_case():
    g = Generator(700)
    x, up, down, gate = g.matrix(5, 33), g.matrix(513, 33), g.matrix(33, 513), g.matrix(513, 33)
    up_bias, down_bias, gate_bias = g.floats(513, 0), g.floats(33, 0), g.floats(513, 0)
    residual = g.matrix(5, 33, 1)
    hidden = linear(x, gate, gate_bias, silu, linear(x, up, up_bias))
    return Hash().put(flat(linear(hidden, down, down_bias, residual=residual)))


def norm_case():
    g = Generator(300)
    return Hash().put(flat(norm(g.matrix(3, 1699, 1), g.floats(1699, 0), f32(1e-5))))


def rope_case(t, h, base, position, half):
    g = Generator(400)
    x = g.matrix(t * h, 64, 1)
    out = Hash()
    for i in range(t):
        out.put(flat(rope(x[i * h : (i + 1) * h], position + i, 64, base, half)))
    return out


def qkv_case():
    g = Generator(800)
    x, weights = g.matrix(5, 33), [g.matrix(n, 33) for n in (30, 10, 10)]
    biases = [g.floats(n, 0) for n in (30, 10, 10)]
    x = norm(x, g.floats(33, 0), f32(1e-5))
    q, k, v = (linear(x, w, b) for w, b in zip(weights, biases))
    out = Hash()
    for t, row in enumerate(q):
        out.put(flat(rope([row[:10], row[10:20], row[20:]], 509 + t, 10, 10000.0, False)))
    for t, row in enumerate(k):
        out.put(flat(rope([row], 509 + t, 10, 10000.0, False)), "f16")
    return out.put(flat(v), "f16")


def embed_case():
    g = Generator(500)
    ids = [g.below(33) for _ in range(9)]
    ids[0], ids[8] = 0, 32
    w = g.q4_1(33, 96)
    return Hash().put(flat(w[i] for i in ids))


def xent_case():
    g = Generator(600)
    logits = g.matrix(3, 1700, 3)
    targets = [g.below(1700) for _ in range(3)]
    targets[0], targets[2] = 0, 1699
    return Hash().put(xent(x, t) for x, t in zip(logits, targets))


def witness(extra):
    k = [[-60.0] for _ in range(128)]
    v = [[0.0] for _ in range(128)]
    k[40][0], v[0][0] = 0.0, f32(1e20)
    for j, x in extra.items():
        k[j][0] = x
    return Hash().put(results(attention([[1.0]], k, v, scale=1.0)))


# In the order of the page: the witnesses of section 3, the table of section 8.
CASES = [
    lambda: witness({0: -43.5}),
    lambda: witness({0: -30.0, 100: 20.0}),
    lambda: attention_case(3, 1601, 8, 8),
    lambda: attention_case(3, 1601, 8, 8, causal=True),
    lambda: attention_case(5, 1100, 8, 8, state=True),
    lambda: attention_case(7, 1600, 8, 8, offset=509),
    lambda: attention_case(7, 67, 16, 16, b=2, h=6, hkv=2, causal=True),
    lambda: attention_case(9, 75, 17, 16, kv="f16", causal=True),
    linear_case,
    quantised_case,
    epilogue_case,
    lambda: act_case(relu),
    lambda: act_case(silu),
    lambda: act_case(gelu),
    lambda: act_case(gelu_tanh),
    lambda: narrow_case("f16"),
    lambda: narrow_case("bf16"),
    ffn_case,
    norm_case,
    lambda: rope_case(7, 3, 100000.0, 0, False),
    lambda: rope_case(7, 3, 100000.0, 0, True),
    lambda: rope_case(5, 2, 10000.0, 131067, True),
    qkv_case,
    embed_case,
    xent_case,
]


def main():
    page = pathlib.Path(__file__).resolve().parent.parent / "docs" / "numerics.md"
    rows = re.findall(r"^\| (.*) \| ([0-9a-f]{16}) \|$", page.read_text(encoding="utf-8"), re.M)
    if len(rows) != len(CASES):
        print(f"stranger: the page has {len(rows)} hashes, this program computes {len(CASES)}")
        return 1
    wrong = 0
    for (name, expected), case in zip(rows, CASES):
        got = str(case())
        wrong += got != expected
        print(f"{got} {name.split(' | ')[0]}{'' if got == expected else '  DIFFERENT from ' + expected}")
    print(f"{len(rows)} hashes, {wrong} different")
    return 1 if wrong else 0


sys.exit(main())
