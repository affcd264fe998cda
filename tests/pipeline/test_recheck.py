"""Items ranked again: those on which the judge and the reward model disagree, and random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import DRAWN, tiny
from toy import rankings, toy_policy

import plaudit
from plaudit.config import read_yaml, validate
from plaudit.config.resolve import graph_of
from plaudit.config.sections import Rank
from plaudit.data.readers.read import read
from plaudit.data.records.writers import write_jsonl
from plaudit.errors import UserError
from plaudit.models.policy import save_policy
from plaudit.pipeline.run import run as run_recipe
from plaudit.pipeline.steps.recheck import chosen
from plaudit.runs import RunFolder

AI = {**DRAWN, "scripted_share": 0.0, "answers": 3, "by": {"judge": "pocket:rule", "error": 0.3}}
AGAIN = {"recheck": "rank", "disagreement": 0.7, "prompts": 10}
STEPS = {"rank": AI, "reward": {"members": 2}, "rank-2": AGAIN, "reward-2": {"on": [{"rank": 0.5}, "rank-2"]}}


def test_the_largest_disagreements_are_chosen_and_random_ones_of_the_others():
    apart = np.linspace(0, 1, 50)
    firsts = set()
    for seed in range(200):
        found = chosen(apart, 10, 0.7, np.random.default_rng(seed))
        assert {i for i, why in found if why == "disagreement"} == set(range(43, 50))
        others = [i for i, why in found if why == "random"]
        assert len(others) == len(set(others)) == 3 and max(others) < 43
        firsts |= set(others)
    assert firsts == set(range(43))
    assert len(chosen(apart, 80, 0.5, np.random.default_rng(0))) == 50
    assert {why for _, why in chosen(apart, 10, 0.0, np.random.default_rng(0))} == {"random"}


def mended(share: float, informative: bool, seed: int) -> int:
    """How many wrong labels of a judge 100 new labels replace, of 500 items of which a quarter is wrong."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(500) < 0.25
    # The reward model prefers the truly better answer of four fifths of the items, or of half: then it knows nothing.
    knows = rng.random(500) < (0.8 if informative else 0.5)
    p = 1 / (1 + np.exp(-np.where(knows, 1, -1) * rng.exponential(1.5, 500)))
    apart = np.abs(np.where(wrong, 0.0, 1.0) - p)
    return int(sum(wrong[i] for i, _ in chosen(apart, 100, share, rng)))


def gain(informative: bool) -> tuple[float, float]:
    """Wrong labels mended more than by random items, and the half width of its 99 % interval."""
    more = np.array([mended(1.0, informative, s) - mended(0.0, informative, s) for s in range(60)])
    return float(more.mean()), float(2.66 * more.std(ddof=1) / np.sqrt(len(more)))


def test_where_disagreement_is_informative_it_mends_more_labels_than_random_items():
    mean, width = gain(True)
    assert mean - width > 25  # random items mend 25


def test_where_the_reward_model_knows_nothing_it_mends_as_many():
    mean, width = gain(False)
    assert abs(mean) < width + 1


def fitted(x: np.ndarray, won: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The w of σ(w·x) that a linear reward model learns of pairs: Newton's method, with a ridge of 1."""
    w = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-x @ w))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + np.eye(len(w))
        w -= np.linalg.solve(hessian, x.T @ (weight * (p - won)) + w)
    return w


