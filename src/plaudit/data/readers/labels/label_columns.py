"""Finds the columns of a file that label or rate answers, from their names and the values of the first rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plaudit.data.readers.columns import FIELDS, normal
from plaudit.data.readers.labels import label_values
from plaudit.data.readers.labels.column_names import (
    ASPECTS,
    CONTENT,
    GOOD,
    LABELS,
    NEUTRAL,
    REFERRING,
    UNDECIDED,
    WHOLE,
    LabelName,
    label_name_of,
    may_be_binary_label,
    may_be_rating,
    may_be_verdict,
    words_of,
)
from plaudit.data.readers.messages import ANSWER_KEYS, KNOWN_KEYS, ROLE_NAMES
from plaudit.data.readers.preferences.answer_columns import two_answers
from plaudit.data.readers.preparation.column_synonyms import OTHERS

Row = Mapping[str, Any]
# The field by which a user names columns that are not labels: ``ignore=quality+toxicity``.
IGNORE = "ignore"
# Columns of remarks: a label if every remark is one word that says good or bad.
REMARKS = frozenset({"category", "categories", "note", "notes", "comment", "comments", "critique"})
# What it says in words (`approved`) is clear, unlike true.
MODERATION = frozenset({"moderation", "moderated"})
# Maximal length of a word of a scale.
SHORT = 20
# Columns whose objects may hold labels.
TALKS = FIELDS["messages"]
RESPONSES = (*FIELDS["response"], *OTHERS["response"])
TEXTS = {*ANSWER_KEYS, *RESPONSES}
# Columns of several answers.
SEVERAL = {"chosen", "rejected", *FIELDS["responses"]}
HOLDERS = ("metadata", "meta", "info", "extra", "extra_info")


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels or ratings.

    ``kind``: ``truths`` (good or bad), ``numbers`` (from ``low`` to ``high``) or ``unclear``. ``filled``: how many of
    the first rows have a value.
    """

    label: LabelName
    kind: str
    filled: int = 0
    low: float = 0.0
    high: float = 0.0

    @property
    def name(self) -> str:
        return self.label.column


def cell(row: Row, name: str) -> Any:
    """The value of a column, or of a key inside it: ``scores.helpfulness``."""
    if name in row or "." not in name:
        return row.get(name)
    outer, _, inner = name.partition(".")
    value = opened(row.get(outer))
    value = last_answer(value) if isinstance(value, list) else value
    return cell(value, inner) if isinstance(value, Mapping) else None


def opened(value: Any) -> Any:
    """An object or a list of messages, also from JSON text; any other value unchanged."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[{")):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def last_answer(turns: Any) -> Mapping[str, Any] | None:
    """The last message of the assistant, which may hold a label; None if there is none."""
    said = [m for m in turns if isinstance(m, Mapping) and _says(m)] if isinstance(turns, list) else []
    return said[-1] if said else None


def _says(message: Mapping[str, Any]) -> bool:
    role = message.get("role", message.get("from"))
    return isinstance(role, str) and ROLE_NAMES.get(role.lower()) == "assistant"


def ignored_columns(fields: Mapping[str, str] | None, columns: Iterable[str]) -> set[str]:
    """The columns that the user declares not to be labels."""
    named = (fields or {}).get(IGNORE, "")
    return {named} if named in columns else {part.strip() for part in named.split("+") if part.strip()}


def label_columns_in(rows: Sequence[Row], taken: Iterable[str], ignored: Iterable[str]) -> list[LabelColumn]:
    """The columns of labels and ratings in the rows, except columns that are taken or ignored."""
    found = []
    skip = {*taken, *ignored}
    columns = {normal(c) for row in rows for c in row}
    alone = not columns & SEVERAL and two_answers(dict.fromkeys(columns, "")) is None
    names = list(dict.fromkeys(c for row in rows for c in row))
    # Keys of answers, which may judge them.
    inside: list[str] = []
    for name in names:
        values: list[Any] = label_values.filled(row.get(name) for row in rows)
        label = label_name_of(name, alone and len(set(map(str, values))) > 1)
        holds = normal(name) in HOLDERS
        values = list(map(opened, values)) if holds or label else values
        if normal(name) in TALKS or (normal(name) in RESPONSES and name in skip):
            given = [v if isinstance(v, Mapping) else last_answer(opened(v)) for v in values]
            marks = [{k: v for k, v in a.items() if k not in KNOWN_KEYS | TEXTS} for a in given if a]
            inside += [f"{name}.{key}" for a in marks for key in a]
            found += _nested(name, marks, skip, False)
        if _are(values, Mapping) and name not in skip and (label or holds):
            found += _nested(name, values, skip, bool(label))
        elif name not in skip:
            found += (
                (_column(label, values) if label else []) or _by_words(name, values) or _binary(name, values)
            )
    if not found:
        # No column is known to say which answers are good: any that is true and false may do so.
        found = [
            c for name in dict.fromkeys(names + inside) if name not in skip and (c := _perhaps(name, rows))
        ]
    return found


def _perhaps(name: str, rows: Sequence[Row]) -> LabelColumn | None:
    """A column that may judge the answers: true for some and false for others, or numbers such as `cost`."""
    values = label_values.filled(cell(row, name) for row in rows)
    column, name = name, name.rpartition(".")[2]
    numbers = all(label_values.amount(v) is not None for v in values)
    truths = all(map(label_values.two_valued, values)) and may_be_verdict(name)
    # 0 and 1 in `correct_option` are places.
    truths = truths and not (numbers and words_of(name)[-1] in CONTENT)
    if len(set(map(str, values))) < 2 or not (truths or (numbers and may_be_rating(name))):
        return None
    return LabelColumn(LabelName(column, "unclear"), "unclear", len(values))


def _by_words(name: str, values: Sequence[Any]) -> list[LabelColumn]:
    """A column of any name whose every value says good or bad (``approved``, ``rejected``): the user is asked."""
    said = {label_values.said(v) for v in values if label_values.absolute(v)}
    asked = len(said) == 2 and all(map(label_values.absolute, values))
    asked = asked and not set(words_of(name)) & (NEUTRAL | REFERRING - REMARKS)
    return [LabelColumn(LabelName(name, "unclear"), "unclear", len(values))] if asked else []


def _binary(name: str, values: Sequence[Any]) -> list[LabelColumn]:
    """A column such as ``gold`` or ``target`` with only 0 and 1: the user is asked; other values belong to the task."""
    asked = bool(values) and may_be_binary_label(name) and all(map(label_values.binary, values))
    return [LabelColumn(LabelName(name, "unclear"), "unclear", len(values))] if asked else []


def _are(values: Sequence[Any], kind: Any) -> bool:
    return bool(values) and all(isinstance(v, kind) for v in values)


def _nested(
    column: str, values: Sequence[Mapping[str, Any]], skip: set[str], labeled: bool
) -> list[LabelColumn]:
    """The labels inside an object, by the names of its keys; any number if the column's name is that of a label."""
    found = []
    labeled = labeled and not any(_key(key) for value in values for key in value)
    for key in dict.fromkeys(k for value in values for k in value):
        name = f"{column}.{key}"
        inner = label_values.filled(value.get(key) for value in values)
        meant = _key(key)
        if _are(inner, Mapping) and name not in skip and (meant or normal(key) in HOLDERS):
            found += _nested(name, inner, skip, bool(meant))
            continue
        if name in skip or (meant is None and (not labeled or not _are(inner, int | float))):
            continue
        found += _column(replace(meant, column=name) if meant else LabelName(name, "unclear"), inner)
    return found


