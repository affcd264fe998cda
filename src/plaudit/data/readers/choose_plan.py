"""Chooses the reading plan of a file from its first rows, or refuses the file and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plaudit.data.readers.columns import FIELDS, View, normal
from plaudit.data.readers.detect_schema import check_fields, detect_schema
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.labels.column_names import label_name_of, may_be_binary_label
from plaudit.data.readers.labels.label_columns import IGNORE, ignored_columns
from plaudit.data.readers.labels.label_questions import LabelQuestion
from plaudit.data.readers.labels.label_reading import LabelReading, label_reading_of
from plaudit.data.readers.labels.label_values import absent
from plaudit.data.readers.preferences.answer_columns import SAYING, Choice
from plaudit.data.readers.preparation.prepare import Preparation, preparation
from plaudit.data.readers.read_report import ReadReport
from plaudit.data.readers.reading_plan import ReadingPlan, renamed
from plaudit.data.readers.schemas import SCHEMAS, Schema

# Columns that identify a public data set (normalized names), by the name of its converter.
COLUMNS: dict[str, frozenset[str]] = {
    name: frozenset(columns.split())
    for name, columns in {
        "finegrained_rlhf": "question passages prediction_1 prediction_2 preference",
        "pandalm": "response1 response2 annotator1 annotator2 annotator3",
        "gsm8k_solutions": "question 6b_finetuning 175b_verification",
        "self_instruct": "instruction instances",
        "taskmaster_reward": "context generation reward conversation_id",
        "topical_chat_rated": "turns conv_rating",
        "truthfulqa": "question correct_answers incorrect_answers",
        "xstest": "prompt completion final_label annotation_1",
        "harmbench": "behavior contextstring semanticcategory",
        "advbench": "goal target",
        "strongreject": "forbidden_prompt category",
        "vicuna80": "review_id answer1_id answer2_id",
    }.items()
}
# Sets of which even the prompts are missing or incomplete without the converter.
PROMPTS = frozenset(COLUMNS) - {"gsm8k_solutions", "truthfulqa", "xstest", "pandalm"}

# Kinds of record with one answer, which a label in another column may call good or bad.
SINGLE = ("demonstrations", "labelled", "rated")
ANSWERS = FIELDS["response"]


def plan_of(
    head: Sequence[DataRow],
    kind: str | None,
    fields: Mapping[str, str] | None,
    labels: Mapping[str, str],
    source: str,
    report: ReadReport,
) -> ReadingPlan | None:
    """The plan for a file that begins with these rows; None if there is none, with the reasons in ``report``."""
    objects = [row for row in head if isinstance(row.values, dict)]
    values = [row.values for row in objects]
    columns = list(dict.fromkeys(c for v in values for c in v))
    if values and not check_fields(fields, columns, report):
        return None
    given = {f: c for f, c in (fields or {}).items() if f not in (IGNORE, "label", "rating")}
    ignored = ignored_columns(fields, columns)
    prepare = Preparation()
    if not _is_own(values) and values:
        if not fields and (name := converter_of(values, kind)):
            _refuse_set(name, report, objects[0].line)
            return None
        prepare = preparation([renamed(v, given) for v in values], kind, ignored, given)
    numbers = _number_columns(values) if kind != "prompts" else set()
    hidden = {normal(c) for c in (*ignored, *numbers)}
    plan = ReadingPlan(SCHEMAS[-1], kind, source, prepare, None, given, labels, hidden)
    for column in sorted(numbers):
        prepare.notes.append(f"{column!r} holds numbers, not answers to learn from: it is kept as metadata")
    for problem in prepare.problems:
        report.refuse(problem.message, line=objects[0].line, field=problem.field, remedy=problem.remedy)
    if prepare.problems:
        return None
    return _shaped(plan, head, values, fields, report)


def _shaped(
    plan: ReadingPlan,
    head: Sequence[DataRow],
    values: Sequence[Mapping[str, Any]],
    fields: Mapping[str, str] | None,
    report: ReadReport,
) -> ReadingPlan | None:
    """The plan with its schema and its reading of labels and ratings."""
    rows, views = plan.seen_rows(head)
    natural = _natural(views)
    kind = plan.kind
    named = {f: c for f, c in (fields or {}).items() if f in ("label", "rating")}
    if named and natural is not None and not _may_be_labeled(natural, kind):
        # Not a label of one answer, but a column of a pair or a ranking that the user names.
        plan.fields = {**plan.fields, **named}
        rows, views = plan.seen_rows(head)
    plan.expects_labels = natural is not None and _may_be_labeled(natural, kind)
    if natural is not None and natural.kind == "preferences":
        # A row with a pair may also hold a single answer, to which a label belongs.
        plan.expects_labels &= any(v.column("response") or v.column("messages") for v in views)
    if plan.expects_labels:
        try:
            plan.label_reading = _label_reading(plan, values, views, fields)
        except LabelQuestion as question:
            for p in question.problems:
                report.refuse(p.message, line=head[0].line, field=p.field, remedy=p.remedy)
            return None
    if plan.label_reading is not None:
        if not _serves(plan.label_reading, kind, report):
            return None
        kind = "labelled" if plan.label_reading.field == "label" else "rated"
        rows = [
            DataRow(r.line, {**r.values, plan.label_reading.field: True})
            for r in rows
            if isinstance(r.values, dict)
        ]
    shape = detect_schema(rows, kind, None, report)
    if shape is None:
        return None
    plan.shape = shape
    plan.choice = _settled_choice(shape, rows)
    for note in plan.prepare.notes:
        report.note(note)
    columns = dict.fromkeys(c for v in values for c in v)
    plan.seen = {
        c
        for c in columns
        if not (label_name_of(c) or may_be_binary_label(c)) or any(not absent(v.get(c)) for v in values)
    }
    plan.seen |= ignored_columns(fields, columns) | set((fields or {}).values())
    used = set().union(*(plan.used(view) for view in views)) | (
        {plan.label_reading.field} if plan.label_reading else set()
    )
    # Of an object, the key that holds the label is used.
    used |= {normal(c.partition(".")[0]) for c in plan.label_columns if c not in columns}
    unused = () if shape.kind == "own" else tuple(c for c in columns if normal(c) not in used)
    if "prompts" in (plan.kind, shape.kind) and unused:
        # A reward function may need any of them.
        report.note(f"metadata of each prompt: {', '.join(unused)}")
        unused = ()
    report.unused = unused
    return plan


def _settled_choice(shape: Schema, rows: Sequence[DataRow]) -> Choice | None:
    """The column that says which of two answers is better in this file, if one column does; the most explicit one."""
    views = (
        [View.of(row.values) for row in rows if isinstance(row.values, dict)]
        if "choice" in shape.needs
        else []
    )
    found = Counter(c for v in views if (c := v.choice()) is not None and c.kind == "code")
    return min(
        found, key=lambda c: SAYING.index(c.columns[0]) if c.columns[0] in SAYING else -1, default=None
    )


def _natural(views: Sequence[View]) -> Schema | None:
    """The schema that most rows fit, whatever kind is requested."""
    votes = Counter(next((i for i, s in enumerate(SCHEMAS) if s.fits(v)), -1) for v in views)
    best = votes.most_common(1)[0][0] if votes else -1
    return SCHEMAS[best] if best >= 0 else None


def _may_be_labeled(natural: Schema, kind: str | None) -> bool:
    """Whether records of the requested kind may be answers that a label calls bad."""
    if kind == "prompts" or natural.kind in ("own", "prompts", "text"):
        return False
    return natural.kind in SINGLE or kind in ("demonstrations", "text")


def _label_reading(
    plan: ReadingPlan,
    values: Sequence[Mapping[str, Any]],
    views: Sequence[View],
    fields: Mapping[str, str] | None,
) -> LabelReading | None:
    conversation = ("prompt", "response", "messages", "system", "text", "weight")
    talk = {c for view in views for f in conversation if (c := view.column(f))} | plan.prepare.consumed
    taken = {c for v in values for c in v if normal(c) in talk} | set(plan.fields.values())
    wanted = {"labelled": "label", "rated": "rating", "preferences": "rating", "labels": "any"}.get(
        plan.kind or ""
    )
    return label_reading_of(values, taken, fields, plan.labels, wanted)


def _serves(label_reading: LabelReading, kind: str | None, report: ReadReport) -> bool:
    """Whether these labels or ratings give the requested kind of record; refuses the file if not."""
    columns = "+".join(label_reading.columns)
    if kind in ("demonstrations", "text") and label_reading.field == "rating":
        report.refuse(
            f"{label_reading.note}: as {kind}, the worst of them would be learned as well as the best",
            field=label_reading.columns[0],
            remedy=f"use it for rankings or ratings; --fields {IGNORE}={columns} learns from every answer",
        )
        return False
    if (kind, label_reading.field) in (("labelled", "rating"), ("rated", "label")):
        held = "ratings" if label_reading.field == "rating" else "labels (good or bad)"
        report.refuse(
            f"it holds {held}, but {kind} answers are requested",
            field=label_reading.columns[0],
            remedy="name it under `labels`; kto.threshold turns ratings into labels",
        )
        return False
    return True


def _number_columns(values: Sequence[Mapping[str, Any]]) -> set[str]:
    """Columns named like an answer that hold numbers: correct results of a task, not texts to imitate."""
    held = {
        c: [v[c] for v in values if v.get(c) is not None] for v in values for c in v if normal(c) in ANSWERS
    }
    return {c for c, found in held.items() if found and all(isinstance(v, int | float) for v in found)}


def _is_own(values: Sequence[Mapping[str, Any]]) -> bool:
    own = next(s for s in SCHEMAS if s.kind == "own")
    return bool(values) and own.fits(View.of(values[0]))


def _refuse_set(name: str, report: ReadReport, line: int) -> None:
    report.refuse(
        f"the columns are those of the public data set {name}, which needs a converter",
        line=line,
        remedy=f"plaudit data convert {name} {report.file} OUT.jsonl, or `convert: {name}` with its path in a recipe",
    )


def converter_of(rows: Sequence[Mapping[str, Any]], kind: str | None) -> str | None:
    """The name of the converter that reads these rows, or None."""
    rows = [{normal(c): v for c, v in row.items()} for row in rows]
    columns = {c for row in rows[:1] for c in row}
    name = next((n for n, needed in COLUMNS.items() if needed <= columns), None)
    if name is None:
        return _by_values(rows, columns)
    return name if kind != "prompts" or name in PROMPTS else None


def _by_values(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> str | None:
    """Public sets whose column names are common, recognized by their values."""
    if set(columns) == {"prompt", "completion"} and all(
        str(r.get("prompt")).startswith("Q: ") and str(r.get("completion")).strip() in ("yes", "no")
        for r in rows
    ):
        return "truthfulqa_labels"
    if "turns" in columns and all(_has_keys(r.get("turns"), {"s", "t"}) for r in rows):
        return "taskmaster_dialogues"
    if {"turns", "id"} <= set(columns) and all(_texts(r.get("turns")) for r in rows):
        return "sgd_dialogues"
    return None


def _has_keys(turns: Any, keys: set[str]) -> bool:
    return (
        isinstance(turns, list) and bool(turns) and all(isinstance(t, dict) and keys <= set(t) for t in turns)
    )


def _texts(turns: Any) -> bool:
    return isinstance(turns, list) and bool(turns) and all(isinstance(t, str) for t in turns)
