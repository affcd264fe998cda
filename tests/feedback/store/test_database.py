"""Transactions: whole or not at all, tried again where another was first, and only then."""

from __future__ import annotations

import sqlite3
from typing import ClassVar

import pytest
from making import NOW, all_of, make
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from plaudit.errors import UserError
from plaudit.feedback.store import database as module
from plaudit.feedback.store.database import Database, checked_url, shown
from plaudit.feedback.store.people import add_user
from plaudit.feedback.store.schema import Item, Project, User


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
