"""`recipes/combined-feedback.yaml` on the pocket world, start to end; people answer through the HTTP API."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import PPO, tiny

from plaudit.config import validate
from plaudit.config.resolve import graph_of
from plaudit.data.readers.read import read
from plaudit.runs import RunFolder

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import combined

SIZES = {
    "rank-ai": {"prompts": 40, "max_new_tokens": 16, "answers": 3},
    "dpo": {"max_steps": 2},
    "reward-ai": {"max_steps": 3, "members": 2},
    "rank-people": {"prompts": 10},
    "reward": {"max_steps": 3, "members": 2},
    "ppo": {**PPO, "forecast": False},
    "audit": {},
}
BASE = tiny("combined", {"votes": {"kind": "reward", "from": "pretrain", "on": "votes", "max_steps": 3}})


def records(folder: RunFolder, step: str):
    parts = [folder.stage(step).path / f"{part}.jsonl" for part in ("train", "held_out")]
    return [r for p in parts if p.stat().st_size for r in read(p).records]


@pytest.mark.slow
def test_the_shipped_recipe_runs_from_its_start_to_its_audit_with_people_between(tmp_path):
    raw = combined.combined_recipe(BASE, "disagreement", SIZES)
    folder = combined.run_with_people(raw, tmp_path / "run")
    for step in raw["steps"]:
        assert folder.stage(step).read_json()["status"] == "done", step
    assert {"dpo", "ppo", "end"} <= set(json.loads((folder.path / "summary.json").read_text())["gold"])
    judged = {r.prompt.id: {a.text for a in r.responses} for r in records(folder, "rank-ai")}
    again = records(folder, "rank-people")
    assert len(again) == 10 and all({a.text for a in r.responses} <= judged[r.prompt.id] for r in again)
    assert folder.stage("rank-people").read_json()["people"] == 1
    assert 0 <= combined.wrong_share(folder) <= 1
    # People rank by gold and a little noise, the judge errs in three of ten: people agree with gold more often.
    assert right(again) > 0.8
    said = " ".join(e["text"] for e in folder.events() if e["event"] == "note")
    assert "10 items of rank-ai are ranked again, 7 of them where its ranking" in said


def test_the_arms_differ_in_what_people_rank_alone():
    made = {arm: combined.combined_recipe(BASE, arm, SIZES)["steps"] for arm in combined.ARMS}
    for arm in ("random", "no people"):
        assert {k for k in made["disagreement"] if made["disagreement"][k] != made[arm].get(k)} == (
            {"rank-people"} if arm == "random" else {"rank-people", "reward"}
        )
    chosen = {
        arm: steps["rank-people"].get("disagreement") for arm, steps in made.items() if arm != "no people"
    }
    assert chosen == {"disagreement": 0.7, "random": 0.0}
    sources = {
        arm: [s.name for s in graph_of(validate({**BASE, "steps": steps}, arm))["reward"].on]
        for arm, steps in made.items()
    }
    both = ["rank-ai", "rank-people"]
    assert sources == {"disagreement": both, "random": both, "no people": ["rank-ai"]}


def right(found) -> float:
    """The share of pairs that are ranked as gold would."""
    from plaudit.pocket.gold import Gold

    agreed = []
    for record in found:
        scores = [Gold().judge(record.prompt, r).score for r in record.responses]
        for o in record.comparisons().outcomes:
            if o.result != 0.5 and abs(scores[o.left] - scores[o.right]) > 0.2:
                agreed.append((o.result > 0.5) == (scores[o.left] > scores[o.right]))
    return float(np.mean(agreed))
