"""The compiled loop of decoding computes attention, row by row, whatever lies around a row."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from rollout_models import build

from plaudit.kernels import auto, decode_numba as decode_numba, numba_utils, optional
from plaudit.kernels.optional import load_compiled
from plaudit.rollout import token_sampling
from plaudit.rollout.llama import LlamaForward
from plaudit.rollout.protocol import SamplingSettings


def made(dtype, *, rows=7, heads=6, shared=2, d=10, dv=14, columns=33, prompts=3, width=21):
    torch.manual_seed(0)
    cache = [torch.randn(rows + 2, shared, columns, size).to(dtype) for size in (d, dv)]
    before = [torch.randn(prompts, shared, width, size).to(dtype) for size in (d, dv)]
    lengths = torch.tensor([width, 0, 4])[:prompts]
    return {
        "q": torch.randn(rows, heads, d),
        "keys": cache[0],
        "values": cache[1],
        "first": torch.tensor([0, 3, 12, 30, 5, 5, 29])[:rows],
        "begin": 0,
        "end": 31,
        "prompts": (*before, lengths, torch.arange(rows) % prompts),
    }


def oracle(q, keys, values, first, begin, end, prompts):
    """In double precision, one row and head at a time."""
    rows, heads, _ = q.shape
    group = heads // keys.shape[1]
    out = np.empty((rows, heads, values.shape[-1]))
    for r in range(rows):
        for h in range(heads):
            seen = slice(max(int(first[r]), begin), end)
            k, v = keys[r, h // group, seen], values[r, h // group, seen]
            if prompts is not None:
                p, n = int(prompts[3][r]), int(prompts[2][prompts[3][r]])
                k, v = (torch.cat([x[p, h // group, :n], own]) for x, own in zip(prompts[:2], (k, v)))
            s = k.double().numpy() @ q[r, h].double().numpy()
            w = np.exp(s - s.max())
            out[r, h] = (w / w.sum()) @ v.double().numpy()
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("begin", [0, 27])
@pytest.mark.parametrize("shares", [True, False])
def test_attention_is_that_of_an_oracle(dtype, begin, shares):
    given = made(dtype) | {"begin": begin} | ({} if shares else {"prompts": None})
    np.testing.assert_allclose(decode_numba.decode_attention(**given).numpy(), oracle(**given), atol=3e-6)


def test_scores_far_apart_are_weighed_like_close_ones():
    given = made(torch.float32)
    given["q"] *= 60
    np.testing.assert_allclose(decode_numba.decode_attention(**given).numpy(), oracle(**given), atol=2e-4)


def test_a_row_hangs_on_itself_alone(monkeypatch):
    given = made(torch.float32)
    whole = decode_numba.decode_attention(**given)
    for r in range(len(whole)):
        one = {n: given[n][r : r + 1] for n in ("q", "keys", "values", "first")}
        *store, which = given["prompts"]
        alone = decode_numba.decode_attention(**given | one | {"prompts": (*store, which[r : r + 1])})
        assert torch.equal(alone[0], whole[r])
    monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", 0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(decode_numba.decode_attention(**given), whole)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("vocabulary", [1, 64, 100, 4096])
def test_the_compiled_draw_is_the_plain_one(vocabulary, monkeypatch):
    torch.manual_seed(0)
    z = 4 * torch.randn(500, vocabulary)
    z[:, :: max(2, vocabulary // 3)] = -torch.inf
    z[7] = torch.nan
    z[8, -1] = torch.inf
    uniform = torch.rand(500, dtype=torch.float64)
    uniform[:2] = torch.tensor([2.0**-53, 1 - 2.0**-53])
    if vocabulary == 1:
        z[:, 0] = 0.5
    ids, log_probs = decode_numba.draw_tokens(z, uniform)
    monkeypatch.setattr(auto, "load_compiled", lambda name: None)
    plain, plain_log_probs = token_sampling.draw(z, uniform, SamplingSettings(1))
    fine = plain_log_probs.isfinite()
    assert fine.sum() >= 498
    # A uniform within rounding of a boundary may fall on either side.
    assert (ids == plain)[fine].float().mean() > 0.995
    same = fine & (ids == plain)
    torch.testing.assert_close(log_probs[same], plain_log_probs[same], atol=2e-6, rtol=2e-6)
    assert log_probs[~fine].isnan().all()


def test_a_draw_hangs_on_its_row_alone(monkeypatch):
    torch.manual_seed(1)
    z, uniform = 3 * torch.randn(40, 300), torch.rand(40, dtype=torch.float64)
    ids, log_probs = decode_numba.draw_tokens(z, uniform)
    for r in range(40):
        alone = decode_numba.draw_tokens(z[r : r + 1], uniform[r : r + 1])
        assert (alone[0][0], alone[1][0]) == (ids[r], log_probs[r])
    monkeypatch.setattr(numba_utils, "PARALLEL_FLOPS", 0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        both = decode_numba.draw_tokens(z, uniform)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(both[0], ids) and torch.equal(both[1], log_probs)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["keys", "q"])
def test_what_is_not_finite_stays_so_and_stays_with_its_row(wrong, where):
    given = made(torch.float32)
    whole = decode_numba.decode_attention(**given)
    spoilt = given[where].clone()
    spoilt[4, 0, -3 if where == "keys" else 0] = wrong
    got = decode_numba.decode_attention(**given | {where: spoilt})
    assert got[4, 0].isnan().all()
    others = torch.arange(len(whole)) != 4
    assert torch.equal(got[others], whole[others])


@pytest.mark.parametrize("missing", [ImportError, RuntimeError])
def test_without_numba_torch_computes_it(missing, monkeypatch, caplog):
    """Or where numba finds no folder to keep what it compiled."""
    assert (
        LlamaForward(build("llama")).decode_kernel
        is decode_numba
        is load_compiled("plaudit.kernels.decode_numba")
    )

    def refuse(name):
        raise missing("not here")

    monkeypatch.setattr(optional, "import_module", refuse)
    load_compiled.cache_clear()
    try:
        with caplog.at_level(logging.INFO):
            assert load_compiled("plaudit.kernels.decode_numba") is None
        assert "not compiled: not here" in caplog.text
        assert LlamaForward(build("llama")).decode_kernel is None
    finally:
        load_compiled.cache_clear()
