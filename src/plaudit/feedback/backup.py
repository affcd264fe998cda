"""Back up a whole database to one file and restore it: consistent while people work, also from SQLite to PostgreSQL."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from sqlalchemy.orm import Session

from plaudit.errors import UserError
from plaudit.feedback.backup_rows import LONGEST_LINE, Line, checked, lines_of
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.migrate import HEAD
from plaudit.feedback.store.schema import TableBase

KIND = "plaudit collect backup"
ROWS_AT_ONCE, BYTES_AT_ONCE = 500, 8_000_000
# Backups of these revisions lack tables and columns that are empty then.
READABLE = ("0001", HEAD)


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
                counts = database.read(_dump, lambda value: packed.write(_line(value)))
            raw.flush()
            os.fsync(raw.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return counts


def restore(database: Database, path: Path) -> dict[str, int]:
    """Fill an empty database, which has its tables, with a backup: all of it or nothing.

    Raises ``UserError`` where the file is no whole backup, is of a newer plaudit, or the database is not empty. Memory
    is bounded whatever the file holds.
    """
    return database.write(_load, path)


def require_backup(path: Path) -> None:
    """Raises ``UserError`` where the file does not even begin as a backup that this plaudit can read."""
    _require_head(next(lines_of(path), None), path)


def _dump(session: Session, write: Callable[[Any], object]) -> dict[str, int]:
    write({"kind": KIND, "revision": HEAD, "created": time.time()})
    counts = {}
    for table in TableBase.metadata.sorted_tables:
        counts[table.name] = 0
        rows = session.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE))
        for row in rows.mappings():
            write({"table": table.name, "row": dict(row)})
            counts[table.name] += 1
    # Whoever reads it can tell a whole backup from one that was cut off.
    write({"end": counts})
    return counts


def _line(value: Any) -> bytes:
    line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    if len(line) > LONGEST_LINE:
        row = value["row"]
        raise UserError(
            f"{value['table']} has a row of {len(line):,} bytes ({row.get('id', 'no id')}), more than a restore reads",
            remedy="use the database's own backup: copy collect.db while the server is stopped, or pg_dump",
        )
    return line


def _load(session: Session, path: Path) -> dict[str, int]:
    for table in TableBase.metadata.sorted_tables:
        if session.scalar(select(func.count()).select_from(table)):
            raise UserError(
                f"the database is not empty: it has {table.name}", remedy="restore into a new one"
            )
    lines = lines_of(path)
    revision = _require_head(next(lines, None), path)
    counts = dict.fromkeys((t.name for t in TableBase.metadata.sorted_tables), 0)
    end: Any = None
    for group in _groups(lines):
        rows: dict[str, list[dict[str, Any]]] = {}
        for line in group:
            if end is not None:
                raise line.wrong("stands behind the end of the backup")
            if "end" in line.value:
                end = line.value["end"]
            else:
                name, row = checked(line, is_older=revision != HEAD)
                rows.setdefault(name, []).append(row)
                counts[name] += 1
        for name, values in rows.items():
            _insert(session, name, values, group)
    if not isinstance(end, dict) or counts != {**dict.fromkeys(counts, 0), **end}:
        raise UserError(f"{path} is not whole", remedy="nothing was restored: copy the backup again")
    return counts


def _require_head(line: Line | None, path: Path) -> str:
    head = line.value if line is not None else {}
    if head.get("kind") != KIND:
        raise UserError(f"{path} is no backup", remedy="name a file that `plaudit collect backup` wrote")
    revision = head.get("revision")
    if not isinstance(revision, str):
        raise UserError(f"{path} does not say which plaudit made it", remedy="copy the backup again")
    if revision not in READABLE:
        raise UserError(
            f"{path} was made at revision {revision}, this plaudit is at {HEAD}",
            remedy="restore it with the plaudit that made it; the next start brings the database up to date",
        )
    return revision


def _insert(session: Session, name: str, values: list[dict[str, Any]], group: list[Line]) -> None:
    try:
        session.execute(insert(TableBase.metadata.tables[name]), values)
    except (IntegrityError, DataError, StatementError) as error:
        # Its other kinds (a locked file, a lost connection) say nothing of the backup.
        if type(error) not in (IntegrityError, DataError, StatementError):
            raise
        reason = str(error.orig).strip().splitlines()[0]
        raise UserError(
            f"{group[0].path}: lines {group[0].number} to {group[-1].number} hold {name} that break a rule of the "
            f"database: {reason}",
            remedy="nothing was restored: copy the backup again",
        ) from None


def _groups(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Lines that are written together: many small ones, few large ones."""
    group: list[Line] = []
    size = 0
    for line in lines:
        group.append(line)
        size += line.size
        if len(group) == ROWS_AT_ONCE or size > BYTES_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
