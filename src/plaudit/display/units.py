"""Values of statistics as text, by their unit."""

from __future__ import annotations

from plaudit.display.formatting import ABSENT, count, duration, finite, number, percent, span

Value = str | float | int | bool | None


def value_text(value: Value, unit: str) -> str:
    """One value: 68%, +12 points, 0.45, 33 s."""
    if value is None:
        return ABSENT
    if unit == "flag" or isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "text" or isinstance(value, str):
        return str(value)
    if unit == "share":
        return percent(value)
    if unit == "difference":
        return f"{number(100 * float(value), 0, sign=True)} points"
    if unit == "count":
        return count(value)
    if unit == "seconds":
        return duration(value)
    if unit == "per minute":
        return number(value, 0)
    return number(value, 2, sign=unit == "log odds")


def interval_text(low: Value, high: Value, unit: str) -> str:
    """An interval in as few signs as can be: 63–74%, −0.1 to 0.4. Nothing where it has no bounds."""
    a, b = finite(low), finite(high)
    if a is None or b is None:
        return ""
    if unit == "share":
        return span({"low": a, "high": b}, as_percent=True)
    if unit == "difference":
        return f"{number(100 * a, 0, sign=True)} to {number(100 * b, 0, sign=True)}"
    if unit in ("seconds", "per minute", "count"):
        # Times below ten seconds have a decimal, as the value beside them has.
        digits = 1 if unit == "seconds" and max(abs(a), abs(b)) < 10 else 0
        return f"{number(a, digits)} to {number(b, digits)}"
    return span({"low": a, "high": b})


def plural(n: int | float, one: str) -> str:
    """``1 item``, ``2 items``."""
    return f"{count(n)} {one if n == 1 else one + 's'}"
