"""Format numbers, durations, dates and text for display."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

ABSENT = "–"


def finite(value: Any) -> float | None:
    """The value as a finite float, or None where it is none: recorded data may hold null."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # JSON allows whole numbers that no float holds
        return None


def number(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    v = finite(value)
    if v is None:
        return ABSENT
    if v and abs(v) >= 10_000:
        return f"{v:,.0f}".replace("-", "−")
    text = f"{v:+.{digits}f}" if sign else f"{v:.{digits}f}"
    # A rounded zero has no sign.
    if not any(c in "123456789" for c in text):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(value: Any, digits: int = 0) -> str:
    v = finite(value)
    return ABSENT if v is None else number(100 * v, digits) + "%"


def nats(value: Any) -> str:
    """A KL in nats, with four digits below 0.01."""
    v = finite(value)
    return number(v, 4 if v is not None and 0 < abs(v) < 0.01 else 2)


def count(value: Any) -> str:
    v = finite(value)
    return ABSENT if v is None else f"{v:,.0f}"


def of_n(value: Any) -> str:
    """``n = 200``, to stand beside a share; empty where the number is not known."""
    return "" if finite(value) is None else f"n = {count(value)}"


def span(interval: Any, *, as_percent: bool = False) -> str:
    """``low to high`` of an interval, or nothing where it has no bounds."""
    if not isinstance(interval, Mapping):
        return ""
    low, high = finite(interval.get("low")), finite(interval.get("high"))
    if low is None or high is None:
        return ""
    if as_percent:
        return f"{number(100 * low, 0)}–{percent(high)}" if low >= 0 else f"{percent(low)} to {percent(high)}"
    return f"{number(low)} to {number(high)}"


def duration(seconds: Any) -> str:
    v = finite(seconds)
    if v is None:
        return ABSENT
    if v < 10:
        return f"{v:.1f} s"
    whole = round(v)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def date(timestamp: Any) -> str:
    """A day in UTC: the same run folder reads the same wherever it is opened."""
    v = finite(timestamp)
    if v is None:
        return ""
    try:
        day = datetime.datetime.fromtimestamp(v, datetime.UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return f"{day.day} {day:%B %Y}"


def clean(text: Any) -> str:
    """Text that any file can hold: control characters as their pictures, lone surrogates replaced."""
    result = []
    for character in str(text):
        code = ord(character)
        if code < 32 and character not in "\n\t":
            character = chr(0x2400 + code)
        elif code == 127 or 128 <= code < 160 or 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE:
            character = "\ufffd"
        result.append(character)
    return "".join(result)


def words(name: str) -> str:
    """``belief_false`` as ``belief false``."""
    return clean(name).replace("_", " ").replace("-", " ").strip()


def temperature(value: Any) -> str:
    """A sampling temperature: 0.3, 1."""
    v = finite(value)
    return ABSENT if v is None else f"{v:g}"


def after(updates: int) -> str:
    """When in a run something stood at its peak."""
    return f"after {updates} updates" if updates else "before the first update"
