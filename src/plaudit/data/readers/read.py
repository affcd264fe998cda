"""Reading people's data as it is: the shape is found from the columns, faulty rows are dropped and counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

from plaudit.data.readers import conversation_trees
from plaudit.data.readers.annotation_exports import unwrapped
from plaudit.data.readers.choose_plan import plan_of
from plaudit.data.readers.column_tables import unstacked
from plaudit.data.readers.columns import FIELDS, View
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.label_codes import code, known_labels
from plaudit.data.readers.messages import unused_keys
from plaudit.data.readers.preferences.codes import CodedComparison, Place
from plaudit.data.readers.preferences.decode import settle
from plaudit.data.readers.read_report import Fault, ReadReport, ReadResult, name_type
from plaudit.data.readers.reading_plan import ReadingPlan, as_imitated
from plaudit.data.readers.record_kinds import as_kind, known_kind
from plaudit.data.readers.schemas import schema_of
from plaudit.data.readers.sources import is_hub_name, rows
from plaudit.data.records import (
    Demonstration,
    Labelled,
    Preference,
    Prompt,
    Rated,
)

# Rows from which the shape of a file is found.
HEAD = 100


class ReadOptions(TypedDict, total=False):
    """How ``read`` reads a file: see there."""

    limit: int | None
    fields: Mapping[str, str] | None
    labels: Mapping[Any, str] | None
    max_dropped: float


@overload
def read(
    path: str | Path, *, kind: Literal["demonstrations"], **options: Unpack[ReadOptions]
) -> ReadResult[Demonstration]: ...


@overload
def read(
    path: str | Path, *, kind: Literal["preferences"], **options: Unpack[ReadOptions]
) -> ReadResult[Preference]: ...


@overload
def read(
    path: str | Path, *, kind: Literal["labelled"], **options: Unpack[ReadOptions]
) -> ReadResult[Labelled]: ...


@overload
def read(
    path: str | Path, *, kind: Literal["rated"], **options: Unpack[ReadOptions]
) -> ReadResult[Rated]: ...


@overload
def read(
    path: str | Path, *, kind: Literal["prompts"], **options: Unpack[ReadOptions]
) -> ReadResult[Prompt]: ...


@overload
def read(path: str | Path, *, kind: Literal["text"], **options: Unpack[ReadOptions]) -> ReadResult[str]: ...


@overload
def read(path: str | Path, *, kind: str | None = None, **options: Unpack[ReadOptions]) -> ReadResult[Any]: ...


def read(
    path: str | Path,
    *,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
    max_dropped: float = 0.05,
) -> ReadResult[Any]:
    """Read JSONL, JSON, CSV, Parquet or text (also .gz), or a hub data set ``owner/name[:split]``.

    ``kind`` asks for one kind of record (demonstrations, preferences, labelled, rated, labels, prompts, text):
    every shape has prompts, and demonstrations can be read as text, turn after turn. ``limit`` stops
    after that many records. ``fields`` says which column holds a field of ours: ``{"prompt": "ask"}``;
    ``labels`` what the codes of a preference or label mean: ``{0: "first", 1: "second", 2: "tie"}``.
    Plain text comes as ``str``. Raises ``UserError`` with every problem where the file cannot be read
    or more than ``max_dropped`` of its rows are faulty.
    """
    result = scan(path, kind=kind, limit=limit, fields=fields, labels=labels)
    result.report.require(max_dropped)
    return result


def scan(
    path: str | Path,
    *,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    labels: Mapping[Any, str] | None = None,
) -> ReadResult[Any]:
    """As ``read``, but leaves it to the caller to judge the report."""
    kind, labels = known_kind(kind), known_labels(labels)
    report = ReadReport(str(path))
    records: list[Any] = []
    places: list[Place] = []
    stream = (
        made
        for row in unstacked(rows(path, report.refuse, by_line=kind == "prompts"))
        for made in _as_objects(row, kind)
    )
    head = list(islice(stream, HEAD))
    if not head and not report.unreadable:
        report.refuse("there are no rows in it", remedy="check that this is the right file")
    if (
        kind in conversation_trees.KINDS
        and not fields
        and any(conversation_trees.is_tree(row.values) for row in head)
    ):
        records = conversation_trees.read_trees(chain(head, stream), kind, _stem(path), limit, report)
        return ReadResult([as_kind(record, kind) for record in records], report)
    plan = plan_of(head, kind, fields, labels, _stem(path), report)
    if plan is None:
        # Every problem of the file is told, also those beyond the rows that show its shape.
        report.rows = len(head) + sum(1 for _ in stream)
        return ReadResult(records, report)
    report.shape = plan.shape.name
    prompts: set[str] = set()
    spare: set[str] = set()
    every = chain(head, stream)
    for row in every:
        report.rows += 1
        try:
            record = _record(row, plan, report)
        except Fault as fault:
            if isinstance(row.values, dict) and _mixed(row.values, plan, report, row.line):
                continue
            report.drop(fault, row.line, row.number)
            continue
        if record is None:
            continue
        records.append(record)
        places.append((row.line, row.number))
        report.kept += 1
        if plan.shape.kind != "own":
            spare.update(unused_keys(row.values))
        # A ranking is whole once the answers of another prompt begin.
        if plan.ranks and limit is not None:
            prompts.add(record.prompt.id)
        if limit is not None and (len(prompts) > limit if plan.ranks else report.kept == limit):
            break
    report.unused = (*report.unused, *sorted(spare))
    # Of a hub set no more is fetched than was asked for.
    beyond = islice(every, max(0, len(head) - report.rows) if is_hub_name(str(path)) else None)
    records = _settled(records, places, plan, report, _codes(beyond, plan, report))
    return ReadResult(plan.finish(records, report, limit), report)


def _settled(
    records: list[Any], places: Sequence[Place], plan: ReadingPlan, report: ReadReport, beyond: Iterator[str]
) -> list[Any]:
    """The records, those whose judgements are codes decided together."""
    judged = [(place, r) for place, r in zip(places, records) if isinstance(r, CodedComparison)]
    if not judged:
        if plan.labels and records and plan.marking is None and plan.kind != "prompts":
            report.refuse(
                f"labels says what codes mean, and rows read as {{{report.shape}}} hold none",
                field="labels",
                remedy="leave it out, or name the column of the codes: fields: {preferred: COLUMN}",
            )
        return records
    settled = iter(settle(judged, plan.labels, report, beyond))
    if report.unreadable:
        return []
    decided = (next(settled) if isinstance(r, CodedComparison) else r for r in records)
    return [r for r in decided if r is not None]


def _codes(rows: Iterable[DataRow], plan: ReadingPlan, report: ReadReport) -> Iterator[str]:
    """The codes of rows beyond those that were asked for: they too tell what a code means."""
    before = len(report.unreadable), report.unreadable_count
    for row in rows:
        if isinstance(row.values, dict):
            with contextlib.suppress(Fault):
                view = plan.view(row.values)
                record = plan.build(view) if view is not None else None
                yield from (code(s.value) for s in getattr(record, "said", ()))
    # What is broken there does not concern the rows that were asked for.
    del report.unreadable[before[0] :]
    report.unreadable_count = before[1]


def _record(row: DataRow, plan: ReadingPlan, report: ReadReport) -> Any:
    """The record of one row; None where the row is left out, which is counted. Raises ``Fault``."""
    if not isinstance(row.values, dict):
        raise Fault(
            "wrong type",
            f"the row is {name_type(row.values)}, not an object",
            remedy='write {"prompt": "…", …}',
        )
    if late := plan.late_mark(row.values):
        report.refuse(
            f"{late!r} looks like a mark of the answer, and is empty in all rows before this one",
            line=row.line,
            field=late,
            remedy=f"--fields label={late}, rating={late}, or ignore={late} where it marks nothing",
        )
    view = plan.view(row.values)
    if view is None:
        report.leave_out(
            f"no mark in {' and '.join(map(repr, plan.marking.columns))}" if plan.marking else ""
        )
        return None
    record = plan.build(view)
    if plan.marking is None:
        return as_kind(record, plan.kind)
    if plan.kind in ("demonstrations", "text"):
        good = as_imitated(record)
        if good is None:
            report.leave_out(f"answers that {plan.marking.columns[0]!r} calls bad")
        return good and as_kind(good, plan.kind)
    return record


def _stem(path: str | Path) -> str:
    return Path(path).name.partition(".")[0]


def _as_objects(row: DataRow, kind: str | None) -> list[DataRow]:
    """A row that is only text as an object, one that a tool has wrapped as the rows in it."""
    values = row.values
    if kind == "prompts" and isinstance(values, dict) and set(values) == {"text"}:
        values = values["text"]
    if isinstance(values, dict):
        return [replace(row, values=made) for made in unwrapped(values)]
    if isinstance(values, str):
        return [replace(row, values={"prompt" if kind == "prompts" else "text": values})]
    return [row]


def _mixed(values: Mapping[str, Any], plan: ReadingPlan, report: ReadReport, line: int) -> bool:
    """Whether a faulty row is a good row of another shape; then the file is two files in one."""
    try:
        view = View.of(plan.prepared(values))
    except Fault:
        return False
    shape = plan.shape
    needed = set(shape.needs) - ({plan.marking.field} if plan.marking else set())
    other, missing = schema_of(view.values), [f for f in shape.missing(view) if f in needed]
    if other is None or not missing:
        return False
    # A row that lost a field, or holds null in it, is a faulty row of this file and no row of another.
    if other.kind in ("prompts", "text") and shape.kind not in ("prompts", "text"):
        return False
    if any(column in view.values for field in missing for column in FIELDS.get(field, ())):
        return False
    report.refuse(
        f"the row has the shape {{{other.name}}}, the file began with {{{shape.name}}}",
        line=line,
        remedy="keep one shape per file",
    )
    return True
