"""tools/bench/test_peers.py: what must not go wrong in peers.py without being seen: a peer that fails
is told, the fastest variant counts, wrong products do not, and misses are shown as misses. Needs no peer
and no annulet."""
import argparse
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from paced import LEAST, Failure, Side, Worker, alternate
from peer_clblast import alike
from peer_env import PeerEnv, llama_cmake_args
import peers
import render
from results import Row
import worker as rule

TALKER = """
import json, sys, time
seconds = {seconds}
for n, line in enumerate(sys.stdin):
    if "case" in line:
        print("some library's chatter")
        print(json.dumps(dict(ready=True)), flush=True)
    elif n > {rounds}:
        sys.exit("broke down")
    else:
        print(json.dumps(dict(seconds=seconds, at=time.monotonic())), flush=True)
"""


def worker(seconds, rounds=99):
    code = TALKER.format(seconds=seconds, rounds=rounds)
    program = Worker([sys.executable, "-c", code], timeout=20)
    program.set({})
    return program


def record(ours, peers, marks, **more):
    return {"id": "x", "device": "cpu:2", "device_name": "some CPU", "threads": 2, "flop": 1e9,
            "rows": [{"what": "thing", "against": "torch", "marks": marks}],
            "ours": ours, "peers": peers, **more}


MARK = {"kind": "ratio", "at_least": 1.5, "of": "torch", "on": None}
PEAK = {"kind": "of_peak", "at_least": 0.8, "on": None}


class Rounds(unittest.TestCase):
    def run_sides(self, *programs, least=4, most=4, budget=1):
        sides = [Side(str(i), p, "torch" if i else None) for i, p in enumerate(programs)]
        alternate(sides, budget, least, most)
        for program in programs:
            program.finish()
        return sides

    def test_all_take_turns(self):
        a, b = self.run_sides(worker(1), worker(2))
        self.assertEqual((a.seconds(), b.seconds()), ([1] * 4, [2] * 4))
        order = sorted((answer["at"], side.name) for side in (a, b) for answer in side.answers)
        self.assertEqual([name for _, name in order], ["0", "1"] * 4)

    def test_brisk_rounds_are_not_too_few(self):
        a, b = self.run_sides(worker(1), worker(1), least=2, most=9, budget=0)
        self.assertEqual((len(a.answers), len(b.answers)), (LEAST, LEAST))

    def test_a_slow_variant_is_dropped_after_two_rounds(self):
        _, fast, slow = self.run_sides(worker(9), worker(1), worker(2))
        self.assertEqual((len(fast.answers), len(slow.answers)), (4, 2))

    def test_a_death_is_told_and_the_others_go_on(self):
        a, b = self.run_sides(worker(1), worker(2, rounds=2))
        self.assertEqual((len(a.answers), len(b.answers)), (4, 2))
        self.assertIn("broke down", b.error)

    def test_what_cannot_start_is_told(self):
        with self.assertRaises(Failure):
            Worker(["/nowhere/to/be/found"])


class Verdicts(unittest.TestCase):
    def row(self, *args, **more):
        r = record(*args, **more)
        return Row(r, r["rows"][0])

    def test_the_fastest_variant_counts(self):
        row = self.row({"seconds": [1.0] * 3}, {
            "slow": {"group": "torch", "seconds": [9.0] * 2},
            "fast": {"group": "torch", "seconds": [1.4] * 3}}, [MARK])
        self.assertEqual(row.peer_name, "fast")
        self.assertIn("missed", render.verdict_text(row))

    def test_a_mark_is_met(self):
        row = self.row({"seconds": [1.0] * 3}, {"a": {"group": "torch", "seconds": [1.5] * 3}},
                       [MARK])
        self.assertEqual(render.verdict_text(row), "met")

    def test_one_missed_mark_is_a_miss(self):
        row = self.row({"seconds": [1.0] * 3, "peak_gflops": [2.0] * 3},
                       {"a": {"group": "torch", "seconds": [1.5] * 3}}, [MARK, PEAK])
        self.assertIn("missed** (50 %)", render.verdict_text(row))

    def test_ratios_are_by_round(self):
        row = self.row({"seconds": [1.0, 2.0, 4.0]},
                       {"a": {"group": "torch", "seconds": [8.0, 2.0, 4.0]}}, [MARK])
        self.assertEqual(row.ratio, 1.0)  # that of the medians is 2
        self.assertEqual(row.ratio_spread, 3.5)
        self.assertIn("| 1.00 (350 %) |", render.table([row])[-1])

    def test_ratios_are_by_token(self):
        row = self.row({"seconds": [1.0], "tokens": 32},
                       {"a": {"group": "torch", "seconds": [1.0], "tokens": 16}}, [MARK])
        self.assertEqual(row.ratio, 2.0)

    def test_a_failed_peer_is_no_win(self):
        row = self.row({"seconds": [1.0]}, {"a": {"group": "torch", "seconds": [], "error": "E"}},
                       [MARK])
        self.assertIn("not shown", render.verdict_text(row))
        self.assertIn("a failed: E", row.problems())

    def test_a_failure_of_ours_is_no_win(self):
        row = self.row({"seconds": [1.0], "error": "E"},
                       {"a": {"group": "torch", "seconds": [9.0]}}, [MARK])
        self.assertIn("not shown", render.verdict_text(row))

    def test_wrong_bits_are_a_miss(self):
        row = self.row({"seconds": [1.0], "summary": {"hash_ok": False}},
                       {"a": {"group": "torch", "seconds": [9.0]}}, [MARK])
        self.assertIn("missed", render.verdict_text(row))

    def test_a_mark_of_another_device_is_left_out(self):
        row = self.row({"seconds": [1.0]}, {}, [dict(MARK, on="H200")])
        self.assertEqual(row.verdicts(), [])


