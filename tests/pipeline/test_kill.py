"""Rule 1: killed anywhere with SIGKILL and resumed, a run ends bitwise where an unbroken one ends.

The classic demo, and a walk: two rounds of rank, reward and PPO, then DPO, a weighed reward model, PPO again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import warm
from small import SMALL
from tiny import DRAWN, PPO, example, sized, tiny

from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.config.steps import StepInput
from plaudit.data.readers.read import read
from plaudit.pipeline.context import Context
from plaudit.pipeline.datasets import materials_of
from plaudit.pipeline.run import run
from plaudit.runs import RunFolder
from plaudit.runtime import Runtime

# The process kills itself with SIGKILL as soon as the named step has kept something: no step can end before that.
CODE = """
import json, os, signal, sys
from plaudit.config import validate
from plaudit.pipeline.run import run
from plaudit.pipeline.steps import ranked_items
from plaudit.training import checkpoint

recipe, changes, out, where = json.loads(sys.argv[1])

def deadly(module, name, step_of):
    plain = getattr(module, name)
    def then_killed(*given, **options):
        plain(*given, **options)
        if step_of(*given) == where:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, then_killed)

if where:
    deadly(checkpoint, "save", lambda stage, *rest: stage.name)
    # Rankings for training are written, those held out not yet.
    deadly(ranked_items, "write_jsonl", lambda records, path: path.parent.name)
