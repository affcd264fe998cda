"""Compares later rows with the first ones, from which the reading of a file was chosen.

What only later rows hold, such as a passage or a chat template, would be lost or learned as text: the file is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.readers import transcripts
from plaudit.data.readers.columns import FIELDS, View, normal
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.labels.label_values import absent
from plaudit.data.readers.preparation.column_synonyms import OTHERS
from plaudit.data.readers.preparation.prompt_columns import CHOICES, CONTEXTS, UNSEEN, join_parts, show_all
from plaudit.data.readers.preparation.steps import Preparation
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.readers.reading_plan import ReadingPlan

# Columns that need preparation; of lettered choices (a, b, c), the third.
WATCHED = {
    *(*CONTEXTS, *UNSEEN, *CHOICES, *OTHERS["system"], "input", "history", "instruction"),
    *("c", "opc", "choice_c", "choicec"),
}
PROMPTS, ANSWERS = (*FIELDS["prompt"], "chosen", "rejected"), FIELDS["response"]
# A text that neither begins with one of these nor holds one of those was not written by a template.
BEGINS, HOLDS = ("<", "["), ("##", "USER:", "<｜", "[|")


class LateRows:
    """What rows after the first ones hold that the plan does not expect."""

    def __init__(self, plan: ReadingPlan, head: Sequence[DataRow], fields: Mapping[str, str] | None):
        self.plan, self.fields = plan, fields
        self.expected = len(head)
        self.columns = {c for row in head if isinstance(row.values, dict) for c in row.values}
        self.unused: set[str] = set()
        self.told: set[str] = set()
        self.rows = 0
        self.marked: Counter[str] = Counter()
        self.lines: dict[str, int] = {}

    def check(self, row: DataRow, view: View, report: ReadReport) -> None:
        """Refuse the file if a row holds a part of the prompt that no first row had; count what is not used."""
        if (
            report.rows <= self.expected
            or self.plan.shape.kind in ("own", "text")
            or self.plan.kind == "text"
        ):
            return
        self.rows += 1
        if "alike" not in self.told and refuse_alike([row], self.fields, report):
            self.told.add("alike")
        values = dict(view.values)
        if not WATCHED.isdisjoint(values):
            self._parts(row, values, report)
        self._templates(row, values)
        for column in row.values.keys() - self.columns:
            self.columns.add(column)
            if not absent(row.values[column]) and normal(column) not in self.plan.used(view):
                self.unused.add(column)

    def _parts(self, row: DataRow, values: dict[str, Any], report: ReadReport) -> None:
        again = Preparation()
        for find in (join_parts, show_all):
            find(again, [values], self.plan.kind)
        first = "move such a row to the beginning of the file, or "
        found = {c: (f"{c!r} belongs to the prompt", first) for c in again.consumed}
        if values.get("instruction"):
            # Joined row by row.
            found.pop("input", None)
        found |= {str(p.field): (p.message, "write it into the prompt, or ") for p in again.problems}
        if not any(values.get(c) for c in FIELDS["system"]):
            named = [c for c in OTHERS["system"] if isinstance(values.get(c), str) and values[c].strip()]
            found |= {c: (f"{c!r} is the system turn", first) for c in named}
        for column in found.keys() - self.told:
            self.told.add(column)
            message, remedy = found[column]
            # Only columns of the first rows can be named.
            known = set(column.split(", ")) <= {normal(c) for c in self.columns}
            leave = (
                f"leave it out with --fields ignore={column.replace(', ', '+')}"
                if known
                else "remove the column"
            )
            report.refuse(
                f"{message}; the first {self.expected} rows, which decide how the file is read, have no such part",
                line=row.line,
                field=column,
                remedy=f"{remedy}{leave}",
            )

    def _templates(self, row: DataRow, values: Mapping[str, Any]) -> None:
        for column in (*PROMPTS, *(ANSWERS if self.plan.kind != "prompts" else ())):
            text = values.get(column)
            if isinstance(text, str) and (_templated(text) if column in PROMPTS else _ended(text)):
                self.marked[column] += 1
                self.lines.setdefault(column, row.line)

    def finish(self, report: ReadReport) -> None:
        """Refuse the file if many later rows were written by a chat template, unlike the first ones."""
        for column, count in self.marked.items():
            # The shares by which the first rows are judged.
            if count > (0.1 if column in PROMPTS else 0.5) * self.rows:
                report.refuse(
                    f"{count} texts of {column!r} after the first {self.expected} rows hold the markers of a chat "
                    "template, unlike the first ones: training would take them for text",
                    line=self.lines[column],
                    field=column,
                    remedy="write all rows without markers, or all with them",
                )


def _templated(text: str) -> bool:
    begun = text.lstrip().startswith(BEGINS) or any(mark in text for mark in HOLDS)
    return begun and bool(transcripts.CONTROL.match(text) or transcripts.turns_of(text))


def _ended(text: str) -> bool:
    return text.rstrip().endswith(">") and transcripts.without_end(text) != text


def refuse_alike(rows: Sequence[DataRow], fields: Mapping[str, str] | None, report: ReadReport) -> bool:
    """Refuse columns whose names are equal but for case or space, and that hold different values: one would be lost.

    Not where the user says which of them is meant. Whether the file was refused.
    """
    said = {part.strip() for given in (fields or {}).values() for part in re.split(r"[+,]", str(given))}
    for row in rows:
        if not isinstance(row.values, dict):
            continue
        known: dict[str, str] = {}
        for column, value in row.values.items():
            other = known.setdefault(normal(column), column)
            if other != column and row.values[other] != value and not {other, column} & said:
                report.refuse(
                    f"the columns {other!r} and {column!r} are equal but for case or space, and hold other values",
                    line=row.line,
                    field=str(column),
                    remedy=f"rename or remove one, or say which is meant: --fields FIELD={column}",
                )
                return True
    return False
