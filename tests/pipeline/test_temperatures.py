"""Every policy at its own best temperature, chosen where it is not shown."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from plaudit.pipeline.steps import temperatures

# Gold of each policy by temperature: on validation prompts, and on test prompts, where another one would be best.
VALIDATION = {"sft": {0.0: 0.1, 0.5: 0.4, 1.0: 0.2}, "ppo": {0.0: 0.9, 0.5: 0.6, 1.0: 0.5}}
TEST = {"sft": {0.0: 0.8, 0.5: 0.3, 1.0: 0.2}, "ppo": {0.0: 0.7, 0.5: 0.9, 1.0: 0.5}}


@pytest.fixture
def context(monkeypatch):
    asked = []

    def answer(context, policy, prompts, *, temperature, max_new_tokens):
        asked.append((policy, len(prompts), temperature))
        table = VALIDATION if len(prompts) == 3 else TEST
        return [SimpleNamespace(prompt=p, response=table[policy][temperature]) for p in prompts]

    monkeypatch.setattr(temperatures, "answer", answer)
    gold = SimpleNamespace(
        judge=lambda prompt, value: SimpleNamespace(score=value),
        summarise=lambda prompts, rows: {"score": float(np.mean([r.score for r in rows]))},
    )
    return SimpleNamespace(
        gold=gold,
        asked=asked,
        graph=SimpleNamespace(places={"base": "sft", "start": "sft", "end": "ppo"}),
        materials=SimpleNamespace(prompts=lambda part: ["v"] * 3),
    )


def compared(context, options=(0.0, 0.5)):
    settings = SimpleNamespace(temperatures=options, temperature=1.0, max_new_tokens=8)
    policies = {"sft": "sft", "ppo": "ppo"}
    return temperatures.by_temperature(context, settings, ["t"] * 5, policies, np.ones(5))


def test_each_policy_has_its_own_temperature_and_is_shown_on_other_prompts(context):
    best = compared(context)["best_temperature"]
    assert best["temperature"] == {"sft": 0.5, "ppo": 0.0, "base": 0.5, "start": 0.5, "end": 0.0}
    assert best["start"]["mean"] == pytest.approx(0.3) and best["end"]["mean"] == pytest.approx(0.7)
    assert best["gap_closed"]["mean"] == pytest.approx((0.7 - 0.3) / (1 - 0.3))
    assert best["win_rate"]["mean"] == 1.0 == best["perfect_win_rate"]["mean"]
    assert best["gains"] == {"score": pytest.approx(0.4)}
    assert best["validation"]["end"] == {"0.0": 0.9, "0.5": 0.6, "1.0": 0.5}


def test_greedy_decoding_is_compared_beside_it_where_it_was_among_the_temperatures(context):
    found = compared(context)
    assert found["greedy"]["start"]["mean"] == pytest.approx(0.8)
    assert found["greedy"]["win_rate"]["mean"] == 0.0
    assert "greedy" not in compared(context, options=(0.5,))


def test_no_policy_answers_the_same_prompts_twice_at_one_temperature(context):
    compared(context)
    assert len(context.asked) == len(set(context.asked))
