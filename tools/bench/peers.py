#!/usr/bin/env python3
"""tools/bench/peers.py: annulet beside its peers: both timed in turn, round by round, on this machine.

    peers.py SECTION...    measures, keeps the raw rounds in docs/bench/NAME.json, and renders
    peers.py render        renders docs/bench.md and docs/bench.svg from all machines' results

Sections: cpu-attn cpu-ffn cpu-lm pocl startup gpu-attn gpu-ffn gpu-lm; cpu, gpu and all stand for
several. The peers are installed from PyPI into a virtual environment of their own; --no-venv takes
them from the Python that runs this. What fails is reported as failed, and the rest goes on.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import render
from paced import Failure, Ours, Side, Worker, alternate
from peer_env import PeerEnv, default_folder, say
from sections import GROUPS, NEEDS, SECTIONS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Under which malloc keeps what torch frees, and asks for huge pages: page faults in every call are no part
# of what a peer can do.
KEEP = {"THP_MEM_ALLOC_ENABLE": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 40),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# Options that hold only on this machine.
OWN = ("annulet", "model", "clblast", "venv", "torch_index", "timeout", "results", "name")


def parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("sections", nargs="+", metavar="SECTION",
                   choices=[*SECTIONS, *GROUPS, "render"])
    p.add_argument("--annulet", help="the tool; default build/tools/annulet, else the one in PATH")
    p.add_argument("--model", help="a GGUF file; default: what tools/fetch_model.sh prints")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--cl-device", default="", help="cl:PLATFORM.DEVICE of the GPU sections")
    p.add_argument("--pocl-device", default="", help="default: the first one of PoCL's")
    p.add_argument("--clblast", default="libclblast.so.1", help="path of CLBlast's library")
    p.add_argument("--tune-tries", type=int, default=40, help="sets of parameters CLBlast may try")
    p.add_argument("--tune-seconds", type=float, default=60, help="and the time for it")
    p.add_argument("--venv", default=default_folder(), help="default %(default)s")
    p.add_argument("--no-venv", action="store_true", help="peers from the running Python")
    p.add_argument("--torch-version", default="")
    p.add_argument("--llama-version", default="")
    p.add_argument("--torch-index", help="another package index that has torch for CPUs")
    p.add_argument("--torch-full", action="store_true",
                   help="torch with its GPU libraries (3 GB); the GPU sections have it so")
    p.add_argument("--budget", type=float, default=25, help="seconds of rounds per case")
    p.add_argument("--rounds", type=int, nargs=2, default=(3, 9), metavar=("LEAST", "MOST"))
    p.add_argument("--timeout", type=float, default=600, help="seconds for one answer")
    p.add_argument("--results", help="default docs/bench, for a rehearsal a temporary folder")
    p.add_argument("--name", help="of this machine's results; default from its CPU or GPU")
    p.add_argument("--rehearse", action="store_true", help="tiny cases: does it all run?")
    return p


def first_line(path, start):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(start):
                return line.split(":", 1)[-1].split("=", 1)[-1].strip().strip('"')
    except OSError:
        pass
    return ""


def git_commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                          capture_output=True, text=True)
    return done.stdout.strip()


class Bench:
    """What the sections use: our programs, the peers' workers, and where records go."""

    def __init__(self, opts, env):
        self.opts, self.env = opts, env
        self.threads, self.rehearse = opts.threads, opts.rehearse
        self.cl_device, self.annulet, self.model = opts.cl_device, opts.annulet, opts.model
        self.vendor_library = env.vendor_library()
        self.workers, self.records, self.versions = {}, [], {}
        # by its old name and by its new one
        self.pocl_threads = {"POCL_MAX_PTHREAD_COUNT": str(self.threads),
                             "POCL_CPU_MAX_CU_COUNT": str(self.threads)}
        self.our_variables = dict(os.environ, **self.pocl_threads)
        self.devices = self.list_devices()
        self.names = {d["device"]: d["name"] for d in self.devices}

    def list_devices(self):
        done = subprocess.run([self.annulet, "info", "--json"], capture_output=True, text=True,
                              env=self.our_variables)
        try:
            found = json.loads(done.stdout)
        except ValueError:
            return []
        return found.get("devices", []) if isinstance(found, dict) else found

    def device_name(self, spec):
        return self.names.get(spec, spec)

    def note_device(self, ready):
        """What a program of ours says of the device that it runs on: what it is called, and its driver."""
        self.names[ready["device"]] = ready["device_name"]
        if ready.get("driver"):
            which = "PoCL" if "PoCL" in ready["device_detail"] else "OpenCL driver"
            self.versions[which] = ready["driver"]

    def has_pocl(self):
        return bool(self.opts.pocl_device) or any("PoCL" in d["detail"] for d in self.devices)

    def pocl_device(self):
        if self.opts.pocl_device:
            return self.opts.pocl_device
        for d in self.devices:
            if "PoCL" in d["detail"]:
                return d["device"]
        return "cl:0.0"  # its failure will be told

    # ours

    def ours(self, op, device, shape):
        return Ours(self.annulet, op, device, shape, env=self.our_variables, timeout=self.opts.timeout)

    def ours_lm(self, op, device, tokens):
        return Ours(self.annulet, op, device, extra=("--model", self.model, "--tokens", str(tokens)),
                    env=self.our_variables, timeout=self.opts.timeout)

    # theirs

    def start(self, name, script, *args, **variables):
        """The worker of this name, started if it does not run."""
        if name in self.env.problems:
            raise Failure(self.env.problems[name])
        key = (script, *args, *sorted(variables.items()))
        worker = self.workers.get(key)
        if worker is None or worker.child.poll() is not None:
            worker = Worker([self.env.python, HERE / script, *args],
                            self.env.variables(**variables), self.opts.timeout)
            self.workers[key] = worker
        return worker

    def worker(self, name, case, script, *args, **variables):
        """The same, warm for the case."""
        worker = self.start(name, script, *args, **variables)
        worker.facts = worker.set(case)
        if "version" in worker.facts:
            self.versions[name] = worker.facts["version"]
        return worker

    def close_workers(self):
        for worker in self.workers.values():
            worker.finish()
        self.workers = {}

    def torch(self, threads, preload, keep, case):
        more = {**({"LD_PRELOAD": preload} if preload else {}), **(KEEP if keep else {})}
        # A worker each way: all of them stay warm.
        return self.worker("torch", case, "peer_torch.py", "cpu", threads, case["way"],
                           OMP_NUM_THREADS=str(threads), **more)

    def cuda(self, case):
        return self.worker("torch", case, "peer_torch.py", "cuda")

    def clblast(self, tuned, case):
        args = ("peer_clblast.py", self.cl_device, self.opts.clblast)
        more = dict(self.pocl_threads, PEERS_TUNED="1" if tuned else "")
        worker = self.start("CLBlast", *args, **more)
        if tuned and not worker.tuned:  # nor is one that took a dead one's place
            m, n, k = (256, 256, 256) if self.rehearse else (4096, 4096, 4096)
            say(f"tuning CLBlast for {self.opts.tune_seconds:.0f} s at most")
            worker.tuned = worker.set({"op": "tune", "m": m, "n": n, "k": k,
                                       "tries": self.opts.tune_tries,
                                       "seconds": self.opts.tune_seconds})["tuned"]
            self.versions["CLBlast, tuned"] = worker.tuned
        return self.worker("CLBlast", case, *args, **more)

    def llama(self, kind, ubatch, flash, case):
        model = self.model if kind == "Q4_1" else self.requantised(kind)
        worker = self.worker("llama-cpp-python", case, "peer_llama.py", model, self.threads, ubatch, flash,
                             OMP_NUM_THREADS=str(self.threads))
        self.versions["llama.cpp built for"] = worker.facts["system"]
        return worker

    def requantised(self, kind):
        out = pathlib.Path(self.opts.venv) / f"{pathlib.Path(self.model).stem}.{kind}.gguf"
        if not out.exists():
            say(f"requantising the model to {kind}")
            done = subprocess.run([self.env.python, str(HERE / "peer_llama.py"), "quantize",
                                   self.model, str(out), kind], capture_output=True, text=True,
                                  env=self.env.variables())
            if done.returncode:
                raise Failure((done.stderr.strip().splitlines() or ["no reason given"])[-1][:200])
        return str(out)

    # records

    def side(self, name, make, group=None):
        side = Side(name, None, group)
        try:
            side.program = make()
        except (Failure, OSError, KeyError, IndexError, subprocess.SubprocessError) as failure:
            side.fail(failure)
        return side

    def case(self, id, ours, peers, rows, threads=None, flop=None, tokens=None, device=None):
        """Measures a case: ours and all peers in turn. ours and each peer's third are functions that
        return a warm program; nothing that fails stops the others."""
        begun = time.monotonic()
        sides = [self.side("annulet", ours)]
        sides += [self.side(name, make, group) for name, group, make in peers]
        least, most = self.opts.rounds
        alternate(sides, self.opts.budget, least, most)
        mine = sides[0]
        record = {"id": id, "device": device or f"cpu:{threads}", "threads": threads, "flop": flop,
                  "rows": rows, "ours": mine.record(), "peers": {}}
        if mine.program:
            self.note_device(mine.program.ready)
        record["device_name"] = self.device_name(record["device"])
        if mine.program:
            argv = [os.path.basename(a) if a == self.model else a for a in mine.program.argv[1:]]
            record["ours"]["command"] = shlex.join(["annulet", *argv])
            record["ours"]["summary"] = mine.program.finish()
        # What a round computes, where that is counted in tokens.
        summary = record["ours"].get("summary", {})
        rate, seconds = summary.get("tokens_per_second"), summary.get("seconds")
        if rate and isinstance(seconds, dict):
            record["ours"]["tokens"] = round(rate * seconds["median"])
        elif tokens:
            record["ours"]["tokens"] = tokens
        for side in sides[1:]:
            entry = side.record()
            entry["group"] = side.group
            if tokens:
                entry["tokens"] = tokens
            if isinstance(side.program, Ours):
                side.program.finish()
                entry["tokens"] = record["ours"].get("tokens")
            record["peers"][side.name] = entry
        self.record(record)
        say(f"{id}: {time.monotonic() - begun:.0f} s: {render.one_line(record)}")

    def record(self, record):
        self.records.append(record)


