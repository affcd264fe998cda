"""Group advantages, rewards to go, CISPO and best-of-n against NumPy, enumeration and closed forms."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import (
    best_of_n_kl,
    best_of_n_mean,
    cispo_loss,
    clipped_policy_loss,
    group_advantages,
    leave_one_out,
    rewards_to_go,
    zero_variance,
)

numbers = st.floats(-50, 50)
groups = st.integers(2, 6).flatmap(
    lambda g: st.lists(st.lists(numbers, min_size=g, max_size=g), min_size=1, max_size=4)
)


def spread_less(r):
    """NumPy's own reading: equal but for 16 steps of fp32 at the size of the prompt's or the usual reward."""
    size = np.maximum(np.abs(r).max(1), np.abs(r).mean())
    return np.ptp(r, axis=1) <= 16 * np.finfo(np.float32).eps * size + 1e-150


@given(groups)
def test_group_advantages_equal_numpy(rows):
    r = np.array(rows)
    flat = spread_less(r)
    np.testing.assert_array_equal(zero_variance(torch.tensor(r)).numpy(), flat)
    centered = r - r.mean(1, keepdims=True)
    centered[flat] = 0
    each = r.std(1, ddof=1, keepdims=True)
    # The lower of two middle values, as torch takes it.
    usual = 0 if flat.all() else np.sort(each[~flat].ravel())[(np.sum(~flat) - 1) // 2]
    for scale, std in (("group", each + 1e-4 * usual), ("batch", r.std(ddof=1) + 1e-4 * usual), ("none", 1)):
        got = group_advantages(torch.tensor(r), scale=scale).numpy()
        expected = np.divide(
            centered, np.broadcast_to(std, r.shape), out=np.zeros_like(r), where=~flat[:, None]
        )
        np.testing.assert_allclose(got, expected, atol=1e-9, rtol=1e-9)


@given(groups, st.floats(-6, 6))
def test_a_factor_changes_no_scaled_advantage(rows, power):
    r = torch.tensor(rows, dtype=torch.float64).round(decimals=3)
    for scale in ("group", "batch"):
        once, scaled = (group_advantages(x, scale=scale) for x in (r, r * 10**power))
        torch.testing.assert_close(once, scaled, atol=1e-6, rtol=1e-6)


@given(
    st.lists(st.floats(-8, 8), min_size=2, max_size=6),
    st.integers(2, 8),
    st.floats(-3, 3),
    st.integers(0, 10_000),
)
def test_rounding_of_an_fp32_model_is_no_spread(means, size, power, seed):
    """Each prompt's samples score the same but for a few steps of fp32 at the size of the scores around them."""
    scores = np.array(means) * 10**power
    noise = np.random.default_rng(seed).uniform(-3, 3, (len(means), size)) * np.finfo(np.float32).eps
    usual = max(np.abs(scores).mean(), 0)
    r = torch.tensor(scores[:, None] + noise * usual)
    assert zero_variance(r).all()
    for scale in ("group", "batch", "none"):
        assert group_advantages(r, scale=scale).abs().max() == 0


def test_what_differs_by_more_than_rounding_is_a_spread():
    # The last row is rounding beside the others, whose advantages it leaves as they are.
    r = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.5, 0.501, 0.5, 0.5], [0.3, 0.3 + 1.2e-7, 0.3, 0.3]])
    assert zero_variance(r).tolist() == [False, False, True]
    assert group_advantages(r)[:2].abs().amax(1).min() > 0.8
    assert not zero_variance(torch.tensor([[1e5, 1e5 + 1]])).any()  # exact rewards far from 0


def test_a_spread_far_below_the_usual_one_is_damped():
    # TRL adds 1e-4 to a deviation of about 1: spreads of 1e-5 then weigh a tenth of what they would.
    r = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.5, 0.50001]], dtype=torch.float64)
    small = float(group_advantages(r)[2, 1])
    assert small == pytest.approx(5e-6 / (5e-6 * 2**0.5 + 1e-4 * 0.5**0.5), rel=1e-6)


