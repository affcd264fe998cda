"""Read the lines of a backup: bounded in length, each row validated against its table."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from sqlalchemy import Boolean, Column, Float, Integer, String
from sqlalchemy.types import JSON, BigInteger

from plaudit.errors import UserError
from plaudit.feedback.sanitize import problem_of
from plaudit.feedback.store.schema import TableBase
from plaudit.feedback.store.settings import Settings

LONGEST_LINE = 32_000_000  # bytes; importing keeps every row far below
MOST_VALUES = 6_000_000  # of a line: each takes many times the memory that it takes in the file
REMEDY = "nothing was restored: copy the backup again"


@dataclass(frozen=True, slots=True)
class Line:
    """An object of the file, its line, and its length in bytes."""

    value: dict[str, Any]
    path: Path
    number: int
    size: int

    def wrong(self, what: str) -> UserError:
        return UserError(f"{self.path}:{self.number} {what}", remedy=REMEDY)


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a backup. Raises ``UserError`` where one is too long or no object, or the file is damaged."""
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            while content := file.readline(LONGEST_LINE + 1):
                number += 1
                yield Line(_object(content, path, number), path, number, len(content))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read as a backup: {error}", remedy=REMEDY) from None


def _object(content: bytes, path: Path, number: int) -> dict[str, Any]:
    if len(content) > LONGEST_LINE:
        raise UserError(f"{path}:{number} is longer than any line of a backup", remedy=REMEDY)
    if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise UserError(f"{path}:{number} holds more values than any line of a backup", remedy=REMEDY)
    try:
        value = json.loads(content, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:{number} is no JSON: {error}", remedy=REMEDY) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}:{number} is no object", remedy=REMEDY)
    return value


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def checked(line: Line, *, is_older: bool) -> tuple[str, dict[str, Any]]:
    """The table of a line and its row, every value of the kind that its column has.

    ``is_older``: columns that came later are empty. Raises ``UserError``, with all that is wrong.
    """
    name, row = line.value.get("table"), line.value.get("row")
    if not isinstance(name, str) or not isinstance(row, dict) or len(line.value) != 2:
        raise line.wrong("is no row: it must name a table and hold a row")
    table = TableBase.metadata.tables.get(name)
    if table is None:
        raise line.wrong(f"has a table {name[:80]!r}, which no backup has")
    columns = dict(table.columns.items())
    wrong = [f"no column {c[:80]!r}" for c in row.keys() - columns.keys()]
    for key, column in columns.items():
        if key in row:
            wrong += [f"{key} {p}" for p in [_problem(column, row[key])] if p]
        elif not (is_older and column.nullable):
            wrong.append(f"{key} is missing")
    shape = SHAPES.get(name)
    if not wrong and shape is not None and not shape(row):
        wrong.append("what it holds is not what plaudit writes there")
    if wrong:
        raise line.wrong(f"is no row of {name}: {'; '.join(sorted(wrong)[:5])}")
    return name, {key: row.get(key) for key in columns}


def _problem(column: Column[Any], value: Any) -> str | None:
    """Why a column cannot hold a value, in words."""
    if value is None:
        return None if column.nullable else "is empty"
    kind = column.type
    if isinstance(kind, JSON):
        return problem_of(value) if isinstance(value, dict | list) else "is neither a list nor an object"
    if isinstance(kind, Boolean):
        return None if isinstance(value, bool) else "is neither true nor false"
    if isinstance(kind, Float):
        fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
        return None if fine and math.isfinite(value) else "is no number"
    if isinstance(kind, Integer):
        bits = 63 if isinstance(kind, BigInteger) else 31
        fine = isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
        return None if fine else "is no whole number that fits"
    assert isinstance(kind, String)
    if not isinstance(value, str):
        return "is no text"
    if kind.length is not None and len(value) > kind.length:
        return f"has more than {kind.length} characters"
    return problem_of(value)


# What the code that reads these columns relies on.


def _is_ranking(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(g, list) and all(map(_is_place, g)) for g in value)


def _is_place(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 9


def _is_item(row: dict[str, Any]) -> bool:
    turns = row["prompt"]
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(isinstance(t, dict) and {type(t.get("role")), type(t.get("content"))} == {str} for t in turns)
        and isinstance(row["info"], dict)
    )


def _is_judgement(row: dict[str, Any]) -> bool:
    ratings = row["attributes"]
    return (
        _is_ranking(row["groups"])
        and isinstance(ratings, dict)
        and all(isinstance(r, dict) and all(type(v) is int for v in r.values()) for r in ratings.values())
        and isinstance(row["client"], dict)
    )


def _is_project(row: dict[str, Any]) -> bool:
    try:
        Settings.model_validate(row["settings"])
        return len(bytes.fromhex(row["secret"])) > 0
    except (ValidationError, ValueError):
        return False


def _is_round(row: dict[str, Any]) -> bool:
    models = row["models"]
    named = isinstance(models, list) and all(
        isinstance(m, dict) and type(m.get("name")) is str for m in models
    )
    return named and isinstance(row["drawing"], dict)


SHAPES = {
    "projects": _is_project,
    "rounds": _is_round,
    "items": _is_item,
    "answers": lambda row: isinstance(row["info"], dict),
    "golds": lambda row: isinstance(row["accepted"], list) and all(map(_is_ranking, row["accepted"])),
    "assignments": lambda row: isinstance(row["order"], list) and all(map(_is_place, row["order"])),
    "judgements": _is_judgement,
    "drafts": lambda row: isinstance(row["payload"], dict),
    "audit": lambda row: isinstance(row["detail"], dict),
    "api_tokens": lambda row: isinstance(row["scopes"], list) and all(type(s) is str for s in row["scopes"]),
}
