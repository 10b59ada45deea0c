"""tools/bench/results.py: what the stored rounds come to: the numbers of a row and its verdict.

A ratio is the median over the rounds of theirs / ours in that round, so that a machine whose speed
drifts is compared with itself. Of several variants of a peer the fastest counts.
"""
import statistics


def of_rounds(side):
    """Median seconds of a side's rounds."""
    seconds = side.get("seconds") or []
    return statistics.median(seconds) if seconds else None


def per_unit(side):
    """Seconds a token where rounds are counted in tokens, else seconds a round."""
    median = of_rounds(side)
    return None if median is None else median / (side.get("tokens") or 1)


def candidates(record, against):
    """The peers that a row is against: one group's, or with "*" all."""
    return {name: peer for name, peer in record["peers"].items()
            if against == "*" or peer.get("group", name) == against}


def paired(ours, theirs):
    """theirs / ours, round by round."""
    a, b = ours.get("seconds") or [], theirs.get("seconds") or []
    scale = (ours.get("tokens") or 1) / (theirs.get("tokens") or 1)
    return [y / x * scale for x, y in zip(a, b) if x > 0]


def spread(values):
    """What lies between the quartiles, over the median; None: of too few to say."""
    if not values or len(values) < 3:
        return None
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def of_peak(record, side):
    """A side's share of the FMA peak that was measured beside each of our rounds."""
    peaks = record["ours"].get("peak_gflops") or []
    shares = [record["flop"] / s / (p * 1e9) for s, p in zip(side.get("seconds") or [], peaks)
              if record.get("flop") and s > 0 and p > 0]
    return statistics.median(shares) if shares else None


class Row:
    """One line: ours, the fastest peer, the ratio, and each mark met or missed."""

    def __init__(self, record, row):
        self.record, self.what, self.marks = record, row["what"], row["marks"]
        self.ours, self.against = record["ours"], row["against"]
        self.threads = record.get("threads")
        peers = candidates(record, self.against) if self.against else {}
        timed = {n: p for n, p in peers.items() if per_unit(p) is not None}
        self.failed = {n: p["error"] for n, p in peers.items() if p.get("error")}
        self.peer_name = min(timed, key=lambda n: per_unit(timed[n])) if timed else None
        self.peer = timed.get(self.peer_name)
        self.expected = bool(self.against)
        ratios = paired(self.ours, self.peer) if self.peer else []
        self.ratio = statistics.median(ratios) if ratios else None
        self.ratio_spread, self.spread = spread(ratios), spread(self.ours.get("seconds"))
        summary = self.ours.get("summary") or {}
        # Decoding reads memory; of a model's prefill only annulet knows how many operations it is.
        is_decode = "decode" in record["id"]
        self.bandwidth = summary.get("of_bandwidth") if is_decode else None
        self.peak = of_peak(record, self.ours)
        if not record.get("flop") and not is_decode:
            self.peak = summary.get("of_peak")
        self.wrong_bits = summary.get("hash_ok") is False

    def rate(self, side):
        """(value, unit) of a side."""
        seconds = of_rounds(side) if side else None
        if seconds is None:
            return None, ""
        if side.get("tokens"):
            return side["tokens"] / seconds, "tok/s"
        if self.record.get("flop"):
            return self.record["flop"] / seconds * 1e-9, "GFLOP/s"
        return seconds * 1e3, "ms"

    def on_device(self, mark):
        return not mark.get("on") or mark["on"] in self.record.get("device_name", "")

    def value_of(self, mark):
        if self.ours.get("error"):
            return None  # a few rounds before it failed prove nothing
        value = self.rate(self.ours)[0]
        return {"ratio": self.ratio, "of_peak": self.peak, "of_bandwidth": self.bandwidth,
                "gflops": value, "tokens_per_second": value, "ms": value}[mark["kind"]]

    def verdicts(self):
        """(mark, value, met) for each mark that holds on this device; met is None: not known."""
        found = []
        for mark in self.marks:
            if not self.on_device(mark):
                continue
            value = self.value_of(mark)
            met = None
            if value is not None:
                met = value >= mark["at_least"] if "at_least" in mark else value <= mark["at_most"]
                met = met and not self.wrong_bits
            found.append((mark, value, met))
        return found

    def problems(self):
        found = []
        if self.ours.get("error"):
            found.append(f"annulet failed: {self.ours['error']}")
        if self.wrong_bits:
            found.append("annulet's bits were WRONG")
        found += [f"{name} failed: {error}" for name, error in sorted(self.failed.items())]
        return found


def rows_of(section):
    return [Row(record, row) for record in section["records"] for row in record["rows"]]
