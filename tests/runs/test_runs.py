"""The run folder: files are whole or absent, logs survive a torn line, folders are replaced at once."""

from __future__ import annotations

import errno
import os

import pytest

from plaudit.errors import UserError
from plaudit.runs import RunFolder, Stage, files as run_files
from plaudit.runs.logs import append_lines, read_lines


def test_a_file_is_written_whole_and_replaces_the_old(tmp_path):
    run_files.write_json(tmp_path / "a" / "x.json", {"v": 1})
    run_files.write_json(tmp_path / "a" / "x.json", {"v": 2})
    assert run_files.read_json(tmp_path / "a" / "x.json") == {"v": 2}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["x.json"]
    assert run_files.read_json(tmp_path / "nothing.json") is None


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    run_files.write_json(path, {"v": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_files.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        run_files.write_json(path, {"v": 2})
    assert run_files.read_json(path) == {"v": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_is_told_whatever_class_the_error_has(tmp_path):
    class SafetensorError(Exception):
        pass

    with (
        pytest.raises(UserError, match=r"cannot write .*model.*No space left on device"),
        run_files.new_folder(tmp_path / "model"),
    ):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_new_or_old_never_between(tmp_path):
    target = tmp_path / "model"
    with run_files.new_folder(target) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), run_files.new_folder(target) as folder:
        (folder / "a").write_text("2")
        raise RuntimeError("killed")
    assert (target / "a").read_text() == "1"
    with run_files.new_folder(target) as folder:
        (folder / "b").write_text("3")
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_sweep_removes_what_a_kill_left_and_nothing_else(tmp_path):
    (tmp_path / ".model.abc").mkdir()
    (tmp_path / ".model.abc" / "w").write_text("half")
    (tmp_path / ".x.json.tmp1").write_text("half")
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / ".gitignore").write_text("*")
    run_files.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".gitignore", "x.json"]


def test_a_torn_last_line_is_ignored_and_the_log_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    append_lines(path, [{"step": 1}, {"step": 2}])
    with path.open("ab") as file:
        file.write(b'{"step": 3, "lo')
    assert [r["step"] for r in read_lines(path)] == [1, 2]
    append_lines(path, [{"step": 4}])
    assert [r["step"] for r in read_lines(path)] == [1, 2, 4]


def test_truncate_forgets_what_comes_after_a_step(tmp_path):
    stage = Stage(tmp_path)
    for step in range(1, 6):
        stage.append_metrics(step, {"loss": 1.0 / step})
    stage.append_samples([{"step": 2, "text": "a"}, {"step": 5, "text": "b"}])
    stage.truncate(3)
    assert [r["step"] for r in stage.metrics()] == [1, 2, 3]
    assert [r["text"] for r in stage.samples()] == ["a"]


def test_numbers_that_json_cannot_hold_become_null(tmp_path):
    stage = Stage(tmp_path)
    stage.append_metrics(1, {"a": float("nan"), "b": float("inf"), "c": 1.5})
    assert stage.metrics() == [{"step": 1, "a": None, "b": None, "c": 1.5}]


def test_a_folder_without_a_run_is_refused_with_advice(tmp_path):
    with pytest.raises(UserError, match=r"holds no run.json"):
        RunFolder.existing(tmp_path)


def test_stages_come_in_the_order_they_began(tmp_path):
    run = RunFolder(tmp_path)
    run.stage("b").write_json("stage.json", {"started": 1.0})
    run.stage("a").write_json("stage.json", {"started": 2.0})
    assert [s.name for s in run.stages()] == ["b", "a"]


def test_a_full_disk_is_told_by_logs_too(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    append_lines(path, [{"v": 1}])

    def full(self, *args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(path), "open", full)
    with pytest.raises(
        UserError, match=r"cannot write .*events\.jsonl: No space left on device\n.*free some space"
    ):
        append_lines(path, [{"v": 2}])
    monkeypatch.undo()
    assert read_lines(path) == [{"v": 1}]
