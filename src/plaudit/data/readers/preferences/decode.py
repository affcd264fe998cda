"""Decodes judgements once all codes of a file are known, or refuses the file with every possible reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.baselines import longer_wins
from plaudit.data.readers.label_codes import code
from plaudit.data.readers.preferences.codes import (
    CodedColumn,
    CodedComparison,
    Place,
    Reading,
    by_text,
    coding,
    numeric,
    readings_of,
)
from plaudit.data.readers.preferences.doubts import (
    contradictions,
    note_doubts,
    read_by_text,
    without_negative_strengths,
)
from plaudit.data.readers.preferences.words import StatedPreference, bare, verdict_of
from plaudit.data.readers.read_report import Fault, ReadReport
from plaudit.data.records import Comparisons, Outcome, Preference, Ranking

# Codes that a message shows, the most frequent first.
SHOWN = 8
Say = Callable[[Any, Sequence[frozenset[str]]], StatedPreference | None]


def settle(
    items: Sequence[tuple[Place, CodedComparison]],
    labels: Mapping[str, str],
    report: ReadReport,
    beyond: Iterable[str] = (),
) -> list[Preference | None]:
    """A record for each judged row of a file, None for one that is dropped.

    A file whose codes have several readings is refused with all of them. ``beyond`` are codes of rows beyond the
    limit, which are only read if the codes are numbers or truth values.
    """
    where = items[0][1].where
    if _unfit(labels, where, report):
        return []
    items = without_negative_strengths(items, report)
    codes = Counter(code(s.value) for _, item in items for s in item.said)
    seen = list(codes)
    if not labels and where.column and any(map(is_open, seen)):
        seen = list(dict.fromkeys((*seen, *beyond)))
    if max(len(item.responses) for _, item in items) > 2:
        return _best_of_many(items, seen, labels, report)
    say = _say(items, seen, codes, labels, report)
    if say is None:
        return []
    found = [(place, _record(item, say)) for place, item in items]
    for place, record in found:
        if isinstance(record, Fault):
            report.drop(record, *place)
            report.kept -= 1
    for key in labels if where.column else ():
        if key not in seen and key not in ("negative", "positive"):
            report.note(f"labels: no row of {where.column!r} says {key}")
    kept = [(item, r) for (_, item), (_, r) in zip(items, found) if not isinstance(r, Fault)]
    against, compared = contradictions((r.comparisons(), item.scores) for item, r in kept)
    if against:
        report.note(
            f"the scores of the answers contradict the choice in {against:,} of {compared:,} judgements; "
            "the choice is used"
        )
    note_doubts([item for item, _ in kept], [r.comparisons() for _, r in kept], report)
    return [None if isinstance(r, Fault) else r for _, r in found]


def is_open(key: str) -> bool:
    """Whether the meaning of a code depends on the file: a number, or true and false."""
    return numeric(key) is not None or key in ("true", "false")


def _unfit(labels: Mapping[str, str], where: CodedColumn, report: ReadReport) -> bool:
    if labels and not where.column:
        report.refuse(
            "labels says what codes mean, but here the names of the columns say which answer is better",
            field="labels",
            remedy="leave it out",
        )
        return True
    wrong = [f"{k}={m}" for k, m in labels.items() if m in ("good", "bad")]
    if wrong:
        report.refuse(
            f"labels says {', '.join(wrong)}, but {where.column!r} is about two answers",
            field="labels",
            remedy="write first, second, tie or drop",
        )
    return bool(wrong)


def _say(
    items: Sequence[tuple[Place, CodedComparison]],
    seen: Sequence[str],
    codes: Counter[str],
    labels: Mapping[str, str],
    report: ReadReport,
) -> Say | None:
    """The function that decodes the codes, or None if the file is refused."""
    where = items[0][1].where
    if labels:
        report.note(_settled(where, Reading("as labels says", labels), seen))
        return coding(where, labels)
    open_ = [c for c in seen if is_open(c)]
    by_texts = [(item, s.value, by_text(s.value, item.called)) for _, item in items for s in item.said]
    if all(verdict is not None for _, _, verdict in by_texts):
        return read_by_text(by_texts, where, open_, report)
    if not open_:
        return coding(where, {})
    ties = any(v is not None and v.share == 0.5 for c in seen if (v := verdict_of(c, where.names)))
    readings = readings_of(where, open_, has_ties=ties)
    words = [c for c in seen if c not in open_]
    if not readings and sum(codes[c] for c in words) > sum(codes[c] for c in open_):
        return coding(where, {})
    if len(readings) == 1:
        report.note(_settled(where, readings[0], open_))
        return coding(where, readings[0].mapping)
    _refuse(items, open_, codes, readings, report)
    return None


def _settled(where: CodedColumn, reading: Reading, seen: Sequence[str]) -> str:
    sides = {"first": where.names[0], "second": where.names[1], "tie": "a tie"}
    said = ", ".join(f"{k} is {sides[m]}" for k, m in _occurring(reading, seen).items() if m in sides)
    return f"{where.column!r}: {said} ({reading.words})"


def _refuse(
    items: Sequence[tuple[Place, CodedComparison]],
    open_: Sequence[str],
    codes: Counter[str],
    readings: Sequence[Reading],
    report: ReadReport,
) -> None:
    where = items[0][1].where
    counts = ", ".join(f"{c} ({codes[c]:,}×)" for c in sorted(open_, key=lambda c: -codes[c])[:SHOWN])
    if not readings:
        report.refuse(
            f"{where.column!r} holds numbers that name neither answer: {counts}",
            field=where.column,
            remedy="say what each means: --labels 0=first,1=second,2=tie (in a recipe: labels: {0: first, …}); if "
            "they are shares, write which answer is better, and how much better into 'strength'",
        )
        return
    report.refuse(
        f"{where.column!r} says {counts}, which can be read in {len(readings)} ways, one of which trains on "
        "the opposite of the judgements",
        field=where.column,
        remedy="choose one by --labels or, in a recipe's source, {path: …, labels: {0: first, 1: second}}",
    )
    for reading in readings:
        report.refuse(
            f"{reading.words}: {_come_to(items, reading)}",
            field=where.column,
            remedy="--labels " + ",".join(f"{c}={m}" for c, m in _occurring(reading, open_).items()),
        )


def _occurring(reading: Reading, codes: Sequence[str]) -> Mapping[str, str]:
    """The reading's mapping for the codes that occur, or all of it if none does."""
    kept = {k: m for k, m in reading.mapping.items() if k in codes or k in ("negative", "positive")}
    return kept or reading.mapping


