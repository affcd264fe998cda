"""A backup holds everything as of one moment, goes back whole or not at all, and moves between databases."""

from __future__ import annotations

import gzip
import json
import stat

import pytest
from labor import hire, work_through
from postgresql import migrated_sqlite  # noqa: F401
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from plaudit.errors import UserError
from plaudit.feedback.backup import backup, restore
from plaudit.feedback.exporting import exported
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.migrate import upgrade
from plaudit.feedback.store.people import People
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project, publish
from plaudit.feedback.store.schema import Project, TableBase
from plaudit.feedback.store.settings import Settings


@pytest.fixture
def worked(database):
    """A project on which two people have worked."""

    def work(db):
        settings = Settings(require_reading=False, overlap=2, strength=False)
        project = create_project(db, "p", title="P", settings=settings, now=0)
        publish(db, project, "# Rules «ü»", by=None, now=0)
        items = [
            NewItem(({"role": "user", "content": f"q{i} 😀"},), (NewAnswer("a"), NewAnswer("b")))
            for i in range(5)
        ]
        right = NewItem(
            ({"role": "user", "content": "g"},),
            (NewAnswer("a"), NewAnswer("b")),
            purpose="gold",
            accepted=(((0,), (1,)),),
        )
        add_items(db, project, [*items, right], now=0)
        return project

    project = database.write(work)
    members = hire(database, project, 2)
    work_through(database, members, lambda item, rng: {"groups": [[0], [1]]})
    database.write(lambda db: People(b"x" * 32).make_link(db, now=0, project=project, role="labeler"))
    return database


def everything(database):
    def rows(db):
        return {
            t.name: sorted(
                (dict(r) for r in db.execute(select(t)).mappings()), key=lambda r: json.dumps(r, default=str)
            )
            for t in TableBase.metadata.sorted_tables
        }

    return database.read(rows)


def records(database):
    return database.read(lambda db: [r for p in db.scalars(select(Project)) for r in exported(db, p)])


def test_a_backup_restores_every_row_into_either_database(worked, tmp_path, request):
    path = tmp_path / "kept" / "backup.jsonl.gz"
    counts = backup(worked, path)
    assert counts["judgements"] >= 10 and counts["items"] == 6 and counts["guidelines"] == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = Database(f"sqlite:///{tmp_path}/again.db")
    upgrade(other)
    assert restore(other, path) == counts
    assert everything(other) == everything(worked)
    assert records(other) == records(worked)
    # What is restored is as append-only as it was.
    with pytest.raises(DBAPIError):
        other.write(lambda db: db.execute(text("UPDATE judgements SET rationale = 'x'")))
    other.close()


def test_a_project_moves_from_sqlite_to_postgresql(worked, tmp_path, request):
    if not worked.is_sqlite:
        pytest.skip("the other way round is the test above")
    path = tmp_path / "b.gz"
    backup(worked, path)
    server = request.getfixturevalue("postgresql")
    name = server.make()
    other = Database(server.url(name))
    try:
        upgrade(other)
        restore(other, path)
        assert everything(other) == everything(worked)
    finally:
        other.close()
        server.drop(name)


@pytest.mark.parametrize("damage", ["cut", "end", "kind", "revision", "row", "none"])
def test_what_is_no_whole_backup_is_refused_and_leaves_nothing(worked, tmp_path, damage):
    path = tmp_path / "b.gz"
    backup(worked, path)
    whole = path.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "none":
        path.unlink()
    else:
        head = json.loads(lines[0])
        head |= {"kind": {"kind": "else"}, "revision": {"revision": "0999"}}.get(damage, {})
        kept = {"end": lines[1:-1], "row": lines[2:]}.get(damage, lines[1:])
        path.write_bytes(gzip.compress((json.dumps(head) + "\n").encode() + b"".join(kept)))
    other = Database(f"sqlite:///{tmp_path}/again.db")
    upgrade(other)
    with pytest.raises((UserError, DBAPIError)):
        restore(other, path)
    assert not any(everything(other).values())
    other.close()


def test_a_database_with_something_in_it_is_left_alone(worked, tmp_path):
    path = tmp_path / "b.gz"
    backup(worked, path)
    before = everything(worked)
    with pytest.raises(UserError, match="not empty"):
        restore(worked, path)
    assert everything(worked) == before


def test_a_backup_replaces_nothing_and_leaves_nothing_half_written(worked, tmp_path, monkeypatch):
    path = tmp_path / "b.gz"
    path.write_bytes(b"precious")
    with pytest.raises(UserError, match="there already"):
        backup(worked, path)
    assert path.read_bytes() == b"precious"
    monkeypatch.setattr("plaudit.feedback.backup._dump", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backup(worked, tmp_path / "c.gz")
    assert [p.name for p in tmp_path.glob("*.gz*")] == ["b.gz"] and not list(tmp_path.glob(".*"))
