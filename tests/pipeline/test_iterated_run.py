"""Iterated RLHF in one tiny run: favourites are ranked, rounds are audited, and a step ends with its best policy."""

from __future__ import annotations

import json

import pytest
import torch
from tiny import DRAWN, PPO, tiny

import plaudit
from plaudit.audit.findings import Watched
from plaudit.audit.health_rl import rolled_back
from plaudit.config import validate
from plaudit.data.readers.read import read
from plaudit.models.policy import load_policy
from plaudit.runs import RunFolder

JUDGE = """
calls = []

def tired(sample):
    "Every answer is worth a little less than the one before."
    calls.append(1)
    return -len(calls) / 1000
"""
ROUND = {
    "rank": {**DRAWN, "scripted_share": 0.0, "answers": 4, "favourites": 0.5, "pool": 8},
    "reward": {},
    "ppo": {**PPO, "forecast": False},
    "audit": {"max_new_tokens": 16},
}
JUDGED = {**PPO, "keep_best": "python:tired_judge:tired", "evaluate_every": 1, "forecast": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("iterated")
    (root / "tired_judge.py").write_text(JUDGE)
    steps = {"loop": {"rounds": 2, "steps": ROUND}, "ppo-3": JUDGED}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        plaudit.run(validate(tiny("iterated", steps), "iterated"), out=root / "run")
    return RunFolder(root / "run")


def said(run):
    return "\n".join(e["text"] for e in run.events() if e["event"] == "note")


def chosen(run, name):
    """How each answer of every ranking was chosen."""
    records = [
        r for part in ("train", "held_out") for r in read(run.stage(name).path / f"{part}.jsonl").records
    ]
    return [[a.metadata.get("chosen") for a in r.responses] for r in records]


def test_favourites_and_random_answers_are_ranked_once_a_reward_model_is_there(run):
    assert {None} == {c for row in chosen(run, "rank-1") for c in row}
    assert "rank-1: no reward model stands before it" in said(run) and "rank-2: no reward" not in said(run)
    found = chosen(run, "rank-2")
    assert found and all(row.count("favourite") == 2 for row in found if len(row) == 4)
    assert {"favourite", "random"} == {c for row in found for c in row}


def test_the_reward_model_learns_from_the_union(run):
    rankings = [run.stage(f"rank-{i}").read_json()["rankings"] for i in (1, 2)]
    assert run.read_json("run.json")["steps"]["reward-2"]["on"] == ["rank-1", "rank-2"]
    assert min(rankings) > 0


@pytest.mark.parametrize("number", [1, 2])
def test_every_round_is_audited_against_the_start(run, number):
    name = f"audit-{number}"
    found = run.stage(name).read_json("audit.json")
    assert (found["before"], found["after"], found["truth"]) == ("sft", f"ppo-{number}", "gold")
    assert {"length", "flattery"} <= {c["detector"] for c in found["changes"]}
    told = run.read_json("summary.json")["audits"][name]
    assert told["prompts"] == 20 and set(told["means"]) == {"reward", "truth"}
    assert f"{name}: sft → ppo-{number}, reward " in said(run)


def test_a_step_that_its_judge_dislikes_ends_as_it_began(run):
    before, after = (load_policy(run.stage(name).model).model for name in ("ppo-2", "ppo-3"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters()))
    back = run.read_json("summary.json")["rolled_back"]["ppo-3"]
    assert (back["iteration"], back["by"], back["last_iteration"]) == (0, "second", 2)
    assert "ppo-3: the policy of iteration 0 is kept, second -0.0" in said(run)
    found = json.loads((run.path / "findings.json").read_text())["findings"]
    assert [(f["step"], f["severity"]) for f in found if f["rule"] == "rolled_back"] == [("ppo-3", "note")]
    assert rolled_back(Watched.of([], {}, "ppo")) is None
    log = run.stage("ppo-3").metrics()
    assert all({"gold", "second", "best/iteration"} <= set(row) for row in log)