def _come_to(items: Sequence[tuple[Place, CodedComparison]], reading: Reading) -> str:
    """The result of a reading: counts, and how often the longer answer wins."""
    where = items[0][1].where
    say = coding(where, reading.mapping)
    records = [(item, r) for _, item in items if not isinstance(r := _record(item, say), Fault)]
    shares = Counter(o.result for _, r in records for o in r.comparisons().outcomes)
    longer = longer_wins(r for _, r in records)
    text = f"{where.names[0]} is better in {shares[1.0]:,}, {where.names[1]} in {shares[0.0]:,}"
    text += f", ties {shares[0.5]:,}" + ("" if longer is None else f"; the longer answer wins {longer:.2f}")
    against, compared = contradictions((r.comparisons(), item.scores) for item, r in records)
    return text + (f"; the scores beside them disagree in {against:,} of {compared:,}" if compared else "")


def _record(item: CodedComparison, say: Say) -> Preference | Fault:
    """A ranking from one judgement; comparisons from several."""
    verdicts = [say(s.value, item.called) for s in item.said]
    for said, verdict in zip(item.said, verdicts):
        if verdict is None:
            return _unread(said.value, item.where)
    judged = [(s, v) for s, v in zip(item.said, verdicts) if v is not None and v.share is not None]
    if not judged:
        return Fault("set aside by labels", "labels leaves this judgement out", field=item.where.column)
    if len(judged) > 1:
        outcomes = tuple(
            Outcome(0, 1, v.share, item.strength or v.strength, item.weight, s.rater)
            for s, v in judged
            if v.share is not None
        )
        return Comparisons(item.prompt, item.responses, outcomes, item.metadata)
    ((said, verdict),) = judged
    groups = {1.0: ((0,), (1,)), 0.0: ((1,), (0,)), 0.5: ((0, 1),)}[verdict.share or 0.0]
    strength = item.strength if item.strength is not None else verdict.strength
    return Ranking(
        item.prompt,
        item.responses,
        groups,
        said.rater,
        item.weight,
        strength if verdict.share != 0.5 else item.strength,
        item.metadata,
    )


def _unread(value: Any, where: CodedColumn) -> Fault:
    ends = where.ends
    return Fault(
        "bad label",
        f"{value!r} names neither answer",
        field=where.column,
        remedy=f"write {ends[0]!r}, {ends[1]!r} or 'tie', or say what it means: "
        f"--labels {code(value)}=first (or second, tie, drop)",
    )


def _best_of_many(
    items: Sequence[tuple[Place, CodedComparison]],
    seen: Sequence[str],
    labels: Mapping[str, str],
    report: ReadReport,
) -> list[Preference | None]:
    """Comparisons from the position of the best of K answers: it beats each other one; the rest is not compared."""
    where = items[0][1].where
    places = {n for c in seen if (n := numeric(c)) is not None}
    most = min(len(item.responses) for _, item in items)
    if labels:
        report.refuse(
            "labels says which of two answers a code means, but there are more than two here",
            field="labels",
            remedy="leave it out, and write the position of the best answer, or 'ranking'",
        )
        return []
    hits = [{bare(str(s.value))} & set().union(*item.called) for _, item in items for s in item.said]
    if places and (all(hits) or (0 in places) == (max(places) >= most)):
        doubt = (
            "each is also the text of one answer"
            if all(hits)
            else "it is unclear whether the first is 0 or 1"
        )
        report.refuse(
            f"{where.column!r} names a position among the answers, and {doubt}",
            field=where.column,
            remedy="write 'ranking': the positions from 0, best first, or 'ranks': 1 is best",
        )
        return []
    start = 0 if 0 in places else 1
    if places:
        report.note(f"{where.column!r} is the position of the best answer, counted from {start}")
    records: list[Preference | None] = []
    for place, item in items:
        best = _place(item, start)
        if not 0 <= best < len(item.responses):
            report.drop(_unread(item.said[0].value, where), *place)
            report.kept -= 1
            records.append(None)
            continue
        others = (i for i in range(len(item.responses)) if i != best)
        outcomes = tuple(
            Outcome(best, i, 1.0, item.strength, item.weight, item.said[0].rater) for i in others
        )
        records.append(Comparisons(item.prompt, item.responses, outcomes, item.metadata))
    return records


def _place(item: CodedComparison, start: int) -> int:
    """The index of the answer that a judgement calls best, by position or text; -1 for none."""
    value = item.said[0].value
    number = numeric(code(value))
    if number is not None:
        return int(number) - start if number.is_integer() else -1
    return next((i for i, names in enumerate(item.called) if bare(str(value)) in names), -1)
