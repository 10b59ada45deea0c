"""Sections 0 to 2 of docs/numerics.md and docs/elementary.md in plain Python, for stranger.py: the
arithmetic, contractions and lane sums, and the elementary functions."""

import math
import struct
from ctypes import c_float

import xxhash

H = float.fromhex
INF = math.inf
MASK = (1 << 64) - 1

# Section 0


def f32(x):
    return c_float(x).value


def add(a, b):
    return c_float(a + b).value  # double rounding is harmless: 53 >= 2 * 24 + 2


def mul(a, b):
    return c_float(a * b).value  # the product is exact in double


def fma(a, b, c):
    """The sum in double, rounded to odd, then to float."""
    p = a * b
    s = p + c
    t = s - p
    error = (p - (s - t)) + (c - t)
    if error != 0 and math.isfinite(s):
        bits = struct.unpack("<q", struct.pack("<d", s))[0]
        if not bits & 1:
            bits += 1 if (error > 0) == (s > 0) else -1
            s = struct.unpack("<d", struct.pack("<q", bits))[0]
    return c_float(s).value


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def unbits(u):
    return struct.unpack("<f", struct.pack("<I", u & 0xFFFFFFFF))[0]


def rint(x):
    return float(round(x)) if math.isfinite(x) else x


def top(a, b):
    return a if a > b else b


def low(a, b):
    return a if b > a else b


def to_f16(x):
    if x != x:
        return 0x7E00
    if abs(x) >= 65520:
        return 0x7C00 if x > 0 else 0xFC00
    h = struct.unpack("<H", struct.pack("<e", x))[0]
    return 0 if h == 0x8000 else h


def from_f16(h):
    return struct.unpack("<e", struct.pack("<H", h))[0]


def to_bf16(x):
    if x != x:
        return 0x7FC0
    u = bits(x)
    h = (u + 0x7FFF + (u >> 16 & 1)) >> 16
    return 0 if h == 0x8000 else h


def canonical(x):
    return math.nan if x != x else x + 0.0 if x else 0.0


class Hash:
    def __init__(self):
        self.state = xxhash.xxh3_64()

    def put(self, values, dtype="f32"):
        for x in values:
            if dtype == "f32":
                self.state.update(b"\0\0\xc0\x7f" if x != x else struct.pack("<f", canonical(x)))
            else:
                h = to_f16(x) if dtype == "f16" else to_bf16(x)
                self.state.update(struct.pack("<H", h))
        return self

    def __str__(self):
        return self.state.hexdigest()


# Section 1


def contract(a, b):
    total = 0.0
    for k0 in range(0, len(a), 512):
        c = 0.0
        for k in range(k0, min(k0 + 512, len(a))):
            c = fma(a[k], b[k], c)
        total = add(total, c) if k0 else c
    return total


def tree(lane):
    lane = list(lane)
    for w in (8, 4, 2, 1):
        for j in range(w):
            lane[j] = add(lane[j], lane[j + w])
    return lane[0]


# Section 2


def horner(t, *c):
    p = c[0]
    for x in c[1:]:
        p = fma(p, t, x)
    return p


def hexes(text):
    return [H(x) for x in text.split()]


EXP2 = hexes("0x1.3f906cp-13 0x1.5f0a66p-10 0x1.3b30bp-7 0x1.c6af78p-5 0x1.ebfbd8p-3 0x1.62e43p-1 1")
LOG2E, LN2 = H("0x1.715476p+0"), H("0x1.62e43p-1")
LOG2E_LO, LN2_LO = H("0x1.4ae0cp-26"), H("-0x1.05c61p-29")


def pow2(e):
    return 2.0**e if -62 <= e <= 0 else 0.0


def p2(s, m):
    n = rint(s)
    f = add(s, -n)
    e = add(n, -m)
    if f != f:
        return math.nan
    if e < -62:
        return 0.0
    return mul(horner(f, *EXP2), 2.0**e)


def recip(x):
    r = unbits(0x7EF311C7 - bits(x))
    for _ in range(4):
        r = fma(r, fma(-x, r, 1.0), r)
    return r


