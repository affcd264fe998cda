"""Rule 2: loss and gradients do not depend on micro-batches, padding, order or ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toy import CASES, comes_first, gradients_of as gradients

from plaudit.data.tokens import batch as token_batch
from plaudit.data.tokens.layout import lay_out
from plaudit.kernels import linear_logprob
from plaudit.runtime import Mesh, use_compute


def assert_same(a, b):
    assert math.isclose(a[0], b[0], rel_tol=1e-5, abs_tol=1e-6)
    assert float((a[1] - b[1]).norm()) <= 1e-5 * float(a[1].norm())
    assert float(a[1].norm()) > 1e-4  # a gradient of zero would pass anything


def cases():
    """Every method at once; other objectives of it, whose layouts are the same, behind `make test-slow`."""
    return [case if comes_first(case) else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


@pytest.mark.parametrize("case", CASES)
def test_micro_batches_do_not_change_loss_or_gradient(case):
    method, items, modules = CASES[case]()
    whole = gradients(method, items, modules)
    for budget in (1, 60, 200):
        assert_same(whole, gradients(method, items, modules, token_budget=budget))


@pytest.mark.parametrize("case", cases())
def test_order_within_a_batch_does_not_change_loss_or_gradient(case):
    method, items, modules = CASES[case]()
    order = np.random.default_rng(0).permutation(len(items))
    assert_same(gradients(method, items, modules), gradients(method, [items[i] for i in order], modules))


@pytest.mark.parametrize("case", CASES)
def test_packing_and_shared_prompts_do_not_change_loss_or_gradient(case):
    method, items, modules = CASES[case]()
    with use_compute(layout="padded"):
        assert method.layout == "padded"
        plain = gradients(method, items, modules)
    for kind in ("packed", "shared"):
        with use_compute(layout=kind):
            assert method.layout == kind
            assert_same(plain, gradients(method, items, modules))
            assert_same(plain, gradients(method, items, modules, token_budget=60))


@pytest.mark.parametrize("case", cases())
def test_logits_computed_again_in_chunks_do_not_change_loss_or_gradient(case, monkeypatch):
    method, items, modules = CASES[case]()
    plain = gradients(method, items, modules)
    monkeypatch.setattr(linear_logprob, "CHUNK", 1)  # 128 rows at once, the least
    with use_compute(kept_logits=0):
        assert_same(plain, gradients(method, items, modules))


@pytest.mark.parametrize("case", cases())
def test_padding_does_not_change_loss_or_gradient(case, monkeypatch):
    method, items, modules = CASES[case]()
    with use_compute(layout="padded"):
        plain = gradients(method, items, modules)
        monkeypatch.setattr(
            token_batch, "lay_out", lambda items, kind, pad_id: widen(lay_out(items, kind, pad_id), 13)
        )
        assert_same(plain, gradients(method, items, modules))
        monkeypatch.setattr(token_batch, "lay_out", lambda items, kind, _: lay_out(items, kind, 7))
        assert_same(plain, gradients(method, items, modules))


def widen(layout, columns):
    """The same layout with more padding; all indices into the flattened slots move along."""
    rows, width = layout.input_ids.shape

    def moved(index):
        return index + columns * torch.div(index, width, rounding_mode="floor")

    for name in ("input_ids", "attention_mask", "position_ids"):
        value = getattr(layout, name)
        setattr(layout, name, torch.cat([value, torch.zeros(rows, columns, dtype=value.dtype)], dim=1))
    for name in ("predicting", "positions", "last", "first", "prompt"):
        setattr(layout, name, moved(getattr(layout, name)))
    return layout


def test_a_wrong_index_would_be_noticed(monkeypatch):
    method, items, modules = CASES["sft"]()
    plain = gradients(method, items, modules)

    def shifted(items, kind, pad_id):
        layout = lay_out(items, kind, pad_id)
        layout.predicting = layout.positions
        return layout

    monkeypatch.setattr(token_batch, "lay_out", shifted)
    with pytest.raises(AssertionError):
        assert_same(plain, gradients(method, items, modules))


def test_shares_of_ranks_come_back_in_order():
    parts = [Mesh(r, 3).share(list(range(10))) for r in range(3)]
    whole = [None] * 10
    for r, part in enumerate(parts):
        whole[r::3] = part
    assert whole == list(range(10))
