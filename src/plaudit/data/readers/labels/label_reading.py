"""Decides how the labels or ratings of a file are read, and reads them row by row.

A label is used as it is, or the file is refused with a question and the options that answer it. The kind of values
is determined from the first rows; a later row with another kind is a fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data.readers.label_codes import code
from plaudit.data.readers.labels import label_values
from plaudit.data.readers.labels.column_names import LabelName, label_name_of
from plaudit.data.readers.labels.label_columns import (
    LabelColumn,
    Row,
    cell,
    ignored_columns,
    label_columns_in,
)
from plaudit.data.readers.labels.label_questions import (
    LabelQuestion,
    listed_names,
    sparse_column,
    unclear_column,
    which_column,
)
from plaudit.data.readers.read_report import Fault, Stop


@dataclass(frozen=True)
class LabelReading:
    """How a file's labels are read: ``value(row)`` is the row's ``field`` (label or rating), None if it has none."""

    field: str
    columns: tuple[str, ...]
    value: Callable[[Row], bool | float | None]
    note: str


def label_reading_of(
    rows: Sequence[Row],
    taken: Iterable[str],
    fields: Mapping[str, str] | None,
    labels: Mapping[str, str],
    wanted: str | None = None,
) -> LabelReading | None:
    """How the labels or ratings of these rows are read; None if there are none. Raises ``LabelQuestion``.

    ``taken`` are columns that hold the conversation. ``wanted`` is label or rating if only that one can be used, and
    ``any`` if only answers with a label or a rating are of use.
    """
    columns = [c for row in rows for c in row]
    named = {f: (fields or {})[f] for f in ("label", "rating") if f in (fields or {})}
    if named:
        return _named(rows, named, labels, wanted)
    found = label_columns_in(rows, taken, ignored_columns(fields, columns))
    clear = [c for c in found if c.kind != "unclear"]
    # If there is a clear label, an unclear text is a comment on it.
    unclear = [c for c in found if c.kind == "unclear" and (not clear or c.label.scope != "label")]
    if labels and len(unclear) == 1 and not clear:
        return label_by(unclear[0], labels)
    if unclear and clear:
        raise LabelQuestion(
            [which_column([c for c in clear if c.kind == "truths"], [c for c in found if c.kind != "truths"])]
        )
    if unclear:
        raise LabelQuestion([unclear_column(c, rows) for c in unclear])
    if wanted is None and (few := [c for c in clear if 2 * c.filled < len(rows)]):
        raise LabelQuestion([sparse_column(c, len(rows)) for c in few])
    truths = [c for c in clear if c.kind == "truths"]
    numbers = _best([c for c in clear if c.kind == "numbers"])
    if counts := [c for c in clear if c.kind == "numbers" and c.label.scope == "label" and c not in numbers]:
        # Dislikes beside likes: neither alone says how good an answer is.
        raise LabelQuestion([which_column([], [*numbers, *counts])])
    if wanted == "label" and truths:
        numbers = []
    if wanted == "rating" and numbers:
        truths = []
    if len(truths) > 1 and always_agree(truths, rows, labels):
        truths = truths[:1]
    if len(truths) + bool(numbers) > 1:
        raise LabelQuestion([which_column(truths, numbers)])
    if truths:
        return label_by(truths[0], _with_signs(truths[0].name, rows, labels))
    return _rating(numbers, rows) if numbers else None


def _best(columns: list[LabelColumn]) -> list[LabelColumn]:
    """The ratings of the answer as a whole if there are any; else all of its aspects."""
    whole = [c for c in columns if c.label.scope == "whole"]
    by_name = [c for c in whole if c.name.rpartition(".")[2] in ("rating", "score", "reward")]
    return by_name if len(by_name) == 1 else whole or columns


def _named(
    rows: Sequence[Row], named: Mapping[str, str], labels: Mapping[str, str], wanted: str | None
) -> LabelReading | None:
    field = wanted if wanted is not None and wanted in named else next(iter(named))
    name = named[field]
    sense = -1 if name.startswith("-") and not any(name in row for row in rows) else 0
    name = name[1:].strip() if sense else name
    meant = label_name_of(name)
    if not sense:
        sense = meant.sense if meant else 1
    label = LabelName(name, "label" if field == "label" else "whole", sense)
    if field == "rating":
        return _rating([LabelColumn(label, "numbers")], rows)
    numbers = [n for row in rows if (n := label_values.amount(cell(row, name))) is not None]
    column = LabelColumn(label, "truths", low=min(numbers, default=0.0))
    return label_by(column, _with_signs(name, rows, labels))


def _with_signs(name: str, rows: Sequence[Row], labels: Mapping[str, str]) -> Mapping[str, str]:
    """The meanings, with those of ``+`` and ``-`` if the column holds both; elsewhere ``-`` is an empty cell."""
    return (
        {"+": "good", "-": "bad", **labels}
        if label_values.signed(cell(row, name) for row in rows)
        else labels
    )


def label_by(column: LabelColumn, labels: Mapping[str, str]) -> LabelReading:
    """Good or bad by one column; ``labels`` maps codes to ``good``, ``bad`` or ``drop``.

    In a column with negative numbers, 0 is neither; one that first occurs after a 0 was read as bad stops the file.
    """
    label, name, signed = column.label, column.name, column.low < 0 or "-1" in labels
    zeros = False

    def value(row: Row) -> bool | None:
        nonlocal zeros, signed
        given = cell(row, name)
        number = None if labels and code(given) in labels else label_values.amount(given)
        if number is not None and number < 0 and not signed:
            signed = True
            if zeros:
                raise Stop(
                    "bad label",
                    f"{given!r} first occurs here; beside it, 0 says neither good nor bad, but was read as a label",
                    field=name,
                    remedy=f"say what they mean: --fields label={name} --labels 1=good,0=drop,-1=bad",
                )
        zeros = zeros or number == 0
        return None if signed and number == 0 else verdict(given, label, labels)

    better = "is bad" if label.sense < 0 else "is good"
    said = ", ".join(f"{k} is {v}" for k, v in labels.items()) if labels else f"true or 1 {better}"
    said += ", 0 is neither" if signed else ""
    return LabelReading("label", (name,), value, f"{name!r} says which answers are good: {said}")


def verdict(value: Any, label: LabelName, labels: Mapping[str, str]) -> bool | None:
    """Whether a label says good or bad; None if neither. Raises ``Fault`` for a value that is not a label."""
    if labels and value is not None and (meaning := labels.get(code(value))):
        return {"good": True, "bad": False}.get(meaning)
    if label_values.absent(value):
        return None
    truth = label_values.said(value)
    if label.sense < 0 and label_values.relative(value):
        raise Fault(
            "bad label",
            f"{value!r} in {label.column!r} may be good or bad",
            field=label.column,
            remedy=f"say which: --fields label={label.column} --labels {code(value)}=good (or bad)",
        )
    if truth is None:
        truth = {1.0: True, 0.0: False, -1.0: False}.get(label_values.amount(value))  # type: ignore[arg-type]
    if truth is None:
        raise Fault(
            "bad label",
            f"{value!r} is neither good nor bad",
            field=label.column,
            remedy=f"write true or false; a scale is read with --fields rating={label.column}",
        )
    return truth if label.sense > 0 or label_values.absolute(value) else not truth


def _rating(columns: Sequence[LabelColumn], rows: Sequence[Row]) -> LabelReading:
    """Ratings by one column, or by the mean of several on the same scale; ``4/5`` beside ``6/10`` as shares."""
    worse = [c for c in columns if c.label.sense < 0]
    sides = all(c.label.scope == "aspect" for c in columns)
    if len(columns) > 1 and (worse or not sides or scales_of(columns) > 1):
        raise LabelQuestion([which_column([], columns)])
    names = tuple(c.name for c in columns)
    sense = columns[0].label.sense
    given = [v for row in rows for name in names if not label_values.absent(v := cell(row, name))]
    scales = Counter(map(label_values.scale_of, given)) or Counter([None])
    usual = scales.most_common(1)[0][0]
    shares = len(scales) > 1 and None not in scales

    def value(row: Row) -> float | None:
        numbers = [_number(cell(row, name), name, usual, shares) for name in names]
        if any(n is None for n in numbers):
            return None
        return sense * sum(n for n in numbers if n is not None) / len(numbers) + 0.0

    if len(names) > 1:
        note = f"the answers are rated by the mean of {listed_names(names)} (--fields rating={names[0]} takes one)"
    else:
        note = f"the answers are rated by {names[0]!r}, {'less' if sense < 0 else 'more'} is better"
    note += "; each as a share of the scale that it is written with: 4/5 as 0.8" if shares else ""
    return LabelReading("rating", names, value, note)


def _number(value: Any, name: str, usual: float | None, shares: bool) -> float | None:
    """A rating; with ``shares`` as a share of its scale, else on the ``usual`` scale. Raises ``Fault``."""
    if label_values.absent(value):
        return None
    scale = label_values.scale_of(value)
    if scale is None if shares else scale != usual:
        wanted = "as parts of a scale" if shares else f"of {usual:g}" if usual else "without a scale"
        raise Stop(
            "another scale",
            f"the rating {value!r} is written on another scale than the others ({wanted})",
            field=name,
            remedy="write every rating on one scale, or all of them as 4/5 or 80%",
        )
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        # Several people's ratings of one answer.
        return sum(map(float, value)) / len(value)
    number = float(value) if isinstance(value, bool) else label_values.amount(value)
    if number is None:
        raise Fault("wrong type", f"{value!r} is not a number", field=name, remedy="write a finite number")
    return number / scale if shares and scale else number


def scales_of(columns: Sequence[LabelColumn]) -> int:
    """The number of different scales of the columns: up to 1, up to 10, or above."""
    return len(
        {0 if c.high <= 1 and c.low >= 0 and c.high != c.low else 1 if c.high <= 10 else 2 for c in columns}
    )


def always_agree(columns: Sequence[LabelColumn], rows: Sequence[Row], labels: Mapping[str, str]) -> bool:
    """Whether several labels agree in every row."""
    try:
        said = [{verdict(cell(row, c.name), c.label, labels) for c in columns} - {None} for row in rows]
    except Fault:
        return False
    return all(len(one) < 2 for one in said)
