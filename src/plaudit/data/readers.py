"""Reading people's data as it is: the shape is found from the columns, faulty rows are dropped and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from plaudit.data.fields import COMMON, FIELDS, PAIRS, View, misspelled, normal
from plaudit.data.files import Row, rows
from plaudit.data.own import kind_of
from plaudit.data.records import Comparisons, Demonstration, Outcome, Preference, Prompt, Response
from plaudit.data.report import Fault, ReadReport, ReadResult, name_type
from plaudit.data.shapes import SHAPES, Shape, shape_of
from plaudit.errors import Problem, UserError, suggest

# Rows from which the shape of a file is found.
HEAD = 100

KINDS = ("demonstrations", "preferences", "labelled", "rated", "prompts", "text")
# The roles of a recipe, by the kind of record each is made of.
ROLES = {"corpus": "text", "votes": "preferences"}


def read(
    path: str | Path,
    *,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
    max_dropped: float = 0.05,
) -> ReadResult[Any]:
    """Read JSONL, JSON, CSV, Parquet or text (also .gz), or a hub data set ``owner/name[:split]``.

    ``kind`` asks for one kind of record (demonstrations, preferences, labelled, rated, prompts, text):
    every shape has prompts, and demonstrations can be read as text, turn after turn. ``limit`` stops
    after that many records. ``fields`` says which column holds a field of ours: ``{"prompt": "ask"}``.
    Plain text comes as ``str``. Raises ``UserError`` with every problem where the file cannot be read
    or more than ``max_dropped`` of its rows are faulty.
    """
    result = scan(path, kind=kind, limit=limit, fields=fields)
    result.report.require(max_dropped)
    return result


def scan(
    path: str | Path,
    *,
    kind: str | None = None,
    limit: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> ReadResult[Any]:
    """As ``read``, but leaves it to the caller to judge the report."""
    kind = _known_kind(kind)
    report = ReadReport(str(path))
    records: list[Any] = []
    stream = rows(path, report.refuse, by_line=kind == "prompts")
    head = list(islice(stream, HEAD))
    if not head and not report.unreadable:
        report.refuse("there are no rows in it", remedy="check that this is the right file")
    named = [_as_object(row, kind) for row in head]
    shape = _find_shape(named, kind, fields, report)
    if shape is None:
        # Every problem of the file is told, also those beyond the rows that show its shape.
        report.rows = len(head) + sum(1 for _ in stream)
        return ReadResult(records, report)
    report.shape = shape.name
    source = _stem(path)
    for row in chain(named, (_as_object(row, kind) for row in stream)):
        report.rows += 1
        try:
            if not isinstance(row.values, dict):
                raise Fault(
                    "wrong type",
                    f"the row is {name_type(row.values)}, not an object",
                    remedy='write {"prompt": "…", …}',
                )
            view = View.of(row.values, source, fields)
            record = _of_kind(shape.build(view), kind)
        except Fault as fault:
            if isinstance(row.values, dict) and _mixed(row.values, shape, report, row.line):
                continue
            report.drop(fault, row.line)
        else:
            records.append(record)
            report.kept += 1
            if report.kept == limit:
                break
    return ReadResult(records, report)


def join_pairs(records: Iterable[Preference]) -> list[Comparisons]:
    """All judgements of one prompt as one record: answers once each, every outcome kept.

    Prompts stay in the order in which they first appear.
    """
    prompts: dict[str, Prompt] = {}
    answers: dict[str, dict[tuple[str, bool], tuple[int, Response]]] = {}
    outcomes: dict[str, list[Outcome]] = {}
    metadata: dict[str, dict[str, Any]] = {}
    for record in records:
        c = record.comparisons()
        key = c.prompt.id
        prompts.setdefault(key, c.prompt)
        known = answers.setdefault(key, {})
        where = [known.setdefault((r.text, r.finished), (len(known), r))[0] for r in c.responses]
        judged = outcomes.setdefault(key, [])
        for o in c.outcomes:
            # The same answer twice in a record compares with itself: that says nothing.
            if where[o.left] != where[o.right]:
                judged.append(replace(o, left=where[o.left], right=where[o.right]))
        metadata.setdefault(key, {}).update(c.metadata)
    return [
        Comparisons(
            prompt,
            tuple(r for _, r in answers[key].values()),
            tuple(outcomes[key]),
            metadata[key],
        )
        for key, prompt in prompts.items()
        if len(answers[key]) > 1
    ]


def plain_text(record: Demonstration) -> str:
    """A conversation as raw text: its turns without the roles, a blank line between them."""
    return "\n\n".join([*(m.content for m in record.prompt.messages), record.response.text])


def _known_kind(kind: str | None) -> str | None:
    kind = ROLES.get(kind, kind) if kind else None
    if kind is not None and kind not in KINDS:
        raise UserError(
            f"{kind!r} is no kind of record", remedy=suggest(kind, KINDS) or f"kinds: {', '.join(KINDS)}"
        )
    return kind


def _stem(path: str | Path) -> str:
    return Path(path).name.partition(".")[0]


def _as_object(row: Row, kind: str | None) -> Row:
    """A row that is only text, as an object."""
    values = row.values
    if kind == "prompts" and isinstance(values, dict) and set(values) == {"text"}:
        values = values["text"]
    if isinstance(values, str):
        return Row(row.line, {"prompt" if kind == "prompts" else "text": values})
    return row


def _of_kind(record: Any, kind: str | None) -> Any:
    if kind == "prompts" and not isinstance(record, Prompt | str):
        return record.prompt
    if kind == "text" and isinstance(record, Demonstration):
        return plain_text(record)
    if kind is not None and kind != kind_of(record):
        raise Fault("other kind", f"the row is one of {kind_of(record)}, not of {kind}")
    return record


def _mixed(values: Mapping[str, Any], shape: Shape, report: ReadReport, line: int) -> bool:
    """Whether a faulty row is a good row of another shape; then the file is two files in one."""
    other = shape_of(values)
    if other is None or other is shape or not shape.missing(View.of(values)):
        return False
    if other.kind in ("prompts", "text") and shape.kind not in ("prompts", "text"):
        return False  # the row lost a field: {prompt} left of {prompt, response}
    report.refuse(
        f"the row has the shape {{{other.name}}}, the file began with {{{shape.name}}}",
        line=line,
        remedy="keep one shape per file",
    )
    return True


# -- which shape ---------------------------------------------------------------------------------


def _find_shape(
    head: Sequence[Row], kind: str | None, fields: Mapping[str, str] | None, report: ReadReport
) -> Shape | None:
    objects = [row for row in head if isinstance(row.values, dict)]
    if not objects:
        if head:
            report.refuse(
                f"the rows are {name_type(head[0].values)}, not objects",
                line=head[0].line,
                remedy='write one object per row: {"prompt": "…", "response": "…"}',
            )
        return None
    columns = list(dict.fromkeys(c for row in objects for c in row.values))
    if not _check_fields(fields, columns, report):
        return None
    views = [View.of(row.values, renamed=fields) for row in objects]
    allowed = _allowed(kind)
    votes = Counter(next((i for i, s in enumerate(allowed) if s.fits(v)), len(allowed)) for v in views)
    best = min(votes, key=lambda i: (i == len(allowed), -votes[i], i))
    found = allowed[best] if best < len(allowed) else None
    whole = View({k: "" for v in views for k in v.values})
    if found is None or kind != "prompts":
        problems = list(_near_misses(whole, allowed[:best], found, kind))
        if problems or found is None:
            _refuse_shape(problems, columns, kind, views[0], report, objects[0].line)
            return None
    used = {c for f in (*found.needs, *found.uses, *COMMON) if f != "pair" for c in FIELDS[f]}
    if "pair" in found.needs:
        used |= {c for pair in PAIRS for c in pair}
    report.unused = () if found.kind == "own" else tuple(c for c in columns if normal(c) not in used)
    return found


def _allowed(kind: str | None) -> list[Shape]:
    """The shapes that can give records of a kind, what gives them as they are first."""
    if kind is None:
        return list(SHAPES)
    if kind == "prompts":
        return [s for s in SHAPES if s.kind != "text"]
    able = ("own", kind, *(["demonstrations"] if kind == "text" else []))
    return sorted((s for s in SHAPES if s.kind in able), key=lambda s: able.index(s.kind))


def _check_fields(fields: Mapping[str, str] | None, columns: Sequence[str], report: ReadReport) -> bool:
    known = True
    for name, column in (fields or {}).items():
        if name in FIELDS and column in columns:
            continue
        known = False
        if name not in FIELDS:
            remedy = suggest(name, FIELDS) or f"fields: {', '.join(FIELDS)}"
            report.refuse(f"{name!r} is no field of plaudit's", field=name, remedy=remedy)
        else:
            remedy = suggest(column, columns) or f"columns: {', '.join(columns)}"
            report.refuse(f"there is no column {column!r}", field=name, remedy=remedy)
    return known


def _near_misses(view: View, richer: Sequence[Shape], found: Shape | None, kind: str | None) -> list[Problem]:
    """Why a richer shape was not found, where a column is misspelled or one of its marks stands alone."""
    loose = found is None or found.kind in ("prompts", "text")
    candidates = []
    for shape in richer:
        if shape.kind == "own":
            continue
        missing = shape.missing(view)
        taken = {c for f in shape.needs if f not in missing and f != "pair" for c in FIELDS[f]}
        spare = [c for c in view.values if c not in taken]
        close = {f: misspelled(f, spare) for f in missing if f != "pair"}
        unexplained = [f for f in missing if not close.get(f)]
        marked = any(view.column(mark) for mark in shape.marks)
        begun = marked or (found is None and len(missing) < len(shape.needs))
        if missing and (not unexplained or (loose and begun)):
            candidates.append(((not marked, len(unexplained), len(missing)), shape, close))
    if not candidates:
        return []
    _, shape, close = min(candidates, key=lambda c: c[0])
    problems = []
    for field in shape.missing(view):
        column = close.get(field)
        name = FIELDS[field][0] if field in FIELDS else "response_a, response_b"
        problems.append(
            Problem(
                f"no column {name!r}, which {{{shape.name}}} needs",
                field=field,
                remedy=f"did you mean: rename {column!r} to {name!r}" if column else f"add a column {name!r}",
            )
        )
    return problems


def _refuse_shape(
    problems: Sequence[Problem],
    columns: Sequence[str],
    kind: str | None,
    first: View,
    report: ReadReport,
    line: int,
) -> None:
    other = next((s for s in SHAPES if s.fits(first)), None)
    explained = problems and all("did you mean" in (p.remedy or "") for p in problems)
    if kind and other is not None and not explained:
        report.refuse(
            f"it holds {other.kind} ({{{other.name}}}), and {kind} are asked for",
            line=line,
            remedy=f"name it where {other.kind} belong",
        )
        return
    for p in problems:
        report.refuse(p.message, line=line, field=p.field, remedy=p.remedy)
    if not problems:
        shapes = "; ".join(s.name for s in SHAPES if s.kind != "own" and kind in (None, s.kind))
        report.refuse(
            f"no shape that plaudit knows: the columns are {', '.join(map(repr, columns))}",
            line=line,
            remedy=f"rename them to one of: {shapes}; for public data sets see `plaudit data list`",
        )
