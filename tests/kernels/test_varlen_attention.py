"""Attention tile by tile is attention, forward and backward, and no sequence, neighbour or thread leaves a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from numba import njit

from plaudit.kernels import numba_utils, optional

varlen = optional.load_compiled("plaudit.kernels.varlen_attention")
if varlen is None:
    pytest.skip("no processor that tiles are made for", allow_module_level=True)

from plaudit.kernels import gemm_llvm as gemm  # noqa: E402
from plaudit.kernels.packed_bf16 import as_lanes  # noqa: E402
from plaudit.models.attention import packed_attention  # noqa: E402

DTYPES = [torch.float32] + [torch.bfloat16] * gemm.HAS_BF16_DOT


def rows_of(trees):
    """Trees of a sequence and what branches off it as a table."""
    rows, at = [], 0
    for length, branches in trees:
        root = (at, at + length)
        rows.append((*root, at, at))
        at += length
        for branch in branches:
            rows.append((at, at + branch, *root))
            at += branch
    return tuple(rows)


def drawn(shape, dtype, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_definition(rows, window, q, k, v):
    """In double precision: every query looks at the prefix and at its own sequence, up to itself: [n, H, d]."""
    slots = rows[-1][1]
    visible = torch.zeros(slots, slots, dtype=torch.bool)
    at = torch.zeros(slots, dtype=torch.long)
    for start, end, before, beyond in rows:
        at[start:end] = torch.arange(end - start) + beyond - before
        for i in range(start, end):
            visible[i, before:beyond] = visible[i, start : i + 1] = True
    if window is not None:
        visible &= at[:, None] - at < window
    group = len(q) // len(k)
    scores = q @ k.repeat_interleave(group, 0).transpose(1, 2)
    weights = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    return (weights @ v.repeat_interleave(group, 0)).transpose(0, 1)


def run(plan, q, k, v, grad):
    out = torch.empty_like(grad)
    kept = plan.forward(q, k, v, out, True)
    slopes = [torch.empty_like(t) for t in (q, k, v)]
    plan.backward(grad, q, k, v, kept, *slopes)
    bare = torch.empty_like(grad)
    assert plan.forward(q, k, v, bare, False) == []
    torch.testing.assert_close(bare, out, atol=0, rtol=0, equal_nan=True)
    return [out, *slopes]


TREES = st.lists(
    st.tuples(st.integers(1, 150), st.lists(st.integers(1, 70), max_size=3)), min_size=1, max_size=4
)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(
    trees=TREES,
    shape=st.sampled_from([(4, 4, 64), (4, 2, 32), (2, 1, 16), (3, 1, 80), (2, 2, 48)]),
    window=st.sampled_from([None, 1, 17, 64]),
    some=st.sampled_from([1, 1, 3, 50]),
    seed=st.integers(0, 99),
)
def test_it_is_attention_in_double_precision(dtype, trees, shape, window, some, seed):
    rows = rows_of(trees)
    heads, kv, size = shape
    slots = rows[-1][1]
    q = drawn((heads, slots, size), dtype, seed) * size**-0.5
    k, v = drawn((kv, slots, size), dtype, seed + 1), drawn((kv, slots, size), dtype, seed + 2)
    needed = torch.arange(seed % min(some, slots), slots, some)
    grad = torch.zeros(slots, heads, size, dtype=dtype)
    grad[needed] = drawn((len(needed), heads, size), dtype, seed + 3)

    wide = [t.double().requires_grad_() for t in (q, k, v)]
    expected = by_definition(rows, window, *wide)
    slopes = torch.autograd.grad((expected * grad.double()).sum(), wide)
    plan = varlen.varlen_plan(rows, window=window, needed=None if some == 1 else needed)
    found = run(plan, q[:, needed].contiguous(), k, v, grad[needed])
    near = 1e-5 if dtype == torch.float32 else 2e-2
    for got, want in zip(found, (expected[needed].detach(), slopes[0][:, needed], *slopes[1:])):
        assert float((got.double() - want).norm()) <= near * float(want.norm()) + 1e-6 * want.numel() ** 0.5


ROWS = rows_of([(70, [30, 90, 1]), (200, []), (1, [1]), (33, [5])])


def given_tensors(dtype, slots=ROWS[-1][1]):
    return [drawn((n, slots, 32), dtype, seed) for seed, n in enumerate((4, 2, 2))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sequence_is_what_it_is_alone(dtype):
    """Bit by bit: whatever else is in the row."""
    q, k, v = given_tensors(dtype)
    grad = drawn((ROWS[-1][1], 4, 32), dtype, 9)
    together = run(varlen.varlen_plan(ROWS, window=None), q, k, v, grad)
    tree = slice(0, 191)
    alone = run(
        varlen.varlen_plan(ROWS[:4], window=None), *(t[:, tree].contiguous() for t in (q, k, v)), grad[tree]
    )
    assert torch.equal(together[0][tree], alone[0])
    for one, other in zip(together[1:], alone[1:]):
        assert torch.equal(one[:, tree], other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strange", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_in_its_sequence(dtype, strange):
    grad = drawn((ROWS[-1][1], 4, 32), dtype, 9)
    plan = varlen.varlen_plan(ROWS, window=None)
    clean = run(plan, *given_tensors(dtype), grad)
    for number in range(3):
        wrong = given_tensors(dtype)
        wrong[number][:, 80] = strange  # in the first branch of the first tree
        found = run(plan, *wrong, grad)
        assert not bool(found[0][80:100].isfinite().all())
        assert torch.equal(found[0][:70], clean[0][:70]) and torch.equal(found[0][100:], clean[0][100:])
        # The prefix gets gradients from what branches off it, nobody else does.
        assert torch.equal(found[1][:, 100:], clean[1][:, 100:])
        for one, other in zip(found[2:], clean[2:]):
            assert torch.equal(one[:, 100:], other[:, 100:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_bit_hangs_on_threads_or_on_how_tensors_lie(dtype, monkeypatch):
    q, k, v = given_tensors(dtype)
    grad = drawn((ROWS[-1][1], 4, 32), dtype, 9)
    plan = varlen.varlen_plan(ROWS, window=50)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = run(plan, q, k, v, grad)
        monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", 0)
        torch.set_num_threads(2)
        for one, other in zip(run(plan, q, k, v, grad), alone):
            assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (q, k, v)]
    slopes = [torch.empty_like(t) for t in turned]
    out = torch.empty_like(grad)
    assert not any(t.is_contiguous() for t in (*turned, *slopes))
    plan.backward(grad, *turned, plan.forward(*turned, out, True), *slopes)
    for one, other in zip((out, *slopes), alone):
        assert torch.equal(one, other)


def test_what_does_not_follow_its_prefix_is_refused():
    with pytest.raises(ValueError, match="follow its prompt"):
        varlen.varlen_plan(((0, 9, 0, 0), (9, 12, 9, 9), (12, 14, 0, 9)), window=None)


def test_only_what_fits_is_tiled(monkeypatch):
    """Other sizes and types go block by block, to the same numbers."""
    assert varlen.supports(64, torch.float32) and not varlen.supports(24, torch.float32)
    assert not varlen.supports(64, torch.float64)
    monkeypatch.setattr(varlen, "HAS_BF16_DOT", False)
    assert not varlen.supports(64, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 20])
def test_modules_of_any_family_attend_tile_by_tile(dtype, window, monkeypatch):
    """What transformers' modules call: in the way that they lay tensors out, gradients included."""
    table = torch.tensor(ROWS)[None, None]
    q, k, v = (t.transpose(0, 1).contiguous().transpose(0, 1) for t in given_tensors(dtype))
    seen = []
    plain = varlen.VarlenPlan.forward
    monkeypatch.setattr(varlen.VarlenPlan, "forward", lambda *given: (seen.append(1), plain(*given))[1])

    def measured():
        asked = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in (q, k, v)]
        module = torch.nn.Module()
        out, _ = packed_attention(
            module, *(t[None] for t in asked), table, scaling=0.2, sliding_window=window, is_causal=True
        )
        return [out, *torch.autograd.grad((out * torch.linspace(-1, 1, 32)).sum(), asked)]

    found = measured()
    assert seen
    monkeypatch.setattr("plaudit.kernels.packed_attention.load_compiled", lambda name: None)
    near = 1e-5 if dtype == torch.float32 else 2e-2
    for got, want in zip(found, measured()):
        assert got.shape == want.shape and got.dtype == want.dtype
        assert float((got - want).detach().norm()) <= near * float(want.detach().norm())


