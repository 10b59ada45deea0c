"""tools/bench/peer_clblast.py: worker: CLBlast on an OpenCL device: SGEMM, and attention made of
GEMM, softmax and GEMM.

Arguments: DEVICE (cl:PLATFORM.DEVICE) LIBRARY (libclblast.so.1) [LIBOPENCL].
Cases: {"op": "tune", "m", "n", "k", "tries", "seconds"}: searches CLBlast's own parameters through
CLBlastOverrideParameters, which then hold for all later cases; {"op": "gemm", "shapes": [[m, n, k],
...]}: those products one after another, C = A B^T; {"op": "attn", "h", "s", "d", "causal"}.
"""
import ctypes
import os
import random
import sys
import time
from ctypes import byref, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p

from opencl import DEVICE_MAX_ALLOC, DEVICE_NAME, DRIVER_VERSION, Device
from worker import rounds, serve, timed

ROW_MAJOR, NO, YES, SINGLE = 101, 111, 112, 32
INT_MAX = 1 << 31
GROUP = 256

SOURCE = """
__kernel void fill(__global float *x, uint n, uint seed, float scale)
{
    for (uint i = get_global_id(0); i < n; i += get_global_size(0)) {
        uint a = (i ^ seed) * 2654435761u;
        a = (a ^ (a >> 15)) * 2246822519u;
        a ^= a >> 13;
        x[i] = ((float)(a >> 8) * 0x1p-23f - 1.0f) * scale;
    }
}

/* A row of scores a work-group: the maximum and the sum in one pass, the probabilities in another.
 * Causal: row i sees the keys up to i; the others' probabilities are 0. */
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
void softmax(__global float *x, uint s, uint causal)
{
    __local float lm[GROUP], ll[GROUP];
    uint me = get_local_id(0);
    __global float *row = x + (size_t)get_group_id(0) * s;
    uint n = causal ? get_group_id(0) % s + 1 : s;
    float m = -INFINITY, l = 0.0f;

    for (uint i = me; i < n; i += GROUP) {
        float v = row[i], top = fmax(m, v);
        l = l * native_exp(m - top) + native_exp(v - top);
        m = top;
    }
    lm[me] = m;
    ll[me] = l;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint w = GROUP / 2; w > 0; w /= 2) {
        if (me < w && lm[me + w] > -INFINITY) {
            float top = fmax(lm[me], lm[me + w]);
            ll[me] = ll[me] * native_exp(lm[me] - top) + ll[me + w] * native_exp(lm[me + w] - top);
            lm[me] = top;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    m = lm[0];
    l = 1.0f / ll[0];
    for (uint i = me; i < s; i += GROUP)
        row[i] = i < n ? native_exp(row[i] - m) * l : 0.0f;
}
"""

# Starts that CLBlast's own database holds for several makers' devices; then random ones.
NAMES = ("GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB", "NDIMC", "NWG",
         "SA", "SB", "STRM", "STRN", "VWM", "VWN")
STARTS = (
    (0, 1, 16, 2, 16, 16, 128, 8, 8, 64, 1, 1, 0, 0, 4, 4),
    (0, 1, 16, 2, 16, 16, 128, 16, 16, 128, 1, 1, 0, 0, 4, 4),
    (0, 1, 32, 2, 16, 16, 64, 8, 8, 64, 1, 1, 0, 0, 2, 2),
    (0, 1, 32, 2, 8, 16, 64, 8, 16, 128, 1, 1, 1, 0, 2, 4),
    (0, 1, 32, 2, 16, 16, 128, 16, 8, 128, 1, 1, 0, 1, 4, 2),
    (0, 1, 16, 8, 16, 16, 128, 8, 8, 128, 1, 1, 0, 0, 4, 4),
    (0, 1, 32, 2, 32, 8, 64, 8, 8, 64, 0, 0, 0, 0, 2, 4),
)


