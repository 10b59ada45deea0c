"""tools/bench/peer_torch.py: worker: torch on the CPU or on a CUDA device, f32, no autograd.

Arguments: cpu THREADS, or cuda. Cases: {"op": "attn" | "ffn" | "linear", "way": ..., sizes}, or {"op":
"products", "shapes": [[m, n, k], ...]}: matrix products alone, one after another.
"""
import os
import sys

if os.environ.get("PEERS_LAZY_BINDING"):  # see peer_env.py
    sys.setdlopenflags(os.RTLD_LAZY)

import torch
import torch.nn.functional as F

from worker import rounds, serve

DEVICE = sys.argv[1]


def random(*shape, scale=1.0):
    return torch.randn(*shape, device=DEVICE) * scale


def linear(way, n, k, tokens, act=None):
    """x -> act(x W^T) as a function. way: "linear": as nn.Linear does it; "onednn" and "mkl": with
    weights packed beforehand, as torch's compiler does when it freezes a model."""
    weight = random(n, k, scale=k ** -0.5)
    after = {None: lambda y: y, "gelu": F.gelu, "silu": lambda y: F.silu(y, inplace=True)}[act]
    if way == "onednn":
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, tokens)
        attr, algorithm = {None: ("none", ""), "gelu": ("gelu", "none"), "silu": ("swish", "")}[act]
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, attr, [], algorithm)
    if way == "mkl":
        packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, tokens)
        return lambda x: after(torch.ops.mkl._mkl_linear(x, packed, weight, None, tokens))
    return lambda x: after(F.linear(x, weight))


def attn(case):
    q, k, v = (random(1, case["h"], case["s"], case["d"]) for _ in range(3))
    causal = case["causal"]
    if DEVICE != "cuda":
        return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def efficient():
        with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return efficient


def ffn(case):
    t, dm, dff, way = case["t"], case["dm"], case["dff"], case["way"]
    x = random(t, dm)
    down = linear(way, dm, dff, t)
    if case["act"] == "gelu":
        up = linear(way, dff, dm, t, "gelu")
        return lambda: down(up(x))
    gate, up = linear(way, dff, dm, t, "silu"), linear(way, dff, dm, t)
    return lambda: down(gate(x).mul_(up(x)))


def gemm(case):
    x = random(case["t"], case["k"])
    f = linear(case["way"], case["n"], case["k"], case["t"])
    return lambda: f(x)


def products(case):
    parts = [(linear("linear", n, k, m), random(m, k)) for m, n, k in case["shapes"]]

    def run():
        for f, x in parts:
            f(x)
    return run


def prepare(case):
    f = {"attn": attn, "ffn": ffn, "linear": gemm, "products": products}[case["op"]](case)

    def call():
        with torch.inference_mode():
            f()
    facts = {"version": torch.__version__, "threads": torch.get_num_threads()}
    if DEVICE == "cuda":
        facts["device"] = torch.cuda.get_device_name()
        return rounds(call, torch.cuda.synchronize), facts
    return rounds(call), facts


if DEVICE == "cuda":
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
else:
    torch.set_num_threads(int(sys.argv[2]))
serve(prepare)
