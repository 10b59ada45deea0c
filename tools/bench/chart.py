"""tools/bench/chart.py: the chart: for each row a bar from 1, the peer's time, to ours, on a logarithmic
scale, with a tick where the mark lies. It follows the reader's light or dark mode."""
import math
from xml.sax.saxutils import escape

from results import rows_of

WIDTH, LEFT, RIGHT, STEP, BAR = 960, 400, 70, 20, 12
LOW, HIGH = 0.1, 20.0  # ratios at the chart's edges

STYLE = """
.bg { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
.head { font-weight: 600; font-size: 14px } .small { fill: #59636e }
.grid { stroke: #d1d9e0; stroke-width: 1 } .one { stroke: #59636e; stroke-width: 1.5 }
.met { fill: #1a7f52 } .missed { fill: #c4432b } .none { fill: #6e7781 }
.mark { stroke: #1f2328; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.bg { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 }
.grid { stroke: #30363d } .one { stroke: #9198a1 }
.met { fill: #3fb27f } .missed { fill: #f0796b } .none { fill: #8b949e }
.mark { stroke: #e6edf3 } }
"""


def at(ratio):
    span = math.log(HIGH / LOW)
    x = math.log(min(max(ratio, LOW), HIGH) / LOW) / span
    return LEFT + x * (WIDTH - LEFT - RIGHT)


def text(x, y, content, kind="", anchor="start"):
    cls = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{cls} text-anchor="{anchor}">{escape(content)}</text>'


def line(x, y0, y1, kind):
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{y0:.1f}" y2="{y1:.1f}"/>'


def label(row, machine):
    threads = f", {row.threads} thr." if row.threads and row.threads != machine["threads"] else ""
    return row.what + threads


def row_parts(row, y, machine):
    results = [met for _, _, met in row.verdicts()]
    kind = "missed" if False in results else "met" if results and None not in results else "none"
    parts = [text(LEFT - 8, y + BAR - 2, label(row, machine), anchor="end")]
    if row.ratio is None:
        who = "annulet" if row.ours.get("error") else "peer"
        parts.append(text(at(1) + 6, y + BAR - 2, f"{who} failed", "small"))
        return parts
    x0, x1 = sorted((at(1), at(row.ratio)))
    parts.append(f'<rect class="{kind}" x="{x0:.1f}" y="{y:.1f}" width="{max(x1 - x0, 1):.1f}" '
                 f'height="{BAR}" rx="2"><title>{escape(label(row, machine))}: '
                 f'{row.ratio:.2f} x {escape(row.peer_name)}</title></rect>')
    for mark in row.marks:
        if mark["kind"] == "ratio":
            parts.append(line(at(mark["at_least"]), y - 2, y + BAR + 2, "mark"))
    beyond = [at(m["at_least"]) for m in row.marks if m["kind"] == "ratio"]
    parts.append(text(max([x1, at(1), *beyond]) + 6, y + BAR - 2, f"{row.ratio:.2f}"))
    return parts


def machine_parts(machine, y):
    info = machine["machine"]
    rows = [r for _, section in sorted(machine["sections"].items()) for r in rows_of(section)
            if r.expected]
    if not rows:
        return [], y
    parts = [text(16, y + 14, info.get("gpu") or info["cpu"], "head")]
    y += 30
    bottom = y + 18 + STEP * len(rows)
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20):
        parts.append(text(at(tick), y + 8, f"{tick:g}", "small", "middle"))
        parts.append(line(at(tick), y + 14, bottom, "one" if tick == 1 else "grid"))
    y += 18
    for row in rows:
        parts += row_parts(row, y + 2, info)
        y += STEP
    return parts, y + 24


def draw(machines):
    parts, y = [], 78
    for machine in machines:
        more, y = machine_parts(machine, y)
        parts += more
    legend = [text(16, 24, "How many times faster than the fastest variant of the peer", "head"),
              text(16, 43, "1: as fast. Tick: the mark for this ratio. PoCL: the peer is annulet's own "
                   "native CPU backend.", "small"),
              text(16, 60, "Green: all marks of the line are met. Red: one is missed, perhaps one that "
                   "is not drawn, such as the share of peak. Grey: no mark, or not shown.", "small")]
    body = "\n".join(legend + parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
            f'height="{y}" role="img" aria-label="Ratios to the peers">\n<style>{STYLE}</style>\n'
            f'<rect class="bg" width="{WIDTH}" height="{y}"/>\n{body}\n</svg>\n')