def machine(bench):
    cpu = first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    info = {"cpu": cpu, "threads": bench.threads,
            "system": first_line("/etc/os-release", "PRETTY_NAME") or platform.system(),
            "kernel": platform.release(), "arch": platform.machine()}
    if bench.cl_device:
        info["gpu"] = bench.device_name(bench.cl_device)
    flags = first_line("/proc/cpuinfo", "flags").split()
    info["flags"] = [f for f in flags if f.startswith(("avx", "fma", "amx"))]
    return info


def slug(info):
    text = (info.get("gpu", "") + " " if info.get("gpu") else "") + info["cpu"]
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") + f"-{info['threads']}"


def store(bench, opts, section, command):
    """Puts a section's records into this machine's file, in the place of older ones."""
    info = machine(bench)
    folder = pathlib.Path(opts.results)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{opts.name or slug(info)}.json"
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = {"machine": info, "sections": {}}
    kept["machine"] = {**kept["machine"], **info}
    done = subprocess.run([bench.annulet, "--version"], capture_output=True, text=True)
    own = done.stdout.strip().removeprefix("annulet ") or "of an unknown version"
    versions = {"annulet": f"{own} {git_commit()}".strip(),
                "Python": platform.python_version(), **bench.versions}
    if section == "cpu-lm":
        versions.update(bench.env.llama_facts())
    kept["sections"][section] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command, "versions": versions, "records": bench.records}
    text = json.dumps(kept, indent=1)
    for place, name in ((opts.venv, "VENV"), (str(ROOT), "."), (os.path.expanduser("~"), "~")):
        if place.strip("/"):
            text = text.replace(place, name)  # in messages of what failed
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)
    say(f"{section}: kept in {path}")


