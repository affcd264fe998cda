"""The verdict says what the numbers say, no more."""

import numpy as np
import pytest
from made_runs import (
    PLACES,
    graph,
    held_to_the_start,
    interval,
    placed,
    pocket_steps,
    pocket_summary,
    real_summary,
    record,
)

from plaudit.audit.caveats import sharpening
from plaudit.audit.run import Run, StageRecord
from plaudit.audit.verdict import verdict


def run(summary, steps=None, places=PLACES):
    steps = steps or pocket_steps()
    return Run(record("run", 0, steps, places), summary, {n: StageRecord(n, {}, [], []) for n in steps})


@pytest.fixture
def pocket():
    return pocket_summary(np.random.default_rng(0))


def test_the_headline_is_the_gap_that_was_closed_at_each_policys_own_best_temperature(pocket):
    found = verdict(run(pocket))
    assert found.headline == "PPO closed 50% of the gap between the SFT model and a perfect answer."
    assert "with each policy at its own best temperature" in found.lead[0]
    assert "1.02 after SFT at temperature 0.3 to 1.08 after PPO greedily" in found.lead[0]
    assert found.lead[1].startswith("PPO wins 55% against SFT there") and "would win 60%" in found.lead[1]
    assert found.lead[2] == "With both at temperature 1 it closed 70% of the gap and wins 67%."


def test_where_only_the_starts_best_temperature_is_known_the_headline_is_that_of_the_runs_own(pocket):
    found = verdict(run(held_to_the_start(pocket)))
    assert found.headline == "PPO closed 70% of the gap between the SFT model and a perfect answer."
    assert "own best temperature" not in " ".join(found.lead)


@pytest.mark.parametrize(
    ("gap", "word"),
    [
        (interval(0.05, 0.1), "no clear difference"),
        (interval(-0.4, 0.1), "worse"),
        (interval(1.02, 0.1), "as well as perfect"),
        ({"mean": 0.4, "low": None, "high": None}, "cannot be told"),
    ],
)
def test_the_headline_does_not_claim_more_than_the_interval(pocket, gap, word):
    assert word in verdict(run({**held_to_the_start(dict(pocket)), "gap_closed": gap})).headline
    best = {**pocket["best_temperature"], "gap_closed": gap}
    assert word in verdict(run({**pocket, "best_temperature": best})).headline


@pytest.mark.parametrize(
    ("win", "word"),
    [
        (interval(0.58, 0.05), "prefers PPO’s answers in 58%"),
        (interval(0.52, 0.05), "no clear difference"),
        (interval(0.3, 0.05), "prefers the SFT model’s answers"),
    ],
)
def test_without_gold_the_headline_is_the_judges_and_says_whose(win, word):
    summary = {**real_summary(np.random.default_rng(0)), "win_rate": {"end_vs_start": win}}
    best = summary.pop("best_temperature")
    headline = verdict(run(summary)).headline
    assert headline.startswith("A proxy judge") and word in headline and "temperature" not in headline
    at_best = {
        **summary,
        "best_temperature": {**best, "win_rate": win},
        "win_rate": {"end_vs_start": interval(0.9, 0)},
    }
    headline = verdict(run(at_best)).headline
    assert word in headline and headline.endswith(", each at its own best temperature.")


def test_sharpening_is_said_by_wins_where_a_proxy_judges():
    summary = real_summary(np.random.default_rng(0))
    for win, word in (
        (interval(0.62, 0.06), "still ahead"),
        (interval(0.52, 0.06), "ahead, but not clearly"),
    ):
        best = {**summary["best_temperature"], "win_rate": win}
        assert sharpening(run({**summary, "best_temperature": best})).endswith(f"against that: {word}.")
    best = {**summary["best_temperature"], "win_rate": interval(0.45, 0.06)}
    found = sharpening(run({**summary, "best_temperature": best}))
    assert "Sampled greedily, the SFT model alone wins 60% against itself" in found and "not ahead" in found
    own = {**best, "temperature": {**best["temperature"], "start": 1.0}}
    assert sharpening(run({**summary, "best_temperature": own})).startswith(
        "No other temperature is better for the SFT"
    )
    assert sharpening(run({k: v for k, v in summary.items() if k != "best_temperature"})) == ""


