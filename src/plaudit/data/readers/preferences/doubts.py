"""Notes what contradicts a choice between two answers: scores, other verdicts, negative strengths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from plaudit.data.readers.label_codes import code
from plaudit.data.readers.preferences.codes import (
    CodedColumn,
    CodedComparison,
    Place,
    by_text,
    coding,
    readings_of,
)
from plaudit.data.readers.preferences.words import StatedPreference
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.records import Comparisons


def note_doubts(items: Sequence[CodedComparison], found: Sequence[Comparisons], report: ReadReport) -> None:
    """Note ties and equal scores beside ``chosen`` and ``rejected``, and other columns that contradict the choice."""
    column = items[0].where.column if items else ""
    scored = [(i.scores, o) for i, c in zip(items, found) if i.scores for o in c.outcomes if o.result != 0.5]
    if equal := sum(scores[o.left] == scores[o.right] for scores, o in scored):
        report.note(
            f"the scores of the answers are equal in {equal:,} of {len(scored):,} judgements; the choice is used"
        )
    ties = sum(o.result == 0.5 for c in found for o in c.outcomes)
    if ties and not column:
        report.note(f"{ties:,} of {len(items):,} pairs are ties, as a column beside them says")
    for rival in dict.fromkeys(c for item in items for c in item.rivals):
        held = [(i.rivals[rival], o) for i, c in zip(items, found) if rival in i.rivals for o in c.outcomes]
        if against := sum(share != o.result for share, o in held):
            report.note(
                f"{rival!r} contradicts {column!r} in {against:,} of {len(held):,} judgements; {column!r} is used"
            )


def without_negative_strengths(
    items: Sequence[tuple[Place, CodedComparison]], report: ReadReport
) -> Sequence[tuple[Place, CodedComparison]]:
    """Remove negative strengths of ``chosen`` over ``rejected``, which contradict the choice, and note how many."""
    given = [item.strength for _, item in items if item.strength is not None]
    negative = sum(strength < 0 for strength in given)
    if items[0][1].where.column or not negative:
        return items
    report.note(
        f"the margin or strength beside the answers is negative in {negative:,} of {len(given):,} judgements, which "
        "contradicts the choice; the choice is used, without a strength there"
    )
    return [
        (place, replace(item, strength=None) if (item.strength or 0) < 0 else item) for place, item in items
    ]


def contradictions(pairs: Any) -> tuple[int, int]:
    """How many judgements the scores contradict, and how many have scores: (against, compared); ties do not count."""
    against = compared = 0
    for comparisons, scores in pairs:
        if scores is None:
            continue
        for o in comparisons.outcomes:
            if o.result != 0.5:
                compared += 1
                difference = scores[o.left] - scores[o.right]
                against += difference * (o.result - 0.5) < 0
    return against, compared


def _ask_of_text(value: Any, where: CodedColumn, report: ReadReport) -> None:
    report.refuse(
        f"{where.column!r} says {str(value)[:40]!r}: it is the text of one answer, and as a code it names the other",
        field=where.column,
        remedy=f"write the name of the better answer's column, {where.names[0]!r} or {where.names[1]!r}; or say "
        f"what codes mean: --labels {code(value)}=first (or second)",
    )


def read_by_text(
    found: Sequence[tuple[CodedComparison, Any, StatedPreference | None]],
    where: CodedColumn,
    open_: Sequence[str],
    report: ReadReport,
) -> Callable[[Any, Sequence[frozenset[str]]], StatedPreference | None] | None:
    """The decoding of values that are all texts of one answer; refuses them if as codes they name the other one."""
    readings = readings_of(where, open_) if open_ else []
    say = coding(where, readings[0].mapping if len(readings) == 1 else {})
    codes = [(say(value, ()), text) for _, value, text in found]
    if any(c is not None and text is not None and c.share != text.share for c, text in codes):
        _ask_of_text(found[0][1], where, report)
        return None
    if open_ or any(c is None for c, _ in codes):
        report.note(f"{where.column!r} names the better answer by its text or its model")
    return by_text
