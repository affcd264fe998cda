"""Plackett–Luce against the enumeration of orders and subsets, and its limits."""

import math
from itertools import chain, combinations, permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import EXACT_TIES, bradley_terry, plackett_luce, plackett_luce_batch

Groups = list[list[int]]
MODES = ["unknown_order", "equal"]


def tensor(values: object, grad: bool = False) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64, requires_grad=grad)


def order_nll(scores: np.ndarray, order: tuple[int, ...]) -> float:
    """−log Π_k e^{s_k} / Σ_{j ≥ k} e^{s_j}, by the definition."""
    weights = np.exp(scores[list(order)])
    return -float(sum(np.log(weights[k] / weights[k:].sum()) for k in range(len(order))))


def oracle(scores: np.ndarray, groups: Groups, ties: str) -> float:
    """Every order that the groups allow, one by one."""
    orders = [tuple(chain(*choice)) for choice in product(*(list(permutations(g)) for g in groups))]
    costs = np.array([order_nll(scores, order) for order in orders])
    return float(-np.log(np.exp(-costs).sum())) if ties == "unknown_order" else float(costs.mean())


@st.composite
def ranked(draw: st.DrawFn, largest: int = 6) -> tuple[np.ndarray, Groups]:
    k = draw(st.integers(1, largest))
    scores = np.array(draw(st.lists(st.floats(-4, 4), min_size=k, max_size=k)))
    order = draw(st.permutations(range(k)))
    groups: Groups = [[order[0]]]
    for i in order[1:]:
        if draw(st.booleans()):
            groups[-1].append(i)
        else:
            groups.append([i])
    return scores, groups


@pytest.mark.parametrize("ties", MODES)
@given(case=ranked())
def test_ties_equal_the_enumeration_of_their_orders(ties: str, case: tuple[np.ndarray, Groups]) -> None:
    scores, groups = case
    loss = plackett_luce(tensor(scores), groups, ties=ties)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(oracle(scores, groups, ties), abs=1e-9)


