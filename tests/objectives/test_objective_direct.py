"""Direct preference objectives against NumPy and closed forms, with their limits and symmetries."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from plaudit.objectives import (
    apo_down,
    apo_zero,
    beyond_bound,
    divergence_reward,
    dpo,
    hinge_dpo,
    ipo,
    kto,
    log_odds,
    robust_dpo,
    sppo_hard,
)

LOG2, LOG3 = math.log(2), math.log(3)
rewards = st.floats(-20, 20)
results = st.floats(0, 1)


def t(*values, grad=False):
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def sigma(x):
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


def log_sigma(x):
    return -np.logaddexp(0, -np.asarray(x, dtype=np.float64))


# What each loss is of a winner w and a loser l, in NumPy; the oracle mixes both ways by r itself.
ORACLES = {
    "dpo": (dpo, lambda w, v: -log_sigma(w - v)),
    "robust": (
        lambda a, b, result=1.0: robust_dpo(a, b, result=result, label_smoothing=0.2),
        lambda w, v: (-0.8 * log_sigma(w - v) + 0.2 * log_sigma(v - w)) / 0.6,
    ),
    "hinge": (hinge_dpo, lambda w, v: np.maximum(0, 1 - (w - v))),
    "ipo": (lambda a, b, result=1.0: ipo(a, b, beta=0.25, result=result), lambda w, v: (w - v - 2) ** 2),
    "sppo_hard": (
        lambda a, b, result=1.0: sppo_hard(a, b, beta=0.25, result=result),
        lambda w, v: (w - 2) ** 2 + (v + 2) ** 2,
    ),
    "apo_zero": (apo_zero, lambda w, v: 1 - sigma(w) + sigma(v)),
    "apo_down": (apo_down, lambda w, v: sigma(w) + 1 - sigma(w - v)),
}


@pytest.mark.parametrize("name", ORACLES)
@given(rows=st.lists(st.tuples(rewards, rewards, results), min_size=1, max_size=5))
def test_losses_equal_numpy_for_any_result(name, rows):
    loss, oracle = ORACLES[name]
    a, b, r = (np.array(c, dtype=np.float64) for c in zip(*rows))
    got = loss(torch.tensor(a), torch.tensor(b), result=torch.tensor(r)).numpy()
    np.testing.assert_allclose(got, r * oracle(a, b) + (1 - r) * oracle(b, a), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ORACLES)
@given(a=rewards, b=rewards, r=results)
def test_swapping_the_sides_changes_nothing(name, a, b, r):
    loss, _ = ORACLES[name]
    assert loss(t(a), t(b), result=t(r)).item() == pytest.approx(
        loss(t(b), t(a), result=t(1 - r)).item(), abs=1e-9
    )


@pytest.mark.parametrize("name", ["dpo", "robust", "hinge", "ipo"])
@given(a=rewards, b=rewards, shift=st.floats(-10, 10))
def test_losses_of_a_difference_ignore_a_shift(name, a, b, shift):
    loss, _ = ORACLES[name]
    assert loss(t(a), t(b)).item() == pytest.approx(loss(t(a + shift), t(b + shift)).item(), abs=1e-6)


@pytest.mark.parametrize("name", ORACLES)
def test_a_worse_winner_is_pushed_up_and_a_better_loser_down(name):
    loss, _ = ORACLES[name]
    a, b = t(-0.3, grad=True), t(0.4, grad=True)
    loss(a, b).sum().backward()
    assert b.grad.item() > 0
    # apo_down pushes both down, the winner less; every other pushes the winner up.
    assert (a.grad.item() < 0) or (name == "apo_down" and abs(a.grad.item()) < b.grad.item())


def test_equal_rewards_cost_log_two_and_a_tie_is_least_there():
    assert dpo(t(1.3), t(1.3)).item() == pytest.approx(LOG2)
    assert robust_dpo(t(0.0), t(0.0), label_smoothing=0.3).item() == pytest.approx(LOG2)
    a = t(0.0, grad=True)
    dpo(a, t(0.0), result=0.5).sum().backward()
    assert a.grad.item() == pytest.approx(0)


def test_smoothing_is_the_loss_of_labels_that_are_wrong_that_often():
    # Conservative: (1 − ε)·loss + ε·loss of the flipped label, odds of 3 : 1.
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    assert dpo(t(LOG3), t(0.0), label_smoothing=0.1).item() == pytest.approx(expected)
    assert dpo(t(LOG3), t(0.0), label_smoothing=0.0).item() == pytest.approx(-math.log(0.75))


@given(a=rewards, b=rewards, e=st.floats(0, 0.45))
def test_robust_is_unbiased_under_flips(a, b, e):
    kept = robust_dpo(t(a), t(b), label_smoothing=e).item()
    flipped = robust_dpo(t(b), t(a), label_smoothing=e).item()
    assert (1 - e) * kept + e * flipped == pytest.approx(dpo(t(a), t(b)).item(), abs=1e-7)


def test_a_margin_asks_for_a_lead_and_nothing_on_a_tie():
    assert dpo(t(LOG3), t(0.0), margin=LOG3).item() == pytest.approx(LOG2)
    assert dpo(t(0.2), t(0.0), result=0.5, margin=3.0).item() == pytest.approx(
        dpo(t(0.2), t(0.0), result=0.5).item()
    )


# Two answers whose policy is σ(h): the pair is always judged for y1. IPO's minimum is finite, at
# h1 − h2 = 1/(2τ) from a uniform reference, hence π*(y1) = σ(1/(2τ)); DPO's loss falls for ever.
@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_ipo_of_two_answers_ends_at_its_closed_form_and_dpo_does_not_end(tau):
    def minimise(loss):
        z = t(0.0, grad=True)
        optimizer = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            # log-ratios of a policy (σ(z), σ(−z)) to a uniform reference
            left, right = torch.nn.functional.logsigmoid(z) + LOG2, torch.nn.functional.logsigmoid(-z) + LOG2
            value = loss(left, right).sum()
            value.backward()
            return value

        optimizer.step(closure)
        return z.sigmoid().item()

    assert minimise(lambda a, b: ipo(a, b, beta=tau)) == pytest.approx(sigma(0.5 / tau), abs=1e-4)
    assert minimise(lambda a, b: dpo(tau * a, tau * b)) > 0.99


def test_divergences_equal_their_derivatives():
    x = np.linspace(-3, 3, 13)
    u = np.exp(x)
    # f'(u) of f = u log u, −log u, and (u log u − (1 + u) log((1 + u)/2)), constants left out.
    for name, expected in (
        ("reverse_kl", np.log(u)),
        ("forward_kl", -1 / u),
        ("js", np.log(u / (1 + u))),
        ("alpha", (1 - u**-0.3) / 0.3),
    ):
        got = divergence_reward(torch.tensor(x), divergence=name, alpha=0.3).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-12)


@given(x=st.floats(-8, 8))
def test_alpha_lies_between_reverse_and_forward(x):
    near_zero = divergence_reward(t(x), divergence="alpha", alpha=1e-7).item()
    near_one = divergence_reward(t(x), divergence="alpha", alpha=1 - 1e-9).item()
    assert near_zero == pytest.approx(x, abs=1e-4)
    assert near_one == pytest.approx(divergence_reward(t(x), divergence="forward_kl").item() + 1, rel=1e-5)


@pytest.mark.parametrize("name", ["reverse_kl", "forward_kl", "js", "alpha"])
@given(x=st.floats(-30, 29), step=st.floats(0.01, 1))
def test_every_divergence_rises_with_the_ratio_and_stays_finite(name, x, step):
    low, high = divergence_reward(t(x, x + step), divergence=name).tolist()
    assert math.isfinite(low) and math.isfinite(high) and high >= low
    assert math.isfinite(divergence_reward(t(-500.0), divergence=name).item())


@given(p=st.floats(1e-4, 1 - 1e-4))
def test_log_odds_of_a_probability(p):
    assert log_odds(t(math.log(p))).item() == pytest.approx(math.log(p / (1 - p)), abs=1e-6)


@pytest.mark.parametrize("name", ["forward_kl", "js", "alpha"])
@given(w=st.floats(-200, 40), v=st.floats(-200, 40))
def test_a_winner_far_below_the_reference_is_pulled_up_and_a_loser_pushed_down(name, w, v):
    x = torch.tensor([w, v], requires_grad=True)
    s = 0.1 * divergence_reward(x, divergence=name, alpha=0.5)
    loss = dpo(s[:1], s[1:])
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(x.grad).all()
    assert x.grad[0] <= 0 <= x.grad[1]
    if w < v:  # the judgement is contradicted: the gradient on the winner is β·f''·σ ≥ β·f''(w)/2
        slope = {"forward_kl": -w, "alpha": -0.5 * w, "js": -np.logaddexp(0, w)}[name]
        assert x.grad[0].item() <= -0.05 * 0.999 * math.exp(min(30, slope))


def test_the_tangent_of_a_divergence_joins_its_exponential():
    # Value and derivative on both sides of the bound: e^30 and e^30, then one more e^30 per nat.
    for name, rate in (("forward_kl", 1.0), ("alpha", 0.5)):
        edge = -30 / rate
        x = t(edge + 1e-6, edge - 1e-6, edge - 2 / rate, grad=True)
        worth = divergence_reward(x, divergence=name, alpha=0.5)
        worth.sum().backward()
        assert worth[0].item() == pytest.approx(worth[1].item(), rel=1e-5)
        assert x.grad[0].item() == pytest.approx(x.grad[1].item(), rel=1e-5)
        assert worth[2].item() * rate == pytest.approx(-3 * math.exp(30), rel=1e-5)
        assert beyond_bound(x, divergence=name, alpha=0.5).tolist() == [False, True, True]
    assert not beyond_bound(t(-500.0), divergence="js").any()


# TRL's DPO loss under f-divergences, written out in NumPy (its cap_exp does nothing at these numbers):
# forward KL (alpha 1): e^−x_l − e^−x_w; alpha: (e^(−αx_l) − e^(−αx_w))/α; js: x_w − x_l less the softpluses.
@given(w=st.floats(-25, 25), v=st.floats(-25, 25))
def test_f_dpo_equals_trl_within_the_bound(w, v):
    for name, logits in (
        ("forward_kl", np.exp(-v) - np.exp(-w)),
        ("alpha", (np.exp(-0.3 * v) - np.exp(-0.3 * w)) / 0.3),
        ("js", (w - v) - (np.logaddexp(0, w) - np.logaddexp(0, v))),
    ):
        s = 0.1 * divergence_reward(t(w, v), divergence=name, alpha=0.3)
        assert dpo(s[:1], s[1:]).item() == pytest.approx(-log_sigma(0.1 * logits), rel=1e-9, abs=1e-9)


def test_log_odds_have_a_finite_gradient_where_the_probability_is_one():
    x = t(0.0, -1e-12, -800.0, grad=True)
    log_odds(x).sum().backward()
    assert torch.isfinite(x.grad).all()


# σ(log 3) = ¾: an answer at h = z + log 3/β keeps a quarter of its weight when good, three when bad.
def test_kto_at_odds_of_three_to_one():
    ratio = t(LOG3 / 0.5 + 1.0, LOG3 / 0.5 + 1.0, 1.0)
    got = kto(
        ratio, torch.tensor([True, False, True]), 1.0, beta=0.5, desirable_weight=2.0, undesirable_weight=3.0
    )
    np.testing.assert_allclose(got.numpy(), [2 * 0.25, 3 * 0.75, 2 * 0.5], atol=1e-12)


@given(h=rewards, z=st.floats(0, 10))
def test_kto_pushes_good_up_bad_down_and_both_cost_one(h, z):
    ratio = t(h, h, grad=True)
    values = kto(ratio, torch.tensor([True, False]), z, beta=0.3)
    values.sum().backward()
    assert values.sum().item() == pytest.approx(1.0)
    assert ratio.grad[0] <= 0 <= ratio.grad[1]
    assert ratio.grad[0].item() == pytest.approx(-ratio.grad[1].item(), abs=1e-12)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="beta"):
        ipo(t(1.0), t(0.0), beta=0.0)
    with pytest.raises(ValueError, match="label_smoothing"):
        dpo(t(1.0), t(0.0), label_smoothing=0.5)
    with pytest.raises(ValueError, match="alpha"):
        divergence_reward(t(1.0), divergence="alpha", alpha=1.0)
    with pytest.raises(ValueError, match="result"):
        hinge_dpo(t(1.0), t(0.0), result=1.5)
    with pytest.raises(ValueError):
        apo_zero(t(1.0, 2.0), t(0.0))
    with pytest.raises(TypeError, match="bool"):
        kto(t(1.0), t(1.0), 0.0, beta=0.1)
