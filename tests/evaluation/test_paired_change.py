"""Paired tests against enumeration, other packages and simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from plaudit.evaluation.paired_change import holm, paired_change, sign_flip, smallest_change
from plaudit.evaluation.within_slope import within_slope


def enumerated(d):
    sums = [abs(np.dot(signs, d)) for signs in product((1, -1), repeat=len(d))]
    return np.mean([s >= abs(np.sum(d)) - 1e-9 for s in sums])


def test_the_p_value_is_that_of_all_sign_flips():
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.4, 0.9):
        d = rng.normal(shift, 1, 12)
        assert sign_flip(d) == pytest.approx(enumerated(d), abs=0.012)


def test_changes_of_one_size_have_mcnemars_exact_test():
    d = np.array([1] * 9 + [-1] * 2 + [0] * 50)
    assert sign_flip(d) == pytest.approx(enumerated(d[:11]), abs=1e-12)
    assert sign_flip(np.array([0.25] * 6)) == pytest.approx(2 / 64)
    assert sign_flip(np.zeros(9)) == 1.0


def test_the_level_holds_where_nothing_changed_and_few_answers_differ():
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(400):
        a, b = (rng.random((2, 60, 2)) < 0.05).astype(float)
        rejected += paired_change(a, b)["p"] <= 0.05
    assert rejected / 400 <= 0.07


def test_a_change_has_the_interval_of_its_mean_and_sides_must_pair():
    found = paired_change([[0, 1], [1, 1], [0, 0]], [[1, 1], [1, 1], [0, 1]])
    assert (
        found["mean"] == pytest.approx((0.5 + 0 + 0.5) / 3) and found["low"] < found["mean"] < found["high"]
    )
    with pytest.raises(ValueError, match="2 prompts and the other 3"):
        paired_change([1, 2], [1, 2, 3])


def test_holm_is_the_closed_test_of_bonferronis():
    """A hypothesis falls where every set of hypotheses that holds it falls: p_i = max over sets of |S| · min p."""
    rng = np.random.default_rng(2)
    sets = [np.array(bits, dtype=bool) for bits in product((0, 1), repeat=7) if any(bits)]
    for _ in range(20):
        p = rng.random(7) ** 3
        falls = [(s, min(1.0, s.sum() * p[s].min())) for s in sets]
        assert holm(p) == pytest.approx([max(v for s, v in falls if s[i]) for i in range(7)])


@pytest.mark.parametrize(("n", "tests", "spread"), [(200, 14, 1.0), (60, 1, 0.3)])
def test_the_smallest_change_is_found_nine_times_in_ten(n, tests, spread):
    rng = np.random.default_rng(3)
    least = smallest_change(rng.normal(0, spread, 100_000)[:n], tests=tests)
    least = smallest_change(np.resize([spread, -spread], n), tests=tests)
    found = [sign_flip(rng.normal(least, spread, n)) <= 0.05 / tests for _ in range(200)]
    assert 0.82 <= np.mean(found) <= 0.97


def test_where_nothing_changed_so_many_prompts_must_change_that_the_exact_test_can_reject():
    rng = np.random.default_rng(4)
    least = smallest_change(np.zeros(200), tests=10, unit=1.0)
    found = [sign_flip((rng.random(200) < least).astype(float)) <= 0.005 for _ in range(300)]
    assert 0.84 <= np.mean(found) <= 0.97
    assert math.isnan(smallest_change(np.zeros(200), tests=10))


def test_a_slope_within_prompts_and_policies_is_that_of_a_regression_with_dummies():
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    prompts, policies = np.repeat(np.arange(30), 6), np.tile([0, 0, 0, 1, 1, 1], 30)
    measure = rng.random(180) + 0.5 * policies
    scores = 2 * measure + 3 * policies + rng.normal(0, 2, 30)[prompts] + rng.normal(0, 0.5, 180)
    found = within_slope(scores, measure, prompts, policies)
    dummies = (prompts[:, None] == np.arange(30)).astype(float)
    fit = sm.OLS(scores, np.column_stack([measure, policies, dummies])).fit(
        cov_type="cluster", cov_kwds={"groups": prompts, "use_correction": False}
    )
    assert found["mean"] == pytest.approx(fit.params[0])
    half = (found["high"] - found["low"]) / 2
    assert half == pytest.approx(fit.bse[0] * np.sqrt(30 / 29) * 2.0452, rel=1e-3)


def test_a_measure_beside_takes_its_own_part_and_one_that_is_the_same_leaves_none():
    rng = np.random.default_rng(6)
    prompts, policies = np.repeat(np.arange(40), 4), np.tile([0, 0, 1, 1], 40)
    praise = (rng.random(160) < 0.3).astype(float)
    length = 0.5 * praise + rng.random(160)
    scores = 2 * praise + rng.normal(0, 0.3, 160)
    alone = within_slope(scores, length, prompts, policies)
    beside = within_slope(scores, length, prompts, policies, [praise])
    assert alone["low"] > 0 and beside["low"] < 0 < beside["high"]
    assert within_slope(scores, 3 * praise + 1, prompts, policies, [praise]) is None


def test_there_is_no_slope_where_only_the_policy_decides_the_measure():
    prompts, policies = np.repeat(np.arange(9), 2), np.tile([0, 1], 9)
    assert within_slope(np.arange(18.0), policies.astype(float), prompts, policies) is None
    assert within_slope(np.arange(18.0), np.zeros(18), prompts, policies) is None
