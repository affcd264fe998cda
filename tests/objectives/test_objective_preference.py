"""Bradley–Terry and its helpers against closed forms and NumPy."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import all_pairs, bradley_terry, centering, length_normalize, pair_weights

LOG2, LOG3, LOG4 = math.log(2), math.log(3), math.log(4)
deltas = st.floats(-30, 30)
results = st.floats(0, 1)
margins = st.floats(0, 5)


def t(*values: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


# Δ = log 3 is odds of 3 : 1, so left wins with probability 3/4: L = −log ¾ = log 4 − log 3 where it
# did and −log ¼ = log 4 where it did not. A margin of log 3 eats a lead of log 3: even odds, log 2;
# for a right winner it doubles the deficit: odds of 9 : 1 against, −log ⅒ = log 10.
@pytest.mark.parametrize(
    ("result", "margin", "expected"),
    [
        (1.0, 0.0, LOG4 - LOG3),
        (0.0, 0.0, LOG4),
        (0.5, 0.0, LOG4 - LOG3 / 2),
        (0.25, 0.0, LOG4 - LOG3 / 4),
        (1.0, LOG3, LOG2),
        (0.0, LOG3, math.log(10)),
        (0.5, LOG3, LOG4 - LOG3 / 2),
    ],
)
def test_bradley_terry_of_odds_three_to_one(result: float, margin: float, expected: float) -> None:
    as_numbers = bradley_terry(t(LOG3), result=result, margin=margin)
    as_tensors = bradley_terry(t(LOG3), result=t(result), margin=t(margin))
    assert as_numbers.item() == pytest.approx(expected, abs=1e-12)
    assert as_tensors.item() == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(deltas, results, margins), min_size=1, max_size=6))
def test_bradley_terry_is_the_cross_entropy_of_the_logistic(rows: list[tuple[float, float, float]]) -> None:
    delta, result, margin = np.array(rows).T
    # −log σ(z) = log(1 + e^−z), and the winner's side pays for the margin.
    z = delta - margin * (2 * result - 1)
    expected = result * np.logaddexp(0, -z) + (1 - result) * np.logaddexp(0, z)
    loss = bradley_terry(torch.tensor(delta), result=torch.tensor(result), margin=torch.tensor(margin))
    np.testing.assert_allclose(loss.numpy(), expected, atol=1e-10)


@given(deltas, results, margins)
def test_swapping_the_sides_changes_nothing(delta: float, result: float, margin: float) -> None:
    left = bradley_terry(t(delta), result=t(result), margin=t(margin))
    right = bradley_terry(t(-delta), result=t(1 - result), margin=t(margin))
    assert left.item() == pytest.approx(right.item(), abs=1e-12)


@given(deltas, results, margins)
def test_the_gradient_is_the_predicted_minus_the_observed_share_of_the_win(
    delta: float, result: float, margin: float
) -> None:
    d = t(delta, grad=True)
    bradley_terry(d, result=t(result), margin=t(margin)).sum().backward()
    z = delta - margin * (2 * result - 1)
    assert d.grad is not None
    assert d.grad.item() == pytest.approx(1 / (1 + math.exp(-z)) - result, abs=1e-12)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-100, 100))
def test_only_the_difference_of_scores_counts(left: float, right: float, shift: float) -> None:
    plain = bradley_terry(t(left) - t(right))
    shifted = bradley_terry((t(left) + shift) - (t(right) + shift))
    assert plain.item() == pytest.approx(shifted.item(), abs=1e-10)


def test_no_difference_and_no_margin_costs_log_two_whatever_the_result() -> None:
    loss = bradley_terry(t(0, 0, 0, 0), result=t(0, 0.3, 0.5, 1))
    np.testing.assert_allclose(loss.numpy(), LOG2, atol=1e-15)


@given(deltas, st.floats(0.01, 5))
def test_a_margin_makes_a_win_dearer_and_leaves_a_tie_alone(delta: float, margin: float) -> None:
    for winner in (0.0, 1.0):
        bare = bradley_terry(t(delta), result=winner).item()
        assert bradley_terry(t(delta), result=winner, margin=margin).item() > bare
    assert torch.equal(
        bradley_terry(t(delta), result=0.5, margin=margin), bradley_terry(t(delta), result=0.5)
    )


@given(st.floats(0.01, 0.99))
def test_a_shared_win_is_least_where_the_model_predicts_the_share(result: float) -> None:
    best = math.log(result / (1 - result))
    at_best = bradley_terry(t(best), result=result).item()
    for step in (-0.1, 0.1):
        assert bradley_terry(t(best + step), result=result).item() > at_best


def test_absurd_scores_stay_finite_in_float32() -> None:
    delta = torch.tensor([1000.0, -1000.0], requires_grad=True)
    loss = bradley_terry(delta)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 1000.0]
    assert delta.grad is not None
    assert delta.grad.tolist() == [0.0, -1.0]


@pytest.mark.parametrize(
    ("delta", "keywords"),
    [
        (torch.zeros(2, 1), {}),
        (torch.zeros(()), {}),
        (torch.zeros(2), {"result": torch.ones(2, 1)}),
        (torch.zeros(2), {"margin": torch.ones(1)}),
        (torch.zeros(2), {"result": 1.5}),
        (torch.zeros(2), {"result": -1.0}),
        (torch.zeros(2), {"result": math.nan}),
        (torch.zeros(2), {"margin": -0.1}),
    ],
)
def test_bradley_terry_refuses_wrong_shapes_and_ranges(delta: torch.Tensor, keywords: dict) -> None:
    with pytest.raises(ValueError, match=r"delta|result|margin"):
        bradley_terry(delta, **keywords)


@pytest.mark.parametrize("K", [2, 3, 4, 9])
def test_all_pairs_are_the_combinations_of_two(K: int) -> None:
    assert [tuple(p) for p in all_pairs(K).tolist()] == list(combinations(range(K), 2))


def test_one_response_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="two responses"):
        all_pairs(1)


def test_items_weigh_one_however_many_outcomes_they_have() -> None:
    # Rankings of 2, 4 and 3 responses: 1, 6 and 3 pairs, interleaved.
    item_of = torch.tensor([1, 0, 1, 2, 1, 1, 2, 1, 2, 1])
    weights = pair_weights(item_of)
    for item, pairs in ((0, 1), (1, 6), (2, 3)):
        np.testing.assert_allclose(weights[item_of == item].numpy(), 1 / pairs, rtol=1e-6)


def test_unequal_outcomes_keep_their_proportion_within_an_item() -> None:
    weights = pair_weights(torch.tensor([0, 0, 1]), t(3, 1, 7))
    np.testing.assert_allclose(weights.numpy(), [0.75, 0.25, 1.0], atol=1e-15)


def test_no_outcomes_have_no_weights() -> None:
    assert pair_weights(torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_pair_weights_refuses_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="shapes must be equal"):
        pair_weights(torch.tensor([0, 0]), torch.ones(3))


def test_all_pairs_of_a_ranking_cost_their_mean() -> None:
    # Ouyang et al. 2022 eq. 1 spelt out: −1/C(K,2) · Σ_{w better than l} log σ(s_w − s_l).
    scores = np.array([0.3, -1.2, 2.0, 0.9])
    place = [1, 3, 0, 2]
    expected = np.mean(
        [
            np.log1p(np.exp(-(scores[w] - scores[l])))
            for w in range(4)
            for l in range(4)  # noqa: E741
            if place[w] < place[l]
        ]
    )
    left, right = all_pairs(4).T
    ranks = torch.tensor(place)
    losses = bradley_terry(
        torch.tensor(scores)[left] - torch.tensor(scores)[right], result=(ranks[left] < ranks[right]).double()
    )
    weights = pair_weights(torch.zeros(6, dtype=torch.long))
    assert (losses * weights).sum().item() == pytest.approx(expected, abs=1e-7)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_centering_of_a_pair_is_the_square_of_its_sum(winner: float, loser: float) -> None:
    # Eisenstein et al. 2023: η·(r(x, y⁺) + r(x, y⁻))², as TRL has it too.
    assert centering(t(winner, loser), torch.zeros(2).long()).tolist() == [
        pytest.approx((winner + loser) ** 2, abs=1e-12)
    ]


@given(st.lists(st.lists(st.floats(-20, 20), min_size=1, max_size=6), min_size=1, max_size=4))
def test_centering_moves_a_mean_and_shrinks_no_margin(items: list[list[float]]) -> None:
    s = t(*(x for item in items for x in item), grad=True)
    owner = torch.tensor([i for i, item in enumerate(items) for _ in item])
    loss = centering(s, owner)
    np.testing.assert_allclose(loss.detach().numpy(), [4 * np.mean(i) ** 2 for i in items], atol=1e-9)
    loss.sum().backward()
    assert s.grad is not None
    for i, item in enumerate(items):
        # One number for all responses of an item: their differences do not move.
        np.testing.assert_allclose(
            s.grad[owner == i].numpy(), 8 * np.mean(item) / len(item), atol=1e-9, rtol=1e-9
        )


def test_centering_refuses_unequal_shapes_and_takes_no_scores() -> None:
    with pytest.raises(ValueError, match="shapes must be equal"):
        centering(t(1, 2), torch.tensor([0]))
    assert centering(t(), torch.zeros(0).long()).shape == (0,)


def test_length_normalising_by_powers() -> None:
    totals, lengths = t(-6, -6, 5), torch.tensor([4, 9, 1])
    # −6/4, −6/9, 5/1; −6/√4, −6/√9, 5/√1.
    np.testing.assert_allclose(length_normalize(totals, lengths).numpy(), [-1.5, -2 / 3, 5])
    np.testing.assert_allclose(length_normalize(totals, lengths, power=0.5).numpy(), [-3, -2, 5])
    assert torch.equal(length_normalize(totals, lengths, power=0.0), totals)


@given(st.lists(st.floats(-5, 0), min_size=1, max_size=6), st.integers(2, 5))
def test_saying_everything_twice_does_not_change_a_mean_log_prob(log_probs: list[float], times: int) -> None:
    once = length_normalize(t(sum(log_probs)), torch.tensor([len(log_probs)]))
    often = length_normalize(t(sum(log_probs) * times), torch.tensor([len(log_probs) * times]))
    assert once.item() == pytest.approx(often.item(), abs=1e-12)


def test_length_normalise_refuses_unequal_shapes() -> None:
    with pytest.raises(ValueError, match="shapes must be equal"):
        length_normalize(t(1, 2), torch.tensor([1]))
