"""Files that are not what they are taken for: a folder, a broken record, a name that is no name."""

from __future__ import annotations

import pytest
from command_line import run

LONG = "x" * 300
READERS = ("resume", "report", "evaluate", "audit", "redteam")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.jsonl").write_text('{"prompt": "a", "responses": ["b", "c"]}\n')
    (tmp_path / "nothing.yaml").write_text("steps: {sft: {}}\n")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    (tmp_path / "date.yaml").write_text("steps: {sft: {epochs: 2024-13-45}}\n")
    (tmp_path / "number.yaml").write_text("steps: {2: {}, 3: {kind: [a]}}\n")
    for name, text in (("broken", "{broken"), ("list", "[1]"), ("empty", "{}"), ("odd", '{"steps": {}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "date.yaml/x"], "cannot be read: Not a directory"),
        (["run", LONG], "cannot be read: File name too long"),
        (["dpo", f"{LONG}.yaml"], "cannot be read: File name too long"),
        (["check", LONG], "File name too long"),
        (["sample", LONG, "hello"], "File name too long"),
        (["run", "rows.jsonl"], "plaudit check rows.jsonl"),
        (["check", "nothing.yaml"], "name some, such as data: {preferences: FILE}"),
        (["run", "pocket", "--out", ""], "Invalid value for '--out'"),
        (["run", "."], "is a folder, not a recipe"),
        (["run", "date.yaml"], "date.yaml:1: month must be in 1..12"),
        (["run", "pocket", "--set", "seed=2024-13-45"], "not valid YAML"),
        (["run", "number.yaml"], "'2' begins with no kind of step"),
        (["run", "number.yaml", "--without", "4"], "steps: 2, 3"),
        (["dpo", "number.yaml"], "'2' begins with no kind of step"),
        (["judge", "file.jsonl", "--with", "python:math:sqrt", "--out", "file.jsonl"], "is a file"),
        (["compare", "pocket", "--out", "file.jsonl/x"], "file.jsonl is a file"),
        (["collect", "--responses", "file.jsonl", "--project", "file.jsonl"], "with --project DIR"),
        *(([verb, "broken"], "run.json: not valid JSON") for verb in (*READERS, "chat")),
        *(([verb, "list"], "holds a list") for verb in (*READERS, "chat")),
        (["resume", "empty"], "it holds no config"),
        (["audit", "odd"], "it holds no config"),
        (["evaluate", "odd"], "it holds no config"),
        (["report", "odd"], "it holds no config"),
        (["run", "pocket", "--dry-run", "--out", "broken"], "run.json: not valid JSON"),
    ],
)
def test_a_path_that_is_not_what_it_is_taken_for_is_told_with_code_2(here, words, said, capsys):
    before = sorted(here.rglob("*"))
    assert run(*words) == 2
    shown = "".join(capsys.readouterr())
    assert said in shown and "Traceback" not in shown
    assert sorted(here.rglob("*")) == before
