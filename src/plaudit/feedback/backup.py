"""A whole database as one file, and back: consistent while people work, and from SQLite to PostgreSQL."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from plaudit.errors import UserError
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.migrate import HEAD
from plaudit.feedback.store.schema import Base

KIND = "plaudit collect backup"
ROWS_AT_ONCE = 500


def backup(database: Database, path: Path) -> dict[str, int]:
    """Write every table, as of one moment, to ``path`` (JSON lines, gzipped), for the owner's eyes only.

    It holds password hashes and what people wrote; sessions, links and API tokens are of no use without the secret,
    which is not in it. Returns the number of rows by table. Raises ``UserError`` where ``path`` is there already.
    """
    if path.exists():
        raise UserError(f"{path} is there already", remedy="name another file: a backup replaces nothing")
    partial = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A new file: one that somebody put there would keep its readers, or lead elsewhere.
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with gzip.GzipFile("", "wb", fileobj=raw) as packed:
                counts = database.read(_dump, lambda value: packed.write(json.dumps(value).encode() + b"\n"))
            raw.flush()
            os.fsync(raw.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return counts


def restore(database: Database, path: Path) -> dict[str, int]:
    """Fill an empty database, which has its tables, with a backup: all of it or nothing.

    Raises ``UserError`` where the file is no whole backup, is of a newer plaudit, or the database is not empty.
    """
    return database.write(_load, path)


def _dump(session: Session, write: Callable[[Any], object]) -> dict[str, int]:
    write({"kind": KIND, "revision": HEAD, "created": time.time()})
    counts = {}
    for table in Base.metadata.sorted_tables:
        counts[table.name] = 0
        rows = session.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE))
        for row in rows.mappings():
            write({"table": table.name, "row": dict(row)})
            counts[table.name] += 1
    # Whoever reads it can tell a whole backup from one that was cut off.
    write({"end": counts})
    return counts


def _load(session: Session, path: Path) -> dict[str, int]:
    for table in Base.metadata.sorted_tables:
        if session.scalar(select(func.count()).select_from(table)):
            raise UserError(
                f"the database is not empty: it has {table.name}", remedy="restore into a new one"
            )
    lines = _lines(path)
    head = next(lines, {})
    if not isinstance(head, dict) or head.get("kind") != KIND:
        raise UserError(f"{path} is no backup", remedy="name a file that `plaudit collect backup` wrote")
    if head["revision"] != HEAD:
        raise UserError(
            f"{path} was made at revision {head['revision']}, this plaudit is at {HEAD}",
            remedy="restore it with the plaudit that made it; the next start brings the database up to date",
        )
    counts = dict.fromkeys((t.name for t in Base.metadata.sorted_tables), 0)
    end = None
    while group := list(islice(lines, ROWS_AT_ONCE)):
        rows: dict[str, list[dict[str, Any]]] = {}
        for line in group:
            if "end" in line:
                end = line["end"]
            else:
                rows.setdefault(line["table"], []).append(line["row"])
        for name, values in rows.items():
            if name not in counts:
                raise UserError(f"{path} has a table {name!r}, which no backup has")
            session.execute(insert(Base.metadata.tables[name]), values)
            counts[name] += len(values)
    if end != counts:
        raise UserError(f"{path} is not whole", remedy="nothing was restored: copy the backup again")
    return counts


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                yield json.loads(line)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a backup: {error}") from None
