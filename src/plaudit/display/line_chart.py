"""Line charts as inline SVG: light, printable, dark-mode aware, readable by keyboard.

A chart knows no data but its own. Colors are classes that the style sheet resolves, so that one
drawing serves light, dark and paper. The points stand in the element as JSON, for the readout that the
page's script adds, and in a table beside it, for everyone else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from plaudit.display.formatting import number
from plaudit.display.scale import nice_ticks

WIDTH, HEIGHT = 330, 212
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 12, 36
LABEL_GAP = 14
LETTER = 8.2  # of a label in bold, in the widest of the usual fonts


@dataclass(frozen=True)
class Series:
    """One line: points (x, y) in drawing order, an optional band (x, low, high), a color class."""

    label: str
    tone: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """A line chart. ``rules`` are horizontal lines with a name; ``square_root`` spreads small x."""

    title: str
    x_label: str
    series: Sequence[Series]
    rules: Sequence[tuple[float, str]] = ()
    square_root: bool = False
    include_zero: bool = False
    y_format: Callable[[float], str] = field(default=lambda v: number(v))
    y_range: tuple[float, float] | None = None
    note: str = ""
    term: str = ""


def _tick_format(ticks: Sequence[float]) -> Callable[[float], str]:
    digits = next(
        (d for d in range(5) if all(abs(round(t, d) - t) < 1e-9 * max(1, abs(t)) for t in ticks)), 5
    )
    return lambda v: f"{v:,.0f}".replace("-", "−") if abs(v) >= 1000 and digits == 0 else number(v, digits)


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, in their order, at least ``gap`` apart and within bounds if they fit."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    previous = -math.inf
    for i in order:
        previous = placed[i] = max(wanted[i], previous + gap, low)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return placed


def svg(chart: Chart) -> Markup:
    """The chart as an ``<svg>`` element."""
    xs = [x for s in chart.series for x, _ in s.points] + [b[0] for s in chart.series for b in s.band]
    ys = [y for s in chart.series for _, y in s.points]
    ys += [v for s in chart.series for b in s.band for v in b[1:]] + [y for y, _ in chart.rules]
    if chart.include_zero:
        ys.append(0.0)
    if chart.y_range:
        ys += chart.y_range
    y_ticks = nice_ticks(min(ys), max(ys))
    y_low, y_high = y_ticks[0], y_ticks[-1]
    x_low, x_high = (0.0 if chart.square_root else min(xs)), max(xs)
    if x_high <= x_low:
        # All at one place; an estimate of a KL near 0 may also lie below it.
        x_low, x_high = (0.0, 1.0) if chart.square_root else (x_low - 0.5, x_high + 0.5)
    labels = len(chart.series) > 1
    right = RIGHT + (max(len(s.label) for s in chart.series) * LETTER if labels else 0)
    bend = math.sqrt if chart.square_root else float

    def px(x: float) -> float:
        share = (
            (bend(max(x, 0.0)) - bend(x_low)) / (bend(x_high) - bend(x_low))
            if chart.square_root
            else (x - x_low) / (x_high - x_low)
        )
        return round(LEFT + share * (WIDTH - LEFT - right), 1)

    def py(y: float) -> float:
        return round(TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM), 1)

    tick = _tick_format(y_ticks)
    parts = []
    for y in y_ticks:
        zero = " zero" if y == 0 and y_low < 0 else ""
        parts.append(
            f'<line class="grid{zero}" x1="{LEFT}" x2="{WIDTH - right:.1f}" y1="{py(y)}" y2="{py(y)}"/>'
        )
        parts.append(
            f'<text class="tick" x="{LEFT - 8}" y="{py(y) + 3.5:.1f}" text-anchor="end">{tick(y)}</text>'
        )
    x_ticks = _x_ticks(chart, x_low, x_high)
    x_tick = (lambda v: f"{v:g}") if chart.square_root else _tick_format(x_ticks)
    for x in x_ticks:
        parts.append(
            f'<text class="tick" x="{px(x)}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{x_tick(x)}</text>'
        )
    middle = (LEFT + WIDTH - right) / 2
    parts.append(
        f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 3}" text-anchor="middle">{escape(chart.x_label)}</text>'
    )
    for value, name in chart.rules:
        parts.append(
            f'<line class="rule" x1="{LEFT}" x2="{WIDTH - right:.1f}" y1="{py(value)}" y2="{py(value)}"/>'
        )
        parts.append(f'<text class="rule-label" x="{LEFT + 4}" y="{py(value) - 4:.1f}">{escape(name)}</text>')
    for s in chart.series:
        parts += _series(s, px, py)
    if labels:
        wanted = [py(s.points[-1][1]) if s.points else TOP for s in chart.series]
        for s, y in zip(chart.series, _apart(wanted, LABEL_GAP, TOP, HEIGHT - BOTTOM)):
            x = WIDTH - right + 7
            parts.append(f'<text class="name {s.tone}" x="{x:.1f}" y="{y + 4:.1f}">{escape(s.label)}</text>')
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{{}}"'
        f' data-chart="{{}}">{{}}<g class="cursor" aria-hidden="true"></g></svg>'
    ).format(describe(chart), _data(chart, px, py), Markup("".join(parts)))


def _x_ticks(chart: Chart, low: float, high: float) -> list[float]:
    if not chart.square_root:
        return [float(t) for t in sorted({round(t) for t in nice_ticks(low, high) if low <= t <= high})]
    # Evenly spaced on a square-root axis, rounded down to one leading digit, and not too near each other.
    width, found = math.sqrt(high) - math.sqrt(low), [low]
    for k in range(1, 5):
        x = (math.sqrt(low) + width * k / 4) ** 2
        power = 10.0 ** math.floor(math.log10(x))
        tick = round(math.floor(x / power + 1e-9) * power, 12)
        if math.sqrt(tick) - math.sqrt(found[-1]) > 0.15 * width:
            found.append(tick)
    return found


def _series(s: Series, px: Callable[[float], float], py: Callable[[float], float]) -> list[str]:
    parts = []
    if s.band:
        edge = [f"{px(x)},{py(high)}" for x, _, high in s.band]
        edge += [f"{px(x)},{py(low)}" for x, low, _ in reversed(s.band)]
        parts.append(f'<polygon class="band {s.tone}" points="{" ".join(edge)}"/>')
    if not s.points:
        return parts
    dash = " dashed" if s.dashed else ""
    if len(s.points) > 1:
        line = " ".join(f"{px(x)},{py(y)}" for x, y in s.points)
        parts.append(f'<polyline class="line {s.tone}{dash}" points="{line}"/>')
    if s.dots:
        parts += [f'<circle class="dot {s.tone}" cx="{px(x)}" cy="{py(y)}" r="2.4"/>' for x, y in s.points]
    x, y = s.points[-1]
    parts.append(f'<circle class="dot {s.tone}" cx="{px(x)}" cy="{py(y)}" r="3.2"/>')
    return parts


def _data(chart: Chart, px: Callable[[float], float], py: Callable[[float], float]) -> str:
    """What the readout needs: per series its name, tone and points as [pixel x, pixel y, text]."""
    result = []
    for s in chart.series:
        rows = []
        band = {x: (low, high) for x, low, high in s.band}
        for x, y in s.points:
            text = chart.y_format(y)
            if x in band:
                text += f" ({chart.y_format(band[x][0])} to {chart.y_format(band[x][1])})"
            rows.append([px(x), py(y), f"{number(x, 0) if float(x).is_integer() else number(x, 2)}", text])
        result.append({"name": s.label, "tone": s.tone, "points": rows})
    return json.dumps({"x": chart.x_label, "series": result}, ensure_ascii=False, separators=(",", ":"))


def describe(chart: Chart) -> str:
    """The chart in words, for those who do not see it."""
    parts = [f"{chart.title}."]
    for s in chart.series:
        if s.points:
            values = [y for _, y in s.points]
            parts.append(
                f"{s.label}: from {chart.y_format(values[0])} to {chart.y_format(values[-1])}, "
                f"lowest {chart.y_format(min(values))}, highest {chart.y_format(max(values))}."
            )
    return " ".join(parts)
