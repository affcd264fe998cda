"""DAPO's rules in the RL loop: dynamic sampling, the soft penalty for length, cut answers left out; decoupled GAE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_rl import PROMPTS, SMALL, Always, without_clock
from toy import toy_policy

from plaudit.config import KL, Grpo, Ppo, Reinforce
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods import train_online
from plaudit.methods.dynamic_sampling import DynamicSampling, teaches
from plaudit.methods.ppo import PPO
from plaudit.methods.reference_log_probs import frozen_reference
from plaudit.methods.rl import RlLoop
from plaudit.methods.rollouts import Rollouts
from plaudit.methods.scores import pay
from plaudit.models.critic import Critic
from plaudit.rewards import FunctionReward
from plaudit.rollout.native import NativeSampler
from plaudit.runs import Stage
from plaudit.runtime import Mesh, Runtime

GROUPS = Grpo(
    iterations=3,
    prompts_per_iteration=6,
    samples_per_prompt=4,
    minibatch=24,
    epochs=1,
    max_new_tokens=6,
    checkpoint_every=1,
    evaluate_every=1,
    lr=1e-3,
    kl=KL(coefficient=0.01),
)
ALIVE = (
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
)  # first words of the prompts that the reward tells anything about


def alive(prompt) -> bool:
    return prompt.text.split()[0] in ALIVE


def sparse(sample) -> float:
    """Every answer to most prompts scores the same."""
    return float(np.mean(sample.ids)) / 100 if alive(sample.prompt) else 0.0


@dataclass
class Cutting:
    """A sampler whose answers are finished where ``ends`` says so of their tokens, else cut by the length limit."""

    sampler: NativeSampler
    ends: Callable[[np.ndarray], bool]

    def sample(self, *args, **kwargs):
        drawn = self.sampler.sample(*args, **kwargs)
        return [replace(s, finish="end" if self.ends(s.ids) else "length") for s in drawn]


def train(path, settings, *, reward=sparse, method=train_online.grpo, watch=None, policy=None, ends=None):
    policy = policy or toy_policy()
    sampler = Cutting(NativeSampler(policy), ends) if ends else None
    seen = []

    def scored(sample):
        seen.append(sample)
        return reward(sample)

    scored_by = FunctionReward(scored)
    method(policy, scored_by, PROMPTS, settings, out=Stage(path), seed=1, watch=watch, sampler=sampler)
    weights = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    return weights, Stage(path).metrics(), seen


def rollouts_of(scores, cut=None, masked=False):
    """Groups of scores as rollouts without anything else; the group's number is its item."""
    count, size = len(scores), len(scores[0])
    cut = cut or [[False] * size] * count
    samples = [SimpleNamespace(finish="length" if c else "end") for row in cut for c in row]
    return Rollouts(samples, samples, list(range(count)), np.array(scores, float).ravel(), masked=masked)


def test_what_teaches_is_a_spread_of_scores_among_answers_that_are_trained_on():
    scores = [[1, 1], [0, 1], [1, 1 + 1e-9], [0, 1]]
    cut = [[False, False], [True, False], [False, False], [True, True]]
    assert teaches(rollouts_of(scores, cut)).tolist() == [False, True, False, True]
    assert teaches(rollouts_of(scores, cut, masked=True)).tolist() == [False, True, False, False]


def filled(first, *more, rounds, tmp_path):
    """``fill`` of scored groups; the groups drawn later are the next arguments. Also how many were asked for."""
    asked, left = [], list(more)

    def draw(count):
        asked.append(count)
        return rollouts_of([left.pop(0) for _ in range(count)])

    kept, metrics = DynamicSampling(rounds, Stage(tmp_path), Mesh()).fill(rollouts_of(first), draw, 0)
    return kept.scores.reshape(-1, 2).tolist(), metrics, asked


def test_prompts_without_a_spread_are_replaced_round_by_round(tmp_path):
    first = [[0, 0], [0, 1], [5, 5]]
    later = [[7, 7], [2, 3], [1, 1], [4, 6], [0, 9], [8, 8]]
    kept, metrics, asked = filled(first, *later, rounds=3, tmp_path=tmp_path)
    assert kept == [[0, 1], [2, 3], [4, 6]] and asked == [3, 3]
    assert metrics == {
        "sampling/rounds": 3.0,
        "sampling/prompts": 9.0,
        "sampling/dropped": 5.0,
        "sampling/missing": 0.0,
        "sampling/scores": pytest.approx(np.mean(first + later)),
    }
    assert Stage(tmp_path).events() == []


