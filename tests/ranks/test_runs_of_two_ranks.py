"""Whole runs on two ranks: rank 0 alone looks at files, every answer is drawn and scored once."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import rank_runs
from rank_pair import Pair
from tiny import tiny
from toy import rankings, toy_policy

from plaudit.data.records import Prompt
from plaudit.data.records.writers import write_jsonl
from plaudit.models.policy import save_policy
from plaudit.runtime import Mesh

ONE = Mesh()
SIZES = {
    "documents": 60,
    "demonstrations": 40,
    "votes": 16,
    "train_prompts": 60,
    "validation_prompts": 4,
    "test_prompts": 12,
}
SHORT = {"max_steps": 3, "checkpoint_every": 1, "batch_size": 8}
GRPO = {
    "iterations": 2,
    "prompts_per_iteration": 4,
    "minibatch": 16,
    "samples_per_prompt": 4,
    "max_new_tokens": 8,
}


def recipe(**changes):
    made = tiny(
        "ranks",
        {
            "rank": {"prompts": 12, "max_new_tokens": 8, "scripted_share": 0.3},
            "reward": SHORT,
            "grpo": {**GRPO, "checkpoint_every": 1, **changes},
        },
    )
    made["world"] |= SIZES
    made["steps"] |= {"pretrain": SHORT, "sft": SHORT}
    made["evaluate"] = {"prompts": 6, "max_new_tokens": 8, "temperatures": [0.5], "show": 2}
    return made


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    """A run of two ranks, and what each did of it."""
    path = tmp_path_factory.mktemp("ranks") / "run"
    return path, pair.run(rank_runs.counted, recipe(), str(path))


def test_answers_are_drawn_scored_and_ranked_once_in_all(whole, tmp_path):
    _, both = whole
    one = rank_runs.counted(ONE, recipe(), str(tmp_path / "one"))
    assert set(one) == {"NativeSampler.sample", "ModelReward.score", "SimulatedRaters.judge"}
    for name, count in one.items():
        parts = [found.get(name, 0) for found in both]
        assert sum(parts) == count, name
        # A judge keeps its evidence and its bill, so rank 0 asks it for all.
        assert min(parts) > 0 or name == "SimulatedRaters.judge", name


def best_first(ranking):
    places = sorted(
        range(len(ranking.responses)), key=lambda i: -rank_runs.quality(ranking.responses[i].text)
    )
    return replace(ranking, groups=tuple((i,) for i in places))


def test_judges_and_rewards_of_ones_own_are_asked_once_in_all(pair, tmp_path):
    """The judge on rank 0, held against people first; the reward in training and evaluation on both."""
    save_policy(toy_policy(), tmp_path / "model", card="toy")
    people = [best_first(r) for r in rankings(60)]
    write_jsonl(people, tmp_path / "prefs.jsonl")
    write_jsonl(
        [r.prompt for r in people] + [Prompt.user(f"who sat on mat {i}?") for i in range(40)],
        tmp_path / "prompts.jsonl",
    )
    both = pair.run(rank_runs.asked, str(tmp_path), "two")[0]
    one = rank_runs.asked(ONE, str(tmp_path), "one")
    assert set(one) == {"judge 0", "reward 0"} and set(both) == {"judge 0", "reward 0", "reward 1"}
    assert both["judge 0"] == one["judge 0"]
    assert both["reward 0"] + both["reward 1"] == one["reward 0"] > 2 * 8


def changed(pair: Pair, whole, path, delay):
    """A run whose last step was cut off and is then asked for with another setting: it is set aside and begun anew."""
    shutil.copytree(whole, path)
    record = path / "stages" / "grpo" / "stage.json"
    record.write_text(record.read_text().replace('"status": "done"', '"status": "running"'))
    shutil.rmtree(path / "stages" / "evaluate")
    return pair.run(rank_runs.execute, recipe(lr=2e-4), str(path), delay)


def check_delays(pair, whole, tmp_path, delay):
    plain = changed(pair, whole[0], tmp_path / "plain", 0.0)[0]
    slow, other = changed(pair, whole[0], tmp_path / "slow", delay)
    assert slow["ended"] == other["ended"] == "done"
    assert slow["delayed"] > 15 and other["delayed"] == 0
    assert slow["weights"] == plain["weights"] and len(plain["weights"]) >= 4
    before = rank_runs.weights(str(whole[0]))
    assert {n for n, w in plain["weights"].items() if w != before[n]} == {
        "stages/grpo/model/model.safetensors"
    }
    assert (tmp_path / "slow" / "replaced" / "grpo-001").is_dir()


@pytest.mark.slow
def test_a_slow_disk_of_rank_0_changes_no_bit(pair, whole, tmp_path):
    check_delays(pair, whole, tmp_path, 0.05)


@pytest.mark.slow
def test_four_seconds_at_each_file_operation_of_rank_0_change_no_bit(pair, whole, tmp_path):
    check_delays(pair, whole, tmp_path, 4.0)
    fresh = pair.run(rank_runs.execute, recipe(), str(tmp_path / "fresh"), 4.0)[0]
    assert fresh["weights"] == rank_runs.weights(str(whole[0])) and fresh["delayed"] > 30


def test_a_project_is_looked_at_once_for_both_ranks(pair, tmp_path, monkeypatch):
    from test_project_sources import Team

    monkeypatch.chdir(tmp_path)
    team = Team(tmp_path)
    team.judge(3)
    made = {
        "data": {"preferences": f"project://{team.folder}"},
        "steps": {"dpo": {}},
        "policy": {"path": "x"},
    }
    paths = pair.run(rank_runs.look_at_project, made | {"evaluate": None}, str(tmp_path / "data"))
    assert paths[0] == paths[1] and len(paths[0]) == 1
    assert len((tmp_path / "data" / "talk.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_people_rank_for_two_ranks(pair, tmp_path):
    """Both ranks wait for people, and both go on with what they gave."""
    from labelers import Labelers

    made = recipe()
    by = {"by": "people", "answers": 3, "enough": {"items": 4, "overlap": 1}}
    made["steps"]["rank"] = {"prompts": 8, "max_new_tokens": 8, **by}
    made["steps"]["reward"] = {**SHORT, "batch_size": 2}
    path = tmp_path / "run"
    waiting = pair.run(rank_runs.execute, made, str(path))
    assert all("0 of 4 items are judged" in found["ended"] for found in waiting)
    Labelers(path / "projects" / "rank", ["Ann"]).judge(5)
    done = pair.run(rank_runs.execute, made, str(path))
    assert [found["ended"] for found in done] == ["done", "done"]
    assert "stages/grpo/model/model.safetensors" in done[0]["weights"]
