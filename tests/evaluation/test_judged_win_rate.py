"""Win rates by a judge: raw ones cover the truth, length-controlled ones take a planted liking for length away."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plaudit.evaluation.judged_win_rate import judged_win_rate, settled


def simulated(n: int, quality: float, liking: float, lead: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts of a judge with logit = quality + liking · tanh(Δ / std Δ), answers ``lead`` longer on average."""
    delta = rng.normal(lead, 100, n)
    p = 1 / (1 + np.exp(-(quality + liking * np.tanh(delta / delta.std()))))
    return (rng.random(n) < p).astype(float), delta


@pytest.mark.parametrize("lead", [0.0, 80.0, -80.0])
def test_a_planted_liking_for_length_is_taken_away(lead):
    rng = np.random.default_rng(1)
    truth = 1 / (1 + math.exp(-0.4))
    raw, controlled, inside = [], [], 0
    for _ in range(40):
        results, delta = simulated(800, 0.4, 0.5, lead, rng)
        found = judged_win_rate(results, delta, range(800))
        raw.append(found["mean"])
        controlled.append(found["controlled"]["mean"])
        inside += found["controlled"]["low"] <= truth <= found["controlled"]["high"]
    assert np.mean(controlled) == pytest.approx(truth, abs=0.015)
    assert inside >= 35
    if lead:
        assert (np.mean(raw) - truth) * lead > 0 and abs(np.mean(raw) - truth) > 0.03


def test_without_a_liking_both_rates_agree():
    results, delta = simulated(3000, 0.4, 0.0, 50.0, np.random.default_rng(3))
    found = judged_win_rate(results, delta, range(3000))
    assert found["controlled"]["mean"] == pytest.approx(found["mean"], abs=0.02)


def test_ties_and_abstentions_are_counted_apart():
    found = judged_win_rate([1.0, 0.5, 0.0, float("nan"), 0.52], [0, 1, -1, 5, 0], "abcde")
    assert (found["wins"], found["ties"], found["losses"]) == (0.25, 0.5, 0.25)
    assert (found["pairs"], found["abstained"]) == (4, 1) and found["mean"] == pytest.approx(0.505)
    assert math.isnan(judged_win_rate([float("nan")], [1], ["a"])["mean"])


def test_pairs_of_one_prompt_do_not_count_as_independent():
    rng = np.random.default_rng(0)
    by_prompt = np.repeat(rng.integers(0, 2, 50).astype(float), 20)
    delta = rng.normal(0, 1, 1000)
    together = judged_win_rate(by_prompt, delta, np.repeat(np.arange(50), 20))
    alone = judged_win_rate(by_prompt, delta, np.arange(1000))
    assert together["high"] - together["low"] > 3 * (alone["high"] - alone["low"])


def test_a_share_near_a_half_is_a_tie_and_an_abstention_stays_one():
    assert [settled(x) for x in (0.0, 0.44, 0.46, 0.5, 0.54, 0.56, 1.0)] == [0, 0, 0.5, 0.5, 0.5, 1, 1]
    assert math.isnan(settled(float("nan")))
