"""PAR and length normalization: what they pay, reference answers, and a planted hack that the plain reward loses to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_rl import PROMPTS
from toy import toy_policy

from plaudit.config import KL, Grpo, Ppo, Rloo
from plaudit.data.records import Prompt
from plaudit.methods import shaping, train_online
from plaudit.methods.rollouts import Rollouts
from plaudit.methods.scores import pay
from plaudit.methods.shaping import FILE, among_themselves, paid_at_the_start
from plaudit.rewards import (
    FunctionReward,
    LengthNormalizedReward,
    RelativeReward,
    RewardError,
    RewardOutput,
    Sample,
    checked,
)
from plaudit.runs import Stage

SETTINGS = Rloo(
    iterations=4,
    prompts_per_iteration=8,
    samples_per_prompt=4,
    minibatch=32,
    epochs=1,
    max_new_tokens=6,
    lr=5e-3,
    kl=KL(coefficient=0.0),
    checkpoint_every=1,
    evaluate_every=1,
    shaping="par",
)
ASK = Prompt.user("what?")


def sample(tokens: int, prompt: Prompt = ASK) -> Sample:
    return Sample(prompt, np.asarray([1]), np.arange(tokens), "a", "a", "end")


class Lengths:
    """Pays an answer its tokens, with a part of its own."""

    max_positions = 77

    def score(self, samples):
        lengths = np.array([len(s.ids) for s in samples], dtype=float)
        return RewardOutput(lengths, {"own": lengths}, normalized=True)


def test_par_pays_the_mean_chance_against_the_prompts_own_reference_answers():
    other = Prompt.user("and?")
    reward = RelativeReward(Lengths(), {ASK.id: [1.0, 3.0], other.id: [5.0, 5.0]})
    output = reward.score([sample(3), sample(5, other)])
    assert output.scores.tolist() == pytest.approx([(1 / (1 + np.exp(-2)) + 0.5) / 2, 0.5])
    assert output.parts["unshaped"].tolist() == output.parts["own"].tolist() == [3.0, 5.0]
    assert not output.normalized  # nothing is left to clip
    assert reward.max_positions == 77 and not reward.on_rank_0


def test_an_infinite_reward_still_stops_the_run():
    reward = RelativeReward(FunctionReward(lambda s: float("inf")), {ASK.id: [0.0]})
    with pytest.raises(RewardError, match="what"):
        checked(reward, [sample(2)])


def test_length_normalization_divides_by_a_power_of_the_tokens():
    reward = LengthNormalizedReward(Lengths(), 0.5)
    assert reward.score([sample(4), sample(9)]).scores.tolist() == pytest.approx([2.0, 3.0])
    assert LengthNormalizedReward(Lengths(), 1.0).score([sample(7)]).scores.tolist() == [1.0]


def test_a_forecast_compares_the_starts_answers_with_one_another():
    scores = np.array([[0.0, 0.0], [0.0, 100.0]])
    found = among_themselves(scores, SETTINGS)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.25, 0.75]], atol=1e-9)
    assert among_themselves(scores, Rloo()) is scores


def test_a_forecast_pays_what_training_pays():
    """Clipped, shaped and with the penalties for length: the arithmetic of ``pay``."""
    samples = [
        replace(sample(n), finish=how) for n, how in ((9, "length"), (2, "end"), (1, "end"), (4, "end"))
    ]
    plain = Rloo(
        unfinished_penalty=0.5, reward_clip=3.0, max_new_tokens=9, overlong_cache=8, overlong_penalty=2.0
    )
    rollouts = Rollouts(samples, [], [])
    pay(rollouts, Lengths(), plain)
    found = paid_at_the_start(Lengths(), plain, samples, 2)
    assert found.shape == (2, 2) and found.ravel().tolist() == rollouts.scores.tolist()
    # By hand: 9 is clipped to 3, cut, and all the way into the last 8 of 9 tokens.
    assert found[0, 0] == pytest.approx(3.0 - 0.5 - 2.0)
    shaped = paid_at_the_start(Lengths(), SETTINGS, samples, 2)
    np.testing.assert_allclose(shaped, among_themselves(np.array([[9.0, 2.0], [1.0, 4.0]]), SETTINGS))


def odd(sample) -> float:
    """The share of an answer's tokens of one half of the vocabulary."""
    return float(np.mean(np.asarray(sample.ids) % 2))


def exploits(sample) -> bool:
    """Whether the answer has one of three tokens that the start hardly ever writes."""
    return bool((np.asarray(sample.ids) % 100 == 8).any())


def hacked(sample) -> float:
    """The share in a unit of 40, and a huge value for the tokens that make an answer worthless."""
    return 1000.0 if exploits(sample) else 40 * odd(sample)


def train(path, settings, reward=hacked, watch=None, policy=None):
    policy = policy or toy_policy()
    train_online.rloo(policy, FunctionReward(reward), PROMPTS, settings, out=Stage(path), seed=1, watch=watch)
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()]), Stage(path).metrics()


def test_a_rare_huge_reward_is_learned_unless_par_bounds_it(tmp_path):
    """The planted hack: without PAR gold falls to nearly nothing, with PAR it rises, on the same samples at first."""
    ends = {}
    for kind in ("none", "par"):
        found = []
        settings = SETTINGS.model_copy(update={"shaping": kind, "iterations": 14, "lr": 6e-2})

        def noted(s, found=found):
            found.append((exploits(s), 0.0 if exploits(s) else odd(s)))
            return hacked(s)

        train(tmp_path / kind, settings, noted)
        # The reference answers of PAR come first.
        numbers = np.array(found[-14 * 32 :], dtype=float).reshape(14, 32, 2).mean(1)
        ends[kind] = numbers[:3].mean(0), numbers[-3:].mean(0)
    (rare, start), (often, lost) = ends["none"]
    assert 0 < rare < 0.1 and often > 0.7 and lost < 0.2 < start
    (_, start), (seldom, gained) = ends["par"]
    assert seldom < 0.25 and gained > start + 0.1


def test_reference_answers_are_the_starts_and_are_sampled_once(tmp_path, monkeypatch):
    drawn = []
    respond = shaping.respond
    monkeypatch.setattr(shaping, "respond", lambda *a, **k: drawn.append(k["step"]) or respond(*a, **k))

    def above(s):
        return 10 + odd(s)

    whole, log = train(tmp_path / "whole", SETTINGS, above)
    rows = Stage(tmp_path / "whole").path.joinpath(FILE).read_text().splitlines()
    assert len(rows) == 32 and drawn == [shaping.REFERENCE_STEP]  # 4 iterations of 8 prompts
    assert all("reward/unshaped" in row for row in log)
    # At the start an answer beats answers of the same policy as often as not.
    assert log[0]["objective/scores"] == pytest.approx(0.5, abs=0.05)

    def stop(iteration):
        if iteration == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", SETTINGS, above, stop)
    moved = (tmp_path / "cut" / FILE).read_text()
    resumed, _ = train(tmp_path / "cut", SETTINGS, above)
    assert torch.equal(whole, resumed) and len(drawn) == 2
    assert (tmp_path / "cut" / FILE).read_text() == moved


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        (Grpo, {"reference_answers": 2}, "needs shaping: par"),
        (Ppo, {"shaping": "par", "critic": "reward"}, "critic: policy"),
        (Ppo, {"length_power": 0.5, "critic": "reward"}, "critic: policy"),
        (Ppo, {"length_power": 2.0}, "less than or equal"),
    ],
)
def test_settings_that_contradict_are_refused(kind, wrong, words):
    with pytest.raises(ValueError, match=words):
        kind(**wrong)
