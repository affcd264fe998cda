"""Detects the schema of a file from the columns of its first rows, or says why none fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plaudit.data.readers.coerce import listed
from plaudit.data.readers.columns import COMMON, FIELDS, SEVERAL, View, misspelled, normal
from plaudit.data.readers.file_formats import DataRow
from plaudit.data.readers.preferences.answer_columns import BASES
from plaudit.data.readers.read_report import ReadReport, name_type
from plaudit.data.readers.schemas import SCHEMAS, Schema
from plaudit.errors import Problem, suggest


def detect_schema(
    head: Sequence[DataRow], kind: str | None, fields: Mapping[str, str] | None, report: ReadReport
) -> Schema | None:
    """The schema that most of the first rows fit; None if there is none, with the reason in ``report``."""
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
    if not check_fields(fields, columns, report):
        return None
    views = [View.of(row.values, renamed=fields) for row in objects]
    obstacle = known_obstacle(views[0]) if kind not in ("prompts", "text") else None
    if obstacle:
        report.refuse(obstacle[0], line=objects[0].line, remedy=obstacle[1])
        return None
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
    if found.about and (example := next((v for v in views if found.fits(v)), None)):
        report.note(found.about(example))
    used = {c for v in views for f in (*found.needs, *found.uses, *COMMON) for c in v.columns(f)}
    used |= {normal(c) for c in (fields or {}).values()} | set(fields or {})
    report.unused = () if found.kind == "own" else tuple(c for c in columns if normal(c) not in used)
    return found


def _allowed(kind: str | None) -> list[Schema]:
    """The schemas that can give records of a kind; those that need no conversion come first."""
    if kind is None:
        return list(SCHEMAS)
    if kind == "prompts":
        return [s for s in SCHEMAS if s.kind != "text"]
    able = {
        "text": ("own", "text", "demonstrations"),
        "labels": ("own", "labelled", "rated", "preferences"),
    }.get(kind, ("own", kind))
    return sorted((s for s in SCHEMAS if s.kind in able), key=lambda s: able.index(s.kind))


def check_fields(fields: Mapping[str, str] | None, columns: Sequence[str], report: ReadReport) -> bool:
    """Whether every field and column that the user names exists; refuses the file if not."""
    known = True
    for name, column in _named_columns(fields or {}, columns):
        if name in FIELDS and column in columns:
            continue
        known = False
        if name not in FIELDS:
            remedy = suggest(name, FIELDS) or f"fields: {', '.join(FIELDS)}"
            report.refuse(f"{name!r} is not a field", field=name, remedy=remedy)
        else:
            remedy = suggest(column, columns) or f"columns: {', '.join(columns)}"
            report.refuse(f"there is no column {column!r}", field=name, remedy=remedy)
    return known


def _named_columns(fields: Mapping[str, str], columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Fields with their columns: ``ignore=a+b`` names two, ``rating=-a`` one, ``rating=a.b`` a key inside one."""
    for name, given in fields.items():
        if given in columns:
            yield name, given
        elif name == "ignore":
            yield from ((name, part.strip().partition(".")[0]) for part in given.split("+"))
        elif name in ("label", "rating"):
            yield name, given.removeprefix("-").strip().partition(".")[0]
        else:
            yield name, given


def _near_misses(
    view: View, richer: Sequence[Schema], found: Schema | None, kind: str | None
) -> list[Problem]:
    """Problems if a richer schema nearly fits: a column is misspelled, or a part of its columns is missing."""
    loose = found is None or found.kind in ("prompts", "text")
    candidates = []
    for shape in richer:
        if shape.kind == "own" or not shape.near:
            continue
        missing = shape.missing(view)
        taken = {c for f in shape.needs if f not in missing for c in FIELDS.get(f, view.columns(f))}
        spare = [c for c in view.values if c not in taken]
        close = {f: misspelled(f, spare) for f in missing if f in FIELDS}
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
        if field == "choice" and view.pair():
            problems.append(_no_choice(view))
            continue
        name = FIELDS[field][0] if field in FIELDS else SEVERAL[field]
        problems.append(
            Problem(
                f"no column {name!r}, which {{{shape.name}}} needs",
                field="prompt" if field == "asked" else field,
                remedy=f"did you mean: rename {column!r} to {name!r}" if column else _addition(field, name),
            )
        )
    return problems


