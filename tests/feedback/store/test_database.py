"""Transactions: whole or not at all, tried again where another was first, and only then."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import ClassVar

import psycopg
import pytest
from making import NOW, all_of, make
from sqlalchemy import event, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from plaudit.errors import UserError
from plaudit.feedback.project_location import opened
from plaudit.feedback.store import database as module
from plaudit.feedback.store.account_tables import User
from plaudit.feedback.store.database import Database, away_of, checked_url, shown
from plaudit.feedback.store.errors import Away
from plaudit.feedback.store.people import add_user
from plaudit.feedback.store.schema import Item, Project


def test_a_transaction_that_fails_changes_nothing(database):
    def work(session):
        add_user(session, "Ann", now=NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(work)
    assert all_of(database, User) == []
    assert database.write(add_user, "Ann", now=NOW).name == "Ann"


def test_increments_that_meet_all_count(database, in_threads):
    made = make(database, items=1, overlap=40)
    add_one = update(Item).values(taken=Item.taken + 1)
    in_threads(8, lambda i: [database.write(lambda s: s.execute(add_one)) for _ in range(5)])
    assert [i.taken for i in all_of(database, Item)] == [40]
    assert made.project


def test_reading_then_writing_is_safe_where_the_row_is_locked(database, in_threads):
    """Two transactions that read a value and write one more: one waits for the other."""
    made = make(database)

    def more(session):
        project = session.get_one(Project, made.project, with_for_update=True)
        project.guideline_version += 1

    in_threads(8, lambda i: [database.write(more) for _ in range(5)])
    assert all_of(database, Project)[0].guideline_version == 40


def test_reading_sees_one_state(database):
    made = make(database, items=1)

    def work(session):
        before = session.scalar(text("SELECT taken FROM items"))
        database.write(lambda s: s.execute(update(Item).values(taken=1)))
        return before, session.scalar(text("SELECT taken FROM items"))

    assert database.read(work) == (0, 0)
    assert all_of(database, Item)[0].taken == 1 and made.project


def test_what_can_never_succeed_is_given_up(database, monkeypatch):
    slept = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    tries = []

    def work(session):
        tries.append(1)
        session.execute(update(Item).values(taken=-1))

    make(database, items=1)
    with pytest.raises(IntegrityError, match="within_overlap"):
        database.write(work)
    assert len(tries) == 1 and not slept


def test_a_name_taken_by_another_at_the_same_time_is_told_as_such(database, in_threads):
    """The loser's insert fails, and its second try finds the name."""
    from plaudit.feedback.store.errors import Refused

    def add(i):
        try:
            return database.write(add_user, "Ann", now=NOW).name
        except Refused as refused:
            return refused.code

    assert sorted(in_threads(8, add)) == ["Ann", *["name_taken"] * 7]


def test_a_conflict_that_lasts_ends(database, monkeypatch):
    """A faulty function that violates a rule every time is not tried for ever."""
    database.write(add_user, "Ann", now=NOW)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    tries = []

    def work(session):
        tries.append(1)
        session.add(User(name="Ann", name_key="ann", created=NOW))
        session.flush()

    with pytest.raises(IntegrityError):
        database.write(work)
    assert len(tries) == (1 if database.is_sqlite else module.ATTEMPTS)


def test_reading_changes_nothing(database):
    def work(session):
        session.execute(text("UPDATE projects SET title = 'x'"))
        session.flush()

    make(database)
    if database.is_sqlite:
        database.read(work)
    else:
        with pytest.raises(DBAPIError, match="read-only"):
            database.read(work)
    assert all_of(database, Project)[0].title == "p"


def test_sqlite_survives_a_power_cut_and_checks_references(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with database.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": module.BUSY_MS,
    }
    database.close()


def test_a_file_that_is_no_database_is_told_in_words(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be taken for one " * 40)
    database = Database(f"sqlite:///{tmp_path / 'notes.txt'}")
    with pytest.raises(UserError, match="cannot be opened"):
        database.read(lambda session: None)


@pytest.mark.parametrize(
    "url, right",
    [
        ("postgresql://ann:secret@host/name", "postgresql+psycopg://ann:secret@host/name"),
        ("postgres://host/name", "postgresql+psycopg://host/name"),
        ("postgresql+asyncpg://host/name", "postgresql+psycopg://host/name"),
        ("sqlite:///a/b.db", "sqlite:///a/b.db"),
    ],
)
def test_addresses(url, right):
    assert checked_url(url) == right
    assert "secret" not in shown(right)


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "nonsense", ""])
def test_addresses_of_something_else_are_refused(url):
    with pytest.raises(UserError) as refused:
        checked_url(url)
    assert refused.value.remedy