def learned(share: float, seed: int, *, systematic: bool = True, source: str = "people") -> float:
    """Accuracy of a reward model on 400 labels of a judge, of which people give 60 again; x are differences.

    The judge prefers the longer answer (x₀) where lengths differ much, or else errs in 3 of 10 pairs at random. The
    members learned from 60 older pairs of people, from as many coins, or from the judge's own labels.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=6)
    truth[0] = 0
    x, old, new = (rng.normal(size=(n, 6)) for n in (400, 60, 4000))
    right = (x @ truth > 0).astype(float)
    longer = np.where(np.abs(x[:, 0]) > 1, x[:, 0] > 0, right).astype(float)
    judged = longer if systematic else np.where(rng.random(400) < 0.3, 1 - right, right)
    people, coins = (old @ truth > 0).astype(float), rng.integers(2, size=60).astype(float)
    read, said = {"people": (old, people), "coins": (old, coins), "judge": (x, judged)}[source]
    draws = [rng.integers(len(read), size=len(read)) for _ in range(3)]
    members = [fitted(read[i], said[i], np.ones(len(i))) for i in draws]
    p = np.mean([1 / (1 + np.exp(-x @ w)) for w in members], axis=0)
    again = [i for i, _ in chosen(np.abs(judged - p), 60, share, rng)]
    labels, weight = judged.copy(), np.full(400, 0.33)
    labels[again], weight[again] = right[again], 1.0
    return float(np.mean((new @ fitted(x, labels, weight) > 0) == (new @ truth > 0)))


def better(**how) -> tuple[float, float]:
    """What disagreement gains over as many random items, and the half width of its 99 % interval."""
    gained = [learned(0.7, s, **how) - learned(0.0, s, **how) for s in range(30)]
    return float(np.mean(gained)), float(2.75 * np.std(gained, ddof=1) / np.sqrt(30))


def test_a_reward_model_learns_most_of_doubtful_items_where_members_know_what_the_judge_does_not():
    of_people, of_the_judge = better(source="people"), better(source="judge")
    assert of_people[0] - of_people[1] > 0.08  # .95 against .85 of random items
    assert 0 < of_the_judge[0] - of_the_judge[1] < of_people[0] - of_people[1]


@pytest.mark.parametrize("systematic", [True, False])
def test_it_learns_no_more_where_the_members_know_nothing(systematic):
    gain, width = better(systematic=systematic, source="coins")
    assert abs(gain) < width


def test_it_learns_less_of_them_where_the_judge_errs_at_random_and_alone_has_taught_the_members():
    """What is doubted then is what the members know best: its labels are mended, and teach nothing new."""
    gain, width = better(systematic=False, source="judge")
    assert -0.05 < gain < -width


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"disagreement": 0.5}, "disagreement needs recheck"),
        ({"recheck": "rank", "favourites": 0.5}, "recheck shows the answers of an earlier step"),
        ({"recheck": "rank", "scripted_share": 0.5}, "recheck shows the answers of an earlier step"),
        ({"recheck": "rank", "beside": ("sft",)}, "recheck shows the answers of an earlier step"),
        ({"recheck": "rank", "prompts": "same"}, "name a number"),
    ],
)
def test_settings_that_contradict_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Rank(**wrong)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"rank": AI, "rank-2": {"recheck": "rnk", "prompts": 5}}, "there is no step 'rnk'"),
        ({"rank": AI, "rank-2": {"recheck": "sft", "prompts": 5}}, "'sft' gives no rankings"),
        ({"rank": AI, "rank-2": AGAIN}, "no reward model stands before it"),
        ({**STEPS, "rank-2": {**AGAIN, "reward": "python:m:f"}}, "a reward model of this run"),
        ({**STEPS, "rank-2": {"recheck": "rank", "prompts": 5, "reward": "reward"}}, "a reward chooses"),
    ],
)
def test_what_does_not_hold_together_is_named(steps, words):
    with pytest.raises(UserError) as error:
        graph_of(validate(tiny("x", steps), "x"))
    assert words in str(error.value)


def test_a_step_depends_on_the_rankings_and_the_reward_that_it_looks_at():
    graph = graph_of(validate(tiny("x", STEPS), "x"))
    assert {"rank", "reward"} <= set(graph.steps_of("rank-2"))
    assert "reward" not in graph_of(
        validate(tiny("x", {**STEPS, "rank-2": {"recheck": "rank", "prompts": 5}}), "x")
    ).steps_of("rank-2")


def records(run, name):
    parts = [run.stage(name).path / f"{part}.jsonl" for part in ("train", "held_out")]
    return [r for part in parts if part.stat().st_size for r in read(part).records]


def test_items_of_a_judge_are_ranked_again_and_both_rankings_train_the_next_reward_model(tmp_path):
    steps = {**STEPS, "rank-3": {**DRAWN, "scripted_share": 0.0, "prompts": 5}}
    plaudit.run(validate(tiny("again", steps), "again"), out=tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    first = {r.prompt.id: {a.text for a in r.responses} for r in records(run, "rank")}
    again = records(run, "rank-2")
    assert len(again) == 10 and all({a.text for a in r.responses} == first[r.prompt.id] for r in again)
    why = [r.responses[0].metadata["chosen"] for r in again]
    assert why.count("disagreement") == 7 and why.count("random") == 3
    said = "\n".join(e["text"] for e in run.events() if e["event"] == "note")
    assert "10 items of rank are ranked again, 7 of them where its ranking" in said
    assert run.read_json("stages/reward-2/stage.json")["rankings"] > len(
        read(run.stage("rank").path / "train.jsonl").records
    )
    # A step that ranks again takes no fresh prompts from those behind it.
    fresh = plaudit.pocket.World(0).prompts("train", 200)[30:35]
    assert {r.prompt.id for r in records(run, "rank-3")} <= {p.id for p in fresh}


def test_the_shipped_recipe_plans(tmp_path, monkeypatch, capsys):
    raw = read_yaml(Path(__file__).parents[2] / "recipes/combined-feedback.yaml")
    save_policy(toy_policy(), tmp_path / "model", card="toy")
    raw["policy"]["path"] = str(tmp_path / "model")
    write_jsonl(rankings(60), tmp_path / "people.jsonl")
    write_jsonl([r.prompt for r in rankings(60)], tmp_path / "prompts.jsonl")
    monkeypatch.chdir(tmp_path)
    run_recipe(validate(raw, "combined-feedback"), out=tmp_path / "run", dry_run=True)
    assert "300 items of rank-ai" in capsys.readouterr().out


def test_names_inside_of_a_loop_mean_the_step_of_the_same_round():
    rounds = {
        "rank-x": {**AI, "by": None},
        "reward-x": {"on": ["rank-x"]},
        "rank-y": {"recheck": "rank-x", "disagreement": 0.5, "prompts": 5},
        "reward-y": {},
        "ppo-x": {"keep_best": "reward-x"},
        "rank-z": {"beside": ["ppo-x"], "prompts": 5, "from": "sft"},
    }
    config = validate(tiny("x", {"loop": {"rounds": 2, "steps": rounds}}), "x")
    graph = graph_of(config)
    for number in (1, 2):
        assert f"rank-x-{number}" in graph[f"rank-y-{number}"].judged
        assert [str(p.path) for p in graph[f"ppo-x-{number}"].asked] == [f"reward-x-{number}"]
        assert graph[f"rank-z-{number}"].judged == (f"ppo-x-{number}",)