def test_a_run_without_sft_is_compared_with_its_base():
    summary = real_summary(np.random.default_rng(0))
    steps = graph(
        base={"kind": "base"},
        reward={"kind": "reward", "start": "base", "on": ("preferences",)},
        ppo={"kind": "ppo", "start": "base", "on": ("prompts",), "rewards": ("step:reward",)},
    )
    found = verdict(run(summary, steps, {"base": "base", "start": "base", "end": "ppo"}))
    assert "against base" in found.lead[0]


def test_attributes_are_sorted_into_better_worse_and_level(pocket):
    before = {
        "fact": 0.5,
        "harm": 0.9,
        "agreement": 0.2,
        "format": 0.80,
        "flattery": 0.1,
        "lists": 0.0,
        "length": 12.0,
    }
    after = {
        "fact": 0.7,
        "harm": 0.6,
        "agreement": 0.9,
        "format": 0.82,
        "flattery": 0.4,
        "lists": 0.01,
        "length": 40.0,
    }
    best = {**pocket["best_temperature"], "attributes": placed({"sft": before, "ppo": after})}
    found = verdict(run({**pocket, "best_temperature": best}))
    assert [c.label for c in found.better] == ["Facts right"]
    # More flattery is worse though the number rose.
    assert [(c.label, c.before, c.after) for c in found.worse] == [
        ("Declines harmful requests", "90%", "60%"),
        ("Flatters", "10%", "40%"),
    ]
    assert [c.label for c in found.level] == ["Keeps the format", "Lists"]
    # Of twenty prompts, six points are one answer or two.
    best["attributes"] = placed({"sft": {"fact": 0.5}, "ppo": {"fact": 0.56}})
    few = verdict(run({**pocket, "prompts": 20, "best_temperature": best}))
    assert [c.label for c in few.level] == ["Facts right"] and not few.better
    many = verdict(run({**pocket, "prompts": 2000, "best_temperature": best}))
    assert [c.label for c in many.better] == ["Facts right"]


def test_the_caveats_name_the_made_world_the_votes_and_the_single_seed(pocket):
    text = " ".join(verdict(run(pocket)).caveats)
    assert (
        "The world is made" in text
        and "8,000 quick votes" in text
        and "one seed" in text
        and "temperature 0.3" in text
    )
    without = " ".join(verdict(run({**pocket, "labels": {"reward": {"rankings": 10}}})).caveats)
    assert "votes" not in without


def test_facts_the_reward_model_never_saw_are_admitted(pocket):
    assert "38% on facts it never saw" in verdict(run(pocket)).remarks[0]
    knowing = {**pocket, "reward_model": {"pairs": {"unseen": 0.9}}}
    assert verdict(run(knowing)).remarks == []


def test_sharpening_is_said_in_both_directions(pocket):
    assert "more than PPO’s 0.90 at temperature 1. PPO greedily scores 1.08: still ahead." in sharpening(
        run(pocket)
    )
    cooler = {
        **pocket,
        "best_temperature": {"temperature": 0.5, "start": {"mean": 0.615}, "end": {"mean": 0.6}},
    }
    assert "50% of PPO’s gain" in sharpening(run(cooler))
    assert "not ahead" in sharpening(run(cooler))
    unsure = {**pocket["best_temperature"], "win_rate": interval(0.51, 0.02)}
    assert "ahead, but not clearly" in sharpening(run({**pocket, "best_temperature": unsure}))
    assert sharpening(run({**pocket, "best_temperature": None})) == ""


