"""The reliability diagram of a reward model as inline SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from markupsafe import Markup


def calibration(bins: Sequence[tuple[float, float, int]]) -> Markup:
    """A reliability diagram: stated probability against how often it was right, dots by share of pairs."""
    side, pad, bottom = 300, 46, 40
    inner = side - pad - 18

    def px(v: float) -> float:
        return round(pad + v * inner, 1)

    def py(v: float) -> float:
        return round(side - bottom - v * inner, 1)

    parts = []
    for v in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="grid" x1="{px(0)}" x2="{px(1)}" y1="{py(v)}" y2="{py(v)}"/>')
        parts.append(
            f'<text class="tick" x="{px(0) - 7}" y="{py(v) + 3.5:.1f}" text-anchor="end">{100 * v:.0f}%</text>'
        )
        parts.append(
            f'<text class="tick" x="{px(v)}" y="{py(0) + 16}" text-anchor="middle">{100 * v:.0f}%</text>'
        )
    parts.append(f'<line class="rule" x1="{px(0)}" y1="{py(0)}" x2="{px(1)}" y2="{py(1)}"/>')
    middle, foot = px(0.5), side - 4
    parts.append(f'<text class="axis" x="{middle}" y="{foot}" text-anchor="middle">how sure it is</text>')
    turn = f"translate(11 {py(0.5)}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turn}" text-anchor="middle">how often right</text>')
    total = sum(n for _, _, n in bins) or 1
    line = " ".join(f"{px(p)},{py(o)}" for p, o, _ in bins)
    parts.append(f'<polyline class="line reward" points="{line}"/>')
    rows = []
    for stated, observed, n in bins:
        radius = 2.5 + 9 * math.sqrt(n / total)
        parts.append(
            f'<circle class="dot reward soft" cx="{px(stated)}" cy="{py(observed)}" r="{radius:.1f}"/>'
        )
        rows.append([px(stated), py(observed), f"{100 * stated:.0f}%", f"{100 * observed:.0f}% of {n:,}"])
    data = {"x": "stated", "series": [{"name": "right", "tone": "reward", "points": rows}]}
    words = "; ".join(f"stated {100 * p:.0f}%, right {100 * o:.0f}%" for p, o, _ in bins)
    return Markup(
        f'<svg class="chart square" viewBox="0 0 {side} {side}" role="img" tabindex="0" aria-label="{{}}"'
        f' data-chart="{{}}">{{}}<g class="cursor" aria-hidden="true"></g></svg>'
    ).format(
        f"Calibration of the reward model. {words}.",
        json.dumps(data, separators=(",", ":"), ensure_ascii=False),
        Markup("".join(parts)),
    )