def legal(p):
    """The constraints of CLBlast's tuner for its first GEMM kernel."""
    v = dict(zip(NAMES, p))
    threads = v["MDIMC"] * v["NDIMC"]
    return (v["KWG"] % v["KWI"] == 0 and v["MWG"] % (v["MDIMC"] * v["VWM"]) == 0
            and v["NWG"] % (v["NDIMC"] * v["VWN"]) == 0 and v["MWG"] % (v["MDIMA"] * v["VWM"]) == 0
            and v["NWG"] % (v["NDIMB"] * v["VWN"]) == 0 and threads % v["MDIMA"] == 0
            and threads % v["NDIMB"] == 0 and v["KWG"] % (threads // v["MDIMA"]) == 0
            and v["KWG"] % (threads // v["NDIMB"]) == 0
            and (v["SA"] * v["MWG"] + v["SB"] * v["NWG"]) * v["KWG"] * 4 <= 32768)


def draw(source):
    pick = source.choice
    while True:
        p = (0, 1, pick((16, 32)), pick((2, 8)), pick((8, 16, 32)), pick((8, 16, 32)),
             pick((32, 64, 128)), pick((8, 16, 32)), pick((8, 16, 32)), pick((32, 64, 128)),
             pick((0, 1)), pick((0, 1)), pick((0, 1)), pick((0, 1)), pick((1, 2, 4, 8)),
             pick((1, 2, 4, 8)))
        if legal(p):
            return p


def alike(found, right):
    """Two samples of products, whose elements are of about 1: sums in another order, no more."""
    return all(abs(a - b) < 1e-3 for a, b in zip(found, right))


def version(library):
    """The file that a library was loaded from: its name ends in the version."""
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps}
    name = os.path.basename(library).split(".so")[0]
    return next((os.path.basename(os.path.realpath(p)) for p in sorted(paths)
                 if os.path.basename(p).startswith(name + ".so")), library)


class CLBlast:
    def __init__(self, spec, library, opencl):
        self.dev = Device(spec, opencl)
        self.lib = ctypes.CDLL(library)
        program = self.dev.program(SOURCE.replace("GROUP", str(GROUP)))
        self.fill_kernel = self.dev.kernel(program, "fill")
        self.softmax_kernel = self.dev.kernel(program, "softmax")
        self.tuned = "CLBlast's own database"
        self.held = []

    def check(self, code, what):
        if code:
            raise RuntimeError(f"{what}: CLBlast status {code}")

    def drop(self):
        self.dev.release(*self.held)
        self.held = []

    def make(self, n, scale=1.0):
        buffer = self.dev.buffer(n)
        self.held.append(buffer)
        if n < 1 << 32:
            self.dev.launch(self.fill_kernel, 65536, 64, buffer, c_uint32(n),
                            c_uint32(len(self.held)), c_float(scale))
        return buffer

    def gemm(self, a, b, c, m, n, k):
        """C[m][n] = A[m][k] B[n][k]^T"""
        queue = self.dev.queue
        self.check(self.lib.CLBlastSgemm(
            ROW_MAJOR, NO, YES, c_size_t(m), c_size_t(n), c_size_t(k), c_float(1.0),
            a, c_size_t(0), c_size_t(k), b, c_size_t(0), c_size_t(k), c_float(0.0),
            c, c_size_t(0), c_size_t(n), byref(queue), None), "CLBlastSgemm")

    def batched(self, tb, m, n, k, alpha, a, a_off, b, b_off, c, c_off, count):
        queue = self.dev.queue
        self.check(self.lib.CLBlastSgemmStridedBatched(
            ROW_MAJOR, NO, tb, c_size_t(m), c_size_t(n), c_size_t(k), c_float(alpha),
            a, c_size_t(a_off), c_size_t(k), c_size_t(m * k),
            b, c_size_t(b_off), c_size_t(k if tb == YES else n), c_size_t(n * k), c_float(0.0),
            c, c_size_t(c_off), c_size_t(n), c_size_t(m * n), c_size_t(count),
            byref(queue), None), "CLBlastSgemmStridedBatched")

    def override(self, values):
        names = (c_char_p * len(NAMES))(*[n.encode() for n in NAMES])
        numbers = (c_size_t * len(NAMES))(*values)
        self.check(self.lib.CLBlastOverrideParameters(
            self.dev.device, b"Xgemm", SINGLE, c_size_t(len(NAMES)), names, numbers),
            "CLBlastOverrideParameters")

    # cases: each returns a function that enqueues one call

    def gemms(self, shapes):
        parts = []
        for m, n, k in shapes:
            parts.append((self.make(m * k), self.make(n * k, k ** -0.5), self.make(m * n), m, n, k))

        def run():
            for part in parts:
                self.gemm(*part)
        return run

    def heads_at_once(self, h, s):
        """As many heads as CLBlast's 32-bit strides and the device's largest allocation take."""
        limit = min(INT_MAX - 1, self.dev.number(DEVICE_MAX_ALLOC) // 4)
        return max(n for n in range(1, h + 1) if h % n == 0 and (n == 1 or n * s * s <= limit))

    def attn(self, h, s, d, causal):
        q, k, v, out = (self.make(h * s * d) for _ in range(4))
        group = self.heads_at_once(h, s)
        scores = self.make(group * s * s)

        def run():
            for at in range(0, h * s * d, group * s * d):
                self.batched(YES, s, s, d, d ** -0.5, q, at, k, at, scores, 0, group)
                self.dev.launch(self.softmax_kernel, group * s * GROUP, GROUP, scores,
                                c_uint32(s), c_uint32(causal))
                self.batched(NO, s, d, s, 1.0, scores, 0, v, at, out, at, group)
        return run, group

    def time(self, run):
        def whole():
            run()
            self.dev.finish()
        return timed(whole)

    def sample(self, run, result, n):
        """A few dozen of the n elements of what run() computes, from all over it, over a result that was
        there before and is of other numbers."""
        self.dev.launch(self.fill_kernel, 65536, 64, result, c_uint32(n), c_uint32(99), c_float(9.0))
        run()
        found = []
        for part in range(16):
            found += self.dev.read(result, 4, (n - 4) * part // 15)
        return found

    def tune(self, m, n, k, tries, seconds):
        """The fastest of some sets of parameters under which the product is what it was before."""
        run, result = self.gemms([(m, n, k)]), self.held[-1]
        right = self.sample(run, result, m * n)
        first = min(self.time(run) for _ in range(3))
        best, chosen, done, failed = float("inf"), None, 0, 0
        source, start = random.Random(1), time.monotonic()
        while done < tries and time.monotonic() - start < seconds:
            values = STARTS[done] if done < len(STARTS) else draw(source)
            done += 1
            try:
                self.override(values)
                if not alike(self.sample(run, result, m * n), right):  # compiles, too
                    raise RuntimeError("a wrong product")
                took = min(self.time(run) for _ in range(2))
            except RuntimeError:
                failed += 1
                continue
            if took < best:
                best, chosen = took, values
        if not chosen:
            raise RuntimeError(f"none of {done} sets of parameters ran and was right")
        self.override(chosen)
        text = " ".join(f"{a}={b}" for a, b in zip(NAMES, chosen))
        self.tuned = f"best of {done} tries in {time.monotonic() - start:.0f} s: {text}"
        flop = 2e-9 * m * n * k
        return {"tuned": self.tuned, "untuned_gflops": flop / first, "tuned_gflops": flop / best,
                "failed": failed}


def main():
    spec, library = sys.argv[1:3]
    lib = CLBlast(spec, library, sys.argv[3] if len(sys.argv) > 3 else "libOpenCL.so.1")

    def prepare(case):
        lib.drop()
        facts = {"device": lib.dev.text(DEVICE_NAME), "driver": lib.dev.text(DRIVER_VERSION),
                 "version": version(library)}
        if case["op"] == "tune":
            facts.update(lib.tune(case["m"], case["n"], case["k"], case["tries"], case["seconds"]))
            return lambda: 0.0, facts
        if case["op"] == "gemm":
            run = lib.gemms(case["shapes"])
        else:
            run, facts["heads_at_once"] = lib.attn(case["h"], case["s"], case["d"], case["causal"])
        facts["tuned"] = lib.tuned
        return rounds(run, lib.dev.finish), facts
    serve(prepare)


if __name__ == "__main__":
    main()
