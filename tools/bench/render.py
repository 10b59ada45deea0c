"""tools/bench/render.py: docs/bench.md and docs/bench.svg from the stored results of all machines."""
import json

import chart
from results import Row, of_peak, per_unit, rows_of

TITLES = {"cpu-attn": "Attention on the CPU", "cpu-ffn": "FFN and linear on the CPU",
          "cpu-lm": "Language model on the CPU", "pocl": "OpenCL on the CPU",
          "startup": "Start-up", "gpu-attn": "Attention on the GPU",
          "gpu-ffn": "FFN and linear on the GPU", "gpu-lm": "Language model on the GPU"}

NOTES = {
    "cpu-attn": "torch is `scaled_dot_product_attention`, f32, 8 heads, batch 1. A causal case counts "
                "the visible pairs alone.",
    "cpu-ffn": "f32, no bias. torch is measured with `Linear` as it comes, and with weights packed "
               "beforehand for oneDNN and for MKL, as its compiler does. All but the first also keep memory "
               "once they have it, in huge pages, so that page faults do not count against them.",
    "cpu-lm": "SmolLM2-135M-Instruct, Q4_1, the same prompt of random token ids for both; logits of the "
              "last token alone; decoding is greedy, 32 tokens a round. llama.cpp: one call for the whole "
              "prompt (n_batch 8192, n_ubatch 512), its f16 KV cache, with and without flash attention. "
              "\"Its best format\" is the fastest of this file and the same model requantised to F32, "
              "Q4_0 and Q8_0; with the most tokens, where a round takes a minute, of this file and the one "
              "that was the fastest with fewer. Ours computes in f32 with an f32 cache.",
    "pocl": "The peer is annulet's own native CPU backend, on as many threads.",
    "startup": "Wall time of `annulet score` of 16 tokens with everything cached, less the time that "
               "reading the model's file takes and, with OpenCL, less that of a program which only asks "
               "for a context and a queue; all of them timed in turn.",
    "gpu-attn": "f32, 16 heads, batch 1; torch's memory-efficient backend, TF32 off. From CLBlast: two "
                "batched GEMMs with a softmax kernel between them, which computes all scores also "
                "where the mask is causal.",
    "gpu-ffn": "f32, TF32 off, no bias. cuBLAS is torch's `linear`; of an FFN its products alone, without "
               "the activation and the gate between them, and so are CLBlast's. torch's whole FFN is a line "
               "without a mark. CLBlast is measured with its own database and with the parameters that a "
               "search found.",
    "gpu-lm": "SmolLM2-135M-Instruct, Q4_1, f32 arithmetic; no peer is timed here."}

HEAD = """# Beside its peers

Ours and theirs were timed on one machine, in one run, in turn, round by round, both warm, on equally many
threads; the numbers are medians. A ratio is the median over the rounds of their time divided by ours: above
1 we are ahead. In brackets is the spread: what lies between the quartiles of the rounds, over their median.
A round of either is one call, or as many short ones as fill 20 ms. Where a peer has several variants the
fastest counts. "Of peak" is the share of the FMA peak that was measured next to our rounds, in the same
process. A line is a miss if any of its marks is missed. Our results were checked by their hash in each
round. The raw rounds are in `docs/bench/`.

This page is written by `tools/bench/peers.py`; each section names the command that made it. It needs Python
3.11 with venv, a C and a C++ compiler, readelf and PyPI; the peers go into a virtual environment in the
user's cache folder. On another machine:

    tools/bench/peers.py cpu                             everything that needs no GPU
    tools/bench/peers.py gpu --cl-device cl:0.0          with an NVIDIA GPU

How the peers are built: llama.cpp from source for the instructions that the CPU has. Where it has AMX a short
prefill is tried, since that crashed with SIGSEGV on one Intel machine; if it does, AMX is left out, and the
section says so. torch comes from PyPI, whose x86-64 build is the one for CUDA. On CPUs that are not Intel's,
MKL, which torch is linked with, keeps off its AVX-512 code; so torch is also measured with a preloaded
function that lets it ("+AVX-512" below). Variants called "kept" do not give memory back to the system after
each call, and have it in huge pages (THP_MEM_ALLOC_ENABLE and malloc's thresholds).

![Ratios to the peers, and marks](bench.svg)
"""


def number(value, unit):
    if value is None:
        return "-"
    if unit == "ms":
        return f"{value:.1f} ms"
    if unit == "GFLOP/s" and value >= 10000:
        return f"{value / 1000:.1f} TFLOP/s"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def bracketed(spread):
    return "" if spread is None else f" ({100 * spread:.0f} %)"


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def mark_text(mark):
    kind = mark["kind"]
    if kind == "ratio":
        return f"≥ {mark['at_least']:g} x {mark['of']}"
    if kind == "of_peak":
        return f"≥ {100 * mark['at_least']:.0f} % of peak"
    if kind == "of_bandwidth":
        return f"≥ {100 * mark['at_least']:.0f} % of read bandwidth"
    if kind == "gflops":
        return f"≥ {mark['at_least'] / 1000:g} TFLOP/s"
    if kind == "tokens_per_second":
        return f"≥ {mark['at_least']:,} tok/s"
    return f"≤ {mark['at_most']} ms"


def shortfall(mark, value):
    """By how much a mark is missed, where it is a share or a time."""
    if mark["kind"] in ("of_peak", "of_bandwidth"):
        return f"{100 * value:.0f} %"
    if mark["kind"] == "ratio":
        return f"{value:.2f}"
    if mark["kind"] == "ms":
        return f"{value:.0f} ms"
    return f"{100 * value / mark['at_least']:.0f} % of it"


