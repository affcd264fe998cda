"""Accuracy, baselines and calibration of a reward model on pairs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from plaudit.data import baselines
from plaudit.data.records import Prompt, Ranking
from plaudit.evaluation.calibration import (
    accuracy,
    calibration_noise,
    expected_calibration_error,
    longer_answer_accuracy,
    pair_report,
    reliability,
)

pairs = st.lists(
    st.tuples(
        st.integers(-40, 40).map(lambda v: v / 10), st.sampled_from([0.0, 0.5, 1.0]), st.integers(-3, 3)
    ),
    min_size=1,
    max_size=60,
)


def simulated(n: int, *, scale: float = 1.0, seed: int = 0):
    """Pairs whose outcomes follow Bradley–Terry exactly, and scores that overstate it ``scale`` times."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, n)
    return scale * true, (rng.random(n) < 1 / (1 + np.exp(-true))).astype(float)


def test_accuracy_leaves_ties_out_and_counts_an_undecided_score_half():
    found = accuracy([2.0, -1.0, 0.0, 5.0, -3.0], [1.0, 1.0, 0.0, 0.5, 0.0])
    assert found["mean"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)


def test_without_a_decided_pair_there_is_no_accuracy():
    assert math.isnan(accuracy([1.0, 2.0], [0.5, 0.5])["mean"])
    assert math.isnan(pair_report([], [], [])["accuracy"])


def test_a_soft_outcome_counts_for_the_side_it_leans_to():
    assert accuracy([1.0, 1.0], [0.7, 0.2])["mean"] == 0.5


def test_pairs_of_one_prompt_are_not_independent():
    # 40 prompts whose 15 pairs are all right or all wrong: 40 facts, not 600.
    right = np.repeat(np.random.default_rng(1).random(40) < 0.7, 15)
    delta, groups = np.where(right, 1.0, -1.0), np.repeat(np.arange(40), 15)
    alone, grouped = accuracy(delta, np.ones(600)), accuracy(delta, np.ones(600), groups)
    assert alone["mean"] == grouped["mean"]
    assert grouped["high"] - grouped["low"] > 3 * (alone["high"] - alone["low"])


def test_longer_wins_agrees_with_the_baseline_of_records():
    rng = np.random.default_rng(8)
    records, longer, outcome = [], [], []
    for i in range(80):
        a, b = ("x" * int(n) for n in rng.integers(1, 6, 2))
        result = rng.choice([0.0, 0.5, 1.0])
        groups = {1.0: ((0,), (1,)), 0.0: ((1,), (0,)), 0.5: ((0, 1),)}[result]
        prompt = Prompt.user(f"question {i}")
        pair = Ranking.pair(prompt, a, b)
        records.append(Ranking(prompt, pair.responses, groups))
        longer.append(len(a) - len(b))
        outcome.append(result)
    assert longer_answer_accuracy(longer, outcome) == pytest.approx(baselines.longer_wins(records))


@pytest.mark.parametrize("n", [50, 200])
def test_perfect_calibration_shows_the_ece_that_noise_alone_makes(n):
    runs = [simulated(n, seed=seed) for seed in range(150)]
    shown = np.mean([expected_calibration_error(*run) for run in runs])
    said = np.mean([calibration_noise(*run, draws=20) for run in runs])
    assert said == pytest.approx(shown, rel=0.1)
    assert shown > 0.03  # which is why it has to be said
    overconfident = simulated(n, scale=4.0)
    assert expected_calibration_error(*overconfident) > 1.5 * calibration_noise(*overconfident)


def test_half_wins_make_less_noise_and_no_pairs_none():
    delta = simulated(100)[0]
    assert calibration_noise(delta, np.full(100, 0.5)) < 0.9 * calibration_noise(delta, np.ones(100))
    assert math.isnan(calibration_noise([], []))
    assert pair_report(delta, np.ones(100), delta)["ece_noise"] == calibration_noise(delta, np.ones(100))