def test_a_round_draws_what_is_missing_over_the_share_that_taught(tmp_path):
    kept, _, asked = filled([[0, 1], [1, 2], [5, 5], [2, 4]], [3, 4], [7, 7], rounds=1, tmp_path=tmp_path)
    assert asked == [2] and kept == [[0, 1], [1, 2], [2, 4], [3, 4]]  # 1 / (3/4), rounded up


def test_a_batch_that_teaches_is_left_as_it_is(tmp_path):
    kept, metrics, asked = filled([[1, 0], [0, 1]], rounds=3, tmp_path=tmp_path)
    assert kept == [[1, 0], [0, 1]] and asked == [] and metrics["sampling/rounds"] == 1.0
    assert metrics["sampling/dropped"] == 0.0


def test_what_the_rounds_cannot_replace_stays_and_is_told_once(tmp_path, caplog):
    kept, metrics, asked = filled([[0, 0], [0, 1], [5, 5]], *[[7, 7]] * 3, rounds=1, tmp_path=tmp_path)
    assert kept == [[0, 1], [0, 0], [5, 5]] and asked == [3]
    assert (metrics["sampling/dropped"], metrics["sampling/missing"]) == (3.0, 2.0)
    (event,) = Stage(tmp_path).events()
    assert (event["event"], event["missing"]) == ("dynamic_sampling_short", 2)
    assert caplog.text.count("2 of 3 prompts still have samples of one score") == 1


def test_a_run_with_dynamic_sampling_trains_on_prompts_that_teach_and_resumes_bitwise(tmp_path):
    settings = GROUPS.model_copy(update={"dynamic_sampling": 8})
    whole, log, seen = train(tmp_path / "whole", settings)
    assert [row["group/zero_variance"] for row in log] == [0.0] * 3
    assert all(row["sampling/rounds"] > 1 and row["sampling/dropped"] > 0 for row in log)
    assert all(row["sampling/scores"] < row["objective/scores"] for row in log)
    assert len(seen) == 4 * sum(row["sampling/prompts"] for row in log)

    def stop(iteration):
        if iteration == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", settings, watch=stop)
    resumed, again, _ = train(tmp_path / "cut", settings)
    assert torch.equal(whole, resumed) and without_clock(again)[-1] == without_clock(log)[-1]


def test_it_learns_what_plain_sampling_has_too_few_prompts_for(tmp_path):
    """A third of the prompts tells anything: of iterations of one prompt so does a third, with dynamic sampling all."""
    ends = {}
    for rounds in (0, 12):
        policy = toy_policy()
        update = {"dynamic_sampling": rounds, "iterations": 16, "prompts_per_iteration": 1, "lr": 5e-2}
        train(tmp_path / str(rounds), GROUPS.model_copy(update=update), policy=policy)
        look = {"iterations": 1, "prompts_per_iteration": len(PROMPTS), "lr": 1e-9}
        _, _, seen = train(tmp_path / f"{rounds} after", GROUPS.model_copy(update=look), policy=policy)
        ends[rounds] = np.mean([sparse(s) for s in seen if alive(s.prompt)])
    assert ends[12] > ends[0] + 0.08


def test_the_penalty_for_length_comes_off_the_score(tmp_path):
    settings = Grpo(max_new_tokens=10, overlong_cache=4, overlong_penalty=2.0, reward_clip=3.0)
    rollouts = SimpleNamespace(samples=[SimpleNamespace(finish="end", ids=[0] * n) for n in (6, 8, 10)])
    metrics = pay(rollouts, Always(9.0, False), settings)
    assert rollouts.scores.tolist() == [3.0, 2.0, 1.0]
    assert metrics["reward/overlong"] == pytest.approx(1.0)


BUSY = Ppo(**{**dict(SMALL), "iterations": 2, "prompts_per_iteration": 12})
PLAIN = Reinforce(
    **{k: v for k, v in dict(BUSY).items() if k in Reinforce.model_fields} | {"baseline": "none"}
)


