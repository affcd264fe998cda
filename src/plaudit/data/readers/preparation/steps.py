"""The list of preparation steps of a file, and helpers that several steps share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plaudit.data.readers import transcripts
from plaudit.data.readers.coerce import transcript
from plaudit.data.readers.columns import FIELDS, normal
from plaudit.data.readers.read_report import Fault
from plaudit.errors import Problem

Values = dict[str, Any]
Change = Callable[[Values], Values]
# Columns that hold one answer, as text or messages.
ANSWERS = (*FIELDS["response"], "chosen", "rejected")


@dataclass
class Preparation:
    """The steps for one file; ``consumed`` are columns whose text the steps move elsewhere."""

    steps: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)
    settled: frozenset[str] = frozenset()

    def __call__(self, row: Mapping[str, Any]) -> Values:
        """The prepared row, with normalized column names. Raises ``Fault``."""
        values = {normal(k): v for k, v in row.items()}
        for step in self.steps:
            values = step(values)
        return values

    def of_all(self, rows: Sequence[Mapping[str, Any]]) -> list[Values]:
        """The rows that can be prepared; the others become faults when they are read."""
        made = []
        for row in rows:
            with contextlib.suppress(Fault):
                made.append(self(row))
        return made


def share(rows: Sequence[Any], test: Callable[[Any], bool]) -> float:
    return sum(map(test, rows)) / len(rows) if rows else 0.0


def filled(rows: Sequence[Values], column: str) -> list[Any]:
    return [v for row in rows if (v := row.get(column)) not in (None, "", [], {})]


def prompt_in(row: Values) -> Any:
    return next((row[c] for c in FIELDS["prompt"] if row.get(c)), None)


def turns_in(text: str) -> list[Any] | None:
    turns = transcripts.turns_of(text)
    if turns is None and transcripts.PLAIN.match(text):
        turns = transcript(text)
    return turns
