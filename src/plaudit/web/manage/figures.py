"""Small figures as inline SVG: intervals on a common scale, bars, a scale's labels.

Horizontal places are percentages of the element, so that a figure takes the width it is given while its text keeps
its size. Colours are classes. The numbers of a figure always stand beside it as text; where they do, the figure is
hidden from screen readers, and elsewhere its label says them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plaudit.report.charts import nice_ticks

PAD = 3.0  # percent kept free at either end, so that marks and labels at the ends are whole
MOST_LABELS = 7
ROOM = 0.82  # the share of a bar chart's height that its highest bar takes: its number stands above it


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of values and where its lines stand."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The place of a value in percent; values beyond the scale stand at its ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(PAD + share * (100 - 2 * PAD), 2)


SHARES = Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


def scale_of(values: Iterable[float | None], *, about: int = 4, least: float = 0.0) -> Scale:
    """A scale of round numbers that holds the values, and ``least`` on either side of 0."""
    known = [v for v in values if v is not None and math.isfinite(v)] + [-least, least]
    ticks = tuple(nice_ticks(min(known), max(known), about))
    return Scale(ticks[0], ticks[-1], ticks)


def interval(
    scale: Scale,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    tone: str = "sft",
    none: float | None = None,
    band: tuple[float, float] | None = None,
) -> Markup:
    """A dot with its whisker. ``none``: where nothing is to be seen; ``band``: what others report."""
    parts = [_line("grid", scale.at(t)) for t in scale.ticks]
    if band is not None:
        left, right = scale.at(band[0]), scale.at(band[1])
        width = max(right - left, 0.6)
        parts.append(
            f'<rect class="published" x="{left:g}%" y="50%" width="{round(width, 2):g}%" height="22" rx="2"/>'
        )
    if none is not None:
        parts.append(_line("none", scale.at(none)))
    if low is not None and high is not None:
        left, right = scale.at(low), scale.at(high)
        parts.append(
            f'<line class="whisker {escape(tone)}" x1="{left:g}%" x2="{right:g}%" y1="50%" y2="50%"/>'
        )
    if value is not None:
        parts.append(f'<circle class="dot {escape(tone)}" cx="{scale.at(value):g}%" cy="50%" r="4.5"/>')
    return Markup(f'<svg class="strip" aria-hidden="true">{"".join(parts)}</svg>')


def stretch(scale: Scale, low: float, high: float) -> Markup:
    """What somebody else reports: a soft bar from ``low`` to ``high``, a point where they are one."""
    parts = [_line("grid", scale.at(t)) for t in scale.ticks]
    left, right = scale.at(low), scale.at(high)
    if high > low:
        parts.append(f'<line class="whisker base" x1="{left:g}%" x2="{right:g}%" y1="50%" y2="50%"/>')
    else:
        parts.append(f'<circle class="dot base" cx="{left:g}%" cy="50%" r="3.5"/>')
    return Markup(f'<svg class="strip" aria-hidden="true">{"".join(parts)}</svg>')


def labels(scale: Scale, text: Callable[[float], str]) -> Markup:
    """The scale's numbers, to stand under its strips."""
    parts = [
        f'<text x="{scale.at(t):g}%" y="12" text-anchor="middle">{escape(text(t))}</text>'
        for t in scale.ticks
    ]
    return Markup(f'<svg class="strip labels" aria-hidden="true">{"".join(parts)}</svg>')


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


def shade(value: float | None, *, low: float = 0.0, high: float = 1.0, steps: int = 10) -> str:
    """The class of a cell's shade: h0 at ``low`` to h10 at ``high``; none where there is no value."""
    if value is None or not math.isfinite(value):
        return ""
    share = (min(max(value, low), high) - low) / (high - low)
    return f"h{round(share * steps)}"


def _line(kind: str, at: float) -> str:
    return f'<line class="{kind}" x1="{at:g}%" x2="{at:g}%" y1="0%" y2="100%"/>'
