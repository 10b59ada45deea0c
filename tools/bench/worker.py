"""tools/bench/worker.py: the loop of a peer's worker: a line of JSON in, a line of JSON out.

{"case": {...}} prepares and warms a case; any other line times one round of it.
"""
import json
import sys
import time

ROUND_SECONDS = 0.02  # these three as tools/bench/rounds.c has them
WARM_SECONDS = 2.0
SHORT_CALL = 0.01


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rounds(call, finish=lambda: None):
    """Warms a call up; returns a function that times one round of it and returns the seconds of a call.

    The rule is that of annulet's own rounds: a round is as many calls, queued one behind the other, as
    fill 20 ms, and one wait for all of them; short ones have a call that is not timed before them."""
    def time_calls(n):
        def run():
            for _ in range(n):
                call()
            finish()
        return timed(run) / n

    n, seconds = 1, time_calls(1)
    if seconds < WARM_SECONDS:
        seconds = time_calls(1)
    while seconds * n < ROUND_SECONDS:
        n *= 2
        seconds = time_calls(n)

    def once():
        if seconds < SHORT_CALL:
            time_calls(1)
        return time_calls(n)
    return once


def say(**answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(prepare):
    """prepare(case) returns (round, facts): a function that returns the seconds of one round, and
    what to say about the case. An exception is an answer as well."""
    once = None
    for line in sys.stdin:
        try:
            case = json.loads(line).get("case")
            if case is not None:
                once = None  # frees the last case's memory first
                once, facts = prepare(case)
                say(ready=True, **facts)
            elif once is None:
                say(error="no case was set")
            else:
                say(seconds=once())
        except Exception as error:  # the driver reports it; the next case may do better
            say(error=f"{type(error).__name__}: {error}".split("\n")[0][:200])
