"""Which marks stand beside the answers of a file, and whether they say which answers are good.

A mark is used for what it says, or the file is refused with a question and the option that settles it. What the
values are is found from the first rows; a later row that says otherwise is a fault of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    words_of,
)
from plaudit.data.readers.messages import KNOWN_KEYS, ROLE_NAMES
from plaudit.data.readers.read_report import Fault
from plaudit.errors import Problem

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


@dataclass(frozen=True)
class LabelReading:
    """How the marks of a file are read: each row's ``field`` (label or rating) by ``value``, None where it has none."""

    field: str
    columns: tuple[str, ...]
    value: Callable[[Row], bool | float | None]
    note: str


class LabelQuestion(Exception):
    """The marks of a file do not say which answers are good; ``problems`` say what settles it."""

    def __init__(self, problems: Sequence[Problem]):
        super().__init__(problems[0].message)
        self.problems = list(problems)


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
            found += (_column(mark, values) if mark else []) or _by_words(name, values)
    return found


def _by_words(name: str, values: Sequence[Any]) -> list[LabelColumn]:
    """A column of any name whose every value says good or bad, ``approved`` or ``rejected``, is asked about."""
    said = {label_values.said(v) for v in values if label_values.absolute(v)}
    told = len(said) == 2 and all(map(label_values.absolute, values))
    told = told and not set(words_of(name)) & (NEUTRAL | REFERRING - REMARKS)
    return [LabelColumn(LabelName(name, "unclear"), "unclear", len(values))] if told else []


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


def label_reading_of(
    rows: Sequence[Row],
    taken: Iterable[str],
    fields: Mapping[str, str] | None,
    labels: Mapping[str, str],
    wanted: str | None = None,
) -> LabelReading | None:
    """How the marks of these rows are to be read; None where there are none. Raises ``LabelQuestion``.

    ``taken`` are columns that hold the conversation, ``wanted`` says label or rating where only one will do, and
    ``any`` where only marked answers are of use.
    """
    columns = [c for row in rows for c in row]
    named = {f: (fields or {})[f] for f in ("label", "rating") if f in (fields or {})}
    if named:
        return _named(rows, named, labels, wanted)
    found = label_columns_in(rows, taken, ignored_columns(fields, columns))
    clear = [c for c in found if c.kind != "unclear"]
    # Beside a clear mark a text is a comment on it.
    unclear = [c for c in found if c.kind == "unclear" and (not clear or c.mark.scope != "label")]
    if labels and len(unclear) == 1 and not clear:
        return label_by(unclear[0], labels)
    if unclear and clear:
        raise LabelQuestion(
            [_which([c for c in clear if c.kind == "truths"], [c for c in found if c.kind != "truths"])]
        )
    if unclear:
        raise LabelQuestion([_what_is(c, rows) for c in unclear])
    if wanted is None and (few := [c for c in clear if 2 * c.filled < len(rows)]):
        raise LabelQuestion([_how_few(c, len(rows)) for c in few])
    truths = [c for c in clear if c.kind == "truths"]
    numbers = _best([c for c in clear if c.kind == "numbers"])
    if counts := [c for c in clear if c.kind == "numbers" and c.mark.scope == "label" and c not in numbers]:
        # Dislikes beside likes: neither alone says how good an answer is.
        raise LabelQuestion([_which([], [*numbers, *counts])])
    if wanted == "label" and truths:
        numbers = []
    if wanted == "rating" and numbers:
        truths = []
    if len(truths) > 1 and _agree(truths, rows, labels):
        truths = truths[:1]
    if len(truths) + bool(numbers) > 1:
        raise LabelQuestion([_which(truths, numbers)])
    if truths:
        return label_by(truths[0], labels)
    return _rating(numbers) if numbers else None


def _best(columns: list[LabelColumn]) -> list[LabelColumn]:
    """The numbers for the answer as a whole, where there are any; else all of its aspects."""
    whole = [c for c in columns if c.mark.scope == "whole"]
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
    mark = LabelName(name, "label" if field == "label" else "whole", sense)
    if field == "rating":
        return _rating([LabelColumn(mark, "numbers")])
    numbers = [n for row in rows if (n := label_values.amount(cell(row, name))) is not None]
    return label_by(LabelColumn(mark, "truths", low=min(numbers, default=0.0)), labels)


def label_by(column: LabelColumn, labels: Mapping[str, str]) -> LabelReading:
    """Good or bad by one column; ``labels`` maps codes to ``good``, ``bad`` or ``drop``.

    Beside 1 and -1 a 0 says neither.
    """
    mark, name, signed = column.mark, column.name, column.low < 0

    def value(row: Row) -> bool | None:
        given = cell(row, name)
        return None if signed and label_values.amount(given) == 0 else verdict(given, mark, labels)

    better = "is bad" if mark.sense < 0 else "is good"
    said = ", ".join(f"{k} is {v}" for k, v in labels.items()) if labels else f"true or 1 {better}"
    said += ", 0 is neither" if signed else ""
    return LabelReading("label", (name,), value, f"{name!r} says which answers are good: {said}")


