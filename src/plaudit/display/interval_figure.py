"""Estimates with their intervals as marks on a common scale: inline SVG.

Horizontal positions are percentages of the element, so that a figure takes the width it is given while its text keeps
its size. Colors are classes of the page's style sheet. The numbers of a figure always stand beside it as text, so
the drawing itself is hidden from screen readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from plaudit.display.formatting import finite
from plaudit.display.scale import Scale, nice_ticks

BAR_HEIGHT = 14
BAND_HEIGHT = 22


def interval(
    scale: Scale,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    tone: str = "sft",
    none: float | None = None,
    band: tuple[float, float] | None = None,
    bar: bool = False,
) -> Markup:
    """A dot with its whisker, or with ``bar`` a bar from the scale's lower end.

    ``none``: a dashed line where there is no effect; ``band``: what the literature reports.
    """
    parts = [_line("grid", scale.at(t)) for t in scale.ticks]
    if band is not None:
        left, right = scale.at(band[0]), scale.at(band[1])
        parts.append(_rectangle("published", left, max(right - left, 0.6), BAND_HEIGHT))
    if none is not None:
        parts.append(_line("none", scale.at(none)))
    if bar and value is not None:
        left = scale.at(scale.low)
        parts.append(_rectangle(f"bar {escape(tone)}", left, scale.at(value) - left, BAR_HEIGHT))
    if low is not None and high is not None:
        parts.append(_whisker(tone, scale.at(low), scale.at(high)))
    if value is not None and not bar:
        parts.append(f'<circle class="dot {escape(tone)}" cx="{scale.at(value):g}%" cy="50%" r="4.5"/>')
    return _strip(parts)


def published(scale: Scale, low: float, high: float) -> Markup:
    """A range from the literature: a soft line from ``low`` to ``high``, or a dot where they are equal."""
    parts = [_line("grid", scale.at(t)) for t in scale.ticks]
    if high > low:
        parts.append(_whisker("base", scale.at(low), scale.at(high)))
    else:
        parts.append(f'<circle class="dot base" cx="{scale.at(low):g}%" cy="50%" r="3.5"/>')
    return _strip(parts)


def tick_labels(scale: Scale, text: Callable[[float], str]) -> Markup:
    """The numbers of a scale's ticks, to place under its marks."""
    return _texts([(scale.at(t), text(t)) for t in scale.ticks])


def _texts(places: Sequence[tuple[float, str]]) -> Markup:
    parts = [f'<text x="{at:g}%" y="12" text-anchor="middle">{escape(text)}</text>' for at, text in places]
    return _strip(parts, "strip labels")


def _strip(parts: Sequence[str], kind: str = "strip") -> Markup:
    return Markup(f'<svg class="{kind}" aria-hidden="true">{"".join(parts)}</svg>')


def _line(kind: str, at: float) -> str:
    return f'<line class="{kind}" x1="{at:g}%" x2="{at:g}%" y1="0%" y2="100%"/>'


def _whisker(tone: str, left: float, right: float) -> str:
    return f'<line class="whisker {escape(tone)}" x1="{left:g}%" x2="{right:g}%" y1="50%" y2="50%"/>'


def _rectangle(kind: str, left: float, width: float, height: int) -> str:
    return (
        f'<rect class="{kind}" x="{left:g}%" y="50%" width="{round(width, 2):g}%" height="{height}" rx="2"/>'
    )


@dataclass(frozen=True)
class Estimated:
    """A labeled estimate: a number, or a mapping with ``mean``, ``low`` and ``high``; a tone; a glossary term.

    ``missed``: a reader misses it where it is not known, so that its row then says so instead of being left out.
    """

    label: str
    tone: str
    value: Any
    term: str = ""
    note: str = ""
    missed: bool = False

    @property
    def mean(self) -> float | None:
        return finite(self.value.get("mean") if isinstance(self.value, Mapping) else self.value)

    @property
    def bounds(self) -> tuple[float, float] | None:
        if not isinstance(self.value, Mapping):
            return None
        low, high = finite(self.value.get("low")), finite(self.value.get("high"))
        return None if low is None or high is None else (low, high)


def interval_rows(
    entries: Sequence[Estimated],
    *,
    format: Callable[[Any], str],
    tick: Callable[[Any], str] | None = None,
    spread: Callable[[Any], str],
    domain: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
    bars: bool = False,
) -> dict[str, Any] | None:
    """Rows of one figure, each with its mark and its number as text; None without any estimate."""
    values = [v for e in entries if e.mean is not None for v in (e.mean, *(e.bounds or ()))]
    if not values:
        return None
    scale = _scale(values + ([reference[0]] if reference else []), domain)
    at = reference[0] if reference else None
    rows = []
    for e in entries:
        mean = e.mean
        if mean is None and not e.missed:
            continue
        low, high = e.bounds or (None, None)
        figure = interval(scale, mean, low, high, tone=e.tone, none=at, bar=bars)
        rows.append(
            {
                "label": e.label,
                "tone": e.tone,
                "term": e.term,
                "note": e.note,
                "figure": figure,
                "text": format(mean) if mean is not None else "unknown",
                "spread": spread(e.value) if mean is not None else "",
            }
        )
    return {
        "rows": rows,
        "bars": bars,
        "labels": tick_labels(scale, tick or format),
        "reference": _texts([(scale.at(reference[0]), reference[1])]) if reference else "",
    }


def _scale(values: Sequence[float], domain: tuple[float, float] | None) -> Scale:
    if domain is None:
        ticks = nice_ticks(min(values), max(values))
        return Scale(ticks[0], ticks[-1], tuple(ticks))
    low, high = domain
    return Scale(low, high, tuple(t for t in nice_ticks(low, high) if low <= t <= high))
