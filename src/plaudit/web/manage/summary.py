"""The statistics as sentences, including what cannot be concluded yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from plaudit.display.formatting import percent
from plaudit.display.units import Value, interval_text, plural, value_text
from plaudit.feedback.project_progress import ProjectProgress
from plaudit.feedback.quality.tables import Table
from plaudit.web.manage.throughput import Throughput

FEW = 20  # items below which a share's interval spans some 40 points
FEW_KNOWN = 5  # gold and repeats are few by design; below this nothing is said
NARROW = 0.05  # a bias whose interval lies within this of none counts as none
MANY_SKIPS, MANY_QUICK = 0.1, 0.05
MISSED_BY = 3  # judgements of a gold item before its being missed means something

Row = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Sentence:
    """``tone``: "warn" needs attention, "base" cannot be concluded yet, "ok" otherwise."""

    tone: str
    text: str


def summary(tables: Mapping[str, Table], standing: ProjectProgress, pace: Throughput) -> list[Sentence]:
    """What this project's numbers say, the most important first."""
    measures = {str(r["measure"]): r for r in tables["project"].rows}
    found = [_progress(standing, pace)]
    if not standing.judgements:
        return found
    found += _agreement(measures)
    found += _known(measures, tables["golds"].rows)
    found += _steadiness(measures)
    found += _position(measures)
    found += _length(measures)
    found += _care(measures, standing)
    return found


def _progress(standing: ProjectProgress, pace: Throughput) -> Sentence:
    if not standing.items:
        return Sentence("base", "There are no items to judge yet.")
    share = percent(standing.given / standing.wanted if standing.wanted else None)
    text = f"{share} of the judgements wanted are there: {standing.given:,} of {standing.wanted:,}."
    missing = standing.wanted - standing.given
    days = pace.days_left(missing)
    if missing <= 0:
        return Sentence("ok", "All judgements wanted are there.")
    if days is None:
        return Sentence("base", f"{text} Too little was judged lately to say when the rest will be.")
    rest = "less than a day" if days < 1 else f"about {plural(round(days), 'day')}"
    return Sentence("ok", f"{text} At the pace of the last days the rest takes {rest}.")


def _agreement(measures: Mapping[str, Row]) -> Iterator[Sentence]:
    row = measures.get("agreement")
    items = _number(measures.get("items_shared"), "value")
    if row is None or row["value"] is None or items < FEW:
        yield Sentence(
            "base",
            f"Only {plural(items, 'item')} were judged by two or more labelers: too few to say how well they agree."
            if items != 1
            else "Only one item was judged by two or more labelers: too few to say how well they agree.",
        )
        return
    text = f"Where two labelers decide on the same two answers, they agree in {_with_interval(row)}"
    low, high = row["reference_low"], row["reference_high"]
    if low is None or high is None or row["low"] is None:
        yield Sentence("ok", f"{text}.")
        return
    published = interval_text(low, high, "share")
    if float(row["high"] or 0) < float(low):
        yield Sentence(
            "warn",
            f"{text}. That is below what published projects report ({published}): look at the items that divide "
            "people most, and at what the guidelines leave open.",
        )
    elif float(row["low"] or 0) > float(high):
        yield Sentence("ok", f"{text}, above what published projects report ({published}).")
    else:
        yield Sentence("ok", f"{text}, comparable to what published projects report ({published}).")


def _known(measures: Mapping[str, Row], golds: Sequence[Row]) -> Iterator[Sentence]:
    row = measures.get("gold_agreement")
    if row is not None and row["value"] is not None:
        if _number(row, "n") < FEW_KNOWN:
            yield Sentence("base", "Too few gold items were judged to say how well labelers do on them.")
        else:
            yield Sentence(
                "ok", f"On gold items, whose answer is known, they decide like it in {_with_interval(row)}."
            )
    missed = [g for g in golds if _number(g, "judgements") >= MISSED_BY and _number(g, "agreement") < 0.5]
    if missed:
        what = (
            "A gold or calibration item is"
            if len(missed) == 1
            else f"{len(missed)} gold or calibration items are"
        )
        yield Sentence("warn", f"{what} missed by most: check whether the accepted ranking is right.")


def _steadiness(measures: Mapping[str, Row]) -> Iterator[Sentence]:
    row = measures.get("self_consistency")
    if row is not None and row["value"] is not None and _number(row, "n") >= FEW_KNOWN:
        yield Sentence("ok", f"Shown an item again, labelers decide as before in {_with_interval(row)}.")


def _position(measures: Mapping[str, Row]) -> Iterator[Sentence]:
    row = measures.get("position_bias")
    if row is None or row["low"] is None or row["high"] is None or _number(row, "n") < FEW:
        return
    low, high = float(row["low"]), float(row["high"])
    size = f"{value_text(row['value'], 'difference')}, {interval_text(low, high, 'difference')}"
    if low > 0 or high < 0:
        which = "first" if low > 0 else "last"
        yield Sentence(
            "warn",
            f"The answer shown {which} is preferred more often than chance ({size}). Orders are mixed, so this favors "
            "no model, but it makes labels noisier.",
        )
    elif low >= -NARROW and high <= NARROW:
        yield Sentence(
            "ok", f"The order in which answers are shown makes no difference that matters ({size})."
        )
    else:
        yield Sentence("base", f"Whether the order of answers matters cannot be said yet ({size}).")


def _length(measures: Mapping[str, Row]) -> Iterator[Sentence]:
    row = measures.get("longer_preferred")
    if row is None or row["low"] is None or row["high"] is None or _number(row, "n") < FEW:
        return
    if float(row["low"]) > 0.5:
        yield Sentence(
            "warn",
            f"The longer answer is preferred in {_with_interval(row)}. It may also be the better one: read some of "
            "these before you train on them.",
        )
    elif float(row["high"]) < 0.5:
        yield Sentence(
            "warn", f"The shorter answer is preferred: the longer one only in {_with_interval(row)}."
        )


def _care(measures: Mapping[str, Row], standing: ProjectProgress) -> Iterator[Sentence]:
    quick = measures.get("quick")
    if quick is not None and float(quick["low"] or 0) > MANY_QUICK:
        yield Sentence(
            "warn",
            f"{value_text(quick['value'], 'share')} of judgements took less time than the shortest answer takes "
            "to read.",
        )
    offered = standing.judgements + standing.skipped
    if standing.skipped and standing.skipped / offered > MANY_SKIPS:
        yield Sentence(
            "warn", f"{percent(standing.skipped / offered)} of what is offered is skipped: see the reasons."
        )


def _with_interval(row: Row) -> str:
    unit = str(row["unit"])
    between = interval_text(row["low"], row["high"], unit)
    return value_text(row["value"], unit) + (f" (95% interval {between})" if between else "")


def _number(row: Row | None, name: str) -> float:
    value = row[name] if row is not None else None
    return float(value) if isinstance(value, int | float) else 0.0
