"""The RL loop with PPO: it learns, it resumes bitwise, and the leash holds."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy import WORDS, demonstrations, toy_policy

from plaudit.config import KL, OnlineDpo, Ppo
from plaudit.data.records import Prompt
from plaudit.errors import UserError
from plaudit.methods import train, train_online
from plaudit.methods.scores import pay
from plaudit.models.critic import Critic
from plaudit.models.reward_model import RewardModel
from plaudit.rewards import FunctionReward, ModelReward, RewardError, RewardOutput
from plaudit.runs import Stage

PROMPTS = [Prompt.user(f"{a} {b}") for a in WORDS for b in WORDS[:3]]
SMALL = Ppo(
    iterations=4,
    prompts_per_iteration=16,
    minibatch=8,
    epochs=2,
    max_new_tokens=6,
    checkpoint_every=1,
    critic_warmup=0,
    lr=1e-3,
    kl=KL(coefficient=0.05),
)


def likes_cats(sample) -> float:
    return float(sample.answer.count("c")) - 0.1 * len(sample.ids)


def run(path, settings=SMALL, *, reward=None, policy=None, watch=None, **kwargs):
    policy = policy or toy_policy()
    result = train_online.ppo(
        policy,
        reward or FunctionReward(likes_cats),
        PROMPTS,
        settings,
        out=Stage(path),
        seed=1,
        watch=watch,
        **kwargs,
    )
    weights = torch.cat([p.detach().flatten() for p in policy.model.parameters()])
    return weights, result, Stage(path).metrics()


def without_clock(rows):
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def test_ppo_raises_the_reward(tmp_path):
    settings = SMALL.model_copy(
        update={"iterations": 25, "prompts_per_iteration": 48, "minibatch": 24, "lr": 5e-3, "value_lr": 1e-2}
    )
    _, _, log = run(tmp_path, settings)
    scores = [row["objective/scores"] for row in log]
    assert np.mean(scores[-3:]) > np.mean(scores[:3]) + 0.2


def test_the_first_minibatch_has_ratio_one_and_no_kl(tmp_path):
    _, _, log = run(tmp_path)
    assert log[0]["policy/approxkl_first"] == pytest.approx(0, abs=1e-9)
    assert log[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert log[-1]["objective/kl_k3"] > 0
    assert max(row["rollout/log_prob_gap_max"] for row in log) < 1e-4


def test_equal_micro_batches_give_a_ratio_of_exactly_one(tmp_path):
    settings = SMALL.model_copy(update={"iterations": 1, "epochs": 1, "minibatch": 16})
    _, _, log = run(tmp_path, settings)
    assert log[0]["policy/ratio"] == 1.0 and log[0]["policy/approxkl"] == 0.0


@pytest.mark.parametrize("stop", [2, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 3))])
def test_resumed_equals_uninterrupted_bitwise(stop, tmp_path):
    settings = SMALL.model_copy(
        update={"kl": KL(controller="adaptive", coefficient=0.1, horizon=50, target=0.01)}
    )
    whole, _, log = run(tmp_path / "whole", settings, watch=lambda i: {"gold": float(i)})

    def killing(iteration):
        if iteration == stop:
            raise KeyboardInterrupt
        return {"gold": float(iteration)}

    settings_all = settings.model_copy(update={"evaluate_every": 1})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", settings_all, watch=killing)
    resumed, _, resumed_log = run(tmp_path / "cut", settings, watch=lambda i: {"gold": float(i)})
    assert torch.equal(whole, resumed)
    last, resumed_last = without_clock(log)[-1], without_clock(resumed_log)[-1]
    assert last == resumed_last
    assert last["objective/kl_coef"] != 0.1  # the adaptive controller moved, and was resumed


def test_warm_up_moves_the_critic_only(tmp_path):
    policy = toy_policy()
    before = torch.cat([p.detach().clone().flatten() for p in policy.model.parameters()])
    critic = Critic.from_policy(policy)
    head = [p.detach().clone() for p in critic.head.parameters()]
    settings = SMALL.model_copy(update={"iterations": 2, "critic_warmup": 2})
    after, _, log = run(tmp_path, settings, policy=policy, critic=critic)
    assert torch.equal(before, after)
    assert any(not torch.equal(a, b) for a, b in zip(head, critic.head.parameters()))
    assert "policy/loss" not in log[-1] and "val/loss" in log[-1]


def test_a_run_above_kl_max_keeps_the_last_good_policy(tmp_path):
    loose = SMALL.model_copy(update={"iterations": 12, "lr": 2e-2, "kl": KL(coefficient=0.0)})
    whole, _, log = run(tmp_path / "loose", loose)
    kl = [row["objective/kl"] for row in log]
    limit = float(np.median(kl))
    assert max(kl) > limit
    strict = loose.model_copy(update={"kl": KL(coefficient=0.0, kl_max=limit)})
    weights, result, _ = run(tmp_path / "strict", strict)
    first_bad = next(i for i, value in enumerate(kl) if value > limit)
    assert result.stopped and "above kl_max" in result.stopped
    assert result.iterations == first_bad - 1
    good = Stage(tmp_path / "strict").checkpoint(first_bad - 1)
    assert good.exists() and not torch.equal(weights, whole)


def test_an_epoch_that_moves_too_far_is_the_last_of_its_iteration(tmp_path):
    eager = SMALL.model_copy(update={"epochs": 5, "lr": 2e-2, "kl": KL(epoch_target=1e-4)})
    _, _, log = run(tmp_path, eager)
    assert min(row["epochs"] for row in log) < 5


def test_a_stronger_leash_means_less_kl(tmp_path):
    kls = []
    for beta in (0.0, 1.0):
        settings = SMALL.model_copy(update={"iterations": 10, "lr": 5e-3, "kl": KL(coefficient=beta)})
        _, _, log = run(tmp_path / str(beta), settings)
        kls.append(log[-1]["objective/kl"])
    assert kls[1] < 0.5 * kls[0]


@dataclass
class Always:
    """A reward of one number."""

    number: float
    normalized: bool

    def score(self, samples):
        return RewardOutput(np.full(len(samples), self.number), normalized=self.normalized)


@pytest.mark.parametrize(
    ("clip", "number", "normalized", "paid", "clipped"),
    [
        ("auto", 10.0, True, 5.0, 1.0),
        ("auto", -10.0, True, -5.0, 1.0),
        ("auto", 5.0, True, 5.0, 0.0),
        ("auto", 10.0, False, 10.0, None),  # a function, a sum, gold, raw scores
        (4.0, 10.0, False, 4.0, 1.0),  # as it was asked for
        (None, 10.0, True, 10.0, None),
    ],
)
def test_normalized_scores_are_clipped_and_then_pay_for_not_ending(clip, number, normalized, paid, clipped):
    samples = [SimpleNamespace(finish=how) for how in ("length", "end", "length")]
    rollouts = SimpleNamespace(samples=samples)
    settings = Ppo(unfinished_penalty=7.0, reward_clip=clip)
    metrics = pay(rollouts, Always(number, normalized), settings)
    assert rollouts.scores.tolist() == [paid - 7.0, paid, paid - 7.0]
    assert metrics.get("reward/clipped") == clipped


def test_a_run_whose_scores_are_cut_says_so_once(tmp_path, caplog):
    settings = SMALL.model_copy(update={"iterations": 2, "max_new_tokens": 1, "unfinished_penalty": 7.0})
    _, _, log = run(tmp_path, settings, reward=Always(10.0, True))
    cut = 1 - log[0]["objective/finished"]
    assert cut > 0.5 and log[0]["objective/scores"] == pytest.approx(5.0 - 7.0 * cut)
    assert [row["reward/clipped"] for row in log] == [1.0, 1.0]
    assert caplog.text.count("reward_clip cut 100 %") == 1
    assert [e["event"] for e in Stage(tmp_path).events()].count("reward_clipped") == 1


def test_ptx_pulls_towards_the_demonstrations(tmp_path):
    from plaudit.data.rendering.renderer import Renderer
    from plaudit.methods.supervised import Supervised
    from plaudit.training import evaluate

    losses = []
    for coefficient in (0.0, 5.0):
        policy = toy_policy()
        settings = SMALL.model_copy(update={"ptx_coefficient": coefficient, "lr": 3e-3, "ptx_batch_size": 8})
        run(tmp_path / str(coefficient), settings, policy=policy, demonstrations=demonstrations())
        items = train.render_demonstrations(Renderer(policy.tokenizer), demonstrations())
        losses.append(evaluate(Supervised(policy), items, token_budget=4096)["loss"])
    assert losses[1] < losses[0] - 0.3


def test_a_failing_reward_stops_the_run(tmp_path):
    with pytest.raises(RewardError, match="prompt:"):
        run(tmp_path, reward=FunctionReward(lambda s: float("nan")))


def test_a_reward_model_without_stored_numbers_is_refused(tmp_path):
    model = RewardModel.from_policy(toy_policy(), pooling="last", seed=0)
    with pytest.raises(UserError, match="stores no mean and std"):
        ModelReward(model, same_tokenizer=True)
    model.mean, model.std = 0.5, 2.0
    raw = ModelReward(model, same_tokenizer=True, normalisation="none")
    stored = ModelReward(model, same_tokenizer=True)
    _, _, log = run(tmp_path / "m", reward=stored)
    _, _, raw_log = run(tmp_path / "r", reward=raw)
    assert log[0]["objective/scores"] == pytest.approx((raw_log[0]["objective/scores"] - 0.5) / 2.0, abs=1e-5)


def test_several_samples_of_a_prompt_train_too(tmp_path):
    settings = SMALL.model_copy(update={"samples_per_prompt": 3, "minibatch": 12, "prompts_per_iteration": 8})
    _, result, log = run(tmp_path, settings)
    assert log[-1]["elapsed/episodes"] == 4 * 24 and result.stopped is None


def test_shown_samples_are_spread_over_the_scores_and_add_up(tmp_path):
    run(tmp_path)
    rows = [row for row in Stage(tmp_path).samples() if row["step"] == 1]
    assert len(rows) == 4
    assert [r["score"] for r in rows] == sorted((r["score"] for r in rows), reverse=True)
    for row in rows:
        assert row["total"] == pytest.approx(row["score"] - 0.05 * row["kl"], abs=1e-6)


def test_with_lora_the_reference_is_the_adapter_switched_off(tmp_path):
    from plaudit.models.adapters import add_lora

    policy = toy_policy()
    add_lora(policy.model, 4, 8)
    frozen = {n: p.detach().clone() for n, p in policy.model.named_parameters() if "lora" not in n}
    settings = SMALL.model_copy(update={"lr": 1e-2})
    _, _, log = run(tmp_path, settings, policy=policy)
    assert log[0]["objective/kl"] == pytest.approx(0, abs=1e-4) and log[-1]["objective/kl_k3"] > 1e-4
    now = dict(policy.model.named_parameters())
    assert all(torch.equal(value, now[name]) for name, value in frozen.items())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_online_dpo_begins_with_no_margin_at_any_temperature(temperature, tmp_path):
    """Before the first update policy and reference are one: measured at different temperatures they would differ."""
    settings = OnlineDpo(
        iterations=1,
        prompts_per_iteration=4,
        samples_per_prompt=4,
        minibatch=16,
        epochs=1,
        max_new_tokens=6,
        temperature=temperature,
    )
    prompts = [Prompt.user(words) for words in ("the cat", "red blue", "dogs run", "a mat")]
    reward = FunctionReward(lambda sample: float(np.mean(sample.ids)) / 300)
    train_online.online_dpo(toy_policy(), reward, prompts, settings, out=Stage(tmp_path), seed=1)
    (row,) = Stage(tmp_path).metrics()
    assert row["rewards/margin"] == pytest.approx(0, abs=1e-5)
    assert row["objective/entropy"] > 0