def _addition(field: str, name: str) -> str:
    if field == "ranking":
        return (
            "say how the answers rank: a column 'ranking' (places from 0, best first), 'ranks' (1 is best), 'scores' "
            "(more is better) or 'choice' (the best one), or name yours: --fields ranks=COLUMN"
        )
    mine = "prompt" if field == "asked" else field
    return f"add a column {name!r}" + (f", or name yours: --fields {mine}=COLUMN" if mine in FIELDS else "")


def _no_choice(view: View) -> Problem:
    left, right = view.columns("pair")
    return Problem(
        f"no column 'preferred' or the like says whether {left!r} or {right!r} is better",
        field="preferred",
        remedy=f"add a column 'preferred' ({left!r}, {right!r} or 'tie'), or name yours: --fields preferred=COLUMN",
    )


def _or_named(kind: str, other: Schema, first: View) -> str:
    """A hint to name unused text columns as the missing fields of the requested kind; empty if there are none."""
    fields = {"demonstrations": ("response",), "preferences": ("chosen", "rejected")}.get(kind, ())
    used = {c for field in (*other.needs, *COMMON) for c in first.columns(field)}
    spare = [c for c, v in first.values.items() if c not in used and isinstance(v, str) and v]
    if other.kind not in ("prompts", "text") or not fields or len(spare) < len(fields):
        return ""
    named = ",".join(f"{field}=COLUMN" for field in fields)
    return f", or say which column holds what is missing: --fields {named} (of {', '.join(spare[:6])})"


def _refuse_shape(
    problems: Sequence[Problem],
    columns: Sequence[str],
    kind: str | None,
    first: View,
    report: ReadReport,
    line: int,
) -> None:
    other = next((s for s in SCHEMAS if s.fits(first)), None)
    explained = problems and all("did you mean" in (p.remedy or "") for p in problems)
    if kind and other is not None and not explained:
        report.refuse(
            f"it holds {other.kind} ({{{other.name}}}), but {kind} are requested",
            line=line,
            remedy=f"name it where {other.kind} belong{_or_named(kind, other, first)}",
        )
        return
    for p in problems:
        report.refuse(p.message, line=line, field=p.field, remedy=p.remedy)
    if not problems:
        shapes = "; ".join(s.name for s in SCHEMAS if s.kind != "own" and kind in (None, s.kind))
        report.refuse(
            f"no shape that plaudit knows: the columns are {', '.join(map(repr, columns))}",
            line=line,
            remedy=f"rename them to one of: {shapes}; for public data sets see `plaudit data list`",
        )


def known_obstacle(view: View) -> tuple[str, str] | None:
    """A layout that plaudit recognizes and cannot read, and what to do instead; or None."""
    values = view.values
    if _labels_of_steps(values):
        return (
            "its labels are about the steps of a solution, not about whole answers",
            "plaudit has no method that learns from labels of steps; label whole answers: prompt, response, label",
        )
    column = view.column("response")
    if column and values.get("chosen") is None and _texts(values[column]):
        return (
            f"{column!r} holds several answers to one prompt, and nothing says which is better",
            "write the better one into 'chosen' and the others into 'rejected', or all into 'responses' beside "
            "'ranking'",
        )
    if values.get("responses") is None and (wide := _many_columns(values)):
        return (
            f"{', '.join(map(repr, wide))} hold {len(wide)} answers to one prompt",
            "put them into one column 'responses': [\"…\", …], beside 'ranking', 'ranks' or 'scores'",
        )
    return None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)


def _labels_of_steps(values: Mapping[str, Any]) -> bool:
    label = values.get("label")
    if isinstance(label, dict) and isinstance(label.get("steps"), list):
        return True
    steps, labels = listed(values.get("completions", values.get("steps"))), listed(values.get("labels"))
    return (
        isinstance(steps, list)
        and isinstance(labels, list)
        and len(steps) == len(labels)
        and all(isinstance(mark, bool | int | float | None) for mark in labels)
    )


def _many_columns(values: Mapping[str, Any]) -> list[str]:
    """Three or more columns that each hold an answer: response_1, response_2, response_3."""
    for base in BASES:
        for tokens in ("abcdefgh", "12345678", "01234567"):
            for form in (f"{base}_{{}}", f"{base}{{}}", f"{base} {{}}"):
                found = [c for t in tokens if isinstance(values.get(c := normal(form.format(t))), str | list)]
                if len(found) > 2:
                    return found
    return []
