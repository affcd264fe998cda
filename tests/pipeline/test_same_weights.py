"""Same command, same weights: on one kind of machine, however busy it is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest
from toy import demonstrations, toy_policy

from plaudit.data.records.writers import write_jsonl
from plaudit.models.policy import save_policy
from plaudit.runs import RunFolder


def command(out, *more):
    """`plaudit sft` as a process of its own, with nothing chosen for it."""
    free = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    words = ["sft", "demos.jsonl", "--model", "model", "--out", out, "--set", "sft.epochs=2", *more]
    done = subprocess.run([sys.executable, "-m", "plaudit", *words], env=free, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return RunFolder(out)


def hashes(run):
    folder = run.stage("sft").model
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.safetensors"))}


@pytest.mark.slow  # three processes that import torch
def test_a_run_beside_two_busy_processes_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_policy(toy_policy(), tmp_path / "model", card="# A toy")
    write_jsonl(demonstrations(24), tmp_path / "demos.jsonl")
    alone = command("alone")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        beside = command("beside")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert hashes(alone) and hashes(alone) == hashes(beside)
    first, second = (json.loads((run.path / "run.json").read_text())["resolved"] for run in (alone, beside))
    for key in ("threads", "threads_reason", "precision", "precision_reason"):
        assert first[key] == second[key]
    assert hashes(command("other", "--set", "seed=7")) != hashes(alone), "weights that nothing could change"
