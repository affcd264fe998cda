"""The database behind a project: SQLite in a file, or PostgreSQL; transactions that wait their turn.

On SQLite every writer begins with BEGIN IMMEDIATE, so that no read turns stale before its write, and
writers of one process queue on a lock instead of polling the file's. On PostgreSQL row locks and guarded
updates do the same; conflicts that the server resolves by failing one side are tried again. What ends by
itself (a restart, a full disk) is ``Away``.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)
from sqlalchemy.orm import Session, sessionmaker

from plaudit.errors import MissingExtraError, UserError
from plaudit.feedback.store.errors import Away

P = ParamSpec("P")
R = TypeVar("R")

BUSY_MS = 10_000
POOL_SECONDS = 10.0
# Of a PostgreSQL server that says nothing: seconds for a connection, and until a silent one counts as gone.
PATIENCE = {"connect_timeout": 5, "keepalives_idle": 30, "tcp_user_timeout": 20_000}
ATTEMPTS = 6
# Serialization failure, deadlock, unique violation: the other side was first, and another try sees its work.
AGAIN = {"40001", "40P01", "23505"}


class Unopened(UserError):
    """What is there is no database, or cannot be opened."""


class Database:
    """An engine and how to run functions ``f(session, …)`` in its transactions."""

    def __init__(self, url: str) -> None:
        self.url = checked_url(url)
        self.is_sqlite = self.url.startswith("sqlite")
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._was_open = False
        self._queue: Any = threading.Lock() if self.is_sqlite else nullcontext()

    def read(self, function: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``function`` reads, from one consistent state."""
        with self._reached(reading=True), self._sessions() as session:
            if self.is_sqlite:
                session.connection().exec_driver_sql("BEGIN")
            else:
                session.connection(
                    execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            return function(session, *args, **kwargs)

    def write(self, function: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``function`` in one transaction: all of it is on disk when this returns, or none of it."""
        with self._reached():
            return self._write(lambda session: function(session, *args, **kwargs))

    def _write(self, function: Callable[[Session], R]) -> R:
        for attempt in range(ATTEMPTS):
            try:
                with self._queue, self._sessions() as session:
                    if self.is_sqlite:
                        session.connection().exec_driver_sql("BEGIN IMMEDIATE")
                    result = function(session)
                    session.commit()
                    return result
            except DBAPIError as error:
                if attempt == ATTEMPTS - 1 or not _worth_another_try(error):
                    raise
                time.sleep(random.uniform(0, 0.01 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def _reached(self, *, reading: bool = False) -> Iterator[None]:
        """Turn what ends by itself into ``Away``."""
        try:
            yield
            self._was_open = True
        except (SQLAlchemyError, sqlite3.Error, Unopened) as error:
            # At first it is the name of a file that is wrong; and what only reads may not write anywhere.
            if isinstance(error, Unopened) and not self._was_open:
                raise
            if reading and getattr(getattr(error, "orig", None), "sqlstate", None) == READ_ONLY:
                raise
            if (away := away_of(error)) is not None:
                raise away from error
            raise

    def close(self) -> None:
        self.engine.dispose()


def checked_url(url: str) -> str:
    """The URL with plaudit's driver. UserError for an unsupported database."""
    try:
        made = make_url(url)
    except ArgumentError:
        raise UserError(
            "the database URL cannot be read", remedy="write postgresql://user@host/name, or sqlite:///FILE"
        ) from None
    backend = made.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return made.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    if backend == "sqlite" and made.database in (None, "", ":memory:"):
        raise UserError("a database in memory is lost with its process", remedy="write sqlite:///FILE")
    if backend == "sqlite":
        return made.set(drivername="sqlite").render_as_string(hide_password=False)
    raise UserError(
        f"{backend!r} is no database that plaudit can use", remedy="use SQLite (the default) or PostgreSQL"
    )


def shown(url: str) -> str:
    """The URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


# PostgreSQL: connections, resources, shutdown and restart, the system beneath; a standby that takes no writes.
READ_ONLY = "25006"
AWAY = ("08", "53", "57", "58", READ_ONLY)
FULL_DISK = "53100"
# SQLite: what another process or the file system does. A file that is damaged stays so.
PASSING = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM,
}  # fmt: skip


def away_of(error: BaseException) -> Away | None:
    """The message for a transient error (database unreachable, disk full); None for other errors."""
    if isinstance(error, TimeoutError):
        return Away("database_busy", "the database is busy", 5, str(error))
    found = error.orig if isinstance(error, DBAPIError) else error.__cause__ or error
    code = getattr(found, "sqlite_errorcode", None)
    state = getattr(found, "sqlstate", None)
    if (code is not None and code & 0xFF == sqlite3.SQLITE_FULL) or state == FULL_DISK:
        return Away("disk_full", "the disk of the server is full", 30, str(found))
    if state in AGAIN:
        return Away("database_busy", "the database is busy", 5, str(found)) if state != "23505" else None
    # psycopg's word for a server that does not answer has no state.
    is_sqlite = isinstance(found, sqlite3.Error)
    lost = isinstance(error, OperationalError | InterfaceError) and state is None and not is_sqlite
    if lost or (code is not None and code & 0xFF in PASSING) or str(state or "").startswith(AWAY):
        return Away("database_away", "the database cannot be reached", 5, str(found))
    return None


def _worth_another_try(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return code in AGAIN
    # SQLite: a writer is alone, so what violates a rule does so every time; only waiting for the file may end.
    return isinstance(error, OperationalError) and "locked" in str(error.orig)


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False},
        pool_size=20,
        max_overflow=40,
        pool_timeout=POOL_SECONDS,
    )
    path = make_url(url).database
    assert path

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        # The driver begins no transaction by itself: `write` does, with IMMEDIATE.
        connection.isolation_level = None
        try:
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            mode = _write_ahead(connection)
        except sqlite3.DatabaseError as error:
            raise Unopened(f"{path} cannot be opened as a database: {error}") from error
        if mode.lower() != "wal":
            raise UserError(
                f"{Path(path).parent} does not support write-ahead logging",
                remedy="put the project on a local disk: network file systems lose work",
            )
        # FULL: what was acknowledged survives a power cut, not only a killed process.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _postgresql_engine(url: str) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError("psycopg", "postgresql") from None
    # As many as a web server has threads. Who finds the server restarted must notice, and not fail its next request.
    return create_engine(
        url,
        pool_size=10,
        max_overflow=30,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,
        connect_args=PATIENCE,
    )


def _write_ahead(connection: Any) -> str:
    """The journal mode, write-ahead if it can be had."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            # Two processes that open a new file at once: here SQLite does not wait by itself.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.02))
