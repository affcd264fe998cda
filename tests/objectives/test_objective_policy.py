"""Clipped losses and entropy against case analysis and NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import clipped_policy_loss, clipped_value_loss, entropy_from_logits


def t(*values: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def policy(ratio: float, advantage: float, **keywords: float) -> tuple[float, bool, float]:
    """Loss, clipped and ∂L/∂log π at a ratio."""
    log_prob = t(math.log(ratio) - 1.5, grad=True)
    loss, clipped = clipped_policy_loss(log_prob, t(-1.5), t(advantage), **keywords)
    (gradient,) = torch.autograd.grad(loss.sum(), log_prob)
    return loss.item(), bool(clipped), gradient.item()


# The pessimistic side of the surrogate, by cases. A liked token (A = 2) gains up to ρ = 1 + clip and no
# further; a disliked one (A = −2) down to 1 − clip; moves in the wrong direction always count in full.
# Where nothing is clipped L = −A·ρ and ∂L/∂log π = −A·ρ.
@pytest.mark.parametrize(
    ("ratio", "advantage", "keywords", "loss", "clipped"),
    [
        (1.0, 2.0, {}, -2.0, False),
        (1.1, 2.0, {}, -2.2, False),
        (1.5, 2.0, {}, -2.4, True),
        (0.5, 2.0, {}, -1.0, False),
        (1.0, -2.0, {}, 2.0, False),
        (0.5, -2.0, {}, 1.6, True),
        (1.5, -2.0, {}, 3.0, False),
        (1.25, 2.0, {"clip_high": 0.28}, -2.5, False),
        (1.5, 2.0, {"clip_high": 0.28}, -2.56, True),
        (0.5, -2.0, {"clip_high": 0.28}, 1.6, True),
        (1.5, 2.0, {"clip": 0.1}, -2.2, True),
        (2.9, -2.0, {"dual_clip": 3.0}, 5.8, False),
        (5.0, -2.0, {"dual_clip": 3.0}, 6.0, True),
        (5.0, 2.0, {"dual_clip": 3.0}, -2.4, True),
        (0.5, -2.0, {"dual_clip": 3.0}, 1.6, True),
    ],
)
def test_the_clipped_surrogate_by_cases(
    ratio: float, advantage: float, keywords: dict[str, float], loss: float, clipped: bool
) -> None:
    value, flag, gradient = policy(ratio, advantage, **keywords)
    assert value == pytest.approx(loss, abs=1e-12)
    assert flag is clipped
    assert gradient == pytest.approx(0.0 if clipped else -advantage * ratio, abs=1e-12)


@given(st.floats(-10, 0), st.floats(-5, 5))
def test_at_ratio_one_nothing_is_clipped_and_the_gradient_is_the_policy_gradient(
    log_prob: float, advantage: float
) -> None:
    new = t(log_prob, grad=True)
    loss, clipped = clipped_policy_loss(new, t(log_prob), t(advantage), dual_clip=3.0)
    (gradient,) = torch.autograd.grad(loss.sum(), new)
    assert loss.item() == -advantage
    assert not clipped.any()
    assert gradient.item() == pytest.approx(-advantage, abs=1e-12)


@given(
    st.lists(
        st.tuples(st.floats(-3, 3), st.floats(-5, 5).filter(lambda a: abs(a) > 1e-3)), min_size=1, max_size=8
    ),
    st.floats(0.01, 0.9),
    st.floats(0.01, 0.9),
    st.one_of(st.none(), st.floats(2.0, 5.0)),
)
def test_the_surrogate_equals_numpy_and_its_gradient_is_zero_exactly_where_clipped(
    rows: list[tuple[float, float]], low: float, high: float, dual: float | None
) -> None:
    log_ratio, advantage = np.array(rows).T
    ratio = np.exp(log_ratio)
    objective = np.minimum(advantage * ratio, advantage * np.clip(ratio, 1 - low, 1 + high))
    if dual is not None:
        objective = np.where(advantage < 0, np.maximum(objective, dual * advantage), objective)
    new = torch.tensor(log_ratio - 1, requires_grad=True)
    loss, clipped = clipped_policy_loss(
        new,
        torch.full_like(new, -1.0).detach(),
        torch.tensor(advantage),
        clip=low,
        clip_high=high,
        dual_clip=dual,
    )
    (gradient,) = torch.autograd.grad(loss.sum(), new)
    np.testing.assert_allclose(loss.detach().numpy(), -objective, atol=1e-9)
    assert torch.equal(gradient == 0, clipped)
    free = ~clipped
    np.testing.assert_allclose(gradient[free].numpy(), (-advantage * ratio)[free.numpy()], atol=1e-9)


def test_an_absurd_log_ratio_is_held_at_twenty_and_counts_as_clipped() -> None:
    new = torch.tensor([30.0, -30.0, 19.0], requires_grad=True)
    loss, clipped = clipped_policy_loss(new, torch.zeros(3), torch.tensor([-1.0, 1.0, -1.0]))
    (gradient,) = torch.autograd.grad(loss.sum(), new)
    np.testing.assert_allclose(loss.detach().numpy(), [math.exp(20), -math.exp(-20), math.exp(19)], rtol=1e-5)
    assert clipped.tolist() == [True, True, False]
    assert gradient[:2].tolist() == [0.0, 0.0]
    assert gradient[2] > 0


def test_losses_keep_any_shape_and_do_not_mix_elements() -> None:
    random = torch.Generator().manual_seed(0)
    new, old, advantage = (torch.randn(2, 3, 4, generator=random) for _ in range(3))
    loss, clipped = clipped_policy_loss(new, old, advantage)
    flat, flat_clipped = clipped_policy_loss(new.flatten(), old.flatten(), advantage.flatten())
    assert loss.shape == clipped.shape == (2, 3, 4)
    assert torch.equal(loss.flatten(), flat)
    assert torch.equal(clipped.flatten(), flat_clipped)
    assert clipped.dtype == torch.bool


@pytest.mark.parametrize(
    "keywords",
    [
        {"clip": 0.0},
        {"clip": 1.0},
        {"clip_high": 0.0},
        {"dual_clip": 1.2},
        {"dual_clip": 1.25, "clip_high": 0.28},
    ],
)
def test_bounds_out_of_range_are_refused(keywords: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="clip"):
        clipped_policy_loss(t(0), t(0), t(0), **keywords)


def test_unequal_shapes_are_refused_where_broadcasting_would_be_silent() -> None:
    with pytest.raises(ValueError, match="shapes must be equal"):
        clipped_policy_loss(torch.zeros(3, 1), torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="shapes must be equal"):
        clipped_value_loss(torch.zeros(3), torch.zeros(3, 1), torch.zeros(3))


# Old value 1, clip ½. Towards a return of 3 the critic gains nothing above 1.5: ½·(1.5 − 3)².
# A move away from the return is charged in full: at −1, ½·(−1 − 3)². Past the return (0.2, so the
# held 0.5 is nearer the old value but further off): ½·max((−1 − 0.2)², (0.5 − 0.2)²).
@pytest.mark.parametrize(
    ("value", "target", "loss", "clipped"),
    [
        (1.0, 3.0, 2.0, False),
        (1.4, 3.0, 1.28, False),
        (2.0, 3.0, 1.125, True),
        (-1.0, 3.0, 8.0, False),
        (-1.0, 0.2, 0.72, False),
        (0.2, 0.2, 0.045, True),
    ],
)
def test_the_clipped_value_loss_by_cases(value: float, target: float, loss: float, clipped: bool) -> None:
    v = t(value, grad=True)
    result, flag = clipped_value_loss(v, t(1.0), t(target), clip=0.5)
    (gradient,) = torch.autograd.grad(result.sum(), v)
    assert result.item() == pytest.approx(loss, abs=1e-12)
    assert bool(flag) is clipped
    assert gradient.item() == pytest.approx(0.0 if clipped else value - target, abs=1e-12)


@given(
    st.lists(st.tuples(*[st.floats(-5, 5)] * 3), min_size=1, max_size=8),
    st.one_of(st.none(), st.floats(0.05, 3)),
)
def test_the_value_loss_equals_numpy(rows: list[tuple[float, float, float]], clip: float | None) -> None:
    value, old, target = np.array(rows).T
    free = (value - target) ** 2
    held = free if clip is None else (np.clip(value, old - clip, old + clip) - target) ** 2
    loss, clipped = clipped_value_loss(
        torch.tensor(value), torch.tensor(old), torch.tensor(target), clip=clip
    )
    np.testing.assert_allclose(loss.numpy(), 0.5 * np.maximum(free, held), atol=1e-12)
    assert clip is not None or not clipped.any()


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0.01, 10))
def test_an_unmoved_critic_is_never_clipped(old: float, target: float, clip: float) -> None:
    loss, clipped = clipped_value_loss(t(old), t(old), t(target), clip=clip)
    assert not clipped.any()
    assert loss.item() == pytest.approx(0.5 * (old - target) ** 2)


def test_a_move_within_the_bound_is_not_called_clipped_by_rounding() -> None:
    random = torch.Generator().manual_seed(0)
    old = torch.randn(10_000, generator=random)
    moved = 100 * torch.randn(10_000, generator=random)
    _, clipped = clipped_value_loss(moved, old, torch.randn(10_000, generator=random), clip=1e4)
    assert not clipped.any()


def test_a_value_clip_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="clip must be above 0"):
        clipped_value_loss(t(0), t(0), t(0), clip=0.0)


@given(st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=5))
def test_entropy_equals_its_sum(rows: list[list[float]]) -> None:
    logits = np.array(rows)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    expected = -(p * np.log(p)).sum(1)
    entropy = entropy_from_logits(torch.tensor(logits)).numpy()
    np.testing.assert_allclose(entropy, expected, atol=1e-9)
    assert (entropy >= -1e-12).all() and (entropy <= math.log(4) + 1e-12).all()


def test_entropy_at_its_limits() -> None:
    assert entropy_from_logits(torch.full((2, 8), 3.0)).tolist() == pytest.approx([math.log(8)] * 2)
    logits = torch.tensor([[0.0, -math.inf, 0.0], [0.0, -math.inf, -math.inf]], requires_grad=True)
    entropy = entropy_from_logits(logits)
    assert entropy.tolist() == pytest.approx([math.log(2), 0.0])
    (gradient,) = torch.autograd.grad(entropy.sum(), logits)
    assert torch.isfinite(gradient).all()


def test_the_gradient_of_entropy_equals_finite_differences() -> None:
    logits = t(0.3, -1.0, 2.0, grad=True)
    assert torch.autograd.gradcheck(entropy_from_logits, logits)