def find_tool(opts):
    built = ROOT / "build" / "tools" / "annulet"
    tool = opts.annulet or (str(built) if built.exists() else shutil.which("annulet"))
    if not tool or not os.access(tool, os.X_OK):
        sys.exit("peers: no annulet: build it, or name it with --annulet")
    return tool


def find_model(opts, sections):
    if opts.model or not set(sections) & set(NEEDS["model"]):
        return opts.model or ""
    done = subprocess.run([str(ROOT / "tools" / "fetch_model.sh")], stdout=subprocess.PIPE, text=True)
    if done.returncode or not done.stdout.strip():
        sys.exit("peers: tools/fetch_model.sh failed: name a model with --model")
    return done.stdout.strip()


def told_command(opts):
    """The command as another would give it: without what is only so on this machine."""
    words = [*opts.sections]
    for name, value in vars(opts).items():
        if name == "sections" or name in OWN or value == parser().get_default(name):
            continue
        words.append("--" + name.replace("_", "-"))
        if not isinstance(value, bool):
            words += [f"{v:g}" if isinstance(v, float) else str(v)
                      for v in (value if isinstance(value, (list, tuple)) else (value,))]
    return "tools/bench/peers.py " + shlex.join(words)


def make_env(opts, sections):
    """The peers that the sections need, installed."""
    def any_of(need):
        return set(sections) & set(NEEDS[need])

    if opts.no_venv or not any_of("torch") | any_of("llama"):
        return PeerEnv(python=sys.executable)
    env = PeerEnv(opts.venv)
    try:
        env.make()
    except (OSError, subprocess.SubprocessError):
        sys.exit(f"peers: no virtual environment can be made in {opts.venv}: install Python's venv (Debian: "
                 "python3-venv), or take the peers from this Python with --no-venv")
    if any_of("torch"):
        full = opts.torch_full or bool(any_of("cuda"))
        env.install("torch", lambda: env.torch(opts.torch_version, opts.torch_index, full))
    if any_of("llama"):
        env.install("llama-cpp-python", lambda: env.llama(opts.llama_version, opts.model))
    return env


def measure(opts, sections, command):
    """Each section is kept as soon as all of it was measured."""
    bench = Bench(opts, make_env(opts, sections))
    for section in dict.fromkeys(sections):
        say(section)
        bench.records, bench.versions = [], {}
        try:
            SECTIONS[section](bench)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            bench.close_workers()
        store(bench, opts, section, command)


def main():
    opts = parser().parse_args()
    command = told_command(opts)
    sections = [s for name in opts.sections for s in GROUPS.get(name, (name,)) if s != "render"]
    if any(s.startswith("gpu") for s in sections) and not opts.cl_device:
        sys.exit("peers: the GPU sections need --cl-device cl:PLATFORM.DEVICE")
    if not opts.results:
        opts.results = str(pathlib.Path(tempfile.mkdtemp()) / "bench" if opts.rehearse
                           else ROOT / "docs" / "bench")
    if sections:
        opts.annulet, opts.model = find_tool(opts), find_model(opts, sections)
        measure(opts, sections, command)
    render.render(pathlib.Path(opts.results))


if __name__ == "__main__":
    main()
