"""Group advantages, rewards to go, CISPO and best-of-n against NumPy, enumeration and closed forms."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from plaudit.objectives import (
    best_of_n_kl,
    best_of_n_mean,
    cispo_loss,
    clipped_policy_loss,
    group_advantages,
    leave_one_out,
    rewards_to_go,
)

numbers = st.floats(-50, 50)
groups = st.integers(2, 6).flatmap(
    lambda g: st.lists(st.lists(numbers, min_size=g, max_size=g), min_size=1, max_size=4)
)


@given(groups)
def test_group_advantages_equal_numpy(rows):
    r = np.array(rows)
    centred = r - r.mean(1, keepdims=True)
    centred[np.ptp(r, axis=1) == 0] = 0
    for scale, std in (
        ("group", r.std(1, ddof=1, keepdims=True)),
        ("batch", r.std(ddof=1)),
        ("none", 1 - 1e-6),
    ):
        got = group_advantages(torch.tensor(r), scale=scale).numpy()
        np.testing.assert_allclose(got, centred / (std + 1e-6), atol=1e-6, rtol=1e-6)


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
