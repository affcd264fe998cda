"""How the rows of a file become records: decided once, from its first rows, and applied to every row."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plaudit.data.readers import row_to_record
from plaudit.data.readers.columns import View, carried, normal
from plaudit.data.readers.contradictions import note_contradictions, note_repeats
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.labels.column_names import label_name_of, may_be_binary_label
from plaudit.data.readers.labels.label_reading import LabelReading
from plaudit.data.readers.labels.label_values import absent, binary
from plaudit.data.readers.preferences.answer_columns import Choice
from plaudit.data.readers.preferences.answer_lists import other_orders
from plaudit.data.readers.preparation.prepare import Preparation
from plaudit.data.readers.read_report import Fault, ReadReport
from plaudit.data.readers.schemas import Schema
from plaudit.data.records import Demonstration, Labeled, Prompt, Ranking, Rated, Response

SingleAnswer = Labeled | Rated

# The fields of a prompt.
ASKING = ("prompt", "system", "source", "category", "metadata", "tools")


@dataclass
class ReadingPlan:
    """The schema of a file's rows, their preparation, and the reading of labels and ratings."""

    shape: Schema
    kind: str | None
    source: str
    prepare: Preparation
    label_reading: LabelReading | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    expects_labels: bool = False
    choice: Choice | None = None
    # Columns beside the order that is used which also order the answers: how often they contradict it, of how many.
    rivals: dict[str, list[int]] = field(default_factory=dict)

    @property
    def ranks(self) -> bool:
        """Whether labels or ratings of several answers to one prompt may become a ranking."""
        if self.label_reading is None:
            return False
        return self.kind == "preferences" or (self.kind is None and self.label_reading.field == "rating")

    @property
    def label_columns(self) -> tuple[str, ...]:
        return self.label_reading.columns if self.label_reading else ()

    def view(self, values: Mapping[str, Any]) -> View | None:
        """A row by plaudit's field names; None if its answer has no label or rating. Raises ``Fault``."""
        row = self.prepared(values)
        if self.label_reading is not None:
            label = self.label_reading.value(values)
            if label is None:
                return None
            row[self.label_reading.field] = label
        view = replace(View.of(row, self.source, None, self.labels), settled=self.choice)
        if self.shape.kind in ("own", "text"):
            return view
        origins = {name: normal(column) for name, column in self.fields.items()}
        asks = self.kind == "prompts"
        return replace(view, carried=carried(values, self.used(view)), origins=origins, asks=asks)

    def prepared(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row with the columns that schemas expect."""
        row = self.prepare(renamed(values, self.fields))
        return {k: v for k, v in row.items() if k not in self.ignored}

    def seen_rows(self, head: Sequence[DataRow]) -> tuple[list[DataRow], list[View]]:
        """The first rows, prepared, without those that cannot be prepared."""
        rows = []
        for row in head:
            with contextlib.suppress(Fault):
                values = self.prepared(row.values) if isinstance(row.values, dict) else row.values
                rows.append(replace(row, values=values))
        return rows, [View.of(r.values) for r in rows if isinstance(r.values, dict)]

    def used(self, view: View) -> set[str]:
        """The columns, by normalized names, that are text of the conversation or parts of the record."""
        names = [*ASKING, *(() if self.kind == "prompts" else self.shape.needs + self.shape.uses)]
        if self.kind == "prompts":
            # Without a prompt column, the prompt is part of the conversations.
            whole = () if view.column("prompt") or view.column("messages") else ("chosen", "rejected")
            names += [f for f in self.shape.needs if f in ("messages", *whole)]
        elif self.shape.kind in ("demonstrations", "labelled", "preferences"):
            names.append("weight")
        found = {c for f in names for c in view.columns(f)}
        if not isinstance(view.get("metadata"), dict):
            found.discard("metadata")
        if not isinstance(view.get("source"), str):
            found.discard("source")
        given = {
            normal(c) for f, c in self.fields.items() if self.kind != "prompts" or f in (*ASKING, "messages")
        }
        return found | self.prepare.consumed | {normal(c) for c in self.label_columns} | given

    def build(self, view: View) -> Any:
        """The record of a row. Raises ``Fault``."""
        if self.kind == "prompts" and "prompt" in self.shape.needs:
            return row_to_record.prompt_of(view)
        record = self.shape.build(view)
        if self.kind == "prompts" and isinstance(record, Demonstration | Labeled | Rated):
            known = {"response": record.response.text, **record.prompt.metadata}
            return replace(record.prompt, metadata=known)
        if isinstance(record, Ranking) and self.shape.kind == "preferences":
            for column, against in other_orders(view, record):
                counts = self.rivals.setdefault(column, [0, 0])
                counts[0] += against
                counts[1] += 1
        return record

    def late_label(self, values: Mapping[str, Any]) -> str | None:
        """A column that looks like a label and was empty in all first rows of the file, or None."""
        for column in values.keys() - self.seen if self.expects_labels else ():
            named = label_name_of(column) is not None
            if not named and not may_be_binary_label(column):
                self.seen.add(column)
            elif not absent(values[column]):
                self.seen.add(column)
                if named or binary(values[column]):
                    return str(column)
        return None

    def finish(self, records: list[Any], report: ReadReport, limit: int | None) -> list[Any]:
        """The records of the whole file, with answers to one prompt ranked by their labels or ratings."""
        note_contradictions(records, report)
        note_repeats(records, report)
        for column, (against, compared) in self.rivals.items():
            if against:
                report.note(
                    f"{column!r} contradicts the order that is used in at least {against:,} of {compared:,} rankings"
                )
        if self.label_reading is None:
            return records
        counts = Counter(r.good for r in records if isinstance(r, Labeled))
        said = f" ({counts[True]} good, {counts[False]} bad)" if counts else ""
        report.note(f"{self.label_reading.note}{said}")
        if not self.ranks or (self.kind is None and not many_answers(records)):
            return records[:limit]
        ranked, alone = rankings(records)
        report.note(f"the answers to one prompt are ranked by it: {len(ranked)} rankings")
        if self.kind is None:
            return [*ranked, *alone][:limit]
        report.leave_out("the only answer to its prompt", len(alone))
        if not ranked and records:
            report.refuse(
                "no prompt has two answers to compare",
                remedy="train on answers with single labels by `plaudit kto`, or give each prompt several answers",
            )
        return ranked[:limit]


def renamed(values: Mapping[str, Any], fields: Mapping[str, str]) -> Mapping[str, Any]:
    """The row with the columns that the user named renamed to plaudit's fields."""
    if not fields:
        return values
    named = set(fields.values())
    given = {name: values.get(column) for name, column in fields.items()}
    return {k: v for k, v in values.items() if k not in named} | given


def as_imitated(record: Labeled | Rated) -> Demonstration | None:
    """An answer that is labeled good as a demonstration; None for others."""
    if isinstance(record, Labeled) and record.good:
        return Demonstration(record.prompt, record.response, record.weight)
    return None


@dataclass
class _Group:
    prompt: Prompt
    answers: dict[str, Response] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    raters: set[str | None] = field(default_factory=set)

    def add(self, record: SingleAnswer) -> None:
        text = record.response.text
        self.answers.setdefault(text, record.response)
        score = record.score if isinstance(record, Rated) else float(record.good)
        self.scores.setdefault(text, []).append(score)
        self.raters.add(record.rater if isinstance(record, Rated) else None)


def many_answers(records: Sequence[SingleAnswer]) -> bool:
    """Whether most prompts have several answers, so that labels or ratings rank them."""
    groups = _groups(records)
    return 2 * sum(len(g.answers) > 1 for g in groups) > len(groups) > 0


def rankings(records: Sequence[SingleAnswer]) -> tuple[list[Ranking], list[SingleAnswer]]:
    """One ranking per prompt with several answers, and the records of prompts with one answer.

    An answer that several people judged is ranked by its mean.
    """
    groups = _groups(records)
    ranked = [_ranking(g) for g in groups if len(g.answers) > 1]
    single = {g.prompt.id for g in groups if len(g.answers) == 1}
    return ranked, [r for r in records if r.prompt.id in single]


def _groups(records: Sequence[SingleAnswer]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for record in records:
        groups.setdefault(record.prompt.id, _Group(record.prompt)).add(record)
    return list(groups.values())


def _ranking(group: _Group) -> Ranking:
    means = [sum(s) / len(s) for s in group.scores.values()]
    groups = row_to_record.grouped([-m for m in means])
    rater = next(iter(group.raters)) if len(group.raters) == 1 else None
    responses = tuple(group.answers.values())
    return Ranking(
        group.prompt, responses, tuple(map(tuple, groups)), rater=rater, metadata={"scores": means}
    )
