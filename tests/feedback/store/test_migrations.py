"""A database is brought to this version's tables once; judgements in it are never changed or removed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import laborer
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from making import all_of, claim, make, submit
from sqlalchemy import CheckConstraint, inspect, text
from sqlalchemy.exc import DBAPIError

import plaudit.feedback.store
from plaudit.errors import UserError
from plaudit.feedback.store import migrate
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.schema import Judgement, TableBase


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """The address of a database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server = request.getfixturevalue("postgresql")
    name = server.make()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def opened(empty):
    database = Database(empty)
    yield database
    database.close()


def do(database, statement):
    with database.engine.begin() as connection:
        connection.execute(text(statement))


def test_the_migrations_make_the_tables_that_the_code_describes(database):
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, TableBase.metadata) == []
        # What that comparison leaves out: the conditions of indexes and what the columns must satisfy.
        found = inspect(connection)
        for table in TableBase.metadata.sorted_tables:
            checks = {c["name"] for c in found.get_check_constraints(table.name)}
            assert checks == {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
            option = f"{connection.dialect.name}_where"
            partial = {
                i["name"]: i.get("dialect_options", {}).get(option) is not None
                for i in found.get_indexes(table.name)
            }
            for index in table.indexes:
                assert partial[index.name] == (
                    index.dialect_options[connection.dialect.name]["where"] is not None
                )


def test_the_newest_migration_is_the_one_that_the_code_names():
    folder = Path(plaudit.feedback.store.__file__).parent / "migrations"
    script = ScriptDirectory(str(folder))
    assert script.get_heads() == [migrate.HEAD]
    assert max(p.name for p in (folder / "versions").glob("0*.py")).startswith(migrate.HEAD)


def test_an_empty_database_gets_its_tables_and_keeps_them(opened):
    migrate.upgrade(opened)
    with opened.engine.connect() as connection:
        assert migrate.revision_of(connection) == migrate.HEAD
    made = make(opened, items=1)
    migrate.upgrade(opened)
    assert claim(opened, made.members[0]).state == "leased"


def test_a_database_of_a_newer_version_is_refused(opened):
    migrate.upgrade(opened)
    do(opened, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="newer plaudit"):
        migrate.upgrade(opened)


def test_a_database_of_something_else_is_refused_and_left_as_it_is(opened):
    do(opened, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(UserError, match="not plaudit's") as refused:
        migrate.upgrade(opened)
    assert "empty database" in refused.value.remedy
    with opened.engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["recipes"]


def test_a_migration_that_fails_leaves_nothing_behind(opened, monkeypatch, tmp_path):
    """A copy of the migrations whose first one breaks at its end."""
    folder = tmp_path / "store" / "migrations"
    shutil.copytree(Path(plaudit.feedback.store.__file__).parent / "migrations", folder)
    [first] = (folder / "versions").glob("0001*.py")
    first.write_text(first.read_text().replace("    _append_only()\n", "    raise ZeroDivisionError\n", 1))
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "store" / "migrate.py"))
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(opened)
    with opened.engine.connect() as connection:
        assert inspect(connection).get_table_names() == []


def test_several_processes_may_start_at_once(empty, processes):
    start = time.time() + 0.5
    runs = [processes.Process(target=laborer.migrating, args=(empty, start)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0] * 4
    database = Database(empty)
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
    assert claim(database, make(database, items=1).members[0]).state == "leased"
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgements SET rationale = 'I never said that'",
        "UPDATE judgements SET revision = revision + 1 WHERE revision = 1",
        "DELETE FROM judgements",
        "TRUNCATE judgements CASCADE",
        "DELETE FROM assignments",
    ],
)
def test_no_judgement_is_changed_or_removed(database, statement):
    if database.is_sqlite and statement.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    made = make(database, items=1)
    submit(database, claim(database, made.members[0]), key="for-ever")
    began = time.monotonic()
    with pytest.raises(DBAPIError) as refused:
        database.write(lambda session: session.execute(text(statement)))
    if "judgements" in statement:
        assert "append-only" in str(refused.value.orig)
    # What can never succeed is not tried again.
    assert time.monotonic() - began < 5
    [kept] = all_of(database, Judgement)
    assert (kept.idempotency_key, kept.revision, kept.rationale) == ("for-ever", 1, "")
