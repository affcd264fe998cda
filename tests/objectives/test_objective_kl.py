"""KL estimators by exact enumeration over the vocabulary, and the controllers by hand."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from scipy.special import rel_entr, softmax

from plaudit.objectives import (
    K3_BOUND,
    AdaptiveKL,
    FixedKL,
    exact_kl,
    kl_k1,
    kl_k2,
    kl_k3,
    kl_k3_ratio,
    kl_penalty,
)

logits = st.lists(st.floats(-5, 5), min_size=5, max_size=5)
# Ratios within K3_BOUND, where k3 is what Schulman wrote.
near = st.lists(st.floats(-3, 3), min_size=5, max_size=5)


def two(p: list[float], q: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)


@given(near, near)
def test_k1_and_k3_are_unbiased(p: list[float], q: list[float]) -> None:
    # The expectation under p is a finite sum over the vocabulary: no sampling, no tolerance for noise.
    a, b = two(p, q)
    log_p, log_q = a.log_softmax(0), b.log_softmax(0)
    truth = rel_entr(softmax(p), softmax(q)).sum()
    for estimator in (kl_k1, kl_k3):
        assert (log_p.exp() * estimator(log_p, log_q)).sum().item() == pytest.approx(truth, abs=1e-9)
    assert exact_kl(a, b).item() == pytest.approx(truth, abs=1e-9)


def test_the_bias_of_k2_is_of_third_order() -> None:
    # Half the log-ratio, an eighth of the bias, with KL itself a quarter.
    p, direction = two([0.3, -0.5, 1.1, 0.0, 0.7], [1.0, -2.0, 0.5, 0.3, -0.4])

    def bias(size: float) -> tuple[float, float]:
        log_p, log_q = p.log_softmax(0), (p + size * direction).log_softmax(0)
        truth = exact_kl(p, p + size * direction).item()
        return abs((log_p.exp() * kl_k2(log_p, log_q)).sum().item() - truth), truth

    large, small = bias(0.02), bias(0.01)
    assert large[1] / small[1] == pytest.approx(4, rel=0.05)
    assert large[0] / small[0] == pytest.approx(8, rel=0.05)


@given(near, near)
def test_as_a_loss_k2_follows_the_kl_and_k1_goes_nowhere(p: list[float], q: list[float]) -> None:
    # The sampled token is fixed, so the expectation's weights carry no gradient: E_p[∇k1] = E_p[∇log p]
    # = 0, E_p[∇k2] = E_p[log(p/q)·∇log p] = ∇KL(p ‖ q), and E_p[∇k3] = E_p[(1 − q/p)·∇log p] = ∇KL(q ‖ p).
    a, b = two(p, q)
    a.requires_grad_()
    log_p, log_q = a.log_softmax(0), b.log_softmax(0)
    weights = log_p.exp().detach()

    def gradient(loss: torch.Tensor) -> np.ndarray:
        return torch.autograd.grad(loss, a, retain_graph=True)[0].numpy()

    np.testing.assert_allclose(gradient((weights * kl_k1(log_p, log_q)).sum()), 0, atol=1e-9)
    np.testing.assert_allclose(
        gradient((weights * kl_k2(log_p, log_q)).sum()), gradient(exact_kl(a, b)), atol=1e-8
    )
    np.testing.assert_allclose(
        gradient((weights * kl_k3(log_p, log_q)).sum()), gradient(exact_kl(b, a)), atol=1e-8
    )


@given(logits, logits, logits)
def test_k3_by_the_ratio_is_the_kl_in_value_and_gradient_from_any_old_policy(
    p: list[float], q: list[float], old: list[float]
) -> None:
    a, b = two(p, q)
    a.requires_grad_()
    log_p, log_q = a.log_softmax(0), b.log_softmax(0)
    log_old = torch.tensor(old, dtype=torch.float64).log_softmax(0)
    loss = (log_old.exp() * kl_k3_ratio(log_p, log_q, log_old)).sum()
    truth = exact_kl(a, b)
    # Both are sums to which every token adds; where k3 is bounded its value, but not its gradient, is smaller.
    if (log_q - log_p).max() <= K3_BOUND:
        assert loss.item() == pytest.approx(truth.item(), abs=1e-8)
    gradients = [torch.autograd.grad(x, a, retain_graph=True)[0].numpy() for x in (loss, truth)]
    np.testing.assert_allclose(*gradients, atol=1e-8)


# TRL's per-token KL with use_bias_correction_kl, written out: ρ·(e^x − x − 1), differentiated by autograd.
@given(st.lists(st.tuples(st.floats(-8, 0), st.floats(-8, 0), st.floats(-8, 0)), min_size=1, max_size=4))
def test_k3_by_the_ratio_equals_trl(rows: list[tuple[float, float, float]]) -> None:
    now, reference, old = (torch.tensor(column, dtype=torch.float64) for column in zip(*rows))
    gradients, values = [], []
    for ours in (True, False):
        x = now.clone().requires_grad_()
        if ours:
            loss = kl_k3_ratio(x, reference, old)
        else:
            loss = (x - old).exp() * ((reference - x).exp() - (reference - x) - 1)
        values.append(loss.detach().numpy())
        gradients.append(torch.autograd.grad(loss.sum(), x)[0].numpy())
    np.testing.assert_allclose(*values, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(*gradients, rtol=1e-7, atol=1e-9)


@given(st.floats(-200, 200))
def test_every_estimator_is_finite_in_float32_and_pulls_towards_the_reference(gap: float) -> None:
    """``gap`` nats between reference and policy: 88.8 would overflow e^x."""
    reference = torch.tensor([gap])
    for estimator in ("k2", "k3", "k3_ratio"):
        x = torch.zeros(1, requires_grad=True)
        values, bounded = kl_penalty(x, reference, estimator=estimator, old_log_prob=torch.zeros(1))
        values.sum().backward()
        assert x.grad is not None and math.isfinite(values.item()) and math.isfinite(x.grad.item())
        assert values.item() >= 0 and x.grad.item() * gap <= 0
        # A gap below fp32's own step may leave no gradient of e^x − 1.
        assert x.grad.item() != 0 or abs(gap) < 1e-7
        assert bounded.item() == (gap > K3_BOUND and estimator != "k2")


def test_k3_beyond_its_bound_goes_on_along_its_tangent() -> None:
    e10 = math.exp(10)
    x = torch.tensor([10.0, 11.0, 88.8], dtype=torch.float64)
    expected = [e10 - 11, 2 * e10 - 12, (1 + 78.8) * e10 - 89.8]
    np.testing.assert_allclose(kl_k3(-x, torch.zeros(3)).numpy(), expected, rtol=1e-12)


def test_an_estimator_is_asked_for_by_its_name() -> None:
    a, b, old = torch.tensor([-1.0]), torch.tensor([-1.5]), torch.tensor([-1.2])
    for name, values in (("k1", kl_k1(a, b)), ("k2", kl_k2(a, b)), ("k3", kl_k3(a, b))):
        assert torch.equal(kl_penalty(a, b, estimator=name)[0], values)  # type: ignore[arg-type]
    got = kl_penalty(a, b, estimator="k3_ratio", old_log_prob=old)[0]
    assert got.item() == pytest.approx(math.exp(0.2) * kl_k3(a, b).item())
    with pytest.raises(ValueError, match="policy that sampled"):
        kl_penalty(a, b, estimator="k3_ratio")
    with pytest.raises(ValueError, match="k4"):
        kl_penalty(a, b, estimator="k4")  # type: ignore[arg-type]


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_single_tokens_by_formula_and_sign(log_prob: float, reference: float) -> None:
    a, b = two([log_prob], [reference])
    assert kl_k1(a, b).item() == log_prob - reference
    assert kl_k2(a, b).item() == pytest.approx((log_prob - reference) ** 2 / 2)
    k3, x = kl_k3(a, b).item(), reference - log_prob
    exponential = math.expm1(min(x, 10)) + math.exp(10) * max(0, x - 10)
    assert k3 == pytest.approx(exponential - x, rel=1e-9, abs=1e-15)
    # Not negative but for the rounding of x itself.
    assert k3 >= -2.3e-16 * abs(reference - log_prob)
    assert kl_k2(a, b).item() >= 0


def test_policy_equal_to_reference_has_no_kl() -> None:
    a = torch.tensor([[-1.0, -2.0], [-0.5, -7.0]])
    for estimator in (kl_k1, kl_k2, kl_k3):
        assert torch.equal(estimator(a, a), torch.zeros(2, 2))


def test_k3_keeps_its_digits_near_zero_in_float32() -> None:
    # e^x − 1 − x = x²/2 + x³/6 + …; computed naively in float32 at x = 10⁻³ it is lost in rounding.
    x = torch.tensor([1e-2, -1e-2, 1e-3, -1e-3])
    exact = x.double() ** 2 / 2 + x.double() ** 3 / 6 + x.double() ** 4 / 24
    np.testing.assert_allclose(kl_k3(-x, torch.zeros(4)).numpy(), exact.numpy(), rtol=1e-3)
    naive = torch.exp(x) - 1 - x
    assert ((naive.double() - exact).abs() / exact).max() > 1e-2


@given(logits, logits, st.floats(-50, 50))
def test_exact_kl_is_not_negative_and_ignores_a_constant(
    p: list[float], q: list[float], shift: float
) -> None:
    a, b = two(p, q)
    assert exact_kl(a, b).item() >= -1e-12
    assert exact_kl(a, a + shift).item() == pytest.approx(0, abs=1e-9)
    assert exact_kl(a + shift, b).item() == pytest.approx(exact_kl(a, b).item(), abs=1e-9)


def test_exact_kl_sums_the_last_axis_alone() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, 2, 7, generator=random, dtype=torch.float64) for _ in range(2))
    expected = rel_entr(softmax(a.numpy(), -1), softmax(b.numpy(), -1)).sum(-1)
    np.testing.assert_allclose(exact_kl(a, b).numpy(), expected, atol=1e-12)


def test_impossible_tokens() -> None:
    # p = (½, ½, 0) against q = (¼, ½, ¼) is ½·log 2; against (1, 0, 0) it is ∞.
    p = torch.tensor([0.0, 0.0, -math.inf], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64).log()
    kl = exact_kl(p, q)
    assert kl.item() == pytest.approx(math.log(2) / 2, abs=1e-12)
    (gradient,) = torch.autograd.grad(kl, p)
    assert torch.isfinite(gradient).all()
    impossible = torch.tensor([0.0, -math.inf, -math.inf], dtype=torch.float64)
    assert exact_kl(p, impossible).item() == math.inf
    assert exact_kl(p, p.detach()).item() == 0


@pytest.mark.parametrize("function", [kl_k1, kl_k2, kl_k3, exact_kl])
def test_unequal_shapes_are_refused(function: object) -> None:
    with pytest.raises(ValueError, match="shapes must be equal"):
        function(torch.zeros(2, 3), torch.zeros(3))  # type: ignore[operator]


def test_a_fixed_coefficient_stays() -> None:
    control = FixedKL(0.07)
    control.update(1e9, 512)
    assert control.value == 0.07


# β = 0.1, target 6, horizon 1000, 100 samples: β·(1 + e/10) with e = KL/6 − 1 held within ±0.2.
@pytest.mark.parametrize(
    ("observed", "expected"),
    [(6.0, 0.1), (6.6, 0.101), (5.4, 0.099), (60.0, 0.102), (0.0, 0.098), (-3.0, 0.098)],
)
def test_the_adaptive_coefficient_answers_a_held_relative_error(observed: float, expected: float) -> None:
    control = AdaptiveKL(0.1, target=6.0, horizon=1000)
    control.update(observed, 100)
    assert control.value == pytest.approx(expected, abs=1e-15)


@given(st.floats(0, 1e6), st.integers(1, 400), st.floats(0.01, 1.0))
def test_the_adaptive_coefficient_stays_positive_and_moves_against_the_error(
    observed: float, samples: int, max_error: float
) -> None:
    control = AdaptiveKL(0.1, target=6.0, horizon=500, max_error=max_error)
    control.update(observed, samples)
    assert control.value > 0
    assert np.sign(control.value - 0.1) == np.sign(observed - 6.0) or abs(observed - 6) < 1e-9
    assert abs(control.value / 0.1 - 1) <= max_error * samples / 500 + 1e-12


def test_the_adaptive_coefficient_brings_a_policy_to_its_target() -> None:
    # A policy whose KL is inversely proportional to the coefficient: KL = 0.3/β settles at β = 0.05.
    control = AdaptiveKL(1.0, target=6.0, horizon=1000)
    for _ in range(600):
        control.update(0.3 / control.value, 200)
    assert control.value == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("make", [lambda b: FixedKL(b), lambda b: AdaptiveKL(b, target=2.0, horizon=100)])
def test_controllers_continue_from_their_state_through_json(make: object) -> None:
    whole, first = make(0.3), make(0.3)  # type: ignore[operator]
    for control in (whole, first):
        for kl in (1.7, 2.9, 8.0):
            control.update(kl, 7)
    resumed = make(0.3)  # type: ignore[operator]
    resumed.load(json.loads(json.dumps(first.state())))
    for control in (whole, resumed):
        control.update(0.4, 7)
    assert resumed.value == whole.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedKL(-0.1),
        lambda: FixedKL(math.nan),
        lambda: FixedKL(math.inf),
        lambda: AdaptiveKL(0.0, target=6, horizon=100),
        lambda: AdaptiveKL(0.1, target=0, horizon=100),
        lambda: AdaptiveKL(0.1, target=6, horizon=0),
        lambda: AdaptiveKL(0.1, target=6, horizon=100, max_error=0),
    ],
)
def test_controllers_refuse_settings_out_of_range(make: object) -> None:
    with pytest.raises(ValueError, match="KL"):
        make()  # type: ignore[operator]


def test_the_adaptive_controller_refuses_what_would_break_it() -> None:
    control = AdaptiveKL(0.1, target=6.0, horizon=100)
    with pytest.raises(ValueError, match="nan"):
        control.update(math.nan, 10)
    with pytest.raises(ValueError, match="horizon"):
        control.update(0.0, 500)
    assert control.value == 0.1
