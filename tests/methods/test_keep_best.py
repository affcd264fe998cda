"""``keep_best``: a run ends with the policy that a held-out judge scores highest, and says so."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from test_rl import PROMPTS, SMALL, without_clock
from toy import toy_policy

from plaudit.config import KL, Ppo, Rloo, validate
from plaudit.config.resolve import graph_of
from plaudit.data.rendering.renderer import Renderer
from plaudit.errors import UserError
from plaudit.methods import train_online
from plaudit.methods.best_policy import BestKept, BestPolicy
from plaudit.methods.rollouts import respond
from plaudit.rewards import FunctionReward
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import SamplingSettings
from plaudit.runs import Stage
from plaudit.runtime import Mesh

JUDGED = SMALL.model_copy(update={"keep_best": "gold", "evaluate_every": 1})
PEAK = [0.1, 0.4, 0.9, 0.3, 0.2]


def weights_of(policy):
    return torch.cat([p.detach().clone().flatten() for p in policy.model.parameters()])


def train(path, settings, numbers, *, stop=None, key="gold"):
    """A run whose policy is worth ``numbers`` at each iteration: its weights then and at the end, and the result."""
    policy, seen = toy_policy(), {}

    def watch(iteration):
        seen[iteration] = weights_of(policy)
        if iteration == stop:
            raise KeyboardInterrupt
        return {key: numbers[iteration]}

    reward = FunctionReward(lambda s: float(s.answer.count("c")))
    result = train_online.ppo(policy, reward, PROMPTS, settings, out=Stage(path), seed=1, watch=watch)
    return seen, weights_of(policy), result


def events(path):
    return [e for e in Stage(path).events() if e["event"] == "rolled_back"]


def test_the_best_policy_in_the_middle_is_returned_and_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        seen, ended, result = train(tmp_path / "kept", JUDGED, PEAK)
    assert torch.equal(ended, seen[2]) and not torch.equal(seen[2], seen[4])
    assert result.best == BestKept(2, "gold", 0.9, 4, 0.2) and result.iterations == 4
    (event,) = events(tmp_path / "kept")
    assert (event["iteration"], event["value"], event["last"]) == (2, 0.9, 0.2)
    assert "the policy of iteration 2 is kept: gold 0.900" in caplog.text
    log = Stage(tmp_path / "kept").metrics()
    assert [row["best/iteration"] for row in log] == [0, 1, 2, 2, 2]
    assert Stage(tmp_path / "kept" / "best").steps() == [2]
    seen, ended, result = train(tmp_path / "plain", SMALL.model_copy(update={"evaluate_every": 1}), PEAK)
    assert torch.equal(ended, seen[4]) and result.best is None and not events(tmp_path / "plain")
    assert "best/iteration" not in Stage(tmp_path / "plain").metrics()[-1]


def test_a_step_that_is_stopped_before_it_is_measured_again_says_nothing_of_its_last_policy(tmp_path):
    """Resumed, and stopped at once by its ``kl_max``."""
    train(tmp_path, JUDGED, PEAK)
    kept = BestPolicy(JUDGED, Stage(tmp_path), toy_policy().model, Mesh()).restore(3)
    assert kept == BestKept(2, "gold", 0.9, 3, None)
    assert events(tmp_path)[-1]["last"] is None
    judge = BestPolicy(JUDGED, Stage(tmp_path), toy_policy().model, Mesh())
    judge.see(4, {"gold": 0.1})
    assert judge.restore(3).last is None  # what was measured is another iteration's
    assert judge.restore(4).last == 0.1


def test_where_the_last_policy_is_the_best_nothing_changes(tmp_path):
    seen, ended, result = train(tmp_path / "kept", JUDGED, [0.1, 0.2, 0.3, 0.2, 0.4])
    _, plain, _ = train(tmp_path / "plain", SMALL.model_copy(update={"evaluate_every": 1}), PEAK)
    assert torch.equal(ended, seen[4]) and torch.equal(ended, plain)
    assert result.best is None and not events(tmp_path / "kept")


def test_a_run_that_only_harms_ends_as_it_began(tmp_path):
    seen, ended, result = train(tmp_path, JUDGED, [0.5, 0.4, 0.3, 0.2, 0.1])
    assert torch.equal(ended, seen[0]) and result.best.iteration == 0


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_run_knows_its_best_policy(stop, tmp_path):
    whole = train(tmp_path / "whole", JUDGED, PEAK)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", JUDGED, PEAK, stop=stop)
    _, ended, result = train(tmp_path / "cut", JUDGED, PEAK)
    assert torch.equal(ended, whole[1]) and result.best == whole[2].best
    logs = [without_clock(Stage(tmp_path / name).metrics()) for name in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_the_best_is_within_kl_max(tmp_path):
    """The number rises with every iteration: without the limit the policy beyond it would be the best."""
    rising = [float(i) for i in range(7)]
    loose = JUDGED.model_copy(update={"iterations": 6, "lr": 2e-2, "kl": KL(coefficient=0.0)})
    train(tmp_path / "loose", loose, rising)
    kl = [row["objective/kl"] for row in Stage(tmp_path / "loose").metrics()[1:]]
    limit = float(np.median(kl))
    strict = loose.model_copy(update={"kl": KL(coefficient=0.0, kl_max=limit)})
    seen, ended, result = train(tmp_path / "strict", strict, rising)
    assert "above kl_max" in result.stopped and result.iterations == next(
        i - 1 for i, value in enumerate(kl) if value > limit
    )
    assert torch.equal(ended, seen[result.iterations]) and result.best is None
    # A peak within the limit stays the best, however good the policy beyond it is.
    good = result.iterations
    assert good > 0
    seen, ended, result = train(tmp_path / "peak", strict, [2.0, *[1.0] * good, *[9.0] * (6 - good)])
    assert torch.equal(ended, seen[0]) and result.best.iteration == 0


def test_a_planted_over_optimization_ends_at_its_peak(tmp_path):
    """The reward only rises with the share of odd tokens; the truth is highest at three in four."""
    settings = Rloo(
        iterations=12,
        prompts_per_iteration=8,
        samples_per_prompt=4,
        minibatch=32,
        epochs=1,
        max_new_tokens=6,
        lr=6e-2,
        kl=KL(coefficient=0.0),
        evaluate_every=1,
        keep_best="gold",
    )

    def odd(ids):
        return float(np.mean(np.asarray(ids) % 2))

    policy = toy_policy()
    renderer, sampler = Renderer(policy.tokenizer), NativeSampler(policy)

    def truth():
        drawn = respond(
            PROMPTS,
            renderer=renderer,
            sampler=sampler,
            settings=SamplingSettings(6),
            samples_per_prompt=2,
            seed=7,
            step=99,
        )
        return 1 - abs(np.mean([odd(s.ids) for s in drawn.samples]) - 0.75)

    reward = FunctionReward(lambda s: odd(s.ids))
    watch = lambda iteration: {"gold": truth()}  # noqa: E731
    result = train_online.rloo(policy, reward, PROMPTS, settings, out=Stage(tmp_path), seed=1, watch=watch)
    golds = [row["gold"] for row in Stage(tmp_path).metrics()]
    assert 0 < result.best.iteration < 12 and max(golds) == golds[result.best.iteration]
    assert truth() == result.best.value > result.best.last + 0.1


def test_a_judge_that_nothing_measures_is_refused(tmp_path):
    with pytest.raises(UserError, match="keep_best asks for the number 'second'"):
        train(tmp_path, JUDGED.model_copy(update={"keep_best": "python:mine:judge"}), PEAK)


RECIPE = {
    "name": "x",
    "world": "pocket",
    "steps": {
        "pretrain": {},
        "rank": {},
        "reward": {},
        "reward-judge": {},
        "ppo": {"reward": "reward", "keep_best": "reward-judge"},
    },
}


def graph(**ppo):
    return graph_of(validate({**RECIPE, "steps": {**RECIPE["steps"], "ppo": ppo}}, "x"))


def test_another_reward_model_of_the_recipe_judges_and_is_an_input():
    found = graph(reward="reward", keep_best="reward-judge")
    assert found["ppo"].asked[0].path == "reward-judge"
    assert {"reward", "reward-judge"} <= set(found.steps_of("ppo"))
    assert graph()["ppo"].asked == () and "reward" not in graph().steps_of("ppo")


@pytest.mark.parametrize(
    ("spec", "words"), [("reward-x", "there is no step 'reward-x'"), ("rank", "gives no reward model")]
)
def test_a_judge_that_is_not_there_is_named_before_anything_runs(spec, words):
    with pytest.raises(UserError, match=words) as error:
        graph(keep_best=spec)
    assert "steps.ppo.keep_best" in str(error.value)


def test_what_a_step_is_paid_by_cannot_choose_its_best_policy():
    for paid in ({"reward": "reward", "keep_best": "reward"}, {"keep_best": "reward-judge"}):
        with pytest.raises(UserError, match="would keep the policy that exploits it most"):
            graph(**paid)


def test_a_spec_that_is_no_reward_is_refused():
    with pytest.raises(ValueError, match="is not a reward"):
        Ppo(keep_best="nobody:mine")
