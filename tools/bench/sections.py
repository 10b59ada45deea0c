"""tools/bench/sections.py: what is measured against whom, and the marks that are to be reached.

Each section is a function of a Bench (peers.py) and calls bench.case() for each of its cases. A case
has ours, the peers (several variants of one are a group: the fastest counts), and rows: the lines that
it makes in docs/bench.md, each against some of the peers and with its own marks.
"""
import startup
from results import per_unit

GPU_SGEMM = (8192, 4096, 4096)  # tokens, outputs, inputs


def ratio(at_least, name=None):
    return {"kind": "ratio", "at_least": at_least, "of": name}


def mark(kind, at_least, on=None):
    return {"kind": kind, "at_least": at_least, "on": on}


def attn_shape(h, s, d, causal):
    return f"b1 h{h} hkv{h} sq{s} sk{s} d{d} dv{d} f32" + (" causal" if causal else "")


def attn_flop(h, s, d, causal):
    """Two products of 2 D operations for each visible pair."""
    return 4 * h * d * (s * (s + 1) // 2 if causal else s * s)


def attn_name(s, d, causal):
    return f"attention, S {s:,}, D {d}" + (", causal" if causal else "")


def ffn_shape(t, dm, dff, act):
    return f"t{t} dm{dm} dff{dff} f32 {act}"


def ffn_flop(t, dm, dff, act):
    return 2 * t * dm * dff * (3 if act == "swiglu" else 2)


def ffn_name(t, dm, dff, act):
    return f"{'SwiGLU' if act == 'swiglu' else 'GELU'} FFN {t}x{dm}x{dff}"


def ffn_products(t, dm, dff, act):
    return [[t, dff, dm]] * (2 if act == "swiglu" else 1) + [[t, dm, dff]]


# CPU

def torch_ways(bench, threads, case, ways=("",)):
    """torch's variants: as shipped; and with memory that it keeps, where MKL would stay off its AVX-512
    paths also with a library under which it takes them."""
    variants = [(ways[0], None, False)]
    if not bench.vendor_library:
        variants.append((ways[0], None, True))
    for way in ways:
        if way not in ("", "linear"):
            variants.append((way, None, True))
        if bench.vendor_library and way != "onednn":
            variants.append((way, bench.vendor_library, True))

    def variant(way, preload, keep):
        name = " ".join(filter(None, ("torch", way if way != "linear" else "", "+AVX-512" if preload else "",
                                      "kept" if keep else "")))
        return (name, "torch", lambda: bench.torch(threads, preload, keep, dict(case, way=way)))
    return [variant(*v) for v in variants]


def cpu_attn(bench):
    sizes = (1024,) if bench.rehearse else (4096, 16384)
    for threads in sorted({1, bench.threads}):
        for s in sizes:
            for d in (64, 128):
                for causal in (False, True):
                    bench.case(
                        f"cpu-attn-{threads}-{s}-{d}-{'causal' if causal else 'full'}",
                        ours=lambda: bench.ours("attn", f"cpu:{threads}",
                                                attn_shape(8, s, d, causal)),
                        peers=torch_ways(bench, threads, {"op": "attn", "h": 8, "s": s, "d": d,
                                                          "causal": causal}),
                        threads=threads, flop=attn_flop(8, s, d, causal),
                        rows=[{"what": attn_name(s, d, causal), "against": "torch",
                               "marks": [mark("of_peak", 0.80), ratio(1.6, "torch")]}])


FFNS = ((4096, 768, 3072, "gelu"), (4096, 576, 1536, "swiglu"), (2048, 4096, 11008, "swiglu"))


def cpu_ffn(bench):
    ways, threads = ("linear", "onednn", "mkl"), bench.threads
    for t, dm, dff, act in ((512, 256, 512, "gelu"),) if bench.rehearse else FFNS:
        bench.case(
            f"cpu-ffn-{threads}-{t}-{dm}-{dff}",
            ours=lambda: bench.ours("ffn", f"cpu:{threads}", ffn_shape(t, dm, dff, act)),
            peers=torch_ways(bench, threads, {"op": "ffn", "t": t, "dm": dm, "dff": dff,
                                              "act": act}, ways),
            threads=threads, flop=ffn_flop(t, dm, dff, act),
            rows=[{"what": ffn_name(t, dm, dff, act), "against": "torch",
                   "marks": [mark("of_peak", 0.85), ratio(1.25, "torch")]}])
    for t, n, k in ((512, 512, 512),) if bench.rehearse else ((2048, 4096, 4096),):
        bench.case(
            f"cpu-sgemm-{threads}-{t}-{n}-{k}",
            ours=lambda: bench.ours("linear", f"cpu:{threads}", f"t{t} n{n} k{k} f32"),
            peers=torch_ways(bench, threads, {"op": "linear", "t": t, "n": n, "k": k}, ways),
            threads=threads, flop=2 * t * n * k,
            rows=[{"what": f"linear (SGEMM) {t}x{n}x{k}", "against": "torch", "marks": []}])


def cpu_lm(bench):
    same, other = "Q4_1", ("F32", "Q4_0", "Q8_0")
    prefills = (64, 256) if bench.rehearse else (512, 2048, 7000)
    contexts = (64, 256) if bench.rehearse else (512, 7000)
    steps = 32  # as `annulet bench lm-decode` does in a round
    formats = [same, *other]

    def peers(case, kinds):
        found = []
        for kind in kinds:
            for ubatch, flash in ((512, "on"), (512, "off")):
                name = f"llama.cpp {kind}" + (", flash" if flash == "on" else "")
                group = same if kind == same else "formats"
                found.append((name, group, lambda kind=kind, ubatch=ubatch, flash=flash:
                              bench.llama(kind, ubatch, flash, case)))
        return found

    def fastest(kinds):
        """The same file, and the other format that was fastest in the last case."""
        others = [r for r in bench.records[-1]["peers"].items() if r[1]["group"] == "formats"]
        timed = [(per_unit(peer), name) for name, peer in others if per_unit(peer)]
        best = min(timed)[1] if timed else ""
        return [k for k in kinds if k == same or k in best]

    def prefill(n, kinds):
        same_mark = ratio(5 if n >= 7000 else 4, "the same file")
        bench.case(
            f"cpu-lm-prefill-{n}",
            ours=lambda: bench.ours_lm("lm-prefill", f"cpu:{bench.threads}", n),
            peers=peers({"op": "prefill", "tokens": n}, kinds), threads=bench.threads, tokens=n,
            rows=[{"what": f"LM prefill, {n:,} tokens", "against": same, "marks": [same_mark]},
                  {"what": f"LM prefill, {n:,} tokens, its best format", "against": "*",
                   "marks": [ratio(2, "its best format")]}])

    def decode(n, kinds):
        bench.case(
            f"cpu-lm-decode-{n}",
            ours=lambda: bench.ours_lm("lm-decode", f"cpu:{bench.threads}", n),
            peers=peers({"op": "decode", "context": n, "tokens": steps}, kinds),
            threads=bench.threads, tokens=steps,
            rows=[{"what": f"LM decode after {n:,} tokens", "against": same,
                   "marks": [mark("of_bandwidth", 0.80), ratio(1.5, "the same file")]},
                  {"what": f"LM decode after {n:,} tokens, its best format", "against": "*",
                   "marks": [ratio(1.0, "its best format")]}])

    # At 7,000 tokens, where a round takes a minute, only the formats that were fastest before.
    for n in prefills[:-1]:
        prefill(n, formats)
    quick = fastest(formats)
    decode(contexts[0], formats)
    quick_decode = fastest(formats)
    prefill(prefills[-1], quick)
    decode(contexts[-1], quick_decode)


def pocl(bench):
    """The OpenCL backend on the CPU against the native one: here the peer is our own."""
    device, threads = bench.pocl_device(), bench.threads
    native = "annulet, native"
    small = bench.rehearse
    cases = [("attn", attn_shape(8, 512 if small else 4096, 64, c),
              attn_name(512 if small else 4096, 64, c), attn_flop(8, 512 if small else 4096, 64, c))
             for c in (False, True)]
    for f in ((512, 256, 512, "gelu"),) if small else FFNS[:2]:
        cases.append(("ffn", ffn_shape(*f), ffn_name(*f), ffn_flop(*f)))
    if not small:
        cases.append(("linear", "t2048 n4096 k4096 f32", "linear (SGEMM) 2048x4096x4096",
                      2 * 2048 * 4096 * 4096))
    for op, shape, name, flop in cases:
        bench.case(f"pocl-{op}-{shape.replace(' ', '-')}",
                   ours=lambda: bench.ours(op, device, shape),
                   peers=[(native, native, lambda: bench.ours(op, f"cpu:{threads}", shape))],
                   threads=threads, flop=flop, device=device,
                   rows=[{"what": f"PoCL: {name}", "against": native,
                          "marks": [ratio(0.30, "the native backend")]}])
    for op, n in (("lm-prefill", 64 if small else 512), ("lm-decode", 64 if small else 512)):
        bench.case(f"pocl-{op}-{n}",
                   ours=lambda: bench.ours_lm(op, device, n),
                   peers=[(native, native, lambda: bench.ours_lm(op, f"cpu:{threads}", n))],
                   threads=threads, tokens=n if op == "lm-prefill" else None, device=device,
                   rows=[{"what": f"PoCL: {op.replace('lm-', 'LM ')}, {n} tokens",
                          "against": native, "marks": [ratio(0.30, "the native backend")]}])


def start_up(bench):
    rounds = 3 if bench.rehearse else 9
    devices = [(f"cpu:{bench.threads}", 50)]
    if bench.cl_device:
        devices.append((bench.cl_device, 200))
    if bench.has_pocl() and bench.pocl_device() != bench.cl_device:
        devices.append((bench.pocl_device(), 200))
    for device, limit in devices:
        bench.record(startup.measure(bench, device, limit, rounds))


# GPU

def gpu_attn(bench):
    h, s = (2, 512) if bench.rehearse else (16, 16384)
    for d in (64, 128):
        for causal in (False, True):
            on_h200 = mark("gflops", 38000 if causal else 40000, "H200")
            case = {"op": "attn", "h": h, "s": s, "d": d, "causal": causal}
            bench.case(
                f"gpu-attn-{s}-{d}-{'causal' if causal else 'full'}",
                ours=lambda: bench.ours("attn", bench.cl_device, attn_shape(h, s, d, causal)),
                peers=[("torch SDPA, memory-efficient", "torch", lambda: bench.cuda(case)),
                       ("CLBlast", "CLBlast", lambda: bench.clblast(False, case)),
                       ("CLBlast tuned", "CLBlast", lambda: bench.clblast(True, case))],
                flop=attn_flop(h, s, d, causal), device=bench.cl_device,
                rows=[{"what": attn_name(s, d, causal), "against": "torch",
                       "marks": [ratio(1.15, "torch"), on_h200]},
                      {"what": attn_name(s, d, causal) + ": GEMM + softmax + GEMM, CLBlast",
                       "against": "CLBlast", "marks": [ratio(5, "CLBlast")]}])


def gpu_products(bench, op, shape, name, flop, products, whole=None):
    """A case against the matrix products in it, of cuBLAS and of CLBlast, and if it is more than products
    against the whole of it as torch does it."""
    alone = ": its products alone" if whole else ""
    gemm = {"op": "gemm", "shapes": products}
    peers = [("cuBLAS", "cuBLAS", lambda: bench.cuda({"op": "products", "shapes": products})),
             ("CLBlast", "CLBlast", lambda: bench.clblast(False, gemm)),
             ("CLBlast tuned", "CLBlast", lambda: bench.clblast(True, gemm))]
    rows = [{"what": f"{name}, cuBLAS{alone}" if whole else name, "against": "cuBLAS",
             "marks": [ratio(0.80, "cuBLAS")]},
            {"what": f"{name}, CLBlast{alone}", "against": "CLBlast", "marks": [ratio(1.0, "CLBlast")]}]
    if whole:
        peers.append(("torch", "torch", lambda: bench.cuda(whole)))
        rows.insert(0, {"what": name, "against": "torch", "marks": []})
    bench.case(f"gpu-{op}-{shape.replace(' ', '-')}",
               ours=lambda: bench.ours(op, bench.cl_device, shape), peers=peers, flop=flop,
               device=bench.cl_device, rows=rows)


def gpu_ffn(bench):
    t, n, k = (256, 256, 256) if bench.rehearse else GPU_SGEMM
    gpu_products(bench, "linear", f"t{t} n{n} k{k} f32", f"linear (SGEMM) {t}x{n}x{k}", 2 * t * n * k,
                 [[t, n, k]])
    for f in ((256, 256, 512, "gelu"),) if bench.rehearse else FFNS:
        t, dm, dff, act = f
        gpu_products(bench, "ffn", ffn_shape(*f), ffn_name(*f), ffn_flop(*f), ffn_products(*f),
                     {"op": "ffn", "t": t, "dm": dm, "dff": dff, "act": act, "way": "linear"})


def gpu_lm(bench):
    for op, n, name, least in (
            ("lm-prefill", 64 if bench.rehearse else 8192, "LM prefill, {:,} tokens", 50000),
            ("lm-decode", 64 if bench.rehearse else 512, "LM decode after {:,} tokens", 500)):
        bench.case(f"gpu-{op}-{n}", ours=lambda: bench.ours_lm(op, bench.cl_device, n), peers=[],
                   tokens=n if op == "lm-prefill" else None, device=bench.cl_device,
                   rows=[{"what": name.format(n), "against": "",
                          "marks": [mark("tokens_per_second", least, "H200")]}])


SECTIONS = {"cpu-attn": cpu_attn, "cpu-ffn": cpu_ffn, "cpu-lm": cpu_lm, "pocl": pocl,
            "startup": start_up, "gpu-attn": gpu_attn, "gpu-ffn": gpu_ffn, "gpu-lm": gpu_lm}
GROUPS = {"cpu": ("cpu-attn", "cpu-ffn", "cpu-lm", "pocl", "startup"),
          "gpu": ("gpu-attn", "gpu-ffn", "gpu-lm", "startup"), "all": tuple(SECTIONS)}
# Which sections need what; on a GPU torch with the libraries of CUDA.
NEEDS = {"torch": ("cpu-attn", "cpu-ffn", "gpu-attn", "gpu-ffn"), "cuda": ("gpu-attn", "gpu-ffn"),
         "llama": ("cpu-lm",), "model": ("cpu-lm", "pocl", "startup", "gpu-lm")}
