"""Reads data files: the schema is detected from the columns, faulty rows are dropped and counted."""

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
from plaudit.data.readers.labels.labels_of_answers import split_by_label
from plaudit.data.readers.late_rows import LateRows, refuse_alike
from plaudit.data.readers.messages import unused_keys
from plaudit.data.readers.preferences.codes import CodedComparison, Place
from plaudit.data.readers.preferences.decode import settle
from plaudit.data.readers.read_report import Fault, ReadReport, ReadResult, Stop, name_type
from plaudit.data.readers.reading_plan import ReadingPlan, as_imitated
from plaudit.data.readers.record_kinds import as_kind, known_kind
from plaudit.data.readers.schemas import schema_of
from plaudit.data.readers.sources import is_hub_name, rows
from plaudit.data.readers.template_remains import Remains
from plaudit.data.records import Demonstration, Labeled, Preference, Prompt, Rated

# Rows from which the schema of a file is detected.
HEAD = 100


class ReadOptions(TypedDict, total=False):
    """Options of ``read``."""

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
) -> ReadResult[Labeled]: ...


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
    """Read records from JSONL, JSON, CSV, Parquet or text (also .gz), or a hub data set ``owner/name[:split]``.

    ``kind`` requests one kind of record (demonstrations, preferences, labelled, rated, labels, prompts, text):
    every schema has prompts, and demonstrations can be read as text. ``limit`` is the maximal number of records.
    ``fields`` maps a field to the column that holds it: ``{"prompt": "ask"}``; ``labels`` maps the codes of a
    preference or label to their meaning: ``{0: "first", 1: "second", 2: "tie"}``. Plain text is returned as
    ``str``. Raises ``UserError`` with all problems if the file cannot be read, or if more than the share
    ``max_dropped`` of its rows is faulty.
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
    """As ``read``, but does not raise for the problems in the report."""
    kind, labels = known_kind(kind), known_labels(labels)
    report = ReadReport(str(path))
    records: list[Any] = []
    places: list[Place] = []
    stream = (
        made
        for row in unstacked(rows(path, report.refuse, by_line=kind == "prompts"))
        for made in _as_objects(row, kind, report)
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
    refuse_alike(head, fields, report)
    plan = plan_of(head, kind, fields, labels, _stem(path), report)
    if plan is None:
        # Read on, so that all problems of the file are reported.
        report.rows = len(head) + sum(1 for _ in stream)
        return ReadResult(records, report)
    report.shape = plan.shape.name
    late, remains = LateRows(plan, head, fields), Remains()
    prompts: set[str] = set()
    spare: set[str] = set()
    every = chain(head, stream)
    for row in every:
        report.rows += 1
        try:
            record = _record(row, plan, late, report)
        except Stop as stop:
            report.refuse(stop.message, line=row.line, field=stop.field, remedy=stop.remedy)
            continue
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
        remains.check(record, row)
        if plan.shape.kind != "own":
            spare.update(unused_keys(row.values))
        # A ranking is complete when the answers of another prompt begin.
        if plan.ranks and limit is not None:
            prompts.add(record.prompt.id)
        if limit is not None and (len(prompts) > limit if plan.ranks else report.kept == limit):
            break
    # The label inside a message is used.
    marks = [f"{m}." for c in plan.label_columns for m in (c, c.replace(".", "[].", 1))]
    spare = {s for s in spare if not any(m.startswith(f"{s}.") for m in marks)}
    late.finish(report)
    remains.finish(report)
    known = "prompts" in (plan.kind, plan.shape.kind)
    report.unused = (*report.unused, *sorted(spare | (set() if known else late.unused)))
    # Of a hub data set no more is fetched than requested.
    beyond = islice(every, max(0, len(head) - report.rows) if is_hub_name(str(path)) else None)
    records = _settled(records, places, plan, report, _codes(beyond, plan, report))
    return ReadResult(plan.finish(records, report, limit), report)


def _settled(
    records: list[Any], places: Sequence[Place], plan: ReadingPlan, report: ReadReport, beyond: Iterator[str]
) -> list[Any]:
    """The records, with the judgements that are codes decoded together."""
    judged = [(place, r) for place, r in zip(places, records) if isinstance(r, CodedComparison)]
    if not judged:
        if plan.labels and records and plan.label_reading is None and plan.kind != "prompts":
            report.refuse(
                f"labels says what codes mean, but rows read as {{{report.shape}}} hold none",
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
    """The codes of rows beyond the limit: they help to decide what a code means."""
    before = len(report.unreadable), report.unreadable_count
    for row in rows:
        if isinstance(row.values, dict):
            with contextlib.suppress(Fault):
                view = plan.view(row.values)
                record = plan.build(view) if view is not None else None
                yield from (code(s.value) for s in getattr(record, "said", ()))
    # Problems there do not concern the requested rows.
    del report.unreadable[before[0] :]
    report.unreadable_count = before[1]


def _record(row: DataRow, plan: ReadingPlan, late: LateRows, report: ReadReport) -> Any:
    """The record of one row; None if the row is left out and counted. Raises ``Fault``."""
    if not isinstance(row.values, dict):
        raise Fault(
            "wrong type",
            f"the row is {name_type(row.values)}, not an object",
            remedy='write {"prompt": "…", …}',
        )
    if label := plan.late_label(row.values):
        report.refuse(
            f"{label!r} looks like a label or rating of the answer, but is empty in all rows before this one",
            line=row.line,
            field=label,
            remedy=f"--fields label={label}, rating={label}, or ignore={label} if it is neither",
        )
    view = plan.view(row.values)
    if view is None:
        report.leave_out(
            f"no value in {' and '.join(map(repr, plan.label_reading.columns))}" if plan.label_reading else ""
        )
        return None
    late.check(row, view, report)
    record = plan.build(view)
    if plan.label_reading is None:
        return as_kind(record, plan.kind)
    if plan.kind in ("demonstrations", "text"):
        good = as_imitated(record)
        if good is None:
            report.leave_out(f"answers that {plan.label_reading.columns[0]!r} calls bad")
        return good and as_kind(good, plan.kind)
    return record


def _stem(path: str | Path) -> str:
    return Path(path).name.partition(".")[0]


def _as_objects(row: DataRow, kind: str | None, report: ReadReport) -> list[DataRow]:
    """A row as objects: a plain text as an object, a row of an annotation tool as the rows inside it."""
    values = row.values
    if kind == "prompts" and isinstance(values, dict) and set(values) == {"text"}:
        values = values["text"]
    if isinstance(values, dict):
        found = unwrapped(values)
        # As prompts, several answers are one row.
        try:
            found = (
                found if kind == "prompts" else [made for inner in found for made in split_by_label(inner)]
            )
        except Fault as fault:
            report.refuse(fault.message, line=row.line, field=fault.field, remedy=fault.remedy)
            return []
        return [replace(row, values=made) for made in found]
    if isinstance(values, str):
        return [replace(row, values={"prompt" if kind == "prompts" else "text": values})]
    return [row]


def _mixed(values: Mapping[str, Any], plan: ReadingPlan, report: ReadReport, line: int) -> bool:
    """Whether a faulty row fits another schema; if so, the file is refused as a mix of two."""
    try:
        view = View.of(plan.prepared(values))
    except Fault:
        return False
    shape = plan.shape
    needed = set(shape.needs) - ({plan.label_reading.field} if plan.label_reading else set())
    other, missing = schema_of(view.values), [f for f in shape.missing(view) if f in needed]
    if other is None or not missing:
        return False
    # A row that lacks a field, or holds null in it, is a faulty row, not one of another schema.
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
