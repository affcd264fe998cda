"""Asks which column says what is good, where the columns of a file leave it open."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.data.readers.labels import label_values
from plaudit.data.readers.labels.column_names import (
    label_name_of,
    may_be_binary_label,
    words_of,
)
from plaudit.data.readers.labels.label_columns import IGNORE, LabelColumn, Row, cell
from plaudit.errors import Problem


class LabelQuestion(Exception):
    """The marks of a file do not say which answers are good; ``problems`` say what settles it."""

    def __init__(self, problems: Sequence[Problem]):
        super().__init__(problems[0].message)
        self.problems = list(problems)


def listed_names(names: Sequence[str]) -> str:
    return " and ".join([*[", ".join(map(repr, names[:-1]))][: len(names) > 1], repr(names[-1])])


def unclear_column(column: LabelColumn, rows: Sequence[Row]) -> Problem:
    name = column.name
    values = list(dict.fromkeys(str(v) for row in rows if not label_values.absent(v := cell(row, name))))
    shown = ", ".join(v if len(v) < 30 else f"{v[:28]}…" for v in values[:4]) + (" …" if values[4:] else "")
    if values and label_name_of(name) is None and all(map(label_values.absolute, values)):
        return Problem(
            f"{name!r} says {shown}, and not of what: it may be a mark of the answer",
            field=name,
            remedy=f"it is one: --fields label={name}; it is none: --fields {IGNORE}={name}",
        )
    if may_be_binary_label(name) and all(map(label_values.binary, values)):
        return Problem(
            f"{name!r} holds only {shown}: it may label the answer beside it as good or bad, or belong to the task",
            field=name,
            remedy=f"1 or true is a good answer: --fields label={name}; a bad one: --fields label={name} "
            f"--labels 1=bad,0=good (true=bad,false=good); no label: --fields {IGNORE}={name}",
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


def sparse_column(column: LabelColumn, rows: int) -> Problem:
    field = "label" if column.kind == "truths" else "rating"
    name = column.name
    return Problem(
        f"{name!r} marks {column.filled} of the first {rows} answers, and says nothing of the others",
        field=name,
        remedy=f"--fields {field}={name} uses the marked answers alone; --fields {IGNORE}={name} uses all",
    )


def which_column(truths: Sequence[LabelColumn], numbers: Sequence[LabelColumn]) -> Problem:
    both = [*truths, *numbers]
    settle = [f"label={c.name}" for c in truths]
    settle += [f"rating={'-' if c.mark.sense < 0 else ''}{c.name}" for c in numbers]
    return Problem(
        f"{listed_names([c.name for c in both])} mark the answers: which of them says what is good is not clear",
        field=both[0].name,
        remedy=f"--fields {' or '.join(settle)}; --fields {IGNORE}={'+'.join(c.name for c in both)} uses none",
    )
