"""The reference implementation agrees with the fast kernels to rounding, and uses none of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.kernels import auto, reference
from plaudit.kernels.interface import Kernels, LogitShape
from plaudit.models.compute import kernels_in_use
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import build_policy
from plaudit.models.tokenizers import train_bpe
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.runtime import use_compute

ROWS = ((0, 40, 0, 0), (40, 57, 0, 40), (57, 60, 0, 40), (60, 90, 60, 60), (90, 91, 90, 90))


@pytest.fixture(scope="module")
def policy():
    tokenizer = train_bpe(["An owl lives in a tree.", "Where does an owl live?"], vocabulary=300)
    made = build_policy(tokenizer, hidden=32, layers=2, heads=2, max_positions=128, seed=0)
    with torch.no_grad():
        for parameter in made.model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return made


def batch(policy):
    draw = np.random.default_rng(0).integers
    items = [
        TokenItem(draw(5, 250, 12), tuple(Segment.of(draw(5, 250, n)) for n in lengths))
        for lengths in ((5, 9, 1), (20,))
    ]
    return collate(items, policy.pad_id)


def loss_and_gradient(policy, kernels):
    policy.model.zero_grad()
    with use_compute(kernels=kernels):
        found = log_probs(policy.model, batch(policy), temperature=0.8, details=True)
        loss = (found.log_prob * torch.linspace(-1, 1, len(found.log_prob))).sum() + found.entropy.mean()
        loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in policy.model.parameters()])


def test_loss_and_gradient_agree_to_rounding(policy):
    loss, grad = loss_and_gradient(policy, "auto")
    expected, expected_grad = loss_and_gradient(policy, "reference")
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-5)
    assert float((grad - expected_grad).norm() / expected_grad.norm()) < 1e-5


def sampled(policy, kernels):
    with use_compute(kernels=kernels):
        requests = [Request(np.array([7, 8, 9, 10]), "one", n=4), Request(np.array([11, 12]), "two", n=4)]
        sampler = NativeSampler(policy)
        return sampler.sample(requests, SamplingSettings(max_new_tokens=12), seed=0, step=0)


def test_samples_agree(policy):
    """The same tokens, since no uniform number of this seed lies within rounding of a boundary."""
    for one, other in zip(sampled(policy, "auto"), sampled(policy, "reference"), strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)


@pytest.mark.parametrize("window", [None, 9])
def test_attention_agrees(window):
    torch.manual_seed(0)
    q, k, v = (torch.randn(heads, 91, 16, requires_grad=True) for heads in (4, 2, 2))
    weights = torch.randn(91, 4, 16)
    found = []
    for kernels in (auto, reference):
        out = kernels.packed_attention(q, k, v, ROWS, scale=0.25, window=window)
        found.append([out, *torch.autograd.grad((out * weights).sum(), (q, k, v))])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("shape", [LogitShape(1.0, None), LogitShape(0.5, 20.0)])
@pytest.mark.parametrize("bias", [True, False])
def test_log_probs_agree(shape, bias):
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 24, requires_grad=True), torch.randn(90, 24, requires_grad=True)
    offset = torch.randn(90, requires_grad=True) if bias else None
    given = [t for t in (hidden, weight, offset) if t is not None]
    options = {"shape": shape, "temperature": 0.8, "details": True, "bf16": False, "kept_logits": 2**27}
    found = []
    for kernels in (auto, reference):
        log_prob, entropy = kernels.linear_log_probs(hidden, weight, offset, torch.arange(40), **options)
        grads = torch.autograd.grad((log_prob * torch.linspace(-1, 1, 40)).sum() + entropy.sum(), given)
        found.append([log_prob, entropy, *grads])
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-4)


def files_called(policy, kernels):
    """Modules of the package whose functions run in a loss, its gradient and a sample."""
    folder, called = Path(reference.__file__).parent, set()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == folder:
            called.add(path.stem)

    sys.setprofile(note)
    try:
        loss_and_gradient(policy, kernels)
        sampled(policy, kernels)
    finally:
        sys.setprofile(None)
    return called


def test_the_reference_touches_no_kernel(policy):
    assert files_called(policy, "reference") == {"reference", "attention_blocks", "interface"}
    fast = {"fused_attention", "fused_mlp", "linear", "linear_logprob", "decode_numba", "token_logprob"}
    assert fast <= files_called(policy, "auto")  # else the line above would say nothing


def test_the_setting_chooses_the_implementation():
    chosen: list[Kernels] = [kernels_in_use()]
    with use_compute(kernels="reference"):
        chosen.append(kernels_in_use())
    assert chosen == [auto, reference]
