"""Every policy at its own best temperature, chosen where it is not shown; greedy answers where nothing can choose."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from plaudit.pipeline.steps import temperatures
from plaudit.pipeline.steps.evaluation_judge import Judged

# Score of each policy by temperature: on validation prompts, and on test prompts, where another one would be best.
VALIDATION = {"sft": {0.0: 0.1, 0.5: 0.4, 1.0: 0.2}, "ppo": {0.0: 0.9, 0.5: 0.6, 1.0: 0.5}}
TEST = {"sft": {0.0: 0.8, 0.5: 0.3, 1.0: 0.2}, "ppo": {0.0: 0.7, 0.5: 0.9, 1.0: 0.5}}


class Gold:
    name = "gold"

    def judge(self, samples):
        scores = np.asarray([s.response for s in samples])
        return Judged(scores, {"score": float(scores.mean())})

    def perfect(self, prompts):
        return Judged(np.ones(len(prompts)))


class Proxy:
    name = "proxy"

    def judge(self, samples):
        return Judged(np.asarray([s.response for s in samples]))

    def perfect(self, prompts):
        return None


@pytest.fixture
def asked(monkeypatch):
    asked = []

    def answer(context, policy, prompts, settings, *, temperature):
        asked.append((policy, len(prompts), temperature))
        table = VALIDATION if len(prompts) == 3 else TEST
        value = table[policy][temperature]
        return [SimpleNamespace(prompt=p, response=value, ids=[1, 2], finish="eos") for p in prompts]

    monkeypatch.setattr(temperatures, "answer", answer)
    return asked


def compared(judge, options=(0.0, 0.5), validation=("v",) * 3):
    settings = SimpleNamespace(temperatures=options, temperature=1.0, max_new_tokens=8)
    policies = {"sft": "sft", "ppo": "ppo"}
    context = SimpleNamespace(graph=SimpleNamespace(places={"base": "sft", "start": "sft", "end": "ppo"}))
    shown = temperatures.Answers(context, settings, ["t"] * 5, policies, judge)
    return temperatures.by_temperature(shown, validation)


@pytest.mark.parametrize("judge", [Gold(), Proxy()])
def test_each_policy_has_its_own_temperature_and_is_shown_on_other_prompts(asked, judge):
    best = compared(judge)["best_temperature"]
    assert best["temperature"] == {"sft": 0.5, "ppo": 0.0, "base": 0.5, "start": 0.5, "end": 0.0}
    assert best["start"]["mean"] == pytest.approx(0.3) and best["end"]["mean"] == pytest.approx(0.7)
    assert best["win_rate"]["mean"] == 1.0 == best["sharpening"]["mean"]
    assert best["validation"]["end"] == {"0.0": 0.9, "0.5": 0.6, "1.0": 0.5}
    assert best["length"]["end"] == {"mean": 2.0, "p90": 2.0, "finished": 1.0}


def test_gap_perfect_and_attributes_are_there_only_where_a_truth_is_known(asked):
    best = compared(Gold())["best_temperature"]
    assert best["gap_closed"]["mean"] == pytest.approx((0.7 - 0.3) / (1 - 0.3))
    assert best["perfect_win_rate"]["mean"] == 1.0 and best["gains"] == {"score": pytest.approx(0.4)}
    assert not {"gap_closed", "perfect_win_rate", "gains", "attributes"} & set(
        compared(Proxy())["best_temperature"]
    )


def test_greedy_decoding_is_compared_beside_it_where_it_was_among_the_temperatures(asked):
    found = compared(Gold())
    assert found["greedy"]["start"]["mean"] == pytest.approx(0.8)
    assert found["greedy"]["win_rate"]["mean"] == 0.0
    assert "greedy" not in compared(Gold(), options=(0.5,))


def test_nothing_is_chosen_without_a_judge_or_without_validation_prompts(asked):
    assert set(compared(None)) == {"greedy"} and set(compared(None)["greedy"]) == {"length"}
    assert {t for _, n, t in asked if n == 3} == set(), "validation prompts are not answered for nothing"
    assert "best_temperature" not in compared(Proxy(), validation=())
    assert compared(Proxy(), validation=())["greedy"]["win_rate"]["mean"] == 0.0


def test_no_policy_answers_the_same_prompts_twice_at_one_temperature(asked):
    compared(Gold())
    assert len(asked) == len(set(asked))
