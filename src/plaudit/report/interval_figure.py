"""Numbers with intervals as positions on a common scale, drawn by the style sheet alone.

Positions are shares of the available width, so that the same figure fits a phone and a wide screen
with text of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.display.formatting import finite
from plaudit.report.charts import nice_ticks


@dataclass(frozen=True)
class Entry:
    """One number with its interval, a label, a tone and an optional glossary term."""

    label: str
    tone: str
    value: Any
    term: str = ""
    note: str = ""

    @property
    def mean(self) -> float | None:
        return finite(self.value.get("mean") if isinstance(self.value, Mapping) else self.value)

    @property
    def bounds(self) -> tuple[float, float] | None:
        if not isinstance(self.value, Mapping):
            return None
        low, high = finite(self.value.get("low")), finite(self.value.get("high"))
        return None if low is None or high is None else (low, high)


def place(value: float, low: float, high: float) -> float:
    """The position of a value between two ends, in percent of the width."""
    return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


def interval_rows(
    entries: Sequence[Entry],
    *,
    format: Callable[[Any], str],
    tick: Callable[[Any], str] | None = None,
    spread: Callable[[Any], str],
    domain: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
    bars: bool = False,
) -> dict[str, Any] | None:
    """A figure of dots with whiskers (or bars from the left end), or None where nothing is known."""
    known = [e for e in entries if e.mean is not None]
    if not known:
        return None
    if domain is None:
        values = [v for e in known for v in (e.mean, *(e.bounds or ()))]
        if reference:
            values.append(reference[0])
        ticks = nice_ticks(min(v for v in values if v is not None), max(v for v in values if v is not None))
        domain = ticks[0], ticks[-1]
    else:
        ticks = nice_ticks(*domain)
    low, high = domain
    rows = []
    for e in known:
        assert e.mean is not None
        row: dict[str, Any] = {
            "label": e.label,
            "tone": e.tone,
            "term": e.term,
            "note": e.note,
            "at": place(e.mean, low, high),
            "text": format(e.mean),
            "spread": spread(e.value),
        }
        if e.bounds:
            start, end = (place(v, low, high) for v in e.bounds)
            row |= {"start": start, "width": round(end - start, 2)}
        rows.append(row)
    return {
        "rows": rows,
        "bars": bars,
        "ticks": [
            {"at": place(t, low, high), "text": (tick or format)(t)} for t in ticks if low <= t <= high
        ],
        "reference": {"at": place(reference[0], low, high), "text": reference[1]} if reference else None,
    }
