"""The meaning of the codes of a preference: decided once per file, or refused with every possible reading.

Words say which answer they mean. A number does so only if it is the suffix of an answer's column (1 and 2 with
``response_1`` and ``response_2``), a position in a list, or if its column is documented. Any other number has two
readings, one of which trains on the opposite of the judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.data.readers.label_codes import code
from plaudit.data.readers.preferences.words import (
    DROP,
    FIRST,
    SECOND,
    TIE,
    StatedPreference,
    bare,
    endings,
    verdict_of,
)
from plaudit.data.records import Prompt, Response

# The line of a row, and its number if the line alone does not locate it.
Place = tuple[int, int | None]

MEANT = {"first": FIRST, "second": SECOND, "tie": TIE, "drop": DROP}
# Columns whose publishers document that a negative number means the first answer.
NEGATIVE_FIRST = {
    "preference_strength": "HelpSteer2",
    "overall_preference": "HelpSteer3",
}
# The ends of their scales; what lies beyond, such as -100, stands for no judgement.
WIDEST = 3
POSITIONS = ("_id", "_idx", "_index", "_position")


@dataclass(frozen=True)
class Reading:
    """One possible meaning of the codes: ``mapping`` by code, described by ``words``."""

    words: str
    mapping: Mapping[str, str]


@dataclass(frozen=True)
class CodedColumn:
    """The column that holds the codes, and the columns of the two answers.

    ``places``: the answers are a list, and numbers are positions in it.
    """

    column: str
    names: tuple[str, str]
    places: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        return endings(self.names)


def numeric(value: str) -> float | None:
    """A code as a number; None for a word."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def readings_of(where: CodedColumn, codes: Sequence[str], *, has_ties: bool = False) -> list[Reading]:
    """Every possible reading of the codes (numbers and truth values) of a column; one if it is clear.

    ``has_ties``: ties are written as words, so no number means a tie.
    """
    truths = {c for c in codes if c in ("true", "false")}
    numbers = sorted({n for c in codes if (n := numeric(c)) is not None})
    side = verdict_of(where.column, where.names)
    if side is not None and side.share in (0.0, 1.0) and not set(numbers) - {0.0, 0.5, 1.0}:
        return [_named(side)]
    if truths:
        return _truths(where) if not numbers else []
    found = _plain(where, numbers)
    if where.column in NEGATIVE_FIRST and min(numbers, default=-1) >= 0:
        # A part of the rows, all of them for the second answer, or codes of one's own in a column of that name.
        return [_documented(where), *([found] if found else _several(where, numbers))]
    if found is not None:
        return [found]
    several = [r for r in _several(where, numbers) if not (has_ties and "tie" in _whole(r, numbers))]
    return several or _scales(numbers)


def _named(side: StatedPreference) -> Reading:
    """A column such as ``a_is_better``: true or 1 says so, false or 0 says the other."""
    yes, no = ("first", "second") if side.share == 1.0 else ("second", "first")
    return Reading("as the column's name says", {"true": yes, "false": no, "1": yes, "0": no, "0.5": "tie"})


def _truths(where: CodedColumn) -> list[Reading]:
    return [
        Reading("true says the first", {"true": "first", "false": "second"}),
        Reading("true says the second", {"true": "second", "false": "first"}),
    ]


def _plain(where: CodedColumn, numbers: Sequence[float]) -> Reading | None:
    """The only reading of numbers whose meaning is clear; None if it is not."""
    low, high = (numeric(end) if end.isdigit() else None for end in where.ends)
    present = set(numbers)
    if where.column == "labels" and where.names[0].startswith("human_ref"):
        return Reading("as SHP documents it: 1 is A", {"1": "first", "0": "second"})
    if where.column in NEGATIVE_FIRST and min(numbers, default=0) < 0:
        return _documented(where)
    if where.places or where.column.endswith(POSITIONS):
        if present <= {0, 1} and 0 in present:
            return Reading("places counted from 0", {"0": "first", "1": "second"})
        if present <= {1, 2} and 2 in present:
            return Reading("places counted from 1", {"1": "first", "2": "second"})
        if where.places:
            return None
    if low is None or high is None:
        return None
    if present and present <= {low, high, (low + high) / 2}:
        mapping = {f"{low:g}": "first", f"{high:g}": "second", f"{(low + high) / 2:g}": "tie"}
        return Reading("the endings of the columns", mapping)
    return None


def _documented(where: CodedColumn) -> Reading:
    words = f"as {NEGATIVE_FIRST[where.column]} documents it: a negative number says the first"
    return Reading(words, {"negative": "first", "0": "tie", "positive": "second"})


