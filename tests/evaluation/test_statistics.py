"""Intervals and win rates against independent formulas and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from plaudit import intervals
from plaudit.evaluation.statistics import gap_closed, mean_interval, win_rate

scores = st.lists(st.integers(-5, 5).map(lambda v: v / 2), min_size=2, max_size=40)


def test_the_interval_of_a_mean_agrees_with_the_normal_formula_on_many_prompts():
    values = np.random.default_rng(3).normal(2.0, 1.5, 3000)
    found = mean_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["high"] - found["mean"] == pytest.approx(half, rel=0.06)
    assert found["mean"] - found["low"] == pytest.approx(half, rel=0.06)


def test_a_level_of_80_percent_is_narrower_than_one_of_95():
    values = np.random.default_rng(0).normal(size=200)
    wide, narrow = mean_interval(values), intervals.mean(values, level=0.8)
    assert wide["low"] < narrow[0] < narrow[1] < wide["high"]


def test_samples_of_one_prompt_are_one_draw():
    rng = np.random.default_rng(2)
    prompts = np.repeat(rng.normal(size=(60, 1)), 8, axis=1)
    assert mean_interval(prompts) == pytest.approx(mean_interval(prompts[:, 0]))
    flat = mean_interval(prompts.ravel())
    grouped = mean_interval(prompts)
    assert grouped["high"] - grouped["low"] > 2 * (flat["high"] - flat["low"])


@given(scores, st.floats(-100, 100), st.floats(0.1, 50))
@settings(max_examples=30, deadline=None)
def test_an_interval_moves_and_stretches_with_its_values(values, shift, scale):
    found = mean_interval(values)
    moved = mean_interval(np.asarray(values) * scale + shift)
    for key in ("mean", "low", "high"):
        assert moved[key] == pytest.approx(found[key] * scale + shift, rel=1e-6, abs=1e-6)


def test_one_prompt_has_a_mean_and_no_interval():
    found = mean_interval([0.5])
    assert found["mean"] == 0.5 and math.isnan(found["low"]) and math.isnan(found["high"])


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf, 0.0], [[[1.0]]]])
def test_values_that_have_no_mean_are_refused(values):
    with pytest.raises(ValueError):
        mean_interval(values)


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match="paired by prompt"):
        win_rate([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="perfect has 1"):
        gap_closed([0.0, 0.0], [1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="level"):
        intervals.mean([0.0, 1.0], level=95)


def test_a_win_rate_counts_wins_and_half_of_the_ties():
    found = win_rate([1.0, 0.0, 2.0, 5.0], [0.0, 0.0, 3.0, 5.0 + 1e-12])
    assert found["mean"] == 0.5
    assert (found["wins"], found["ties"], found["losses"]) == (0.25, 0.5, 0.25)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_a_win_rate_and_its_reverse_add_up_to_one(pairs):
    a, b = (np.asarray(side, dtype=float) for side in zip(*pairs))
    one, other = win_rate(a, b), win_rate(b, a)
    assert one["mean"] + other["mean"] == pytest.approx(1)
    assert one["low"] + other["high"] == pytest.approx(1)
    assert one["wins"] == other["losses"] and one["ties"] == other["ties"]


def test_a_win_rate_against_oneself_is_one_half():
    found = win_rate([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert found["mean"] == 0.5 and found["low"] < 0.5 < found["high"]
    assert found["low"] + found["high"] == pytest.approx(1)


def test_ten_wins_of_ten_are_not_certain():
    for n, low in ((10, 0.7225), (200, 0.9812)):
        found = win_rate(np.ones(n), np.zeros(n))
        assert (found["mean"], found["high"]) == (1, 1) and found["low"] == pytest.approx(low, abs=1e-4)


def test_a_win_rate_wants_one_answer_per_prompt():
    with pytest.raises(ValueError, match="one answer per prompt"):
        win_rate([[1.0, 2.0]], [[1.0, 2.0]])


def test_gap_closed_is_the_share_of_the_way_to_perfect():
    sft, perfect = np.array([0.0, 1.0, -1.0, 0.5]), np.array([1.0, 1.5, 1.0, 2.0])
    found = gap_closed(sft, sft + 0.6 * (perfect - sft), perfect)
    assert found["mean"] == pytest.approx(0.6)
    assert found["low"] == pytest.approx(0.6) and found["high"] == pytest.approx(0.6)


def test_gap_closed_is_paired_as_a_bootstrap_of_all_three_together_is():
    rng = np.random.default_rng(1)
    sft, perfect = rng.normal(0, 1, 200), np.full(200, 2.0)
    ppo = sft + rng.normal(1.0, 0.5, 200)
    own = np.random.default_rng(77)
    ratios = []
    for _ in range(4000):
        i = own.integers(200, size=200)
        ratios.append((ppo[i].mean() - sft[i].mean()) / (perfect[i].mean() - sft[i].mean()))
    found = gap_closed(sft, ppo, perfect)
    assert found["low"] == pytest.approx(np.quantile(ratios, 0.025), abs=0.01)
    assert found["high"] == pytest.approx(np.quantile(ratios, 0.975), abs=0.01)


def test_gap_closed_does_not_depend_on_the_scale_of_gold():
    rng = np.random.default_rng(6)
    sft, ppo, perfect = rng.normal(0, 1, 90), rng.normal(0.5, 1, 90), rng.normal(2, 0.1, 90)
    found, scaled = gap_closed(sft, ppo, perfect), gap_closed(3 * sft - 7, 3 * ppo - 7, 3 * perfect - 7)
    assert scaled == pytest.approx(found)


def test_a_policy_worse_than_sft_has_closed_a_negative_share():
    assert gap_closed([0.0, 0.1], [-1.0, -0.9], [1.0, 1.1])["mean"] == pytest.approx(-1)


def test_where_there_is_no_gap_there_is_no_share_of_it():
    found = gap_closed([1.0, 1.0], [2.0, 2.0], [1.0, 1.0])
    assert all(math.isnan(found[key]) for key in ("mean", "low", "high"))


def test_a_gap_that_is_not_clearly_there_has_no_honest_bounds():
    # One prompt carries the whole gap.
    found = gap_closed([0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [1.0, 0.0, 0.0])
    assert found["mean"] == pytest.approx(0.5)
    assert math.isnan(found["low"]) and math.isnan(found["high"])