def verdict_text(row):
    found = row.verdicts()
    if not found:
        return "-"
    missed = [shortfall(m, v) for m, v, met in found if met is False]
    unknown = [mark_text(m) for m, v, met in found if met is None]
    if missed:
        return "**missed** (" + ", ".join(missed) + ")"
    if unknown:
        return "**not shown** (" + ", ".join(unknown) + ")"
    return "met"


def share_text(row):
    if row.bandwidth is not None:
        return f"{100 * row.bandwidth:.0f} % of bandwidth"
    return percent(row.peak)


def table(rows):
    threads = len({r.threads for r in rows if r.threads}) > 1
    lines = ["| what | ours | of peak | theirs | of peak | ratio | mark | |",
             "| --- | ---: | ---: | --- | ---: | ---: | --- | --- |"]
    for row in rows:
        what = row.what
        if threads and row.threads:
            what += f", {row.threads} thread{'s' if row.threads > 1 else ''}"
        theirs, their_peak = "-", "-"
        if row.peer:
            theirs = f"{number(*row.rate(row.peer))} ({row.peer_name})"
            their_peak = percent(of_peak(row.record, row.peer))
        elif row.expected:
            theirs = "failed"
        ours = "failed"
        if not row.ours.get("error"):
            ours = number(*row.rate(row.ours)) + bracketed(row.spread)
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}" + bracketed(row.ratio_spread)
        marks = ", ".join(mark_text(m) for m, _, _ in row.verdicts()) or "-"
        lines.append(f"| {what} | {ours} | {share_text(row)} | {theirs} | {their_peak} | {ratio} | "
                     f"{marks} | {verdict_text(row)} |")
    return lines


def scratch_lines(section):
    found = []
    for record in section["records"]:
        summary = record["ours"].get("summary") or {}
        if summary.get("scratch_bytes") is not None and record.get("flop"):
            what = record["rows"][0]["what"]
            if record.get("threads"):
                what += f", {record['threads']} thread{'s' if record['threads'] > 1 else ''}"
            found.append(f"{what}: {summary['scratch_bytes'] / 1e6:.2f} MB")
    return ["", "Scratch memory: " + "; ".join(found) + "."] if found else []


def variants_lines(section):
    """What each variant of a peer took, so that the choice of the fastest can be seen."""
    lines = []
    for record in section["records"]:
        peers = record["peers"]
        if len(peers) < 2:
            continue
        best = min((per_unit(p) for p in peers.values() if per_unit(p)), default=None)
        parts = [f"{name} {per_unit(p) / best:.2f}" for name, p in
                 sorted(peers.items(), key=lambda item: per_unit(item[1]) or 1e9) if per_unit(p)]
        thread = f", {record['threads']} thread(s)" if record.get("threads") else ""
        lines.append(f"- {record['rows'][0]['what']}{thread}: " + "; ".join(parts))
    if not lines:
        return []
    return ["", "<details><summary>Each variant's time over the fastest one's</summary>", "", *lines,
            "", "Variants that were over 1.25 times slower than another of their kind after two rounds "
            "were asked no more.", "", "</details>"]


def section_lines(name, section):
    rows = rows_of(section)
    lines = ["", f"### {TITLES[name]}", "", NOTES.get(name, ""), ""]
    lines += table(rows)
    problems = sorted({text for row in rows for text in row.problems()})
    if problems:
        lines += ["", "What failed:", ""] + [f"- {text}" for text in problems]
    notes = [f"{r['rows'][0]['what']}: {r['note']}" for r in section["records"] if r.get("note")]
    if notes:
        lines += ["", *[f"- {n}" for n in notes]]
    lines += scratch_lines(section) + variants_lines(section)
    versions = ", ".join(f"{k} {v}" for k, v in section["versions"].items())
    lines += ["", f"{section['date']}; {versions}. Made by", "", f"    {section['command']}"]
    return lines


def counts(machine):
    met = missed = other = 0
    for section in machine["sections"].values():
        for row in rows_of(section):
            results = [m for _, _, m in row.verdicts()]
            if not results:
                continue
            if False in results:
                missed += 1
            elif None in results:
                other += 1
            else:
                met += 1
    return met, missed, other


def machine_lines(machine):
    info = machine["machine"]
    met, missed, other = counts(machine)
    title = info.get("gpu") or info["cpu"]
    lines = ["", f"## {title}", "",
             f"{info['cpu']}, {info['threads']} threads" +
             (f", {info['gpu']}" if info.get("gpu") else "") +
             f"; {info['system']}, kernel {info['kernel']}, {info['arch']}.",
             "", f"Lines whose marks are all met: {met}; missed: {missed}; not shown: {other}."]
    for name in TITLES:
        if name in machine["sections"]:
            lines += section_lines(name, machine["sections"][name])
    return lines


def one_line(record):
    """For the progress that the driver tells."""
    texts = []
    for row in (Row(record, r) for r in record["rows"]):
        text = f"ours {number(*row.rate(row.ours))}"
        if row.peer:
            text += f", {row.peer_name} {number(*row.rate(row.peer))}, ratio {row.ratio or 0:.2f}"
        text += f", {verdict_text(row)}".replace("**", "")
        texts.append(text + "".join(f"; {p}" for p in row.problems()))
    return " | ".join(texts)


def render(folder):
    """Writes bench.md and bench.svg beside the folder of results."""
    machines = []
    for path in sorted(folder.glob("*.json")):
        machines.append(json.loads(path.read_text()))
    text = [HEAD.rstrip()]
    for machine in machines:
        text += machine_lines(machine)
    if not machines:
        text += ["", "No machine's results are stored yet."]
    for extra in sorted(folder.glob("*.md")):
        text += ["", extra.read_text().rstrip()]
    (folder.parent / "bench.md").write_text("\n".join(text) + "\n")
    (folder.parent / "bench.svg").write_text(chart.draw(machines))