def test_who_opens_a_new_file_at_the_same_time_waits(monkeypatch):
    """SQLite itself answers at once, and says that the file is locked, while another turns on the same mode."""

    class Busy:
        answers: ClassVar = [sqlite3.OperationalError("database is locked")] * 2

        def execute(self, statement):
            if self.answers:
                raise self.answers.pop()
            return sqlite3.connect(":memory:").execute("SELECT 'wal'")

    assert module._write_ahead(Busy()) == "wal"
    Busy.answers = [sqlite3.OperationalError("disk I/O error")]
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        module._write_ahead(Busy())
    monkeypatch.setattr(module, "BUSY_MS", 0)
    Busy.answers = [sqlite3.OperationalError("database is locked")] * 50
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        module._write_ahead(Busy())


# What ends by itself


def sqlite_error(kind, code, words):
    made = kind(words)
    made.sqlite_errorcode = code
    return made


def postgresql_error(state):
    from psycopg.errors import lookup

    return lookup(state)("words of the server")


@pytest.mark.parametrize(
    "error, code",
    [
        (
            sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_FULL, "database or disk is full"),
            "disk_full",
        ),
        (
            sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_IOERR | 3 << 8, "disk I/O error"),
            "database_away",
        ),
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_BUSY, "database is locked"), "database_away"),
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_CANTOPEN, "unable to open"), "database_away"),
        (
            sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_READONLY, "readonly database"),
            "database_away",
        ),
        (sqlite_error(sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT, "malformed"), None),
        (sqlite_error(sqlite3.IntegrityError, sqlite3.SQLITE_CONSTRAINT, "UNIQUE"), None),
        (sqlite_error(sqlite3.OperationalError, sqlite3.SQLITE_ERROR, "no such table"), None),
        *[(state, "database_away") for state in ("08006", "53300", "57P01", "57P03", "58030", "25006")],
        ("53100", "disk_full"),
        *[(state, "database_busy") for state in ("40001", "40P01")],
        *[(state, None) for state in ("23505", "42P01", "22001", "23514")],
    ],
)
def test_what_ends_by_itself_is_told_from_faults(error, code):
    found = postgresql_error(error) if isinstance(error, str) else error
    wrapped = DBAPIError.instance("SELECT 1", {}, found, sqlite3.Error if found is error else psycopg.Error)
    away = away_of(wrapped)
    assert (away.code if away else None) == code
    assert away is None or (away.status, away.wait > 0, "words" in away.message) == (503, True, False)


def test_a_full_disk_refuses_the_writer_and_changes_nothing(database):
    """The real thing: SQLite with no page left."""
    if not database.is_sqlite:
        pytest.skip("SQLite's own limit")
    made = make(database, items=1)
    full = Database(database.url)
    event.listen(full.engine, "connect", lambda line, _: line.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(Away) as refused:
        full.write(lambda s: s.execute(BIG, {"much": "x" * 300_000}))
    full.close()
    assert (refused.value.code, refused.value.wait) == ("disk_full", 30)
    assert len(all_of(database, Project)) == 1 and made.project


COLUMNS = "id, action, target, detail, created"
BIG = text(f"INSERT INTO audit ({COLUMNS}) VALUES ('x', 'y', '', :much, 0)")


def test_a_server_that_is_gone_or_restarts_is_away_until_it_is_back(postgresql, database):
    """Its connections are ended from elsewhere; then it cannot be reached at all; then it is back."""
    if database.is_sqlite:
        pytest.skip("PostgreSQL only")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    end = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

    def work(session):
        session.execute(text("SELECT 1"))
        other = Database(database.url)
        while other.write(lambda s: s.execute(end).all()):
            pass
        other.close()
        return session.execute(text("SELECT 1")).scalar()

    for run in (database.read, database.write):
        with pytest.raises(Away) as refused:
            run(work)
        assert refused.value.code == "database_away"
    assert database.read(lambda s: s.execute(text("SELECT 1")).scalar()) == 1
    nowhere = Database("postgresql://tests@/x?host=/nonexistent")
    with pytest.raises(Away):
        nowhere.read(lambda s: s.execute(text("SELECT 1")))


def test_all_connections_in_use_is_away_and_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POOL_SECONDS", 0.01)
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with contextlib.ExitStack() as held:
        for _ in range(60):
            held.enter_context(database.engine.connect())
        with pytest.raises(Away) as refused:
            database.read(lambda s: s)
    assert refused.value.code == "database_busy"
    database.close()


def test_a_folder_that_goes_away_while_it_serves_names_no_path(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    database = Database(f"sqlite:///{folder / 'a.db'}")
    assert database.read(lambda s: s.execute(text("SELECT 1")).scalar()) == 1
    database.close()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(Away) as refused:
        database.read(lambda s: s.execute(text("SELECT 1")))
    assert str(tmp_path) not in refused.value.message
    # At the start it is a mistake of whoever named it.
    with pytest.raises(UserError, match="unable to open"), opened(f"sqlite:///{folder / 'a.db'}"):
        pass
