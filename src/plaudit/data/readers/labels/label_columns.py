"""The columns of a file that label or rate answers, found from their names and from the values of the first rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plaudit.data.readers.columns import FIELDS, normal
from plaudit.data.readers.labels import label_values
from plaudit.data.readers.labels.column_names import (
    GOOD,
    LABELS,
    NEUTRAL,
    REFERRING,
    LabelName,
    label_name_of,
    may_be_binary_label,
    words_of,
)
from plaudit.data.readers.messages import KNOWN_KEYS, ROLE_NAMES

Row = Mapping[str, Any]


# Columns that a user names as no marks stand together: ``ignore=quality+toxicity``.
IGNORE = "ignore"


# Columns of remarks: where each of them is one word, good or bad, the remark is a mark.
REMARKS = frozenset({"category", "categories", "note", "notes", "comment", "comments", "critique"})


# Letters of the longest word of a scale.
SHORT = 20


# Objects in which marks may stand.
TALKS = FIELDS["messages"]


HOLDERS = ("metadata", "meta", "info", "extra", "extra_info")


@dataclass(frozen=True)
class LabelColumn:
    """A mark and what its values are: ``truths`` (good or bad), ``numbers`` (with their range) or neither.

    ``filled`` of the first rows have it.
    """

    mark: LabelName
    kind: str
    filled: int = 0
    low: float = 0.0
    high: float = 0.0

    @property
    def name(self) -> str:
        return self.mark.column


def cell(row: Row, name: str) -> Any:
    """The value of a column, or of a key inside it: ``scores.helpfulness``."""
    if name in row or "." not in name:
        return row.get(name)
    outer, _, inner = name.partition(".")
    value = row.get(outer)
    value = last_answer(value) if isinstance(value, list) else value
    return value.get(inner) if isinstance(value, Mapping) else None


def last_answer(turns: Any) -> Mapping[str, Any] | None:
    """The last message of the assistant, which may hold a mark of its own; None where there is none."""
    said = [m for m in turns if isinstance(m, Mapping) and _says(m)] if isinstance(turns, list) else []
    return said[-1] if said else None


def _says(message: Mapping[str, Any]) -> bool:
    role = message.get("role", message.get("from"))
    return isinstance(role, str) and ROLE_NAMES.get(role.lower()) == "assistant"


def ignored_columns(fields: Mapping[str, str] | None, columns: Iterable[str]) -> set[str]:
    """The columns that the user calls no marks."""
    named = (fields or {}).get(IGNORE, "")
    return {named} if named in columns else {part.strip() for part in named.split("+") if part.strip()}


def label_columns_in(rows: Sequence[Row], taken: Iterable[str], ignored: Iterable[str]) -> list[LabelColumn]:
    """The marks that the rows hold, besides the columns that are taken."""
    found = []
    skip = {*taken, *ignored}
    for name in dict.fromkeys(c for row in rows for c in row):
        mark = label_name_of(name)
        values: list[Any] = [v for row in rows if not label_values.absent(v := row.get(name))]
        if normal(name) in TALKS:
            answers = [last for v in values if (last := last_answer(v))]
            found += _nested(
                name, [{k: v for k, v in a.items() if k not in KNOWN_KEYS} for a in answers], skip, False
            )
        if _are(values, Mapping) and name not in skip and (mark or normal(name) in HOLDERS):
            found += _nested(name, values, skip, bool(mark))
        elif name not in skip:
            found += (
                (_column(mark, values) if mark else []) or _by_words(name, values) or _binary(name, values)
            )
    return found


def _by_words(name: str, values: Sequence[Any]) -> list[LabelColumn]:
    """A column of any name whose every value says good or bad, ``approved`` or ``rejected``, is asked about."""
    said = {label_values.said(v) for v in values if label_values.absolute(v)}
    told = len(said) == 2 and all(map(label_values.absolute, values))
    told = told and not set(words_of(name)) & (NEUTRAL | REFERRING - REMARKS)
    return [LabelColumn(LabelName(name, "unclear"), "unclear", len(values))] if told else []


def _binary(name: str, values: Sequence[Any]) -> list[LabelColumn]:
    """A column such as ``gold`` or ``target`` that holds only 0 and 1 is asked about; other values are of the task."""
    asked = bool(values) and may_be_binary_label(name) and all(map(label_values.binary, values))
    return [LabelColumn(LabelName(name, "unclear"), "unclear", len(values))] if asked else []


def _are(values: Sequence[Any], kind: Any) -> bool:
    return bool(values) and all(isinstance(v, kind) for v in values)


def _nested(
    column: str, values: Sequence[Mapping[str, Any]], skip: set[str], marked: bool
) -> list[LabelColumn]:
    """The marks inside an object, each by the name of its key; where the object is a mark, any number is one."""
    found = []
    marked = marked and not any(label_name_of(str(key)) for value in values for key in value)
    for key in dict.fromkeys(k for value in values for k in value):
        name = f"{column}.{key}"
        inner = [v for value in values if not label_values.absent(v := value.get(key))]
        meant = label_name_of(str(key))
        if name in skip or (meant is None and (not marked or not _are(inner, int | float))):
            continue
        found += _column(replace(meant, column=name) if meant else LabelName(name, "unclear"), inner)
    return found


def _column(mark: LabelName, values: Sequence[Any]) -> list[LabelColumn]:
    if not values:
        return []
    kind, numbers = _kind(mark, values)
    if not kind:
        return []
    return [LabelColumn(mark, kind, len(values), *((min(numbers), max(numbers)) if numbers else ()))]


def _kind(mark: LabelName, values: Sequence[Any]) -> tuple[str, list[float]]:
    """``truths``, ``numbers`` or ``unclear``; empty where the column is no mark at all."""
    if all(isinstance(v, bool) for v in values):
        return ("unclear" if mark.scope == "unclear" or _undecided(mark) else "truths"), []
    if mark.truths:
        return "", []
    numbers = [n for v in values if (n := label_values.amount(v)) is not None]
    if len(numbers) == len(values):
        if mark.scope == "unclear":
            return "unclear", numbers
        return _numbers(mark, numbers), numbers
    if all(label_values.said(v) is not None or label_values.amount(v) in (0, 1, -1) for v in values):
        clear = all(map(label_values.absolute, values)) or mark.scope != "unclear"
        return ("truths" if clear and not _undecided(mark) else "unclear"), []
    # A text or a list beside an answer may be anything; under the name of a label or a rating it is asked about.
    named = set(words_of(mark.column))
    asked = mark.scope == "whole" or (mark.scope == "label" and named & LABELS)
    # `usefulness: high`, `risk: low`; a `correct: B` names the right choice.
    asked = asked or (not named & GOOD and all(isinstance(v, str) and len(v) <= SHORT for v in values))
    return ("unclear" if asked or numbers else ""), []


def _undecided(mark: LabelName) -> bool:
    """Whether even true and false would not say which is better: a refusal may be right or wrong."""
    return bool({"refusal", "refused"} & set(words_of(mark.column)))


def _numbers(mark: LabelName, numbers: Sequence[float]) -> str:
    seen = set(numbers)
    if mark.scope in ("label", "aspect") and seen <= {0.0, 1.0}:
        # An aspect that is 1 everywhere may as well be the lowest note of a scale.
        return "truths" if mark.scope == "label" or len(seen) == 2 else "numbers"
    if mark.scope == "label" and seen <= {-1.0, 0.0, 1.0}:
        return "truths"
    plain = set(words_of(mark.column)) & LABELS
    return "unclear" if mark.scope == "label" and plain else "numbers"