# docs/elementary.md


def rsqrt(x):
    c = low(top(x, 2.0**-126), H("0x1.fffffep+127"))
    r = unbits(0x5F3759DF - (bits(c) >> 1))
    for _ in range(3):
        r = fma(mul(r, 0.5), fma(-mul(c, r), r, 1.0), r)
    t = mul(c, r)
    d = fma(c, r, -t)
    e = fma(-d, r, fma(-t, r, 1.0))
    return fma(mul(r, 0.5), e, r)


LOG_TAIL = hexes(
    "-0x1.386c26p-4 0x1.0887d2p-3 -0x1.0f4c18p-3 0x1.226ap-3 -0x1.54241ep-3 0x1.99a43p-3"
    " -0x1.000438p-2 0x1.55555p-2 -0x1.fffff8p-2"
)


def log2(x):
    tiny = x < 2.0**-126
    u = bits(mul(x, 2.0**24) if tiny else x) + 0x3F800000 - 0x3F3504F3
    k = float((u >> 23) - (151 if tiny else 127))
    f = add(unbits((u & 0x7FFFFF) + 0x3F3504F3), -1.0)
    s = fma(mul(horner(f, *LOG_TAIL), f), f, 0.0)
    t = fma(f, LOG2E_LO, fma(s, LOG2E, 0.0))
    return add(fma(f, LOG2E, t), k)


EXP_TAIL = hexes("0x1.6b9c8cp-10 0x1.122552p-7 0x1.5556f2p-5 0x1.5554b4p-3 0x1.fffffep-2")


def exp_core(x):
    n = rint(mul(x, LOG2E))
    r = fma(n, -LN2_LO, fma(n, -LN2, x))
    p = fma(fma(horner(r, *EXP_TAIL), r, 1.0), r, 1.0)
    return unbits(bits(p) + (int(n) << 23))


def silu(x):
    cut = H("-0x1.5a6666p+6")
    c = low(top(x, cut), -cut)
    y = 0.0 if x < cut else recip(add(exp_core(-c), 1.0))
    return mul(0.0 if x < cut else x, y)


def relu(x):
    return 0.0 if 0 > x else x


NORMAL_TAIL = hexes(
    "-0x1.229a36p-41 0x1.bc9ap-38 -0x1.81268p-36 -0x1.f06cbcp-39 0x1.65bb38p-32 -0x1.c6d7c2p-28"
    " 0x1.a9f5fap-24 -0x1.25fc9ap-20 0x1.61bf56p-17 -0x1.8cf072p-14 0x1.aa2edap-11"
    " -0x1.bfdeb6p-8 0x1.e3f4cap-4 -0x1.1b8398p-2"
)


def gelu(x):
    a = low(abs(x), 9.0)
    b = top(a, 2.0**-30)
    h = mul(b, b)
    l = fma(b, b, -h)
    p = horner(add(b, -4.6875), *NORMAL_TAIL)
    n = rint(fma(h, -0.78125, fma(b, p, -1.0)))
    f = fma(b, p, fma(l, -0.78125, fma(h, -0.78125, -add(n, 1.0))))
    q = unbits(bits(horner(f, *EXP2)) + (int(n) << 23))
    return fma(-a, q if 9 > a else 0.0, relu(x))


def gelu_tanh(x):
    chi, clo, d = H("0x1.26aecp+1"), H("0x1.0de73ap-22"), H("0x1.a5a7dp-4")
    a = low(abs(x), 9.0)
    b = top(a, 2.0**-30)
    p = mul(b, d)
    q = fma(b, H("-0x1.151aaep-29"), fma(b, d, -p))
    w = fma(p, b, chi)
    v = add(fma(p, b, add(chi, -w)), fma(q, b, clo))
    n = rint(mul(b, w))
    f = fma(b, v, fma(b, w, -n))
    e = unbits(bits(horner(f, *EXP2)) + (int(n) << 23))
    return fma(-a, recip(add(e, 1.0)) if 9 > a else 0.0, relu(x))
