"""Log-probs and slopes over a vocabulary as loops are those of double precision, and of what torch computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from plaudit.kernels import linear_logprob, numba_utils
from plaudit.kernels.interface import LogitShape
from plaudit.kernels.linear_logprob import _LogProb
from plaudit.kernels.optional import load_compiled

token_logprob = load_compiled("plaudit.kernels.token_logprob")
DTYPES = [torch.float32, torch.bfloat16]


def drawn(n, width, dtype, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    z = (torch.randn(n, width, generator=generator) * spread).to(dtype)
    return z, torch.randint(0, width, (n,), generator=generator), torch.randn(n, generator=generator)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 9),
    width=st.sampled_from([1, 2, 60, 127, 128, 129, 300]),
    factor=st.sampled_from([1.0, 0.5, 1.7]),
    spread=st.sampled_from([0.1, 3.0, 60.0]),
    seed=st.integers(0, 99),
)
def test_they_are_those_of_double_precision(dtype, n, width, factor, spread, seed):
    z, targets, grad = drawn(n, width, dtype, seed, spread)
    wide = z.double().requires_grad_()
    expected = (factor * wide).log_softmax(-1).gather(1, targets[:, None])[:, 0]
    (slope,) = torch.autograd.grad((expected * grad).sum(), wide)
    log_prob, normalizer = token_logprob.log_prob(z, targets, factor)
    size = 1 + float(z.abs().max()) * factor
    assert float((log_prob - expected.detach()).abs().max()) < 2e-6 * size
    found = token_logprob.grad_logits(z.clone(), targets, normalizer, grad, factor)
    assert found.dtype == dtype
    step = torch.finfo(dtype).eps / 2 if dtype != torch.float32 else 0.0
    assert bool(((found.double() - slope).abs() <= step * slope.abs() + 4e-6 * size).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strange", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_in_its_row(dtype, strange):
    z, targets, grad = drawn(5, 300, dtype, 0)
    clean = token_logprob.log_prob(z, targets, 1.0)
    clean_slopes = token_logprob.grad_logits(z.clone(), targets, clean[1], grad, 1.0)
    z[2, 250] = strange
    log_prob, normalizer = token_logprob.log_prob(z, targets, 1.0)
    slopes = token_logprob.grad_logits(z.clone(), targets, normalizer, grad, 1.0)
    others = torch.tensor([0, 1, 3, 4])
    assert bool(log_prob[2].isnan()) and bool(slopes[2].isnan().any())
    assert torch.equal(log_prob[others], clean[0][others])
    assert torch.equal(slopes[others], clean_slopes[others])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_a_logit_of_minus_infinity_is_a_token_that_never_comes(dtype, factor):
    z, targets, grad = drawn(6, 300, dtype, 0)
    targets[:] = torch.arange(6) + 100
    z[1, 250], z[2, :99], z[3, 103] = -torch.inf, -torch.inf, -torch.inf  # beside, many, the target itself
    z[4] = -torch.inf
    z[4, 104] = 3.0  # the only one that comes
    wide = z.double().requires_grad_()
    table = (factor * wide).log_softmax(-1)
    expected = table.gather(1, targets[:, None])[:, 0]
    (slope,) = torch.autograd.grad((expected * grad)[expected.isfinite()].sum(), wide)
    log_prob, normalizer = token_logprob.log_prob(z, targets, factor)
    entropy = token_logprob.entropy(z, normalizer, factor)
    found = token_logprob.grad_logits(z.clone(), targets, normalizer, grad, factor)
    assert log_prob[3] == -torch.inf
    torch.testing.assert_close(log_prob.double(), expected.detach(), atol=2e-5, rtol=1e-5)
    p = table.detach().exp()
    torch.testing.assert_close(entropy.double(), torch.special.entr(p).sum(-1), atol=3e-5, rtol=3e-5)
    rows = torch.tensor([0, 1, 2, 4, 5])
    near = {torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    torch.testing.assert_close(found[rows].double(), slope[rows], atol=near, rtol=near)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("loops", [True, False])
def test_such_a_logit_gives_the_same_with_and_without_loops(loops, details, monkeypatch):
    if not loops:
        monkeypatch.setattr(linear_logprob, "load_compiled", lambda name: None)
    hidden = torch.ones(5, 8, requires_grad=True)
    weight = drawn(40, 8, torch.float32, 3)[0]
    weight[7] = -torch.inf
    weight.requires_grad_()
    targets = torch.arange(5)
    log_prob, *more = _LogProb.apply(
        hidden, weight, None, targets, LogitShape(1.0, None), 0.8, details, False, True
    )
    z = (hidden @ weight.T / 0.8).detach().double()
    table = z.log_softmax(-1)
    torch.testing.assert_close(log_prob.detach().double(), table[targets, targets], atol=1e-5, rtol=1e-5)
    total = log_prob.sum()
    if details:
        entropy = torch.special.entr(table.exp()).sum(-1)
        torch.testing.assert_close(more[0].detach().double(), entropy, atol=1e-5, rtol=1e-5)
        total = total + more[0].sum()
    (slope,) = torch.autograd.grad(total, weight)
    assert bool(slope.isfinite().all()) and float(slope[7].abs().max()) < 1e-30


def test_threads_change_no_bit(monkeypatch):
    z, targets, grad = drawn(33, 500, torch.float32, 1)
    before = torch.get_num_threads()
    found = []
    try:
        monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", 0)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            log_prob, normalizer = token_logprob.log_prob(z, targets, 0.7)
            found.append((log_prob, token_logprob.grad_logits(z.clone(), targets, normalizer, grad, 0.7)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_log_probs_with_loops_are_those_without(kept, bf16, factor, monkeypatch):
    hidden, weight = drawn(70, 24, torch.float32, 2)[0], drawn(90, 24, torch.float32, 3, 0.3)[0]
    targets = torch.arange(70)

    def measured():
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        (log_prob,) = _LogProb.apply(h, w, None, targets, LogitShape(factor, None), 0.8, False, bf16, kept)
        return [log_prob, *torch.autograd.grad((log_prob * torch.linspace(-1, 1, 70)).sum(), (h, w))]

    seen = []
    plain = token_logprob.grad_logits
    monkeypatch.setattr(token_logprob, "grad_logits", lambda *given: (seen.append(1), plain(*given))[1])
    found = measured()
    assert seen
    monkeypatch.setattr(linear_logprob, "load_compiled", lambda name: None)
    near = 2e-2 if bf16 else 1e-5
    for got, want in zip(found, measured()):
        assert float((got - want).detach().norm()) <= near * float(want.detach().norm())


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=30, deadline=None)
@given(
    width=st.sampled_from([1, 2, 60, 129, 300]), levels=st.sampled_from([2, 1000]), seed=st.integers(0, 99)
)
def test_entropies_are_those_of_double_precision(dtype, width, levels, seed):
    z, targets, _ = drawn(7, width, dtype, seed)
    z = (z * levels / 6).round() * 6 / levels if levels == 2 else z
    log_p = (0.7 * z.double()).log_softmax(-1)
    _, normalizer = token_logprob.log_prob(z, targets, 0.7)
    entropy = token_logprob.entropy(z, normalizer, 0.7)
    torch.testing.assert_close(entropy.double(), -(log_p.exp() * log_p).sum(-1), atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize("kept", [True, False])
def test_details_change_no_bit_of_the_log_prob_and_entropies_have_the_same_slopes(kept, monkeypatch):
    """Scored with details, trained without: the ratio of a first step is 1."""
    hidden, weight = drawn(70, 24, torch.float32, 2)[0], drawn(90, 24, torch.float32, 3, 0.3)[0]
    targets = torch.arange(70)

    def measured(details):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        log_prob, *more = _LogProb.apply(
            h, w, None, targets, LogitShape(1.0, None), 0.8, details, False, kept
        )
        total = (log_prob * torch.linspace(-1, 1, 70)).sum()
        if details:
            total = total + (more[0] * torch.linspace(2, 1, 70)).sum()
        return [log_prob, *more[:1], *torch.autograd.grad(total, (h, w))]

    found = measured(True)
    assert torch.equal(found[0], measured(False)[0])
    monkeypatch.setattr(linear_logprob, "load_compiled", lambda name: None)
    for got, want in zip(found, measured(True)):
        assert float((got - want).detach().norm()) <= 1e-5 * float(want.detach().norm())


def test_what_the_loops_do_not_know_goes_the_other_way():
    """Biases, soft caps, factors below zero and other types."""
    weight = torch.zeros(4, 4)
    assert linear_logprob._loops(weight, None, LogitShape(1.0, None), torch.float32) is token_logprob
    assert linear_logprob._loops(weight, torch.zeros(4), LogitShape(1.0, None), torch.float32) is None
    assert linear_logprob._loops(weight, None, LogitShape(1.0, 30.0), torch.float32) is None
    assert linear_logprob._loops(weight, None, LogitShape(-1.0, None), torch.float32) is None
    assert linear_logprob._loops(weight, None, LogitShape(1.0, None), torch.float64) is None
