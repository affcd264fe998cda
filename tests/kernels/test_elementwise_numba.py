"""The compiled loops of the fused layers compute their formulas, row by row, and really share rows among threads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from numba import config, get_thread_id, prange

from plaudit.kernels import elementwise_numba, numba_utils

DTYPES = [torch.float32, torch.bfloat16]


def drawn(rows, width, dtype, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, width, generator=generator) * spread).to(dtype)


def near(found, expected, dtype):
    """Within half a step of the type's numbers, and a little of fp32's arithmetic."""
    step = torch.finfo(dtype).eps / 2 if dtype != torch.float32 else 0.0
    assert bool(((found.double() - expected).abs() <= (step + 2e-6) * expected.abs() + 1e-5).all())


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 70),
    seed=st.integers(0, 99),
    spread=st.sampled_from([0.1, 3, 40]),
)
def test_the_gate_and_its_way_back_are_those_of_double_precision(dtype, rows, width, seed, spread):
    g, u, dh = (drawn(rows, width, dtype, seed + i, spread if i == 0 else 1.0) for i in range(3))
    wide_g, wide_u = (t.double().requires_grad_() for t in (g, u))
    h = torch.nn.functional.silu(wide_g) * wide_u
    slopes = torch.autograd.grad(h, (wide_g, wide_u), dh.double())
    near(elementwise_numba.swiglu(g, u), h.detach(), dtype)
    again, dg, du = elementwise_numba.swiglu_backward(dh.clone(), g, u)
    for found, expected in zip((again, dg, du), (h.detach(), *slopes)):
        assert found.dtype == dtype
        near(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2])
def test_the_norms_way_back_is_that_of_double_precision(dtype, count):
    x, base = drawn(33, 48, torch.float32, 0), drawn(33, 48, torch.float32, 1)
    grads = [drawn(33, 48, dtype, 2 + i) for i in range(count)]
    wide = x.double().requires_grad_()
    r = (wide.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
    slope = torch.autograd.grad(wide * r, wide, sum(g.double() for g in grads))[0]
    out = torch.full_like(x, torch.nan)
    elementwise_numba.rmsnorm_backward(grads, x, r.detach().float(), base, out)
    torch.testing.assert_close(out, (base + slope).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_heads_are_turned_and_turned_back(dtype):
    heads, turned, size, begin = 5, 3, 12, 4
    made, angles = drawn(9, heads * size, dtype, 0, 1.0), drawn(9, size // 2, torch.float32, 1)
    turn = torch.stack((angles.cos(), angles.sin()), 1)
    out = torch.full((heads, 20, size), 7.0, dtype=dtype)
    elementwise_numba.rope(made, turn, turned, out, begin)
    wide = made.double().unflatten(1, (heads, 2, -1))
    a, b = wide[:, :, 0], wide[:, :, 1]
    c, s = (x.double()[:, None] for x in (angles.cos(), angles.sin()))
    expected = torch.cat((a * c - b * s, b * c + a * s), -1)
    expected[:, turned:] = wide[:, turned:].flatten(2)
    near(out[:, begin : begin + 9].transpose(0, 1), expected, dtype)
    assert bool((out[:, :begin] == 7).all()) and bool((out[:, begin + 9 :] == 7).all())
    # The inverse of a rotation is its transpose, which is the way back.
    back = elementwise_numba.rope_backward(out, turn, turned, begin)
    step = torch.finfo(dtype).eps
    assert bool((back.double() - made.double()).abs().max() <= 2 * step * made.double().abs().max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_what_is_not_finite_stays_so_and_stays_with_its_row(dtype, wrong):
    g, u, dh = (drawn(6, 20, dtype, i) for i in range(3))
    plain = [elementwise_numba.swiglu(g, u), *elementwise_numba.swiglu_backward(dh.clone(), g, u)]
    g[2, 7] = wrong
    found = [elementwise_numba.swiglu(g, u), *elementwise_numba.swiglu_backward(dh.clone(), g, u)]
    others = torch.arange(6) != 2
    for one, other in zip(found, plain):
        assert not one[2, 7].isfinite()
        assert torch.equal(one[others], other[others])
    x, base, r, out = drawn(6, 20, torch.float32, 5), torch.zeros(6, 20), torch.ones(6, 1), torch.empty(6, 20)
    spoilt = dh.clone()
    spoilt[2, 7] = wrong
    elementwise_numba.rmsnorm_backward([spoilt], x, r, base, out)
    assert not out[2].isfinite().any()
    assert out[others].isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(dtype, monkeypatch):
    g, u, dh = (drawn(301, 77, dtype, i) for i in range(3))
    x, r, base = drawn(301, 77, torch.float32, 4), torch.rand(301, 1), drawn(301, 77, torch.float32, 5)

    def everything():
        out = torch.empty_like(x)
        elementwise_numba.rmsnorm_backward((g, u), x, r, base, out)
        heads = torch.empty(7, 301, 10, dtype=dtype)
        turn = torch.stack((x[:, :5].cos(), x[:, :5].sin()), 1)
        elementwise_numba.rope(g[:, :70], turn, 4, heads, 0)
        turned = [heads, elementwise_numba.rope_backward(heads, turn, 4, 0)]
        return [
            elementwise_numba.swiglu(g, u),
            *elementwise_numba.swiglu_backward(dh.clone(), g, u),
            out,
            *turned,
        ]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = everything()
        monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", 0)
        torch.set_num_threads(2)
        for one, other in zip(everything(), alone):
            assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)


def test_rows_are_shared_by_threads(monkeypatch):
    """As many as torch has, and one where the work is small."""

    def who(out):
        for i in prange(len(out)):
            out[i] = get_thread_id()

    seen = {}
    counted = loop_without_files(who)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            for many in (0, 1 << 40):
                torch.set_num_threads(threads)
                monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", many)
                out = np.zeros(64, dtype=np.int64)
                numba_utils.set_threads_for(1)
                counted(out)
                seen[threads, many == 0] = len(set(out.tolist()))
    finally:
        torch.set_num_threads(before)
    most = min(2, config.NUMBA_NUM_THREADS) if numba_utils.PARALLEL else 1
    assert seen == {(1, True): 1, (1, False): 1, (2, False): 1, (2, True): most}


def loop_without_files(function):
    """A function of a test has no file to be kept beside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(numba_utils.JIT_OPTIONS, "cache", False)
        return numba_utils.parallel_loop(function)


def test_the_first_loop_leaves_torch_its_threads():
    """Numba's threads start once a process, and tell OpenMP to use every core."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from plaudit.kernels import numba_utils\n"
        "numba_utils.set_threads_for(1); print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
