"""How the rows of a file become records: found once, from its first rows, and then the same for every row."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plaudit.data.readers import row_to_record
from plaudit.data.readers.columns import View, carried, normal
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.labels.column_names import label_name_of, may_be_binary_label
from plaudit.data.readers.labels.label_reading import LabelReading
from plaudit.data.readers.labels.label_values import absent, binary
from plaudit.data.readers.preparation.prepare import Preparation
from plaudit.data.readers.read_report import Fault, ReadReport
from plaudit.data.readers.schemas import Schema
from plaudit.data.records import Demonstration, Labelled, Prompt, Ranking, Rated, Response

Marked = Labelled | Rated

# What a prompt is made of.
ASKING = ("prompt", "system", "source", "category", "metadata")


@dataclass
class ReadingPlan:
    """The shape of a file's rows, what is done to them before, and what marks their answers."""

    shape: Schema
    kind: str | None
    source: str
    prepare: Preparation
    marking: LabelReading | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    watches: bool = False

    @property
    def ranks(self) -> bool:
        """Whether the marks of several answers to one prompt may come to a ranking."""
        if self.marking is None:
            return False
        return self.kind == "preferences" or (self.kind is None and self.marking.field == "rating")

    def view(self, values: Mapping[str, Any]) -> View | None:
        """A row by our names; None where nothing marks its answer. Raises ``Fault``."""
        row = self.prepared(values)
        if self.marking is not None:
            mark = self.marking.value(values)
            if mark is None:
                return None
            row[self.marking.field] = mark
        view = View.of(row, self.source, None, self.labels)
        if self.shape.kind in ("own", "text"):
            return view
        origins = {name: normal(column) for name, column in self.fields.items()}
        return replace(view, carried=carried(values, self.used(view)), origins=origins)

    def prepared(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row as the shapes know it."""
        row = self.prepare(renamed(values, self.fields))
        return {k: v for k, v in row.items() if k not in self.ignored}

    def seen_rows(self, head: Sequence[DataRow]) -> tuple[list[DataRow], list[View]]:
        """The first rows as the shapes know them, without those that cannot be prepared."""
        rows = []
        for row in head:
            with contextlib.suppress(Fault):
                values = self.prepared(row.values) if isinstance(row.values, dict) else row.values
                rows.append(replace(row, values=values))
        return rows, [View.of(r.values) for r in rows if isinstance(r.values, dict)]

    def used(self, view: View) -> set[str]:
        """The columns, by normal names, that are text of the conversation or parts of the record."""
        names = [*ASKING, *(() if self.kind == "prompts" else self.shape.needs + self.shape.uses)]
        if self.kind == "prompts":
            # Where there is no prompt by itself, it is found in the conversations.
            whole = () if view.column("prompt") or view.column("messages") else ("chosen", "rejected")
            names += [f for f in self.shape.needs if f in ("messages", *whole)]
        elif self.shape.kind in ("demonstrations", "labelled", "preferences"):
            names.append("weight")
        found = {c for f in names for c in view.columns(f)}
        if not isinstance(view.get("metadata"), dict):
            found.discard("metadata")
        if not isinstance(view.get("source"), str):
            found.discard("source")
        marks = self.marking.columns if self.marking else ()
        given = {
            normal(c) for f, c in self.fields.items() if self.kind != "prompts" or f in (*ASKING, "messages")
        }
        return found | self.prepare.consumed | {normal(c) for c in marks} | given

    def build(self, view: View) -> Any:
        """The record of a row. Raises ``Fault``."""
        if self.kind == "prompts" and "prompt" in self.shape.needs:
            return row_to_record.prompt_only(view)
        record = self.shape.build(view)
        if self.kind == "prompts" and isinstance(record, Demonstration | Labelled | Rated):
            known = {"response": record.response.text, **record.prompt.metadata}
            return replace(record.prompt, metadata=known)
        return record

    def late_mark(self, values: Mapping[str, Any]) -> str | None:
        """A mark that no row at the beginning of the file had."""
        for column in values.keys() - self.seen if self.watches else ():
            named = label_name_of(column) is not None
            if not named and not may_be_binary_label(column):
                self.seen.add(column)
            elif not absent(values[column]):
                self.seen.add(column)
                if named or binary(values[column]):
                    return str(column)
        return None

    def finish(self, records: list[Any], report: ReadReport, limit: int | None) -> list[Any]:
        """The records of the whole file: answers to one prompt ranked, and what the marks came to."""
        if self.marking is None:
            return records
        counts = Counter(r.good for r in records if isinstance(r, Labelled))
        said = f" ({counts[True]} good, {counts[False]} bad)" if counts else ""
        report.note(f"{self.marking.note}{said}")
        if not self.ranks or (self.kind is None and not many_answers(records)):
            return records[:limit]
        ranked, alone = rankings(records)
        report.note(f"the answers to one prompt are ranked by it: {len(ranked)} rankings")
        if self.kind is None:
            return [*ranked, *alone][:limit]
        report.leave_out("the only answer to its prompt", len(alone))
        if not ranked and records:
            report.refuse(
                "no prompt has two answers that could be compared",
                remedy="answers that are marked one by one feed `plaudit kto`; or give each prompt several",
            )
        return ranked[:limit]


def renamed(values: Mapping[str, Any], fields: Mapping[str, str]) -> Mapping[str, Any]:
    """The row with the columns that the user named under our names."""
    if not fields:
        return values
    named = set(fields.values())
    given = {name: values.get(column) for name, column in fields.items()}
    return {k: v for k, v in values.items() if k not in named} | given


def as_imitated(record: Labelled | Rated) -> Demonstration | None:
    """An answer that is marked good as one worth imitating; None for a bad one."""
    if isinstance(record, Labelled) and record.good:
        return Demonstration(record.prompt, record.response, record.weight)
    return None


@dataclass
class _Group:
    prompt: Prompt
    answers: dict[str, Response] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    raters: set[str | None] = field(default_factory=set)

    def add(self, record: Marked) -> None:
        text = record.response.text
        self.answers.setdefault(text, record.response)
        score = record.score if isinstance(record, Rated) else float(record.good)
        self.scores.setdefault(text, []).append(score)
        self.raters.add(record.rater if isinstance(record, Rated) else None)


def many_answers(records: Sequence[Marked]) -> bool:
    """Whether most prompts have several answers, so that the marks rank them."""
    groups = _groups(records)
    return 2 * sum(len(g.answers) > 1 for g in groups) > len(groups) > 0


def rankings(records: Sequence[Marked]) -> tuple[list[Ranking], list[Marked]]:
    """One ranking per prompt with several answers, and the records of answers that stand alone.

    An answer that several people marked has the mean of their marks.
    """
    groups = _groups(records)
    ranked = [_ranking(g) for g in groups if len(g.answers) > 1]
    single = {g.prompt.id for g in groups if len(g.answers) == 1}
    return ranked, [r for r in records if r.prompt.id in single]


def _groups(records: Sequence[Marked]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for record in records:
        groups.setdefault(record.prompt.id, _Group(record.prompt)).add(record)
    return list(groups.values())


def _ranking(group: _Group) -> Ranking:
    means = [sum(s) / len(s) for s in group.scores.values()]
    places = [tuple(i for i, m in enumerate(means) if m == mark) for mark in sorted(set(means), reverse=True)]
    rater = next(iter(group.raters)) if len(group.raters) == 1 else None
    responses = tuple(group.answers.values())
    return Ranking(group.prompt, responses, tuple(places), rater=rater, metadata={"scores": means})
