"""Rows of an interval figure: a name, a mark on a shared scale, and the numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from plaudit.display import interval_figure
from plaudit.display.scale import SHARES, Scale, scale_of
from plaudit.display.units import Value, interval_text, plural, value_text
from plaudit.feedback.quality.references import Reference

NONE_AT: Mapping[str, float] = {"position_bias": 0.0, "longer_preferred": 0.5, "length_bias": 0.0}
# How far a scale reaches at least, so that a narrow interval near none does not look like a finding.
LEAST: Mapping[str, float] = {"position_bias": 0.2, "length_bias": 1.0}
ENDS: Mapping[str, tuple[str, str]] = {
    "position_bias": ("last preferred", "first preferred"),
    "longer_preferred": ("shorter preferred", "longer preferred"),
    "length_bias": ("shorter preferred", "longer preferred"),
}

EMPTY = Markup("")


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A measure with everything that a reader may want of it."""

    name: str
    title: str
    text: str
    beside: str
    rests_on: str
    published: str
    reference: str
    help: str
    figure: Markup
    labels: Markup = EMPTY
    ends: tuple[str, str] = ("", "")
    known: bool = True


@dataclass(frozen=True, slots=True)
class IntervalRows:
    """Rows on one scale, and the scale's numbers."""

    rows: tuple[IntervalRow, ...]
    labels: Markup


def measure_row(
    measures: Mapping[str, Mapping[str, Value]], name: str, scale: Scale | None = None
) -> IntervalRow | None:
    """A measure of the project's table on a scale of its own, unless it is given one. None where it is not there."""
    row = measures.get(name)
    if row is None:
        return None
    unit = str(row["unit"])
    own = scale is None
    if scale is None:
        shares = unit == "share"
        scale = SHARES if shares else scale_of(_numbers(row), least=LEAST.get(name, 0.0))
    low, high = _number(row["reference_low"]), _number(row["reference_high"])
    return IntervalRow(
        name=name,
        title=str(row["title"]),
        text=value_text(row["value"], unit),
        beside=interval_text(row["low"], row["high"], unit),
        rests_on=plural(_number(row["n"]) or 0, "item") if row["n"] is not None else "",
        published=_published(low, high, unit),
        reference=str(row["reference"] or ""),
        help=str(row["help"] or ""),
        figure=interval_figure.interval(
            scale,
            _number(row["value"]),
            _number(row["low"]),
            _number(row["high"]),
            none=NONE_AT.get(name),
            band=(low, high) if low is not None and high is not None else None,
        ),
        labels=interval_figure.tick_labels(scale, lambda v: _tick(v, unit)) if own else EMPTY,
        ends=ENDS.get(name, ("", "")),
        known=row["value"] is not None,
    )


def measure_rows(
    measures: Mapping[str, Mapping[str, Value]], names: Iterable[str], *, low: float, high: float
) -> IntervalRows:
    """Several measures on one scale from ``low`` to ``high``, extended to hold all values."""
    chosen = [n for n in names if n in measures]
    values = [v for n in chosen for v in _numbers(measures[n])]
    inside = all(low <= v <= high for v in values)
    scale = SHARES if inside and (low, high) == (0, 1) else scale_of([*values, low, high])
    shares = all(str(measures[n]["unit"]) == "share" for n in chosen)
    rows = tuple(m for n in chosen if (m := measure_row(measures, n, scale)) is not None)
    return IntervalRows(
        rows, interval_figure.tick_labels(scale, lambda v: _tick(v, "share" if shares else "score"))
    )


def published_rows(ours: IntervalRow, references: Sequence[Reference]) -> IntervalRows:
    """Our value first, then each study's, on the scale of shares."""
    rows = [ours]
    for r in references:
        rows.append(
            IntervalRow(
                name="",
                title=r.source,
                text=_published(r.low, r.high, "share"),
                beside="",
                rests_on="",
                published="",
                reference="",
                help=r.what,
                figure=interval_figure.published(SHARES, r.low, r.high),
            )
        )
    return IntervalRows(tuple(rows), interval_figure.tick_labels(SHARES, lambda v: value_text(v, "share")))


def win_rate_rows(rows: Sequence[Mapping[str, Value]]) -> IntervalRows:
    """Expected win rates, the highest first."""
    made = [
        IntervalRow(
            name="",
            title=str(row["model"]),
            text=value_text(row["win_rate"], "share"),
            beside=interval_text(row["win_rate_low"], row["win_rate_high"], "share"),
            rests_on=plural(_number(row["comparisons"]) or 0, "comparison"),
            published="",
            reference="",
            help="",
            figure=interval_figure.interval(
                SHARES,
                _number(row["win_rate"]),
                _number(row["win_rate_low"]),
                _number(row["win_rate_high"]),
                tone="trained",
                none=0.5,
            ),
        )
        for row in rows
    ]
    return IntervalRows(tuple(made), interval_figure.tick_labels(SHARES, lambda v: value_text(v, "share")))


def _tick(value: float, unit: str) -> str:
    """A number of a scale, as short as it can be."""
    if unit in ("share", "difference"):
        return value_text(value, unit).replace(" points", "")
    return f"{value:g}".replace("-", "−")


def _published(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    return value_text(low, unit) if low == high else interval_text(low, high, unit)


def _numbers(row: Mapping[str, Value]) -> list[float]:
    values = (_number(row[n]) for n in ("value", "low", "high", "reference_low", "reference_high"))
    return [v for v in values if v is not None]


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
