"""tools/bench/startup.py: what `annulet score` of 16 tokens takes beyond reading the file of weights
and what the OpenCL driver takes to hand out a context, all three timed in turn.

Run as a program it is the empty OpenCL program: it prints the seconds from loading libOpenCL to a
context and a queue on the device that is its argument.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TOKENS = 16
TEXT = "The ring passes the keys around, and each device adds its part to the sum. " * 4


def empty_program(spec):
    import opencl
    start = time.perf_counter()
    opencl.Device(spec)
    print(json.dumps({"seconds": time.perf_counter() - start}))


def read_file(path, block):
    start = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass
    return time.perf_counter() - start


def driver_seconds(bench, device):
    done = subprocess.run([sys.executable, __file__, device], capture_output=True, text=True,
                          timeout=120, env=bench.our_variables)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])["seconds"]


def score_seconds(bench, device, text):
    start = time.perf_counter()
    done = subprocess.run([bench.annulet, "score", bench.model, "-f", text, "--tokens", str(TOKENS),
                           "-d", device, "--json"], capture_output=True, text=True, timeout=600,
                          env=bench.our_variables)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    return took


def measure(bench, device, limit_ms, rounds):
    """A record as Bench.case() makes; ours is the time that is left, in seconds."""
    is_cl = device.startswith("cl:")
    parts = {"score": [], "read": [], "driver": []}
    record = {
        "id": f"startup-{device}", "device": device, "peers": {}, "ours": {"seconds": []},
        "rows": [{"what": f"start-up: score of {TOKENS} tokens, {device}", "against": "",
                  "marks": [{"kind": "ms", "at_most": limit_ms}]}]}
    block = bytearray(1 << 22)
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text")
        with open(text, "w") as file:
            file.write(TEXT)
        try:
            score_seconds(bench, device, text)  # fills the program cache and the page cache
            for _ in range(rounds):
                parts["driver"].append(driver_seconds(bench, device) if is_cl else 0.0)
                parts["read"].append(read_file(bench.model, block))
                parts["score"].append(score_seconds(bench, device, text))
        except (RuntimeError, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            record["ours"]["error"] = str(error)
    record["ours"]["seconds"] = [s - r - d for s, r, d in
                                 zip(parts["score"], parts["read"], parts["driver"])]
    record["ours"]["parts"] = parts
    if parts["score"]:
        record["note"] = ", ".join(f"{name} {1e3 * statistics.median(values):.0f} ms"
                                   for name, values in parts.items() if values and any(values))
    return record


if __name__ == "__main__":
    empty_program(sys.argv[1])
