"""The experiments beside the demo hold together, and change what they say they change."""

from __future__ import annotations

import pytest

from plaudit.config.resolve import graph_of
from plaudit.errors import UserError
from plaudit.pipeline.demo import QUICK, demo
from plaudit.pipeline.experiments import EXPERIMENTS, Variation, chosen

ALL = [(name, run) for name, runs in EXPERIMENTS.items() for run in runs]


@pytest.mark.parametrize(("name", "run"), ALL)
@pytest.mark.parametrize("overrides", [(), QUICK])
def test_every_experiment_is_a_graph_that_holds_together(name, run, overrides):
    graph_of(EXPERIMENTS[name][run].config(overrides, run))


def test_an_experiment_shares_the_steps_that_it_does_not_change():
    demo_steps = Variation().config((), "pocket").steps
    shared = {
        run: [
            n for n, step in EXPERIMENTS[name][run].config((), run).steps.items() if demo_steps.get(n) == step
        ]
        for name, run in ALL
    }
    assert shared["skilled-writers"][0] == "pretrain" and "sft" not in shared["skilled-writers"]
    assert {"pretrain", "sft", "votes", "rank", "reward"} <= set(shared["small-beats-large"])
    for run in ("leashed", "no-leash", "biased-raters", "rounds"):
        assert {"pretrain", "sft", "votes"} <= set(shared[run])
        assert "rank" not in shared[run]


def test_with_and_without_the_penalty_nothing_but_its_coefficient_differs():
    held, free = (EXPERIMENTS["no-leash"][run].config((), "x") for run in ("leashed", "no-leash"))
    assert (held.steps["ppo"].settings.kl.coefficient, free.steps["ppo"].settings.kl.coefficient) == (0.2, 0)
    held, free = (config.model_dump() for config in (held, free))
    free["steps"]["ppo"]["kl"]["coefficient"] = 0.2
    assert held == free


def test_the_repairing_round_ranks_both_hacked_policies_beside_sft_and_starts_from_it():
    graph = graph_of(EXPERIMENTS["rounds"]["rounds"].config((), "rounds"))
    assert graph["rank-2"].start == "ppo" and graph["ppo-2"].start == "ppo"
    assert graph["rank-3"].start == "sft" and {"ppo", "ppo-2"} <= set(graph.steps_of("rank-3"))
    assert graph["ppo-3"].start == "sft" and graph["ppo-3"].rewards[0].path == "reward-3"
    assert graph.places == {"base": "pretrain", "start": "sft", "end": "ppo-3"}


def test_the_small_model_has_a_base_of_its_own_and_the_reward_model_of_the_large_one():
    config = EXPERIMENTS["small-beats-large"]["small-beats-large"].config((), "small")
    graph = graph_of(config)
    assert graph.places == {"base": "pretrain", "start": "sft-small", "end": "ppo-small"}
    assert graph["reward"].start == "votes" and graph["votes"].start == "pretrain"
    assert graph["ppo-small"].rewards[0].path == "reward"
    assert config.evaluate.also == ("sft",)


@pytest.mark.parametrize(
    ("place", "what"),
    [("steps.rank.beside=[nobody]", "rank.beside"), ("evaluate.also=[nobody]", "evaluate.also")],
)
def test_a_policy_that_is_not_there_is_named_before_anything_runs(place, what):
    with pytest.raises(UserError) as error:
        graph_of(Variation((place,)).config((), "x"))
    assert "no step 'nobody'" in str(error.value) and what in str(error.value)


def test_two_experiments_at_once_are_refused():
    with pytest.raises(UserError, match="--no-leash and --rounds are 2 experiments"):
        demo(no_leash=True, rounds=True)
    assert chosen({"rounds": True, "no-leash": False}) == "rounds" and chosen({}) is None
