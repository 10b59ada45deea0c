#!/usr/bin/env python3
"""tools/ring/picture.py: the trace of `annulet ring --trace` as an SVG picture.

    picture.py TRACE.json [TITLE] > ring.svg

A row for each device and kind of step, time from left to right; computing coloured by whose keys a step met
(the piece of the sequence that they come from, by their place: dark the first, light the last).
"""
import html
import json
import sys

WIDTH, LEFT, BAR, GAP, TOP = 1000, 150, 14, 4, 46
KINDS = ("compute", "send", "take", "wait")
COLOURS = {"send": "#c2571a", "take": "#2a7a4b", "wait": "#b9b9b9"}


def read(path):
    with open(path, encoding="utf-8") as f:
        events = json.load(f)["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    return names, [e for e in events if e["ph"] == "X"]


def shade(part):
    """From dark to light blue."""
    low, high = (16, 56, 112), (166, 206, 245)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(low, high))


def picture(names, steps, title):
    end = max(s["ts"] + s["dur"] for s in steps)
    keys = max(s["args"]["start"] + s["args"]["keys"] for s in steps) or 1
    scale = (WIDTH - LEFT - 10) / end
    rows = [(tid, kind) for tid in sorted(names) for kind in KINDS
            if any(s["tid"] == tid and s["name"] == kind for s in steps)]
    height = TOP + len(rows) * (BAR + GAP) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="13">{html.escape(title)}</text>',
           f'<text x="10" y="34" fill="#555">computing: the darker, the earlier in the sequence are the '
           'keys that the step met</text>']
    for i, (tid, kind) in enumerate(rows):
        y = TOP + i * (BAR + GAP)
        out.append(f'<text x="10" y="{y + 11}">{html.escape(names[tid])}: {kind}</text>')
        for s in steps:
            if s["tid"] != tid or s["name"] != kind:
                continue
            middle = s["args"]["start"] + s["args"]["keys"] / 2
            colour = shade(middle / keys) if kind == "compute" else COLOURS[kind]
            out.append(f'<rect x="{LEFT + s["ts"] * scale:.1f}" y="{y}" '
                       f'width="{max(s["dur"] * scale - 0.6, 0.4):.1f}" height="{BAR}" fill="{colour}"/>')
    base = TOP + len(rows) * (BAR + GAP) + 4
    for i in range(6):
        x = LEFT + i / 5 * end * scale
        out.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{base}" stroke="#999" '
                   f'stroke-width="0.4"/><text x="{x:.1f}" y="{base + 14}" '
                   f'text-anchor="{"end" if i == 5 else "middle"}">'
                   f'{i / 5 * end / 1000:.3g} ms</text>')
    return "\n".join([*out, "</svg>"])


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        names, steps = read(sys.argv[1])
        if not steps:
            raise ValueError("no steps in it")
        title = sys.argv[2] if len(sys.argv) == 3 else sys.argv[1]
        print(picture(names, steps, title))
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as e:
        print(f"picture.py: {sys.argv[1]}: {e}: give what `annulet ring --trace` wrote", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
