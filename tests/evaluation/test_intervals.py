"""Coverage of the intervals with few values and near the edges: exact where it can be summed, else simulated."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from plaudit import intervals
from plaudit.evaluation.calibration import accuracy
from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate
from plaudit.feedback.quality.bootstrap import estimate, proportion, ratio

CELLS = [(n, p) for n in (5, 10, 50) for p in (0.5, 0.9, 0.97)]


@cache
def of_wins(wins: int, ties: int, n: int) -> tuple[float, float]:
    scores = np.asarray([1.0] * wins + [0.0] * ties + [-1.0] * (n - wins - ties))
    found = win_rate(scores, np.zeros(n))
    return found["low"], found["high"]


def holds(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] <= truth <= bounds[1]


def possible_coverages(n: int, p: float) -> list[float]:
    """What any interval that grows with the wins can reach: the probabilities of runs of neighboring outcomes."""
    below = np.concatenate([[0.0], np.cumsum(stats.binom.pmf(np.arange(n + 1), n, p))])
    return [float(below[j] - below[i]) for i in range(n + 1) for j in range(i + 1, n + 2)]


@pytest.mark.parametrize(("n", "p"), CELLS)
def test_a_share_is_covered_95_times_in_100_wherever_whole_wins_allow_it(n, p):
    chance = stats.binom.pmf(np.arange(n + 1), n, p)
    covered = sum(c for k, c in enumerate(chance) if holds(of_wins(k, 0, n), p))
    possible = possible_coverages(n, p)
    if any(0.93 <= c <= 0.98 for c in possible):
        assert 0.93 <= covered <= 0.98
    else:
        # No interval can: then it is one of the two nearest, and rounds to .93 or is above.
        nearest = max(c for c in possible if c < 0.93), min(c for c in possible if c > 0.98)
        assert min(abs(covered - c) for c in nearest) < 1e-9 and covered > 0.929


def test_the_cells_where_no_interval_reaches_93_to_98_are_these():
    beyond = {cell for cell in CELLS if not any(0.93 <= c <= 0.98 for c in possible_coverages(*cell))}
    assert beyond == {(5, 0.9), (5, 0.97), (10, 0.9)}


@pytest.mark.parametrize(("n", "p"), CELLS)
@pytest.mark.parametrize("tied", [0.2, 0.5])
def test_a_share_with_ties_is_covered(n, p, tied):
    tied = min(tied, 1.8 * (1 - p))
    won = p - tied / 2
    covered = 0.0
    logs = np.log([won, tied, 1 - won - tied])
    for wins in range(n + 1):
        for ties in range(n + 1 - wins):
            counts = np.array([wins, ties, n - wins - ties])
            chance = math.exp(math.lgamma(n + 1) - sum(math.lgamma(c + 1) for c in counts) + counts @ logs)
            if chance > 1e-6 and holds(of_wins(wins, ties, n), p):
                covered += chance
    assert 0.92 <= covered <= 0.985


@pytest.mark.parametrize(("n", "p"), [cell for cell in CELLS if cell[0] > 5])
@pytest.mark.parametrize("alike", [0.1, 0.6])
def test_the_accuracy_over_prompts_with_several_pairs_is_covered(n, p, alike):
    """Pairs of one prompt are right together: beta-binomial, with a correlation between two of ``alike``."""
    rng = np.random.default_rng(n)
    spread = 1 / alike - 1
    held, runs, groups = 0, 300, np.repeat(np.arange(n), 6)
    for _ in range(runs):
        right = rng.random(6 * n) < np.repeat(rng.beta(p * spread, (1 - p) * spread, n), 6)
        found = accuracy(np.where(right, 1.0, -1.0), np.ones(6 * n), groups)
        held += found["low"] <= p <= found["high"]
    # Three standard errors of 300 runs are .038.
    assert 0.91 <= held / runs <= 0.995


@pytest.mark.parametrize(("k", "n"), [(4, 9), (498, 800), (37, 1000), (0, 5), (5, 5)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_away_from_the_edges_a_share_has_wilsons_interval(k, n, level):
    theirs = stats.binomtest(k, n).proportion_ci(confidence_level=level, method="wilson")
    ours = intervals.share([1] * k + [0] * (n - k), level=level)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_rare_outcome_has_the_poisson_bound():
    low, _ = intervals.share([1, 1] + [0] * 18)
    assert low == pytest.approx(stats.chi2.ppf(0.05, 4) / 2 / 20)


shares = st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=30)


@given(shares)
@settings(max_examples=60, deadline=None)
def test_a_share_lies_in_its_interval_and_the_rest_in_the_mirrored_one(units):
    part, whole = np.array([f * w for f, w in units]), np.array([w for _, w in units])
    p, (low, high) = part.sum() / whole.sum(), intervals.share(part, whole)
    assert 0 <= low <= p + 1e-12 and p - 1e-12 <= high <= 1
    assert intervals.share(np.clip(whole - part, 0, whole), whole) == pytest.approx(
        (1 - high, 1 - low), abs=1e-6
    )


def test_feedback_and_evaluation_share_one_policy():
    rows = np.array([[1, 2], [2, 2], [0, 1], [3, 4]])
    found = proportion(rows)
    assert (found.low, found.high) == intervals.share(rows[:, 0], rows[:, 1])


@pytest.mark.parametrize(("part", "whole"), [([2], [1]), ([-1], [1]), ([0], [0]), ([1, 0], [1])])
def test_what_is_no_share_is_refused(part, whole):
    with pytest.raises(ValueError):
        intervals.share(part, whole)


# -- means ---------------------------------------------------------------------------------------------


def coverage(draw, truth: float, runs: int = 1000) -> float:
    return float(np.mean([holds(intervals.mean(draw()), truth) for _ in range(runs)]))


@pytest.mark.parametrize("n", [5, 10, 50])
def test_a_mean_of_normal_values_is_covered(n):
    rng = np.random.default_rng(n)
    assert 0.93 <= coverage(lambda: rng.normal(1, 2, n), 1) <= 0.98


@pytest.mark.parametrize(("n", "least"), [(10, 0.86), (20, 0.88), (50, 0.90)])
def test_a_mean_of_skewed_values_is_covered_better_than_by_students_interval(n, least):
    rng = np.random.default_rng(n)
    samples = rng.lognormal(size=(400, n))
    truth = math.exp(0.5)
    ours = np.mean([holds(intervals.mean(x), truth) for x in samples])
    theirs = np.mean([holds(stats.t.interval(0.95, n - 1, x.mean(), stats.sem(x)), truth) for x in samples])
    assert ours >= least and ours > theirs


def test_the_mean_of_symmetric_values_has_students_interval():
    x = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert intervals.mean(x, level=0.9) == pytest.approx(stats.t.interval(0.9, 4, 0, stats.sem(x)))


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=20))
@settings(max_examples=50, deadline=None)
def test_the_mirrored_values_have_the_mirrored_interval(values):
    low, high = intervals.mean(np.asarray(values, dtype=float))
    assert intervals.mean(-np.asarray(values, dtype=float)) == pytest.approx((-high, -low), abs=1e-9)
    assert low - 1e-9 <= np.mean(values) <= high + 1e-9


def test_the_bounds_of_a_ratio_are_where_a_t_test_says_5_percent():
    rng = np.random.default_rng(4)
    gap = rng.normal(2, 1, 30)
    gained = 0.6 * gap + rng.normal(0, 1, 30)
    for bound in intervals.ratio_of_means(gained, gap):
        assert stats.ttest_1samp(gained - bound * gap, 0).pvalue == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("n", [5, 20])
def test_the_gap_closed_is_covered(n):
    rng = np.random.default_rng(n)
    held = []
    for _ in range(400):
        sft, perfect = rng.normal(0, 1, n), rng.normal(6, 0.5, n)
        found = gap_closed(sft, sft + 0.5 * (perfect - sft) + rng.normal(0, 1, n), perfect)
        held.append(found["low"] <= 0.5 <= found["high"])
    assert 0.93 <= np.mean(held) <= 0.98


def test_a_bootstrap_is_widened_to_what_a_t_interval_covers():
    rng = np.random.default_rng(9)
    held = []
    for seed in range(300):
        rows = np.stack([rng.normal(1, 1, 6), np.ones(6)], axis=1)
        found = estimate(ratio, rows, resamples=400, seed=seed)
        held.append(found.low <= 1 <= found.high)
    assert 0.90 <= np.mean(held) <= 0.98
    assert intervals.bootstrap_quantiles(100_000)[0] == pytest.approx(0.025, abs=1e-5)


def test_one_value_has_no_interval_of_its_mean_but_one_trial_has_one_of_its_share():
    assert math.isnan(mean_interval([0.5])["low"])
    low, high = intervals.share([1.0])
    assert low == pytest.approx(1 / (1 + 1.959963985**2)) and high == 1
