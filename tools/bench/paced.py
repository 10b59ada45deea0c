"""tools/bench/paced.py: programs that time one round whenever they are told to, and the loop that
asks ours and the peers in turn, so that neither runs while another does.

`annulet bench ... --paced` and the workers (peer_*.py) both read a line and answer with a line of
JSON: {"ready": true, ...} once they are warm, then {"seconds": S, ...} for each round, or
{"error": "..."}.
"""
import json
import queue
import subprocess
import tempfile
import threading
import time

PAUSE = 0.03     # between two rounds: OpenMP's workers spin for some milliseconds after a region
SLOW = 1.25      # a variant of a peer this much slower than its best one is asked no more,
TRIALS = 2       # after so many rounds,
LONG = 15.0      # or after one, if a round takes it so many seconds
BRISK = 6.0      # where no round takes so many seconds there are
LEAST = 5        # at least so many rounds


class Failure(Exception):
    """A program that did not answer, or answered with an error."""


class Program:
    """A child that answers lines with lines."""

    def __init__(self, argv, env=None, timeout=600):
        self.argv, self.timeout = [str(a) for a in argv], timeout
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        try:
            self.child = subprocess.Popen(self.argv, env=env, stdin=subprocess.PIPE, text=True,
                                          stdout=subprocess.PIPE, stderr=self.log)
        except OSError as error:
            raise Failure(f"{self.argv[0]}: {error.strerror}") from error
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _last_words(self):
        self.log.seek(0)
        words = [line.strip() for line in self.log.read().splitlines() if line.strip()]
        return words[-1][:200] if words else "nothing on stderr"

    def read(self, *keys):
        """The next answer that has one of the keys."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise Failure(f"no answer for {self.timeout} s") from None
            if line is None:
                self.lines.put(None)  # for whoever asks again
                code = self.child.wait()
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise Failure(f"ended with {how}: {self._last_words()}")
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # a library's chatter
            if not isinstance(answer, dict):
                continue
            if "error" in answer:
                raise Failure(str(answer["error"])[:300])
            if any(key in answer for key in keys):
                return answer

    def ask(self, question, *keys):
        try:
            self.child.stdin.write(question + "\n")
            self.child.stdin.flush()
        except (OSError, ValueError):
            pass  # it is gone: read() says how
        return self.read(*keys)

    def round(self):
        return self.ask('{"round": 1}', "seconds")

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def finish(self):
        """End of input; returns what it says last, or {}. A second time it does nothing."""
        last = {}
        if self.log.closed:
            return last
        try:
            self.child.stdin.close()
            while True:
                last = self.read("seconds", "op")
        except (Failure, OSError):
            pass
        self.kill()
        self.log.close()
        return last


class Ours(Program):
    """`annulet bench OP --paced`, warm."""

    def __init__(self, annulet, op, device, shape=None, extra=(), env=None, timeout=600):
        argv = [annulet, "bench", op, "--device", device, "--json", "--paced", *extra]
        if shape:
            argv += ["--shape", shape]
        super().__init__(argv, env, timeout)
        self.ready = self.read("ready")


class Worker(Program):
    """A peer's worker: takes cases, one after another."""

    tuned = ""  # CLBlast: how

    def set(self, case):
        """Prepares and warms a case; its round() then times that one."""
        return self.ask(json.dumps({"case": case}), "ready")


class Side:
    """One competitor in a case: what it is called, which ones it is a variant of, its rounds."""

    def __init__(self, name, program, group=None):
        self.name, self.program, self.group = name, program, group
        self.answers, self.error, self.dropped = [], None, False

    def seconds(self):
        return [a["seconds"] for a in self.answers]

    def fail(self, error):
        self.error = str(error)

    def record(self):
        record = {"seconds": self.seconds()}
        peaks = [a["peak_gflops"] for a in self.answers if a.get("peak_gflops")]
        if peaks:
            record["peak_gflops"] = peaks
        if self.error:
            record["error"] = self.error
        if self.dropped:
            record["dropped"] = f"more than {SLOW} times slower than another variant"
        return record


def drop_slow(sides, rounds):
    for group in {s.group for s in sides if s.group}:
        alive = [s for s in sides if s.group == group and s.answers and not s.error]
        best = min((min(s.seconds()) for s in alive), default=0)
        for side in alive:
            slow = min(side.seconds()) > SLOW * best
            side.dropped = side.dropped or (slow and (rounds == TRIALS or side.seconds()[0] > LONG))


def alternate(sides, budget, least=3, most=9):
    """Rounds of all sides in turn, until the budget in seconds is used up; at least so many, and LEAST of
    them where they are brisk."""
    start, longest = time.monotonic(), 0.0
    for n in range(most):
        enough = max(least, LEAST) if longest < BRISK else least
        if n >= enough and time.monotonic() - start > budget:
            break
        for side in sides:
            if side.error or side.dropped:
                continue
            time.sleep(PAUSE)
            begun = time.monotonic()
            try:
                side.answers.append(side.program.round())
            except Failure as failure:
                side.fail(failure)
            longest = max(longest, time.monotonic() - begun)
        if all(s.error for s in sides):
            break
        if n < TRIALS:
            drop_slow(sides, n + 1)
