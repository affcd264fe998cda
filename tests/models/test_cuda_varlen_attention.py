"""Attention by an accelerator's kernel for sequences of many lengths.

The kernel itself is there on CUDA alone; without it a plain one stands in, so that cutting and joining are tested.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from test_fused_decoder import FAMILIES, ITEMS, apart, policy_of
from torch import nn

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.layout import lay_out
from plaudit.kernels import cuda_varlen_attention as varlen, packed_attention as attention
from plaudit.kernels.attention_blocks import rows_of
from plaudit.models.attention import packed_attention
from plaudit.models.logprobs import log_probs
from plaudit.runtime import use_compute

HEADS, KV, SIZE = 4, 2, 16
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def plain_kernel(q, k, v, lengths, causal, scale):
    """Sequence by sequence in float64; like the real one in the type given, normalizers in fp32 at least."""
    group, dtype = q.shape[1] // k.shape[1], q.dtype
    q, k, v = q.double(), k.double(), v.double()
    outs, totals = [], []
    for (a, b), (c, d) in ranges(lengths):
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[c:d].repeat_interleave(group, 1)) * scale
        if causal:
            scores = scores.masked_fill(~torch.ones(b - a, d - c, dtype=torch.bool).tril(), -torch.inf)
        totals.append(scores.logsumexp(-1))
        outs.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[c:d].repeat_interleave(group, 1)))
    return torch.cat(outs).to(dtype), torch.cat(totals, dim=1).to(torch.promote_types(dtype, torch.float32))


def plain_kernel_back(grad, q, k, v, out, total, state, lengths, causal, scale):
    """As the real one does: from the output and normalizer that it is handed, whoever made them."""
    group, dtype = q.shape[1] // k.shape[1], q.dtype
    assert grad.dtype == out.dtype == dtype
    grad, q, k, v, out, total = (t.double() for t in (grad, q, k, v, out, total))
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    for (a, b), (c, d) in ranges(lengths):
        wide = [t[c:d].repeat_interleave(group, 1) for t in (k, v)]
        p = (torch.einsum("qhd,khd->hqk", q[a:b], wide[0]) * scale - total[:, a:b, None]).exp()
        if causal:
            p = p * torch.ones(b - a, d - c).tril()
        inner = torch.einsum("qhd,khd->hqk", grad[a:b], wide[1])
        slope = p * (inner - (grad[a:b] * out[a:b]).sum(-1).t()[..., None]) * scale
        dq[a:b] += torch.einsum("hqk,khd->qhd", slope, wide[0])
        dk[c:d] += torch.einsum("hqk,qhd->khd", slope, q[a:b]).unflatten(1, (-1, group)).sum(2)
        dv[c:d] += torch.einsum("hqk,qhd->khd", p, grad[a:b]).unflatten(1, (-1, group)).sum(2)
    return dq.to(dtype), dk.to(dtype), dv.to(dtype)


def ranges(lengths):
    return zip(itertools.pairwise(lengths.queries.tolist()), itertools.pairwise(lengths.keys.tolist()))


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(varlen, "_kernel", lambda *given: (*plain_kernel(*given), torch.empty(0)))
    monkeypatch.setattr(varlen, "_kernel_backward", plain_kernel_back)


class Whole(nn.Module):
    is_causal = True


@pytest.mark.parametrize("kind", ["packed", "shared"])
def test_many_lengths_are_what_blocks_give(stand_in, kind):
    layout = lay_out(ITEMS, kind, 0)
    torch.manual_seed(0)
    slots = layout.input_ids.numel()
    q, k, v = (torch.randn(slots, n, SIZE, dtype=torch.float64, requires_grad=True) for n in (HEADS, KV, KV))
    weights = torch.randn(slots, HEADS, SIZE, dtype=torch.float64)
    sequences = varlen.varlen_sequences(rows_of(layout.table), torch.device("cpu"))
    assert (sequences.branches is not None) == (kind == "shared")
    found = varlen.varlen_attention(q, k, v, sequences, 0.3)
    slopes = torch.autograd.grad((found * weights).sum(), (q, k, v))
    # A soft cap so high that it changes nothing goes the explicit way, operation by operation.
    expected, _ = packed_attention(
        Whole(), *(t.transpose(0, 1)[None] for t in (q, k, v)), layout.table, scaling=0.3, softcap=1e9
    )
    expected_slopes = torch.autograd.grad((expected[0] * weights).sum(), (q, k, v))
    torch.testing.assert_close(found, expected[0], rtol=1e-5, atol=1e-5)
    for one, other in zip(slopes, expected_slopes):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_kernel_is_used_only_where_it_computes_the_same():
    q = torch.zeros(4, 2, 16, dtype=torch.bfloat16)
    assert not varlen.supports(q, q, q, None, 9)  # no CUDA
    fake = FakeCuda(q)
    assert varlen.supports(fake, fake, fake, None, 9)
    assert varlen.supports(fake, fake, fake, 9, 9)
    assert not varlen.supports(fake, fake, fake, 8, 9)  # a window that cuts
    odd = FakeCuda(torch.zeros(4, 2, 12, dtype=torch.bfloat16))
    assert not varlen.supports(odd, odd, odd, None, 9)
    full = FakeCuda(q.float())
    assert not varlen.supports(full, full, full, None, 9)


@pytest.fixture
def untried():
    attention._kernel_is_right.cache_clear()
    yield
    attention._kernel_is_right.cache_clear()


def test_the_kernel_is_tried_before_it_is_believed(stand_in, untried):
    assert attention._kernel_is_right(torch.device("cpu"), HEADS, KV, SIZE)


@pytest.mark.parametrize("which", ["_kernel", "_kernel_backward"])
@pytest.mark.parametrize("fault", ["numbers", "raises"])
def test_a_kernel_with_a_fault_is_refused(stand_in, untried, monkeypatch, caplog, which, fault):
    plain = getattr(varlen, which)

    def broken(*given):
        if fault == "raises":
            raise RuntimeError("no such kernel")
        first, *rest = plain(*given)
        return first * 1.1, *rest

    monkeypatch.setattr(varlen, which, broken)
    assert not attention._kernel_is_right(torch.device("cpu"), HEADS, KV, SIZE)
    assert "block by block" in caplog.text


class FakeCuda:
    device = torch.device("cuda")

    def __init__(self, tensor):
        self.dtype, self.shape = tensor.dtype, tensor.shape


@pytest.fixture(params=FAMILIES)
def policy(request, tmp_path):
    return policy_of(request.param, tmp_path / "m")


@on_cuda
def test_on_cuda_bf16_stays_near_fp32(policy):
    model = policy.model.to("cuda")
    batch = collate(ITEMS, policy.pad_id).to(torch.device("cuda"))
    with use_compute(fused=False, layout="packed"):
        expected = log_probs(model, batch).log_prob
    expected.sum().backward()
    slopes = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with use_compute(precision="bf16"):
        found = log_probs(model, batch).log_prob
    found.sum().backward()
    assert float((found - expected).abs().max()) < 0.15
    assert apart({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, slopes) < 0.05


@on_cuda
@pytest.mark.parametrize("kind", ["packed", "shared"])
def test_on_cuda_the_kernel_gives_what_a_plain_one_gives(kind):
    layout = lay_out(ITEMS, kind, 0)
    generator = np.random.default_rng(5)
    slots = layout.input_ids.numel()
    given = [
        torch.tensor(generator.normal(size=(slots, n, 64)), dtype=torch.bfloat16) for n in (HEADS, KV, KV)
    ]
    rows = rows_of(layout.table)

    def run(tensors, device, dtype):
        leaves = [t.to(device, dtype).requires_grad_() for t in tensors]
        sequences = varlen.varlen_sequences(rows, torch.device(device))
        out = varlen.varlen_attention(*leaves, sequences, 0.125)
        slopes = torch.autograd.grad((out * out.detach().cos()).sum(), leaves)
        return [t.detach().cpu().double() for t in (out, *slopes)]

    found = run(given, "cuda", torch.bfloat16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(varlen, "_kernel", lambda *a: (*plain_kernel(*a), torch.empty(0)))
        patch.setattr(varlen, "_kernel_backward", plain_kernel_back)
        expected = run(given, "cpu", torch.float64)
    for one, other in zip(found, expected):
        assert float((one - other).norm() / other.norm()) < 2e-2