def test_ece_equals_the_sum_written_out():
    delta, outcome = simulated(300, scale=2.0)
    total, bins = 0.0, 10
    both = [(1 / (1 + math.exp(-d)), o) for d, o in zip(delta, outcome)]
    both += [(1 - p, 1 - o) for p, o in both]
    for b in range(bins):
        inside = [(p, o) for p, o in both if b / bins <= p < (b + 1) / bins or (b == bins - 1 and p == 1)]
        if inside:
            stated = sum(p for p, _ in inside) / len(inside)
            observed = sum(o for _, o in inside) / len(inside)
            total += len(inside) / len(both) * abs(stated - observed)
    assert expected_calibration_error(delta, outcome, bins) == pytest.approx(total, abs=1e-9)


def test_scores_that_follow_the_raters_are_calibrated_and_overstated_ones_are_not():
    honest = expected_calibration_error(*simulated(20_000))
    sure = expected_calibration_error(*simulated(20_000, scale=3.0))
    timid = expected_calibration_error(*simulated(20_000, scale=0.3))
    assert honest < 0.015
    assert sure > 0.05 and timid > 0.05


def test_a_constant_score_is_calibrated_and_knows_nothing():
    report = pair_report(np.zeros(50), np.tile([0.0, 1.0], 25), np.ones(50))
    assert report["accuracy"] == 0.5
    assert report["ece"] == pytest.approx(0, abs=1e-12)


def test_scores_beyond_the_range_of_exp_do_no_harm():
    report = pair_report([1e6, -1e6], [1.0, 0.0], [1, 1])
    assert report["ece"] == pytest.approx(0, abs=1e-12)
    assert report["bins"][0]["predicted"] < 1e-9 and report["bins"][-1]["predicted"] > 1 - 1e-9


@given(pairs, st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_which_answer_a_file_names_first_changes_nothing(rows, seed):
    delta, outcome, longer = (np.asarray(c, dtype=float) for c in zip(*rows))
    flip = np.random.default_rng(seed).random(len(rows)) < 0.5
    sign = np.where(flip, -1.0, 1.0)
    one = pair_report(delta, outcome, longer)
    other = pair_report(delta * sign, np.where(flip, 1 - outcome, outcome), longer * sign)
    bins, turned = one.pop("bins"), other.pop("bins")
    assert one == pytest.approx(other, nan_ok=True)
    assert [b["count"] for b in bins] == [b["count"] for b in turned]
    for b, t in zip(bins, turned):
        assert b == pytest.approx(t)


@given(pairs)
@settings(max_examples=80, deadline=None)
def test_bins_are_mirrored_and_hold_every_pair_twice(rows):
    delta, outcome, _ = zip(*rows)
    bins = reliability(delta, outcome)
    assert sum(b["count"] for b in bins) == 2 * len(rows)
    for b, mirror in zip(bins, reversed(bins)):
        assert b["count"] == mirror["count"]
        assert b["predicted"] == pytest.approx(1 - mirror["predicted"])
        assert b["observed"] == pytest.approx(1 - mirror["observed"])
        assert b["low"] - 1e-9 <= b["predicted"] <= b["high"] + 1e-9


def test_a_report_shows_a_model_that_leans_on_length():
    rng = np.random.default_rng(2)
    longer = rng.normal(size=4000)
    outcome = (rng.random(4000) < 0.5 + 0.3 * (longer > 0) - 0.15).astype(float)
    report = pair_report(longer, outcome, longer, ceiling=0.9)
    assert report["accuracy"] == pytest.approx(report["longer_wins"])
    assert report["when_longer"] == 1 and report["when_shorter"] == 0
    assert report["low"] < report["accuracy"] < report["high"]
    assert report["ceiling"] == 0.9
    assert "ceiling" not in pair_report(longer, outcome, longer)


@pytest.mark.parametrize(
    ("delta", "outcome"), [([1.0], [1.0, 0.0]), ([math.nan], [1.0]), ([1.0], [1.5]), ([[1.0]], [[1.0]])]
)
def test_what_is_no_list_of_judged_pairs_is_refused(delta, outcome):
    with pytest.raises(ValueError):
        accuracy(delta, outcome)