def verdict(value: Any, mark: LabelName, labels: Mapping[str, str]) -> bool | None:
    """What one mark says of an answer. Raises ``Fault`` for what it cannot say."""
    from plaudit.data.readers.label_codes import code

    if labels and value is not None and (meaning := labels.get(code(value))):
        return {"good": True, "bad": False}.get(meaning)
    if label_values.absent(value):
        return None
    truth = label_values.said(value)
    if truth is None:
        truth = {1.0: True, 0.0: False, -1.0: False}.get(label_values.amount(value))  # type: ignore[arg-type]
    if truth is None:
        raise Fault(
            "bad label",
            f"{value!r} is neither good nor bad",
            field=mark.column,
            remedy=f"write true or false; a scale is read with --fields rating={mark.column}",
        )
    return truth if mark.sense > 0 or label_values.absolute(value) else not truth


def _rating(columns: Sequence[LabelColumn]) -> LabelReading:
    """A number for the answer: one column, or the mean of several that are on one scale."""
    worse = [c for c in columns if c.mark.sense < 0]
    sides = all(c.mark.scope == "aspect" for c in columns)
    if len(columns) > 1 and (worse or not sides or _scales(columns) > 1):
        raise LabelQuestion([_which([], columns)])
    names = tuple(c.name for c in columns)
    sense = columns[0].mark.sense

    def value(row: Row) -> float | None:
        numbers = [_number(cell(row, name), name) for name in names]
        if any(n is None for n in numbers):
            return None
        return sense * sum(n for n in numbers if n is not None) / len(numbers) + 0.0

    if len(names) > 1:
        note = f"the answers are rated by the mean of {_listed(names)} (--fields rating={names[0]} takes one)"
    else:
        note = f"the answers are rated by {names[0]!r}, {'less' if sense < 0 else 'more'} is better"
    return LabelReading("rating", names, value, note)


def _number(value: Any, name: str) -> float | None:
    if label_values.absent(value):
        return None
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        # Several people's ratings of one answer.
        return sum(map(float, value)) / len(value)
    number = float(value) if isinstance(value, bool) else label_values.amount(value)
    if number is None:
        raise Fault("wrong type", f"{value!r} is no number", field=name, remedy="write a finite number")
    return number


def _scales(columns: Sequence[LabelColumn]) -> int:
    """On how many scales the columns seem to be: shares of 1, notes to 10, or hundreds."""
    return len(
        {0 if c.high <= 1 and c.low >= 0 and c.high != c.low else 1 if c.high <= 10 else 2 for c in columns}
    )


def _agree(columns: Sequence[LabelColumn], rows: Sequence[Row], labels: Mapping[str, str]) -> bool:
    """Whether several labels always say the same."""
    try:
        said = [{verdict(cell(row, c.name), c.mark, labels) for c in columns} - {None} for row in rows]
    except Fault:
        return False
    return all(len(one) < 2 for one in said)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*[", ".join(map(repr, names[:-1]))][: len(names) > 1], repr(names[-1])])


def _what_is(column: LabelColumn, rows: Sequence[Row]) -> Problem:
    name = column.name
    values = list(dict.fromkeys(str(v) for row in rows if not label_values.absent(v := cell(row, name))))
    shown = ", ".join(v if len(v) < 30 else f"{v[:28]}…" for v in values[:4]) + (" …" if values[4:] else "")
    if values and label_name_of(name) is None and all(map(label_values.absolute, values)):
        return Problem(
            f"{name!r} says {shown}, and not of what: it may be a mark of the answer",
            field=name,
            remedy=f"it is one: --fields label={name}; it is none: --fields {IGNORE}={name}",
        )
    if set(words_of(name)) <= {"label", "good", "desirable"} and values:
        first = next((v for v in values if label_values.said(v) is None), values[0])
        said = f"{first} is neither good nor bad"
    else:
        said = "it does not say which answers are good"
    return Problem(
        f"{name!r} ({shown}) looks like a mark of the answer, and {said}",
        field=name,
        remedy=f"a scale: --fields rating={name} (more is better) or rating=-{name}; codes: --fields label={name} "
        f"--labels CODE=good,CODE=bad; no mark: --fields {IGNORE}={name}",
    )


def _how_few(column: LabelColumn, rows: int) -> Problem:
    field = "label" if column.kind == "truths" else "rating"
    name = column.name
    return Problem(
        f"{name!r} marks {column.filled} of the first {rows} answers, and says nothing of the others",
        field=name,
        remedy=f"--fields {field}={name} uses the marked answers alone; --fields {IGNORE}={name} uses all",
    )


def _which(truths: Sequence[LabelColumn], numbers: Sequence[LabelColumn]) -> Problem:
    both = [*truths, *numbers]
    settle = [f"label={c.name}" for c in truths]
    settle += [f"rating={'-' if c.mark.sense < 0 else ''}{c.name}" for c in numbers]
    return Problem(
        f"{_listed([c.name for c in both])} mark the answers: which of them says what is good is not clear",
        field=both[0].name,
        remedy=f"--fields {' or '.join(settle)}; --fields {IGNORE}={'+'.join(c.name for c in both)} uses none",
    )