@given(groups, st.floats(-100, 100))
def test_a_constant_per_prompt_changes_no_advantage(rows, shift):
    r = torch.tensor(rows, dtype=torch.float64)
    for advantages in (leave_one_out, lambda x: group_advantages(x, scale="none")):
        torch.testing.assert_close(advantages(r + shift), advantages(r), atol=1e-9, rtol=0)


@given(groups)
def test_leave_one_out_equals_its_definition_and_sums_to_nothing(rows):
    r = np.array(rows)
    expected = np.array([[row[i] - np.delete(row, i).mean() for i in range(len(row))] for row in r])
    got = leave_one_out(torch.tensor(r)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-9)
    np.testing.assert_allclose(got.sum(1), 0, atol=1e-9)


def test_equal_rewards_are_no_advantage_however_they_round():
    r = torch.full((3, 5), 0.1) * torch.tensor([[1.0], [3.0], [7.0]])
    for scale in ("group", "batch", "none"):
        assert group_advantages(r, scale=scale).abs().max() == 0


def test_a_lone_sample_is_refused():
    for advantages in (leave_one_out, group_advantages):
        with pytest.raises(ValueError, match="two samples"):
            advantages(torch.zeros(3, 1))


@given(
    st.lists(st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_rewards_to_go_equal_the_sum(rows, gamma):
    width = max(map(len, rows))
    rewards, mask = torch.zeros(len(rows), width, dtype=torch.float64), torch.zeros(len(rows), width).bool()
    for i, row in enumerate(rows):
        rewards[i, : len(row)], mask[i, : len(row)] = torch.tensor(row, dtype=torch.float64), True
    got = rewards_to_go(rewards, mask, gamma=gamma)
    for i, row in enumerate(rows):
        for start in range(len(row)):
            expected = sum(gamma ** (j - start) * row[j] for j in range(start, len(row)))
            assert got[i, start].item() == pytest.approx(expected, abs=1e-9)
    assert got[~mask].abs().sum() == 0


@given(st.floats(-3, 3), numbers)
def test_cispo_has_the_clipped_weight_as_its_gradient(ratio, advantage):
    x = torch.tensor([ratio], dtype=torch.float64, requires_grad=True)
    loss, clipped = cispo_loss(
        x, torch.zeros(1).double(), torch.tensor([advantage], dtype=torch.float64), clip_high=0.5
    )
    loss.sum().backward()
    assert x.grad.item() == pytest.approx(-min(math.exp(ratio), 1.5) * advantage, abs=1e-9)
    assert clipped.item() == (math.exp(ratio) > 1.5)


def test_cispo_and_ppo_agree_on_the_old_policy():
    gradients = []
    for loss in (cispo_loss, clipped_policy_loss):
        x = torch.tensor([-1.0, -2.0], requires_grad=True)
        loss(x, x.detach(), torch.tensor([1.5, -0.5]))[0].sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients)


@given(st.lists(st.tuples(st.integers(0, 3), numbers), min_size=2, max_size=7), st.data())
def test_best_of_n_is_the_mean_over_all_draws(rows, data):
    n = data.draw(st.integers(1, len(rows)))
    scores, values = (np.array(c, dtype=np.float64) for c in zip(*rows))
    total = []
    for chosen in combinations(range(len(rows)), n):
        best = max(scores[list(chosen)])
        # Among equal scores each is as likely.
        total.append(np.mean([values[i] for i in chosen if scores[i] == best]))
    got = best_of_n_mean(torch.tensor(scores)[None], torch.tensor(values)[None], n)
    assert got.item() == pytest.approx(np.mean(total), abs=1e-8)


# Best of n of a uniform score: the density n·u^(n − 1) against 1, so KL = log n − (n − 1)/n.
@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_best_of_n_kl_is_the_integral(n):
    u = (np.arange(200_000) + 0.5) / 200_000
    density = n * u ** (n - 1)
    assert best_of_n_kl(n) == pytest.approx(
        float(np.mean(density * np.log(np.maximum(density, 1e-300)))), abs=1e-3
    )


def test_best_of_n_refuses_more_than_there_are():
    with pytest.raises(ValueError, match="from 1 to 3"):
        best_of_n_mean(torch.zeros(1, 3), torch.zeros(1, 3), 4)
    with pytest.raises(ValueError):
        best_of_n_kl(0)