def test_three_responses_by_hand() -> None:
    # Weights 4, 2, 1. Best first: 4/7 · 2/3. The pair {4, 2} before 1 in either order:
    # 4/7 · 2/3 + 2/7 · 4/5 = 8/21 + 8/35 = 64/105. Judged alike: the mean of the two costs.
    scores = tensor([math.log(4), math.log(2), 0.0])
    assert plackett_luce(scores, [[0], [1], [2]]).item() == pytest.approx(math.log(21 / 8), abs=1e-12)
    assert plackett_luce(scores, [[0, 1], [2]]).item() == pytest.approx(math.log(105 / 64), abs=1e-12)
    alike = (math.log(21 / 8) + math.log(35 / 8)) / 2
    assert plackett_luce(scores, [[1, 0], [2]], ties="equal").item() == pytest.approx(alike, abs=1e-12)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_two_responses_are_a_bradley_terry_pair(first: float, second: float) -> None:
    scores = tensor([first, second])
    delta = scores[:1] - scores[1:]
    assert torch.allclose(plackett_luce(scores, [[0], [1]]), bradley_terry(delta)[0], atol=1e-12)
    assert torch.allclose(plackett_luce(scores, [[1], [0]]), bradley_terry(delta, result=0.0)[0], atol=1e-12)
    tie = plackett_luce(scores, [[0, 1]], ties="equal")
    assert torch.allclose(tie, bradley_terry(delta, result=0.5)[0], atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_probabilities_of_all_orders_sum_to_one(k: int) -> None:
    scores = torch.linspace(-2, 3, k, dtype=torch.float64)
    losses = plackett_luce_batch(scores, [[[i] for i in order] for order in permutations(range(k))])
    assert losses.neg().exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_the_probabilities_of_all_ways_to_fill_tied_groups_sum_to_one() -> None:
    # Groups of 2, 1 and 2 out of 5: 5!/(2!·1!·2!) = 30 partitions, one of which must have happened.
    scores = tensor([0.4, -1.0, 2.0, 0.0, 1.1])
    ways = [
        [list(a), [b], [i for i in range(5) if i not in a and i != b]]
        for a in combinations(range(5), 2)
        for b in range(5)
        if b not in a
    ]
    assert len(ways) == 30
    assert plackett_luce_batch(scores, ways).neg().exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("size", [2, 5, 12])
def test_an_unknown_order_equals_a_walk_through_the_subsets(size: int, spread: float) -> None:
    # P(A) = Σ_{i∈A} P(A∖i)·w_i/(what remains after A∖i): the probability that A has come first, in any
    # order, for every A ⊆ G by size. Independent of the integral that the package evaluates.
    scores = spread * np.random.default_rng(size).normal(size=size + 2)
    weights = np.exp(scores)
    first = {0: 1.0}
    for placed in range(1, 2**size):
        first[placed] = sum(
            first[placed - (1 << i)] * weights[i] / (weights.sum() - inside(weights, placed - (1 << i)))
            for i in range(size)
            if placed >> i & 1
        )
    expected = -math.log(first[2**size - 1]) + order_nll(scores[size:], (0, 1))
    loss = plackett_luce(tensor(scores), [list(range(size)), [size], [size + 1]])
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def inside(weights: np.ndarray, placed: int) -> float:
    return float(sum(w for i, w in enumerate(weights) if placed >> i & 1))


@pytest.mark.parametrize("gap", [-300.0, -20.0, -15.0, 20.0, 300.0])
def test_an_unknown_order_far_above_or_below_the_rest(gap: float) -> None:
    # Two of weight w against W = 1: P = 2w/(2w + 1) · w/(w + 1), in logs where w overflows.
    scores = torch.tensor([gap, gap, 0.0], dtype=torch.float64, requires_grad=True)
    loss = plackett_luce(scores, [[0, 1], [2]])
    (gradient,) = torch.autograd.grad(loss, scores)
    expected = np.logaddexp(0, -gap - math.log(2)) + np.logaddexp(0, -gap)
    assert loss.item() == pytest.approx(expected, rel=1e-11, abs=1e-12)
    assert torch.isfinite(gradient).all()
    assert gradient[0].item() == pytest.approx(gradient[1].item(), abs=1e-12)
    if gap < 0:
        assert gradient[0].item() == pytest.approx(-1, abs=1e-6)


def test_hundreds_tied_are_still_exact() -> None:
    # m of weight 1 before W = 1: Π j/(j + 1) for j = m … 1, which telescopes to 1/(m + 1).
    # Of weight w → 0 before W = 1: m!·w^m.
    for size in (30, 300):
        for gap, expected in ((0.0, math.log(size + 1)), (-40.0, 40 * size - math.lgamma(size + 1))):
            loss = plackett_luce(tensor([gap] * size + [0.0]), [list(range(size)), [size]])
            assert loss.item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("ties", MODES)
@given(case=ranked(), shift=st.floats(-100, 100))
def test_a_constant_added_to_the_scores_changes_neither_loss_nor_gradient(
    ties: str, case: tuple[np.ndarray, Groups], shift: float
) -> None:
    scores, groups = case
    bare, moved = tensor(scores, grad=True), tensor(scores + shift, grad=True)
    losses = []
    for s in (bare, moved):
        # + 0·s keeps a graph where the ranking says nothing (all in one group of unknown order).
        loss = plackett_luce(s, groups, ties=ties) + 0 * s.sum()  # type: ignore[arg-type]
        loss.backward()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    assert bare.grad is not None and moved.grad is not None
    assert torch.allclose(bare.grad, moved.grad, atol=1e-9)
    assert bare.grad.sum().item() == pytest.approx(0, abs=1e-12)


@given(case=ranked())
def test_the_first_is_pushed_up_and_the_last_down(case: tuple[np.ndarray, Groups]) -> None:
    scores, groups = case
    order = list(chain(*groups))
    s = tensor(scores, grad=True)
    (plackett_luce(s, [[i] for i in order]) + 0 * s.sum()).backward()
    assert s.grad is not None
    if len(order) == 1:
        assert s.grad.item() == 0
    else:
        assert s.grad[order[0]] < 0 < s.grad[order[-1]]


@pytest.mark.parametrize("ties", MODES)
@pytest.mark.parametrize("groups", [[[2], [0, 1], [3]], [[0, 1, 2], [3]], [[3], [0, 1, 2]], [[0, 1, 2, 3]]])
def test_gradients_equal_finite_differences(ties: str, groups: Groups) -> None:
    scores = tensor([0.5, -0.3, 1.2, 0.1], grad=True)
    assert torch.autograd.gradcheck(
        lambda s: plackett_luce(s, groups, ties=ties) + 0 * s.sum(),  # type: ignore[arg-type]
        scores,
    )


def test_judged_alike_pulls_scores_together_and_an_unknown_order_says_nothing_of_the_last() -> None:
    scores = tensor([1.0, -1.0, 0.0], grad=True)
    plackett_luce(scores, [[0, 1, 2]], ties="equal").backward()
    assert scores.grad is not None
    assert scores.grad[0] > 0 > scores.grad[1]
    assert plackett_luce(scores, [[0, 1, 2]]).item() == 0
    at_rest = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    plackett_luce(at_rest, [[0, 1, 2]], ties="equal").backward()
    assert at_rest.grad is not None
    assert at_rest.grad.abs().max().item() == pytest.approx(0, abs=1e-12)


@given(case=ranked())
def test_judged_alike_never_costs_less_than_one_of_its_orders_on_average(
    case: tuple[np.ndarray, Groups],
) -> None:
    # Jensen: mean(−log p) ≥ −log mean(p) = −log Σp + log(number of orders).
    scores, groups = case
    orders = sum(math.lgamma(len(g) + 1) for g in groups)
    alike = plackett_luce(tensor(scores), groups, ties="equal").item()
    assert alike >= plackett_luce(tensor(scores), groups).item() + orders - 1e-9


def test_a_large_tie_judged_equal_is_exact_at_equal_scores() -> None:
    # Equal weights w before a rest W: every order costs −log Π w/(W + j·w).
    size = EXACT_TIES + 3
    scores = tensor([0.7] * size + [-0.4], grad=True)
    loss = plackett_luce(scores, [list(range(size)), [size]], ties="equal")
    w, rest = math.exp(0.7), math.exp(-0.4)
    assert loss.item() == pytest.approx(-sum(math.log(w / (rest + j * w)) for j in range(1, size + 1)))
    (gradient,) = torch.autograd.grad(loss, scores)
    assert torch.allclose(gradient[:size], gradient[0].expand(size), atol=1e-12)


def test_a_large_tie_judged_equal_errs_upwards_and_in_second_order() -> None:
    # The mean cost over subsets, by enumeration; a tenth of the spread is a hundredth of the error.
    size = EXACT_TIES + 1
    direction = np.random.default_rng(0).normal(size=size + 1)

    def error(spread: float) -> float:
        scores = spread * direction
        weights = np.exp(scores)
        exact = -scores[:size].sum() + sum(
            np.mean(
                [np.log(weights[size] + weights[list(left)].sum()) for left in combinations(range(size), k)]
            )
            for k in range(1, size + 1)
        )
        return plackett_luce(tensor(scores), [list(range(size)), [size]], ties="equal").item() - exact

    assert 0 < error(0.03) < error(0.3) / 50


@pytest.mark.parametrize("ties", MODES)
def test_a_ragged_batch_equals_its_rankings_one_by_one(ties: str) -> None:
    rankings: list[Groups] = [
        [[1], [0]],
        [[4, 2], [3]],
        [[5], [6, 7, 8], [9], [10]],
        [[11]],
        [[12, 13]],
        [[16, 14], [15, 17]],
    ]
    scores = tensor(np.random.default_rng(1).normal(size=18), grad=True)
    batch = plackett_luce_batch(scores, rankings, ties=ties)  # type: ignore[arg-type]
    weights = torch.arange(1.0, 7, dtype=torch.float64)
    (together,) = torch.autograd.grad((batch * weights).sum(), scores)
    assert batch.shape == (6,)
    for number, groups in enumerate(rankings):
        named = sorted(chain(*groups))
        local = [[named.index(i) for i in group] for group in groups]
        own = scores.detach()[named].requires_grad_()
        loss = plackett_luce(own, local, ties=ties) + 0 * own.sum()  # type: ignore[arg-type]
        loss.backward()
        assert batch[number].item() == pytest.approx(loss.item(), abs=1e-12)
        assert own.grad is not None
        assert torch.allclose(together[named], weights[number] * own.grad, atol=1e-12)


def test_several_raters_of_the_same_responses_add_their_gradients() -> None:
    scores = tensor([0.2, 0.9, -0.4], grad=True)
    opinions: list[Groups] = [[[0], [1], [2]], [[1], [0, 2]]]
    (both,) = torch.autograd.grad(plackett_luce_batch(scores, opinions).sum(), scores)
    each = [torch.autograd.grad(plackett_luce(scores, groups), scores)[0] for groups in opinions]
    assert torch.allclose(both, each[0] + each[1], atol=1e-12)


def test_no_rankings_cost_nothing() -> None:
    assert plackett_luce_batch(torch.zeros(3), []).shape == (0,)


@pytest.mark.parametrize("ties", MODES)
@pytest.mark.parametrize("scale", [1e-3, 30.0, 1000.0])
def test_absurd_scores_keep_loss_and_gradient_finite_in_float32(ties: str, scale: float) -> None:
    scores = (torch.tensor([1.0, -1.0, 0.5, -0.2, 0.9]) * scale).requires_grad_()
    for groups in (
        [[0], [4], [2], [3], [1]],
        [[1], [3], [2, 4], [0]],
        [[1, 3, 2], [4, 0]],
        [[0, 4], [2], [3], [1]],
    ):
        loss = plackett_luce(scores, groups, ties=ties)  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad(loss, scores)
        exact = plackett_luce(scores.detach().double(), groups, ties=ties)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(exact.item(), rel=1e-5, abs=1e-5)
        assert torch.isfinite(gradient).all()


def test_the_worst_order_of_far_scores_costs_their_gaps() -> None:
    # Last first: each stage costs its gap to the best that remains, 2000 and 1000 nats.
    assert plackett_luce(torch.tensor([2000.0, 1000.0, 0.0]), [[2], [1], [0]]).item() == 3000


@pytest.mark.parametrize(
    "groups", [[[0], [1]], [[0], [1], [1]], [[0], [1], [3]], [[0, 0], [1, 2]], [[0], [], [1, 2]], []]
)
def test_what_is_not_a_ranking_of_all_is_refused(groups: Groups) -> None:
    with pytest.raises(ValueError, match=r"groups must name|empty group"):
        plackett_luce(torch.zeros(3), groups)


@pytest.mark.parametrize("groups", [[[0], [5]], [[-1], [0]], [[0], [0]], [[0], []]])
def test_a_batch_refuses_indices_out_of_range_repeated_or_missing(groups: Groups) -> None:
    with pytest.raises(ValueError, match="a ranking must"):
        plackett_luce_batch(torch.zeros(5), [[[1], [2]], groups])


def test_wrong_ranks_and_unknown_treatments_of_ties_are_refused() -> None:
    with pytest.raises(ValueError, match="1 axes"):
        plackett_luce_batch(torch.zeros(3, 1), [[[0], [1]]])
    with pytest.raises(ValueError, match="ties"):
        plackett_luce(torch.zeros(2), [[0, 1]], ties="half")  # type: ignore[arg-type]