def test_a_run_that_trained_nothing_or_was_not_evaluated_says_so(pocket):
    imitated = graph(
        pretrain={"kind": "pretrain", "on": ("corpus",)},
        sft={"kind": "sft", "start": "pretrain", "on": ("demonstrations",)},
    )
    places = {"base": "pretrain", "start": "sft", "end": "sft"}
    said = verdict(run({"name": "x", "seed": 0}, imitated, places)).headline
    assert "no policy beyond its start" in said
    assert "not been evaluated" in verdict(run({}, imitated, places)).headline
    assert "Nothing has judged" in verdict(run({"name": "x"})).headline


def walk(*names, kl=None):
    """A run of PPO steps one after another, with the KL of its end."""
    steps = graph(pretrain={"kind": "pretrain"}, sft={"kind": "sft", "start": "pretrain"})
    before = "sft"
    for name in names:
        steps |= {name: graph(**{name: {"kind": "ppo", "start": before}})[name]}
        before = name
    places = {"base": "pretrain", "start": "sft", "end": before}
    return run({"policies": places, "gap_closed": interval(0.4, 0.1), "kl": kl}, steps, places)


@pytest.mark.parametrize(
    ("names", "who"),
    [
        (("a",), "PPO (a)"),
        (("a", "b"), "PPO (a) and PPO (b) together"),
        (("a", "b", "c"), "PPO (a), PPO (b) and PPO (c) together"),
        (("a", "b", "c", "d"), "4 steps, from PPO (a) to PPO (d), together"),
    ],
)
def test_what_several_steps_did_together_is_not_given_to_the_last(names, who):
    assert verdict(walk(*names)).headline.startswith(f"{who} closed 40%")


def test_the_kl_of_a_walk_is_that_from_the_start_not_of_its_last_step_alone():
    kl = {"exact": 0.004, "from": "a", "from_start": {"step": "sft", "exact": 1.25}}
    (said,) = verdict(walk("a", "b", kl=kl)).lead
    assert said == (
        "For that it moved 1.25 nats per response away from the SFT model; 0.0040 is how far its last step is from "
        "PPO (a)."
    )
    alone = {"exact": 0.5, "from": "sft", "from_start": {"step": "sft", "exact": 0.5}}
    (said,) = verdict(walk("a", kl=alone)).lead
    assert said == "For that it moved 0.50 nats per response away from the SFT model."


def test_a_cooler_start_that_scores_less_has_no_share_of_the_gain(pocket):
    best = {"temperature": 0.5, "start": {"mean": 0.2}, "end": {"mean": 0.95}}
    said = sharpening(run({**pocket, "best_temperature": best}))
    assert "no more than at its usual temperature" in said and "−" not in said


def test_a_run_of_a_reward_model_alone_is_judged_by_it():
    steps = graph(base={"kind": "base"}, reward={"kind": "reward", "start": "base", "on": ("preferences",)})
    places = dict.fromkeys(("base", "start", "end"), "base")
    same = {place: {"fact": 0.5} for place in places}
    gold = {**{place: interval(0.1, 0.1) for place in places}, "perfect": interval(1.0, 0.1)}
    summary = {"policies": places, "reward_model": {"accuracy": 0.72}, "attributes": same, "gold": gold}
    found = verdict(run(summary, steps, places))
    assert found.headline == (
        "This run trained a reward model and no policy: it is right on 72% of held-out pairs."
    )
    assert found.lead == found.better == found.worse == found.level == []  # there is no before and after


def test_only_votes_are_called_votes():
    steps = graph(
        base={"kind": "base"},
        first={"kind": "reward", "start": "base", "on": ("preferences",)},
        second={"kind": "reward", "start": "first", "on": ("preferences",)},
    )
    labels = {"first": {"rankings": 50}, "second": {"rankings": 60}}
    places = dict.fromkeys(("base", "start", "end"), "base")
    assert "votes" not in " ".join(verdict(run({"labels": labels}, steps, places)).caveats)
