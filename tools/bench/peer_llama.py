"""tools/bench/peer_llama.py: worker: llama.cpp on the CPU, through llama-cpp-python's low-level calls.

Arguments: MODEL THREADS UBATCH FLASH(on|off), or: quantize MODEL OUT F32|Q4_0|Q8_0.
Cases: {"op": "prefill", "tokens": N}: N tokens from an empty context, logits of the last one alone;
{"op": "decode", "context": N, "tokens": K}: K tokens after N, each the likeliest one. The prompt's
token ids are those of `annulet bench`.
"""
import ctypes
import os
import sys

import llama_cpp as api
import numpy as np

from worker import serve, timed

CONTEXT = 8192
BATCH = 8192  # a whole prefill is one call; llama.cpp cuts it at n_ubatch


@api.llama_log_callback
def quiet(level, text, user_data):
    if level == 4:  # errors
        sys.stderr.write(text.decode(errors="replace"))


def quantize(model, out, kind):
    params = api.llama_model_quantize_default_params()
    params.ftype = {"F32": api.LLAMA_FTYPE_ALL_F32, "Q4_0": api.LLAMA_FTYPE_MOSTLY_Q4_0,
                    "Q8_0": api.LLAMA_FTYPE_MOSTLY_Q8_0}[kind]
    params.allow_requantize = True
    part = out + ".part"
    if api.llama_model_quantize(model.encode(), part.encode(), ctypes.byref(params)):
        sys.exit(f"llama_model_quantize to {kind} failed")
    os.replace(part, out)


def token_ids(n, vocab):
    """As tools/bench/lm.c draws them, by the tests' generator."""
    mask, step = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        return z ^ z >> 31

    array, ids = 800, []
    state = mix((array + step) & mask) ^ (array << 32)
    for _ in range(n):
        state = (state + step) & mask
        ids.append((mix(state) >> 32) * vocab >> 32)
    return ids


class Model:
    def __init__(self, path, threads, ubatch, flash):
        params = api.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise RuntimeError(f"{path} does not load")
        params = api.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, BATCH, ubatch
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = 1 if flash else 0
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("no context")
        self.memory = api.llama_get_memory(self.context)
        self.batch = api.llama_batch_init(BATCH, 0, 1)
        self.held = 0  # tokens in the cache
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.ids = token_ids(CONTEXT, self.vocab)

    def cut(self, n):
        api.llama_memory_seq_rm(self.memory, 0, n, -1)
        self.held = min(self.held, n)

    def feed(self, ids):
        """These tokens in one call; logits of the last one."""
        b = self.batch
        b.n_tokens = len(ids)
        for i, token in enumerate(ids):
            b.token[i] = token
            b.pos[i] = self.held + i
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = 0
            b.logits[i] = i == len(ids) - 1
        code = api.llama_decode(self.context, b)
        if code:
            raise RuntimeError(f"llama_decode returned {code}")
        api.llama_synchronize(self.context)
        self.held += len(ids)

    def likeliest(self):
        logits = api.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(logits, (self.vocab,)).argmax())

    def prefill(self, n):
        self.cut(0)
        return timed(lambda: self.feed(self.ids[:n]))

    def decode(self, context, n):
        self.cut(context)

        def run():
            token = self.ids[0]
            for _ in range(n):
                self.feed([token])
                token = self.likeliest()
        return timed(run)


def main():
    api.llama_log_set(quiet, None)
    api.llama_backend_init()
    if sys.argv[1] == "quantize":
        return quantize(*sys.argv[2:5])
    model = Model(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "on")
    facts = {"version": getattr(api, "__version__", "?"), "n_batch": BATCH,
             "n_ubatch": int(sys.argv[3]), "flash": sys.argv[4],
             "system": api.llama_print_system_info().decode().strip()}

    def prepare(case):
        n = case["tokens"]
        if case["op"] == "prefill":
            model.prefill(min(n, 512))  # warm: threads, weights, buffers
            return lambda: model.prefill(n), facts
        context = case["context"]
        if model.held < context:
            model.cut(0)
            model.feed(model.ids[:context])
        model.decode(context, n)
        return lambda: model.decode(context, n), facts
    return serve(prepare)


if __name__ == "__main__":
    main()