run(recipe if isinstance(recipe, str) else validate(recipe, "walk"), changes, out)
"""
FINAL = ("stages/sft/model", "stages/reward/model", "stages/ppo/model")
CLASSIC = ("pocket", SMALL)
SAVED = {"checkpoint_every": 2}
LEARNING = {**PPO, "checkpoint_every": 1}
SIZES = {
    "pretrain": {"max_steps": 10},
    "sft": {"max_steps": 10},
    "loop": {"steps": {"rank": DRAWN, "reward": {"max_steps": 5, **SAVED}, "ppo": LEARNING}},
    "dpo": {"max_steps": 4, **SAVED},
    "reward": {"max_steps": 5, **SAVED},
    "ppo": LEARNING,
}


def walk(**sizes: Any) -> dict[str, Any]:
    """The recipe of docs/recipes.md, at a size that takes seconds."""
    return tiny("walk", sized(example("rounds")["steps"], SIZES | sizes), evaluate=None)


WALK = (walk(), [])
ROUNDS = ("rank-1", "rank-2")


def start(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, json.dumps([*CLASSIC, str(out), None])],
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


def weights(out: Path, folders: tuple[str, ...] = FINAL) -> dict[str, bytes]:
    return {
        f"{folder}/{p.name}": p.read_bytes()
        for folder in folders
        for p in sorted((out / folder).glob("*.safetensors"))
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken")
    seconds = finish(out)
    return out, seconds


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    out = tmp_path_factory.mktemp("walked")
    # In this process, whose hashes of strings are others than those of the processes that are killed.
    run(validate(walk(), "walk"), [], out)
    return RunFolder(out)


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
    nothing_half_written(out)


def replaced(step, source: str):
    """The step learning from one source alone."""
    return dataclasses.replace(step, on=(StepInput(name=source),))


def nothing_half_written(out: Path) -> None:
    assert not [p for p in out.rglob(".*") if p.name.count(".") > 1], "something half-written was left behind"


def kill_in(out: Path, stage: str, what: tuple = CLASSIC) -> None:
    """Start, and be killed as soon as the step has kept something."""
    killed = warm.python("-c", CODE, json.dumps([*what, str(out), stage]))
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert json.loads((out / "stages" / stage / "stage.json").read_text())["status"] == "running"


@pytest.mark.slow
def test_killed_and_resumed_equals_unbroken(unbroken, tmp_path):
    whole, _ = unbroken
    for stage in ("pretrain", "reward", "ppo"):
        kill_in(tmp_path, stage)
    finish(tmp_path)
    check(tmp_path, whole)


def test_a_walk_killed_in_a_rank_and_a_ppo_step_equals_an_unbroken_one(walked, tmp_path):
    """A step that fits is killed in the slow test below; each method resumes in tests/training/test_checkpoint.py."""
    for stage in ("rank-2", "ppo"):
        kill_in(tmp_path, stage, WALK)
    done = warm.python("-c", CODE, json.dumps([*WALK, str(tmp_path), None]))
    assert done.returncode == 0, done.stderr[-3000:]
    folders = tuple(
        f"stages/{name}/model" for name in walked.read_json("run.json")["steps"] if "rank" not in name
    )
    whole, resumed = weights(walked.path, folders), weights(tmp_path, folders)
    assert len(whole) >= 9 and whole.keys() == resumed.keys()
    assert [name for name in whole if whole[name] != resumed[name]] == []
    for rank in ROUNDS:
        for part in ("train.jsonl", "held_out.jsonl"):
            a, b = (f / "stages" / rank / part for f in (walked.path, tmp_path))
            assert a.read_bytes() == b.read_bytes()
    resumed_steps = [e["stage"] for e in RunFolder(tmp_path).events() if e["event"] == "resumed"]
    assert resumed_steps == ["rank-2", "ppo"]
    nothing_half_written(tmp_path)


def test_a_walk_ranks_fresh_prompts_in_each_round_and_takes_the_newest_of_everything(walked):
    rounds = [
        {
            r.prompt.id
            for part in ("train", "held_out")
            for r in read(walked.stage(n).path / f"{part}.jsonl").records
        }
        for n in ROUNDS
    ]
    assert all(len(prompts) > 20 for prompts in rounds) and not rounds[0] & rounds[1]
    steps = walked.read_json("run.json")["steps"]
    inputs = {n: (s["from"], s["on"], s["rewards"]) for n, s in steps.items()}
    assert inputs["ppo-1"] == ("sft", ["prompts"], ["step:reward-1"])
    assert inputs["reward-2"] == ("sft", ["rank-1", "rank-2"], [])
    assert inputs["ppo-2"][0] == "ppo-1" and inputs["ppo-2"][2] == ["step:reward-2"]
    assert inputs["dpo"] == ("ppo-2", ["rank-1", "rank-2"], [])
    assert inputs["ppo"][0] == "dpo" and inputs["ppo"][2] == ["step:reward"]
    assert walked.read_json("run.json")["places"] == {"base": "pretrain", "start": "sft", "end": "ppo"}


def test_the_weight_of_a_source_reaches_every_record_that_a_step_learns_from(walked):
    config = validate(WALK[0], "walk")
    graph = graph_of(config)
    context = Context(config, graph, walked, materials_of(config), Runtime())
    rounds = [{r.prompt.id for p in context.records(replaced(graph["reward"], n)) for r in p} for n in ROUNDS]
    for part in context.records(graph["reward"]):
        assert {r.weight for r in part if r.prompt.id in rounds[0]} == {1.0}
        assert {r.weight for r in part if r.prompt.id in rounds[1]} == {2.0}
        assert part and all(r.prompt.id in rounds[0] | rounds[1] for r in part)


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


def started(folder: RunFolder) -> list[str]:
    return [e["stage"] for e in folder.events() if e["event"] == "started"]


def test_a_finished_walk_is_skipped_and_a_changed_step_runs_again_with_what_follows_it(walked, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(walked.path, out)
    folder = RunFolder(out)
    before, count = started(folder), len(started(folder))
    run(validate(walk(), "walk"), [], out)
    assert started(folder) == before
    run(validate(walk(dpo=SIZES["dpo"] | {"beta": 0.3}), "walk"), [], out)
    assert started(folder)[count:] == ["dpo", "ppo"]
    assert sorted(p.name for p in (out / "replaced").iterdir()) == ["dpo-001", "ppo-001"]
    models = tuple(f"stages/{name}/model" for name in ("reward", "ppo-2", "dpo", "ppo"))
    whole, again = weights(walked.path, models), weights(out, models)
    changed = {name.split("/")[1] for name in whole if whole[name] != again[name]}
    assert len(whole) >= 4 and whole.keys() == again.keys() and changed == {"dpo", "ppo"}


@pytest.mark.slow
def test_a_finished_demo_is_skipped_and_a_changed_step_is_evaluated_again(unbroken, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(unbroken[0], out)
    folder = RunFolder(out)
    before, count = weights(out), len(started(folder))
    run("pocket", SMALL, out)
    assert count == len(folder.stages()) == len(started(folder))
    run("pocket", [*SMALL, "steps.ppo.clip=0.1"], out)
    assert started(folder)[count:] == ["ppo", "evaluate"]
    assert sorted(p.name for p in (out / "replaced").iterdir()) == ["evaluate-001", "ppo-001"]
    after = weights(out)
    assert {name.split("/")[1] for name in before if before[name] != after[name]} == {"ppo"}
