"""Axes: round ticks, and where a value stands between two ends, in percent of the width."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PAD = 3.0  # percent kept free at either end, so that marks and labels at the ends are whole


def nice_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that cover [low, high], ends included."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def percent_of_width(value: float, low: float, high: float) -> float:
    """The position of a value between two ends, clipped to them, in percent."""
    return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2)


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values and its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The position of a value in percent of the width, clipped to the scale's ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(PAD + share * (100 - 2 * PAD), 2)


SHARES = Scale(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))


def scale_of(values: Iterable[float | None], *, about: int = 4, least: float = 0.0) -> Scale:
    """A scale of round numbers that holds the values, and ``least`` on either side of 0."""
    known = [v for v in values if v is not None and math.isfinite(v)] + [-least, least]
    ticks = tuple(nice_ticks(min(known), max(known), about))
    return Scale(ticks[0], ticks[-1], ticks)
