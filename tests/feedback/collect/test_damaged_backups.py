"""Whatever is in the file: a sentence that names what is wrong, nothing half restored, and little memory."""

from __future__ import annotations

import copy
import gzip
import json
import random
import re
import shutil
import tracemalloc

import pytest
from labor import hire, work_through
from postgresql import migrated_sqlite  # noqa: F401
from sqlalchemy import func, select

from plaudit.cli import main
from plaudit.errors import UserError
from plaudit.feedback import backup_rows
from plaudit.feedback.backup import backup, restore
from plaudit.feedback.exporting import exported
from plaudit.feedback.store.database import Database
from plaudit.feedback.store.projects import NewAnswer, NewItem, add_items, create_project, publish
from plaudit.feedback.store.rounds import NewRound
from plaudit.feedback.store.schema import Project, TableBase
from plaudit.feedback.store.settings import Settings

ODD = [
    None,
    True,
    -1,
    0,
    7,
    2**31,
    2**63,
    1e300,
    "",
    "x" * 400,
    "nul\x00",
    "\ud800",
    [],
    [[]],
    [[9]],
    [None],
    {},
    {"a": 1},
]


@pytest.fixture(scope="module")
def whole(migrated_sqlite, tmp_path_factory):  # noqa: F811
    """The lines of a sound backup, with a row in most tables."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copy(migrated_sqlite, folder / "a.db")
    database = Database(f"sqlite:///{folder}/a.db")

    def work(db):
        settings = Settings(require_reading=False, strength=False, attributes=("helpful",))
        project = create_project(db, "p", title="P", settings=settings, now=0)
        publish(db, project, "# Rules", by=None, now=0)
        prompt = ({"role": "user", "content": "q"},)
        right = NewItem(prompt, (NewAnswer("a"), NewAnswer("c")), purpose="gold", accepted=(((0,), (1,)),))
        items = [NewItem(prompt, (NewAnswer(""), NewAnswer(f"b{i}", model="m"))) for i in range(3)]
        add_items(db, project, [*items, right], now=0, round_=NewRound("r", models=({"name": "m"},)))
        return project

    work_through(database, hire(database, database.write(work), 1), lambda item, rng: {"groups": [[0], [1]]})
    backup(database, folder / "b.gz")
    database.close()
    return [json.loads(line) for line in gzip.decompress((folder / "b.gz").read_bytes()).splitlines()]


@pytest.fixture
def attempt(migrated_sqlite, tmp_path):  # noqa: F811
    """``attempt(bytes)``: the refusal, or None where it was restored into a database that can be read."""
    path = tmp_path / "b.gz"
    shutil.copy(migrated_sqlite, tmp_path / "a.db")
    database = Database(f"sqlite:///{tmp_path}/a.db")

    def run(content):
        path.write_bytes(content)
        try:
            restore(database, path)
        except UserError as refused:
            counts = database.read(
                lambda db: [
                    db.scalar(select(func.count()).select_from(t)) for t in TableBase.metadata.sorted_tables
                ]
            )
            assert not any(counts), "nothing half restored"
            return refused
        database.read(lambda db: [list(exported(db, p)) for p in db.scalars(select(Project))])
        database.write(lambda db: _emptied(db))
        return None

    yield run
    database.close()


def _emptied(db):
    for trigger in ("judgements_no_update", "judgements_no_delete"):
        db.connection().exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")
    for table in reversed(TableBase.metadata.sorted_tables):
        db.execute(table.delete())


def packed(values):
    return gzip.compress("".join(json.dumps(v) + "\n" for v in values).encode(), compresslevel=1)


def row_of(values, table):
    return next(i for i, v in enumerate(values) if v.get("table") == table)


def test_a_sound_one_is_restored(whole, attempt):
    assert attempt(packed(whole)) is None


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda v: v[0].pop("revision"), "does not say which plaudit"),
        (lambda v: v[row_of(v, "items")].pop("row"), "must name a table and hold a row"),
        (lambda v: v.insert(2, [1, 2]), "b.gz:3 is no object"),
        (lambda v: v.insert(2, {"table": "secrets", "row": {}}), "has a table 'secrets'"),
        (lambda v: v[row_of(v, "items")]["row"].update(price=3), "no column 'price'"),
        (lambda v: v[row_of(v, "items")]["row"].pop("prompt"), "prompt is missing"),
        (lambda v: v[row_of(v, "answers")]["row"].update(text=3), "text is no text"),
        (lambda v: v[row_of(v, "items")]["row"].update(taken="3"), "taken is no whole number"),
        (lambda v: v[row_of(v, "items")]["row"].update(prompt=["q"]), "not what plaudit writes there"),
        (lambda v: v[row_of(v, "items")]["row"].update(project_id="nobody"), "rule of the database"),
        (lambda v: v.insert(3, copy.deepcopy(v[2])), "rule of the database|not whole"),
        (lambda v: v.append(v[2]), "behind the end"),
        (lambda v: v.pop(), "not whole"),
        (lambda v: v[-1].update(end=[1]), "not whole"),
    ],
)  # fmt: skip
def test_each_damage_is_said(whole, attempt, change, words):
    values = copy.deepcopy(whole)
    change(values)
    refused = attempt(packed(values))
    assert refused is not None and re.search(words, refused.message), refused
    assert refused.remedy


def test_whatever_is_changed_it_is_refused_in_words_or_restored(whole, attempt):
    """Values, keys, lines and bytes at random: no other error ever comes out."""
    rng = random.Random(5)
    refusals = 0
    for _ in range(120):
        values = copy.deepcopy(whole)
        i = rng.randrange(len(values))
        kind = rng.choice(["value", "key", "line", "drop", "swap", "bytes"])
        row = values[i].get("row", values[i])
        if kind == "value":
            row[rng.choice(list(row))] = rng.choice(ODD)
        elif kind == "key":
            row.pop(rng.choice(list(row)))
        elif kind == "line":
            values[i] = rng.choice(ODD)
        elif kind == "drop":
            values.pop(i)
        elif kind == "swap":
            j = rng.randrange(len(values))
            values[i], values[j] = values[j], values[i]
        content = packed(values)
        if kind == "bytes":
            plain = bytearray(gzip.decompress(content))
            plain[rng.randrange(len(plain))] = rng.randrange(256)
            content = gzip.compress(bytes(plain), compresslevel=1)
        refusals += attempt(content) is not None
    assert refusals > 70, "most of it is damage"


@pytest.mark.parametrize("content", [b'"' + b"x" * 900_000, b"[" * 900_000, b'{"a":[' + b"{}," * 300_000])
def test_one_long_line_takes_no_memory(whole, attempt, monkeypatch, content):
    """Limits made small for the test: what stands behind them is not read."""
    monkeypatch.setattr(backup_rows, "LONGEST_LINE", 500_000)
    monkeypatch.setattr(backup_rows, "MOST_VALUES", 100_000)
    file = packed(whole[:1]) + gzip.compress(content * 40)
    tracemalloc.start()
    refused = attempt(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused is not None and "b.gz:2" in refused.message
    assert peak < 10_000_000


def test_a_backup_from_before_rounds_is_restored(whole, attempt):
    values = [copy.deepcopy(v) for v in whole if v.get("table") != "rounds"]
    values[0]["revision"] = "0001"
    for value in values:
        if value.get("table") == "items":
            del value["row"]["round_id"]
    values[-1]["end"] = {t: n for t, n in values[-1]["end"].items() if t not in ("rounds", "viewings")}
    assert attempt(packed(values)) is None


def test_a_refused_restore_leaves_no_folder(whole, tmp_path, capsys):
    path = tmp_path / "b.gz"
    for values in (whole[:-1], [{"kind": "else"}]):
        path.write_bytes(packed(values))
        with pytest.raises(SystemExit) as stopped:
            main(["collect", "restore", str(path), "--project", str(tmp_path / "new")])
        assert stopped.value.code == 2
        assert not (tmp_path / "new").exists()
    assert "Traceback" not in capsys.readouterr().err
