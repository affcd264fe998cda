"""Questions to the user if the columns of a file do not determine which answers are good."""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.data.readers.labels import label_values
from plaudit.data.readers.labels.column_names import label_name_of, may_be_binary_label, words_of
from plaudit.data.readers.labels.label_columns import IGNORE, LabelColumn, Row, cell
from plaudit.errors import Problem


class LabelQuestion(Exception):
    """Raised if the labels of a file are ambiguous; the remedies of ``problems`` are options that decide."""

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
            f"{name!r} says {shown}, but not about what: it may be a label of the answer",
            field=name,
            remedy=f"if it is a label: --fields label={name}; if not: --fields {IGNORE}={name}",
        )
    meant = label_name_of(name)
    worse = meant is not None and meant.sense < 0
    asked = column.label.scope == "unclear" or may_be_binary_label(name)
    if asked and values and all(map(label_values.two_valued, values)):
        one, other = ("bad", "good") if worse else ("good", "bad")
        return Problem(
            f"{name!r} holds only {shown}: it may label the answer as good or bad, or belong to the task",
            field=name,
            remedy=f"1 or true is a {one} answer: --fields label={name}; a {other} one: --fields label={name} "
            f"--labels 1={other},0={one} (true={other},false={one}); no label: --fields {IGNORE}={name}",
        )
    if set(words_of(name)) <= {"label", "good", "desirable"} and values:
        first = next((v for v in values if label_values.said(v) is None), values[0])
        said = f"{first} is neither good nor bad"
    else:
        said = "it does not say which answers are good"
    scale = (
        f"rating=-{name} (less is better)" if worse else f"rating={name} (more is better) or rating=-{name}"
    )
    return Problem(
        f"{name!r} ({shown}) looks like a label or rating of the answer, but {said}",
        field=name,
        remedy=f"a scale: --fields {scale}; codes: --fields label={name} "
        f"--labels CODE=good,CODE=bad; neither: --fields {IGNORE}={name}",
    )


def sparse_column(column: LabelColumn, rows: int) -> Problem:
    field = "label" if column.kind == "truths" else "rating"
    name = column.name
    return Problem(
        f"{name!r} has a value for only {column.filled} of the first {rows} answers",
        field=name,
        remedy=f"--fields {field}={name} uses only these answers; --fields {IGNORE}={name} uses all",
    )


def which_column(truths: Sequence[LabelColumn], numbers: Sequence[LabelColumn]) -> Problem:
    both = [*truths, *numbers]
    settle = [f"label={c.name}" for c in truths]
    settle += [f"rating={'-' if c.label.sense < 0 else ''}{c.name}" for c in numbers]
    return Problem(
        f"{listed_names([c.name for c in both])} label or rate the answers: it is not clear which of them to use",
        field=both[0].name,
        remedy=f"--fields {' or '.join(settle)}; --fields {IGNORE}={'+'.join(c.name for c in both)} uses none",
    )