@pytest.mark.parametrize(("method", "settings"), [("ppo", BUSY), ("reinforce", PLAIN)])
def test_what_a_cut_answer_scores_changes_nothing_where_it_is_masked(method, settings, tmp_path):
    def paying(extra):
        return lambda s: float(np.mean(s.ids)) / 100 + extra * (s.finish == "length")

    def weights(masked, extra):
        return train(
            tmp_path / f"{masked} {extra}",
            settings.model_copy(update={"mask_unfinished": masked}),
            reward=paying(extra),
            method=getattr(train_online, method),
            ends=lambda ids: bool(ids[0] % 2),
        )

    masked, log, seen = weights(True, 0.0)
    assert 0 < np.mean([s.finish == "length" for s in seen]) < 1
    assert all(0 < row["policy/masked"] < 1 for row in log)
    assert torch.equal(masked, weights(True, 5.0)[0])
    assert not torch.equal(weights(False, 0.0)[0], weights(False, 5.0)[0])
    assert "policy/masked" not in weights(False, 0.0)[1][0]


@pytest.mark.parametrize("settings", [GROUPS, BUSY])
def test_where_every_answer_is_cut_nothing_moves(settings, tmp_path):
    method = train_online.ppo if isinstance(settings, Ppo) else train_online.grpo
    for masked in (True, False):
        policy = toy_policy()
        start = torch.cat([p.detach().clone().flatten() for p in policy.model.parameters()])
        update = {"mask_unfinished": masked, "iterations": 1}
        after, (row,), _ = train(
            tmp_path / str(masked),
            settings.model_copy(update=update),
            reward=lambda s: float(np.mean(s.ids)),
            method=method,
            policy=policy,
            ends=lambda ids: False,
        )
        assert torch.equal(start, after) == masked == ("policy/loss" not in row)


def test_the_critic_and_the_policy_have_a_lambda_each(tmp_path):
    """λ_V = 1: the critic learns from Monte-Carlo returns; the advantages keep λ, by sums over each answer."""
    policy = toy_policy()
    critic = Critic.from_policy(policy)
    torch.nn.init.normal_(next(critic.head.parameters()), std=0.3)
    settings = Ppo(**{**dict(SMALL), "lam": 0.5, "value_lam": 1.0, "kl": KL(coefficient=0.0)})
    algorithm = PPO(policy, critic, settings)
    loop = RlLoop(
        algorithm,
        policy=policy,
        reference=frozen_reference(policy),
        reward=FunctionReward(lambda s: float(np.mean(s.ids)) / 100),
        prompts=PROMPTS,
        renderer=Renderer(policy.tokenizer),
        sampler=NativeSampler(policy),
        settings=settings,
        stage=Stage(tmp_path),
        runtime=Runtime(seed=1),
    )
    rollouts, _ = loop.sample()
    loop.estimate(rollouts)
    raw = []
    for value, returns, score in zip(
        rollouts.flat("old_values"), rollouts.flat("returns"), rollouts.scores, strict=True
    ):
        np.testing.assert_allclose(returns, np.full(len(returns), score), atol=1e-5)
        delta = np.append(value[1:], score) - value
        raw.append([sum(0.5 ** (k - t) * delta[k] for k in range(t, len(delta))) for t in range(len(delta))])
    flat = np.concatenate(raw)
    found = np.concatenate(rollouts.flat("advantages"))
    np.testing.assert_allclose(found, (flat - flat.mean()) / flat.std(), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        (Ppo, {"overlong_cache": 49, "max_new_tokens": 48}, "longer than the longest answer"),
        (Ppo, {"overlong_penalty": 2.0}, "needs overlong_cache"),
        (Grpo, {"mask_unfinished": True, "unfinished_penalty": 1.0}, "keep one of them"),
        (Grpo, {"dynamic_sampling": -1}, "greater than or equal"),
        (Ppo, {"dynamic_sampling": 1}, "dynamic_sampling"),
    ],
)
def test_settings_that_contradict_are_refused(kind, wrong, words):
    with pytest.raises(ValueError, match=words):
        kind(**wrong)