def _several(where: CodedColumn, numbers: Sequence[float]) -> list[Reading]:
    """The possible readings of ambiguous numbers."""
    present = {n for n in numbers if n not in (0.5, 1.5)}
    halves = {f"{n:g}": "tie" for n in numbers if n in (0.5, 1.5)}
    zero = Reading("counted from 0, 2 is a tie", {"0": "first", "1": "second", "2": "tie"} | halves)
    one = Reading("counted from 1, 0 is a tie", {"0": "tie", "1": "first", "2": "second"} | halves)
    yes = Reading("1 says yes to the first", {"1": "first", "0": "second"} | halves)
    from_zero = Reading("counted from 0", {"0": "first", "1": "second"} | halves)
    if any(n < 0 for n in present):
        signed = [
            Reading("negative says the first", {"negative": "first", "0": "tie", "positive": "second"}),
            Reading("negative says the second", {"negative": "second", "0": "tie", "positive": "first"}),
        ]
        index = Reading("counted from 0, -1 is a tie", {"-1": "tie", "0": "first", "1": "second"})
        return [*signed, index] if present <= {-1, 0, 1} and 0 in present else signed
    if not present or present <= {0, 1}:
        from_one = [] if halves else [Reading("counted from 1, 0 is a tie", {"0": "tie", "1": "first"})]
        return [from_zero, yes, *from_one]
    if present <= {0, 1, 2}:
        first = Reading("counted from 1", {"1": "first", "2": "second"} | halves)
        return [zero, one] if 0 in present else [first, zero]
    if present <= {1, 2, 3}:
        return [
            Reading("counted from 1, 3 is a tie", {"1": "first", "2": "second", "3": "tie"}),
            Reading("a scale with the tie in the middle", {"1": "first", "2": "tie", "3": "second"}),
        ]
    return []


def _scales(numbers: Sequence[float]) -> list[Reading]:
    """Both directions of a scale from one answer to the other, of a few whole numbers."""
    whole = [n for n in numbers if n.is_integer()]
    if not numbers or len(whole) < len(numbers) or len(numbers) > 11 or len(numbers) < 2:
        return []
    middle = (numbers[0] + numbers[-1]) / 2

    def reading(words: str, low: str, high: str) -> Reading:
        mapping = {f"{n:g}": "tie" if n == middle else low if n < middle else high for n in numbers}
        return Reading(words, mapping)

    return [
        reading("a scale, low numbers say the first", "first", "second"),
        reading("a scale, low numbers say the second", "second", "first"),
    ]


def _whole(reading: Reading, numbers: Sequence[float]) -> set[str]:
    """The meanings that a reading gives to the whole numbers that occur."""
    return {reading.mapping.get(f"{n:g}", "") for n in numbers if n.is_integer()}


def coding(
    where: CodedColumn, mapping: Mapping[str, str]
) -> Callable[[Any, Sequence[frozenset[str]]], StatedPreference | None]:
    """A function from a value to a preference: by ``mapping``, else as a word, else by names in the row."""

    def said(value: Any, called: Sequence[frozenset[str]] = ()) -> StatedPreference | None:
        key = code(value)
        if key in mapping:
            return MEANT.get(mapping[key])
        number = numeric(key)
        if number is not None and where.column in NEGATIVE_FIRST and abs(number) > WIDEST:
            return None
        if number is not None and number != 0 and "negative" in mapping:
            return StatedPreference(
                MEANT[mapping["negative" if number < 0 else "positive"]].share, abs(number)
            )
        if number is None and isinstance(value, str):
            found = verdict_of(value, where.names)
            return found if found is not None else _called(value, called)
        return None

    return said


def by_text(value: Any, called: Sequence[frozenset[str]]) -> StatedPreference | None:
    """The answer whose text or model in this row is the value, also if the value could be a code."""
    return _called(str(value), called)


def _called(value: str, called: Sequence[frozenset[str]]) -> StatedPreference | None:
    """The side whose names in this row include the value; None if neither or both do."""
    hits = [i for i, names in enumerate(called) if bare(value) in names]
    return (FIRST, SECOND)[hits[0]] if len(hits) == 1 else None


@dataclass(frozen=True)
class CodedJudgement:
    """One judgement as written, and its rater."""

    value: Any
    rater: str | None = None


@dataclass(frozen=True)
class CodedComparison:
    """A prompt, its answers, and judgements as codes.

    ``called``: names of each answer in this row (its model, its text). ``scores`` are scores of the answers, ``rivals``
    other columns that say in words which is better; they are compared with the judgement, not learned from.
    """

    prompt: Prompt
    responses: tuple[Response, ...]
    where: CodedColumn
    said: tuple[CodedJudgement, ...]
    called: tuple[frozenset[str], ...] = ()
    scores: tuple[float, ...] | None = None
    rivals: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0
    strength: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