def _key(key: Any) -> LabelName | None:
    """The meaning of a key; an ``overall`` inside an object may be one of an aspect."""
    return None if normal(key) == "overall" else label_name_of(str(key))


def _column(label: LabelName, values: Sequence[Any]) -> list[LabelColumn]:
    if not values:
        return []
    kind, numbers = _kind(label, values)
    if not kind:
        return []
    return [LabelColumn(label, kind, len(values), *((min(numbers), max(numbers)) if numbers else ()))]


def _kind(label: LabelName, values: Sequence[Any]) -> tuple[str, list[float]]:
    """``truths``, ``numbers`` or ``unclear``; empty if the column is not a label."""
    if all(isinstance(v, bool) for v in values):
        return ("unclear" if label.scope == "unclear" or _undecided(label) else "truths"), []
    numbers = [n for v in values if (n := label_values.amount(v)) is not None]
    if label.truths:
        # Numbers of `rating_scale_1_5` may be ratings, those of `correct_answer` are results.
        rates = label.scope == "unclear" and set(words_of(label.column)) & (WHOLE | ASPECTS | LABELS)
        return ("unclear", numbers) if rates and len(numbers) == len(values) else ("", [])
    if len(numbers) == len(values):
        if label.scope == "unclear":
            return "unclear", numbers
        kind = _numbers(label, numbers)
        return ("unclear" if kind == "truths" and _undecided(label) else kind), numbers
    if all(label_values.said(v) is not None or label_values.amount(v) in (0, 1, -1) for v in values):
        absolute = all(map(label_values.absolute, values))
        clear = absolute or label.scope != "unclear"
        refusal = _undecided(label) and not (MODERATION & set(words_of(label.column)) and absolute)
        turned = label.sense < 0 and any(map(label_values.relative, values))
        return ("truths" if clear and not refusal and not turned else "unclear"), []
    # A text or a list may be anything; if its name is that of a label or a rating, the user is asked.
    named = set(words_of(label.column))
    asked = label.scope == "whole" or (label.scope == "label" and named & LABELS)
    # `usefulness: high` and `risk: low` are labels; `correct: B` names the correct choice.
    asked = asked or (
        not named & (GOOD | {"error"}) and all(isinstance(v, str) and len(v) <= SHORT for v in values)
    )
    return ("unclear" if asked or numbers else ""), []


def _undecided(label: LabelName) -> bool:
    """Whether even true and false would not say which is better: a refusal may be right or wrong."""
    return bool(UNDECIDED & set(words_of(label.column)))


def _numbers(label: LabelName, numbers: Sequence[float]) -> str:
    seen = set(numbers)
    if label.scope in ("label", "aspect") and seen <= {0.0, 1.0}:
        # An aspect that is 1 everywhere may also be the lowest value of a scale.
        return "truths" if label.scope == "label" or len(seen) == 2 else "numbers"
    if label.scope == "label" and seen <= {-1.0, 0.0, 1.0}:
        return "truths"
    plain = set(words_of(label.column)) & LABELS
    return "unclear" if label.scope == "label" and plain else "numbers"