@njit
def multiplied(a, a_row, a_step, b, count, c, width, add):
    gemm.gemm_tile(a, 0, a_row, a_step, b, 0, width, count, c, 0, width, width, add)


def products():
    """A tile of a product, either way round, for every number of vectors."""
    rng = np.random.default_rng(0)
    for width in range(16, 113, 16):
        for count in (1, 2, 33):
            a = rng.standard_normal((gemm.TILE_ROWS, count), dtype=np.float32)
            b = rng.standard_normal((count, width), dtype=np.float32)
            c = np.ones((gemm.TILE_ROWS, width), dtype=np.float32)
            multiplied(a.ravel(), count, 1, b.ravel(), count, c.ravel(), width, False)
            np.testing.assert_allclose(c, a @ b, atol=1e-4)
            turned = np.ascontiguousarray(a.T).ravel()
            multiplied(turned, 1, gemm.TILE_ROWS, b.ravel(), count, c.ravel(), width, True)
            np.testing.assert_allclose(c, 2 * (a @ b), atol=2e-4)


def test_a_tile_is_a_product():
    products()


@pytest.mark.skipif(not gemm.HAS_BF16_DOT, reason="the processor has no instruction for pairs of bf16")
def test_a_tile_of_pairs_is_a_product_of_bf16():
    a, b = drawn((gemm.TILE_ROWS, 66), torch.bfloat16, 0), drawn((66, 96), torch.bfloat16, 1)
    pairs = b.view(33, 2, 96).transpose(1, 2).contiguous()
    c = np.zeros(gemm.TILE_ROWS * 96, dtype=np.float32)
    multiplied(as_lanes(a).ravel(), 33, 1, as_lanes(pairs).ravel(), 33, c, 96, False)
    np.testing.assert_allclose(c.reshape(-1, 96), (a.float() @ b.float()).numpy(), atol=1e-4)


@pytest.mark.slow
def test_narrower_vectors_give_the_same():
    """As for a processor with AVX2 alone."""
    features = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2"}
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_varlen_attention as t; assert t.gemm.VECTOR == 8 and not t.gemm.HAS_BF16_DOT\n"
        "t.products()"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | features, check=True)


def test_without_such_vectors_there_are_no_tiles():
    features = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse2"}
    code = (
        "from plaudit.kernels.optional import load_compiled\n"
        "assert load_compiled('plaudit.kernels.varlen_attention') is None"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | features, check=True)
