"""Splits a row of several answers with a label for each of them into rows of one labeled answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.data.readers.columns import FIELDS, normal
from plaudit.data.readers.labels.column_names import label_name_of
from plaudit.data.readers.labels.label_values import absent, amount, said
from plaudit.data.readers.read_report import Fault
from plaudit.data.readers.text_values import listed

ORDERS = ("ranking", "ranks", "scores")


def split_by_label(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A row for each answer where a list beside the answers says which are good; any other row unchanged.

    ``Fault`` where there are more or fewer labels than answers.
    """
    names = {normal(c): c for c in row}
    column = next((names[f] for f in FIELDS["responses"] if f in names), None)
    answers = listed(row[column]) if column else None
    if column is None or not isinstance(answers, list) or not all(isinstance(a, str | dict) for a in answers):
        return [row]
    if any(row[names[f]] is not None for field in ORDERS for f in FIELDS[field] if f in names):
        return [row]
    marks = {c: marks for c in row if c != column and (marks := _marks(c, row[c]))}
    # Labels of completions are those of the steps of one solution.
    if not marks or (normal(column) == "completions" and set(map(normal, marks)) == {"labels"}):
        return [row]
    for name, given in marks.items():
        if len(given) != len(answers):
            raise Fault(
                "labels of other answers",
                f"{len(given)} labels of {len(answers)} answers",
                field=name,
                remedy="write one label for each answer, null for an answer without one",
            )
    rest = {c: v for c, v in row.items() if c != column and c not in marks}
    return [
        {**rest, "response": answer, **{c: given[i] for c, given in marks.items()}}
        for i, answer in enumerate(answers)
    ]


def _marks(column: str, value: Any) -> list[Any] | None:
    """The labels of a column that holds a list of them; None for any other."""
    name = label_name_of("label" if normal(column) == "labels" else column)
    given = listed(value) if name is not None and name.scope == "label" else None
    if not isinstance(given, list) or all(map(absent, given)):
        return None
    right = all(absent(v) or said(v) is not None or amount(v) in (0, 1, -1) for v in given)
    return given if right else None
