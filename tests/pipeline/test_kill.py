"""Rule 1: killed anywhere with SIGKILL and resumed, a run ends bitwise where an unbroken one ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small import SMALL

CODE = "import sys, json; from plaudit.pipeline.run import run; run('pocket', json.loads(sys.argv[1]), sys.argv[2])"
FINAL = ("stages/sft/model", "stages/reward/model", "stages/ppo/model")


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, json.dumps(SMALL), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(out: Path) -> float:
    began = time.monotonic()
    process = start(out)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()[-3000:]
    return time.monotonic() - began


def weights(out: Path) -> dict[str, bytes]:
    return {
        f"{folder}/{p.name}": p.read_bytes()
        for folder in FINAL
        for p in sorted((out / folder).glob("*.safetensors"))
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken")
    seconds = finish(out)
    return out, seconds


def kill_and_resume(out: Path, moments: list[float]) -> int:
    """Start, kill after each of these seconds, and let the last start finish; how many kills hit."""
    hits = 0
    for moment in moments:
        process = start(out)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            hits += 1
    finish(out)
    return hits


def check(out: Path, unbroken: Path) -> None:
    whole, resumed = weights(unbroken), weights(out)
    assert len(whole) >= 3 and whole.keys() == resumed.keys()
    for name in whole:
        assert whole[name] == resumed[name], f"{name} differs"
    ignored = ("seconds", "name")
    a, b = (json.loads((f / "summary.json").read_text()) for f in (unbroken, out))
    assert {k: v for k, v in a.items() if k not in ignored} == {
        k: v for k, v in b.items() if k not in ignored
    }
    assert not [p for p in out.rglob(".*") if p.name.count(".") > 1], "something half-written was left behind"


def kill_in(out: Path, stage: str) -> None:
    """Start, and kill as soon as the stage has written a checkpoint."""
    process = start(out)
    while process.poll() is None and not list(out.glob(f"stages/{stage}/checkpoints/step-*")):
        time.sleep(0.002)
    assert process.poll() is None, f"{stage} ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_and_resumed_equals_unbroken(unbroken, tmp_path):
    whole, _ = unbroken
    for stage in ("pretrain", "reward", "ppo"):
        kill_in(tmp_path, stage)
    finish(tmp_path)
    check(tmp_path, whole)


@pytest.mark.slow
def test_twenty_kills_at_random_moments(unbroken, tmp_path):
    whole, seconds = unbroken
    rng = random.Random(time.time_ns())
    hits, runs = 0, 0
    while hits < 20:
        out = tmp_path / str(runs)
        hits += kill_and_resume(out, [rng.uniform(0.2, 0.9) * seconds for _ in range(4)])
        check(out, whole)
        runs += 1


def test_a_finished_run_is_skipped_and_a_changed_stage_runs_again(unbroken, tmp_path):
    from plaudit.pipeline.run import run
    from plaudit.runs import RunFolder

    out = tmp_path / "again"
    finish(out)
    folder = RunFolder(out)
    before = weights(out)
    run("pocket", SMALL, out)
    events = [e for e in folder.events() if e["event"] == "started"]
    assert len(events) == len(folder.stages())
    run("pocket", [*SMALL, "steps.ppo.clip=0.1"], out)
    again = [e["stage"] for e in folder.events() if e["event"] == "started"][len(events) :]
    assert again == ["ppo", "evaluate"]
    assert sorted(p.name for p in (out / "replaced").iterdir()) == ["evaluate-001", "ppo-001"]
    assert (
        weights(out)["stages/reward/model/model.safetensors"]
        == before["stages/reward/model/model.safetensors"]
    )
    assert weights(out)["stages/ppo/model/model.safetensors"] != before["stages/ppo/model/model.safetensors"]