class Peers(unittest.TestCase):
    def test_a_round_is_as_many_calls_as_fill_it(self):
        calls, waits = [], []
        once = rule.rounds(lambda: calls.append(1), lambda: waits.append(len(calls)))
        before, waited = len(calls), len(waits)
        self.assertLess(once(), rule.ROUND_SECONDS)
        self.assertGreater(len(calls) - before, 100)
        # one call to warm up, then all of the round, and a wait after each
        self.assertEqual((waits[waited] - before, len(waits) - waited), (1, 2))

    def test_a_wrong_product_is_seen(self):
        right = [0.5, -0.25, 1.0]
        self.assertTrue(alike([0.50001, -0.25, 1.0], right))
        for wrong in ([0.5, -0.25, 9.0], [0.5, float("nan"), 1.0], [0.0, 0.0, 0.0]):
            self.assertFalse(alike(wrong, right))

    def test_a_worker_in_a_dead_ones_place_is_tuned_too(self):
        bench = peers.Bench.__new__(peers.Bench)
        bench.env, bench.workers, bench.versions = PeerEnv(python=sys.executable), {}, {}
        bench.cl_device, bench.rehearse, bench.pocl_threads = "cl:0.0", True, {}
        bench.opts = argparse.Namespace(clblast="x", tune_tries=1, tune_seconds=1, timeout=20)
        with tempfile.TemporaryDirectory() as folder:
            seen = pathlib.Path(folder) / "seen"
            (pathlib.Path(folder) / "peer_clblast.py").write_text(
                "import sys\nfor line in sys.stdin:\n"
                f"    open({str(seen)!r}, 'a').write(line)\n"
                "    print('{\"ready\": true, \"tuned\": \"T\"}', flush=True)\n")
            with mock.patch.object(peers, "HERE", pathlib.Path(folder)):
                for _ in range(2):
                    bench.clblast(True, {"op": "gemm"})
                bench.clblast(True, {"op": "gemm"}).kill()
                bench.clblast(True, {"op": "gemm"})
                bench.close_workers()
            ops = [json.loads(line)["case"]["op"] for line in seen.read_text().splitlines()]
        self.assertEqual(ops, ["tune", "gemm", "gemm", "gemm", "tune", "gemm"])

    def test_amx_is_used_where_it_is_until_it_crashed(self):
        flags = {"avx2", "amx_tile", "amx_int8"}
        self.assertIn("-DGGML_AMX_INT8=ON", llama_cmake_args(flags, True))
        self.assertIn("-DGGML_AMX_BF16=OFF", llama_cmake_args(flags, True))
        self.assertIn("-DGGML_AMX_INT8=OFF", llama_cmake_args(flags, False))
        self.assertIn("-DGGML_AMX_TILE=OFF", llama_cmake_args({"avx2"}, True))

    def test_the_command_tells_what_matters_elsewhere(self):
        given = ["cpu-lm", "--threads", "77", "--rounds", "1", "2", "--llama-version", "9", "--venv", "/x",
                 "--torch-full", "--budget", "2.5"]
        told = peers.told_command(peers.parser().parse_args(given))
        self.assertEqual(told, "tools/bench/peers.py cpu-lm --threads 77 --llama-version 9 --torch-full "
                         "--budget 2.5 --rounds 1 2")
        self.assertEqual(peers.told_command(peers.parser().parse_args(["pocl"])),
                         "tools/bench/peers.py pocl")


class Page(unittest.TestCase):
    def test_misses_and_failures_are_on_the_page(self):
        peers = {"a": {"group": "torch", "seconds": [1.0]},
                 "b": {"group": "torch", "seconds": [], "error": "out of order"}}
        section = {"date": "today", "command": "peers.py cpu", "versions": {},
                   "records": [record({"seconds": [1.0]}, peers, [MARK])]}
        machine = {"machine": {"cpu": "A", "threads": 2, "system": "S", "kernel": "K", "arch": "R"},
                   "sections": {"cpu-attn": section}}
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder) / "bench"
            results.mkdir()
            (results / "a.json").write_text(json.dumps(machine))
            render.render(results)
            page = (results.parent / "bench.md").read_text()
            self.assertIn("**missed** (1.00)", page)
            self.assertIn("missed: 1", page)
            self.assertIn("b failed: out of order", page)
            self.assertIn('class="missed"', (results.parent / "bench.svg").read_text())


if __name__ == "__main__":
    unittest.main(warnings="ignore")
