"""The reward–KL frontier of a comparison as SVG: what each method reached, against its KL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from plaudit.display.formatting import number
from plaudit.display.scale import nice_ticks

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 18, 44
LETTER, LINE = 6.6, 13.0
# KL is drawn by its root: most of what is bought is bought with the first nats.
TICKS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class _Labels:
    """Places for texts that cover neither one another nor the dots."""

    def __init__(self, dots: Sequence[tuple[float, float]]) -> None:
        self.taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]

    def place(self, x: float, y: float, text: str) -> tuple[float, float, str]:
        """Baseline, and the side that the text is anchored at."""
        wide = LETTER * len(text)
        options = []
        for step in range(0, 6):
            for sign in (1, -1) if step else (1,):
                shift = sign * step * LINE * 0.75
                options += [(x + 9, y + 4 + shift, "start"), (x - 9, y + 4 + shift, "end")]
        for px, py, anchor in options:
            left = px if anchor == "start" else px - wide
            box = (left, py - 10, left + wide, py + 3)
            inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= 2 and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in self.taken):
                self.taken.append(box)
                return px, py, anchor
        px, py, anchor = options[0]
        return px, py, anchor


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def frontier_svg(found: Mapping[str, Any], tones: Mapping[str, str], names: Mapping[str, str]) -> Markup:
    """Arms as dots with whiskers over seeds, best-of-n as a dashed line, the start and perfect as rules."""
    arms = found["arms"]
    yardstick = found["best_of_n"]
    values = [v for a in arms for v in (a["value"], a["low"], a["high"]) if v is not None]
    values += [p["value"] for p in yardstick] + [
        v for v in (found["start"], found["perfect"]) if v is not None
    ]
    ticks = nice_ticks(min(values), max(values), 6)
    most = max([a["kl"] for a in arms] + [p["kl"] for p in yardstick] + [0.5])

    def px(kl: float) -> float:
        share = math.sqrt(max(kl, 0.0) / most)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def py(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg class="frontier" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_spoken(found, names))}">'
    ]
    for tick in ticks:
        y = py(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{number(tick)}</text>')
    for tick in (t for t in TICKS if t <= most * 1.001):
        x = px(tick)
        parts.append(
            f'<text class="tick" x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text class="axis-label" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">'
        "exact KL from the start, nats per response</text>"
    )
    dots = [(px(a["kl"]), py(a["value"])) for a in arms] + [(px(p["kl"]), py(p["value"])) for p in yardstick]
    labels = _Labels(dots)
    for key, word in (("start", "start"), ("perfect", "perfect")):
        if found[key] is not None:
            y = py(found[key])
            parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            labels.taken.append((WIDTH - RIGHT - LETTER * len(word), y - 16, WIDTH - RIGHT, y))
            parts.append(
                f'<text class="rule-name" x="{WIDTH - RIGHT}" y="{y - 5}" text-anchor="end">{word}</text>'
            )
    if yardstick:
        line = " ".join(f"{px(p['kl'])},{py(p['value'])}" for p in yardstick)
        parts.append(f'<polyline class="line yardstick" points="{line}"/>')
        for p in yardstick:
            parts.append(f'<circle class="dot yardstick" cx="{px(p["kl"])}" cy="{py(p["value"])}" r="3"/>')
        parts.append(_label(labels, px(p["kl"]), py(p["value"]), f"best of {p['n']}", "yardstick"))
    for method in dict.fromkeys(a["method"] for a in arms):
        mine = sorted((a for a in arms if a["method"] == method), key=lambda a: a["kl"])
        tone = tones[method]
        if len(mine) > 1:
            line = " ".join(f"{px(a['kl'])},{py(a['value'])}" for a in mine)
            parts.append(f'<polyline class="line {tone}" points="{line}"/>')
        for a in mine:
            x, y = px(a["kl"]), py(a["value"])
            if a["low"] is not None and a["high"] is not None:
                parts.append(
                    f'<line class="whisker {tone}" x1="{x}" x2="{x}" y1="{py(a["low"])}" y2="{py(a["high"])}"/>'
                )
            parts.append(f'<circle class="dot {tone}" cx="{x}" cy="{y}" r="4.5"/>')
        best = max(mine, key=lambda a: a["value"])
        parts.append(_label(labels, px(best["kl"]), py(best["value"]), names[method], tone))
    parts.append("</svg>")
    return Markup("".join(parts))


def _label(labels: _Labels, x: float, y: float, text: str, tone: str) -> str:
    at, base, anchor = labels.place(x, y, text)
    return (
        f'<text class="name {tone}" x="{at:.1f}" y="{base:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _spoken(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    arms = sorted(found["arms"], key=lambda a: -a["value"])
    said = "; ".join(
        f"{names[a['method']]} {a['point']} {number(a['value'])} at {number(a['kl'])} nats" for a in arms
    )
    return f"{found['judge']} against KL: {said}. The table below holds the same numbers."
