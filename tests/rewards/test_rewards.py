"""The reward door: finite or stopped, never 0; sums, ensembles and functions do what they say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from plaudit.data.records import Prompt
from plaudit.errors import UserError, Waiting
from plaudit.rewards import (
    EnsembleReward,
    FunctionReward,
    RewardError,
    RewardOutput,
    Sample,
    SumReward,
    checked,
)


def sample(answer: str, finish: str = "end") -> Sample:
    return Sample(Prompt.user("what?"), np.asarray([1]), np.asarray([2]), answer + "<|end|>", answer, finish)


class Fixed:
    def __init__(self, *scores):
        self.scores = np.asarray(scores, dtype=float)

    def score(self, samples):
        return RewardOutput(self.scores[: len(samples)])


SAMPLES = [sample("a"), sample("bb"), sample("ccc")]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_not_finite_stops_the_run_and_shows_the_sample(bad):
    with pytest.raises(RewardError) as caught:
        checked(Fixed(1.0, bad, 2.0), SAMPLES)
    assert "bb<|end|>" in str(caught.value) and "what?" in str(caught.value)


def test_a_reward_that_raises_stops_the_run_and_shows_the_sample():
    def brittle(s):
        if s.answer == "ccc":
            raise KeyError("answer")
        return 1.0

    with pytest.raises(RewardError, match=r"KeyError[\s\S]*ccc"):
        checked(FunctionReward(brittle), SAMPLES)


@pytest.mark.parametrize("given", ["good", None, b"1"])
def test_what_is_no_number_is_shown(given):
    with pytest.raises(RewardError, match=f"{re.escape(repr(given))}, which is no number[\\s\\S]*what"):
        checked(FunctionReward(lambda s: given), SAMPLES)


def test_a_reward_that_fails_is_the_users_to_mend_at_a_named_line_and_one_that_exits_does_not_end_the_run_silently():
    def leaves(s):
        raise SystemExit(4)

    with pytest.raises(UserError, match=r"failed at test_rewards\.py:\d+: SystemExit\(4\)") as caught:
        checked(FunctionReward(leaves), SAMPLES)
    assert "mend the reward and run the same command again" in str(caught.value)


def test_a_judge_that_waits_is_no_failure():
    def waits(s):
        raise Waiting("the money is spent")

    with pytest.raises(Waiting):
        checked(FunctionReward(waits), SAMPLES)


def test_a_reward_of_the_wrong_shape_is_refused():
    with pytest.raises(RewardError, match=r"\(2,\) scores for 3 samples"):
        checked(Fixed(1.0, 2.0), SAMPLES)


def test_a_sum_weighs_its_parts_and_reports_them():
    out = SumReward({"a": (Fixed(1, 2, 3), 2.0), "b": (Fixed(10, 0, 0), -1.0)}).score(SAMPLES)
    assert out.scores.tolist() == [-8.0, 4.0, 6.0]
    assert out.parts["b"].tolist() == [10, 0, 0]


def test_a_sum_passes_on_what_its_parts_say_of_a_sample_the_largest_of_a_name():
    class Telling(Fixed):
        def score(self, samples):
            return RewardOutput(self.scores, {"above_training": self.scores > 2})

    out = SumReward({"a": (Telling(1, 2, 3), 1.0), "b": (Telling(3, 0, 3), 1.0), "c": (Fixed(0, 0, 0), 1.0)})
    assert out.score(SAMPLES).parts["above_training"].tolist() == [True, False, True]


def test_an_ensemble_is_its_mean_minimum_or_mean_minus_k_std():
    rewards = [Fixed(0, 0, 3), Fixed(2, 4, 3)]
    assert EnsembleReward(rewards).score(SAMPLES).scores.tolist() == [1, 2, 3]
    assert EnsembleReward(rewards, aggregate="min").score(SAMPLES).scores.tolist() == [0, 0, 3]
    careful = EnsembleReward(rewards, aggregate="mean_minus_std", std_penalty=2.0).score(SAMPLES)
    assert careful.scores.tolist() == [1 - 2, 2 - 4, 3]
    assert careful.parts["ensemble_std"].tolist() == [1, 2, 0]


def test_coste_s_uncertainty_takes_off_the_variance():
    # Members (1, 3, 8): mean 4, variance 26/3 with the divisor n.
    rewards = [Fixed(1.0), Fixed(3.0), Fixed(8.0)]
    out = EnsembleReward(rewards, aggregate="mean_minus_variance", std_penalty=0.5).score(SAMPLES[:1])
    assert out.scores.tolist() == pytest.approx([4 - 0.5 * 26 / 3])


def test_only_scores_that_stored_numbers_normalize_count_as_normalized():
    class Stored(Fixed):
        def score(self, samples):
            return RewardOutput(self.scores, normalized=True)

    one, raw = Stored(1, 2, 3), Fixed(1, 2, 3)
    for aggregate in ("mean", "min", "mean_minus_std", "mean_minus_variance"):
        assert EnsembleReward([one, one], aggregate=aggregate).score(SAMPLES).normalized
        assert not EnsembleReward([one, raw], aggregate=aggregate).score(SAMPLES).normalized
    assert checked(one, SAMPLES).normalized and not checked(raw, SAMPLES).normalized
    assert not checked(SumReward({"a": (one, 1.0)}), SAMPLES).normalized
    assert not checked(FunctionReward(lambda s: 1.0), SAMPLES).normalized


def test_a_function_is_found_by_its_path_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_reward_module.py").write_text(
        "def short(sample):\n    return -len(sample.answer)\nnumber = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert FunctionReward.by_path("my_reward_module:short").score(SAMPLES).scores.tolist() == [-1, -2, -3]
    for path, message in (
        ("my_reward_module", "not of the form"),
        ("my_reward_module:absent", "has no 'absent'"),
        ("my_reward_module:number", "is not a function"),
        ("no_such_module_here:f", "No module named"),
    ):
        with pytest.raises(UserError, match=message):
            FunctionReward.by_path(path)


def test_a_response_cut_by_the_length_limit_is_known_as_unfinished():
    assert sample("x", "end").response.finished and sample("x", "stop").response.finished
    assert not sample("x", "length").response.finished


def test_samples_of_one_prompt_share_it_and_score_as_alone():
    from toy import toy_policy

    from plaudit.models.reward_model import RewardModel
    from plaudit.rewards import ModelReward

    model = RewardModel.from_policy(toy_policy(), pooling="last", seed=0)
    model.mean, model.std = 0.0, 1.0
    door = ModelReward(model, same_tokenizer=True)
    rng = np.random.default_rng(0)
    prompts = [np.array([5, 6, 7, 8]), np.array([9, 10]), np.array([5, 6, 7, 8])]
    samples = [
        Sample(Prompt.user(str(i)), prompt, rng.integers(5, 200, int(rng.integers(1, 9))), "", "", "end")
        for i, prompt in enumerate(prompts)
        for _ in range(3)
    ]
    assert [len(item.responses) for item in door._items(samples)] == [3, 3, 3]
    alone = np.array([door.score([sample]).scores[0] for sample in samples])
    np.testing.assert_allclose(door.score(samples).scores, alone, atol=1e-5)
