"""Upright bars as inline SVG, and the shades of a table's cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

MOST_LABELS = 7
ROOM = 0.82  # the share of a bar chart's height that its highest bar takes: its number stands above it


def bars(values: Sequence[tuple[str, float]], *, title: str, tone: str = "sft") -> Markup:
    """Upright bars from 0, each with its number above and its name below. Empty where there are no values."""
    if not values:
        return Markup("")
    highest = max(v for _, v in values) or 1.0
    step = 100 / len(values)
    every = max(1, math.ceil(len(values) / MOST_LABELS))
    numbered = len(values) <= 2 * MOST_LABELS
    parts = ['<line class="ground" x1="0%" x2="100%" y1="100%" y2="100%"/>']
    for i, (name, value) in enumerate(values):
        tall = 100 * ROOM * value / highest
        left, width = step * i + step * 0.14, step * 0.72
        parts.append(
            f'<rect class="bar {escape(tone)}" x="{left:.2f}%" y="{100 - tall:.2f}%" width="{width:.2f}%"'
            f' height="{tall:.2f}%"><title>{escape(name)}: {value:,g}</title></rect>'
        )
        if numbered and value:
            middle = step * (i + 0.5)
            parts.append(
                f'<text x="{middle:.2f}%" y="{100 - tall:.2f}%" dy="-5" text-anchor="middle">{value:,g}</text>'
            )
    names = [
        f'<text x="{step * (i + 0.5):.2f}%" y="12" text-anchor="middle">{escape(name)}</text>'
        for i, (name, _) in enumerate(values)
        # Counted from the end: the last is the one that people look for.
        if (len(values) - 1 - i) % every == 0
    ]
    spoken = "; ".join(f"{name}: {value:,g}" for name, value in values)
    return Markup('<svg class="bars" role="img" aria-label="{}">{}</svg>{}').format(
        f"{title}. {spoken}.",
        Markup("".join(parts)),
        Markup(f'<svg class="strip labels" aria-hidden="true">{"".join(names)}</svg>'),
    )


def shade(share: float | None) -> str:
    """The class of a cell's shade: h0 at 0 to h10 at 1; none where there is no value."""
    if share is None or not math.isfinite(share):
        return ""
    return f"h{round(min(max(share, 0.0), 1.0) * 10)}"
