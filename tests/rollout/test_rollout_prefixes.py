"""Rows that continue one prompt leave it where it is, and draw what they would have drawn alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rollout_models import build, plain_logits, policy

from plaudit.rollout import llama, native
from plaudit.rollout.llama import LlamaForward
from plaudit.rollout.native import NativeSampler
from plaudit.rollout.prefix import Prefixes
from plaudit.rollout.protocol import Request, SamplingSettings
from plaudit.runtime import use_compute

SETTINGS = SamplingSettings(14)


@pytest.fixture(params=["compiled", "uncompiled"], autouse=True)
def attention(request, monkeypatch):
    """With numba, and as it is without."""
    if request.param == "uncompiled":
        monkeypatch.setattr(llama, "load_compiled", lambda name: None)


def asked(counts, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Request(rng.integers(3, 55, size=rng.integers(1, 12)), f"prompt {i}", n) for i, n in enumerate(counts)
    ]


@pytest.fixture
def used(monkeypatch):
    """The prefix stores that a test made."""
    made = []

    class Watched(Prefixes):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(native, "Prefixes", Watched)
    return made


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("rows", [3, 7, 64])
def test_shared_prompts_draw_what_own_ones_draw(family, rows, used, monkeypatch):
    tiny = policy(build(family), end_ids=(2, 9, 17))
    requests = asked((4, 1, 6, 3, 5, 2))
    shared = NativeSampler(tiny, max_rows=rows).sample(requests, SETTINGS, seed=0, step=0)
    assert len(used) == 1
    monkeypatch.setattr(native, "Prefixes", None)

    class Own(LlamaForward):
        def __init__(self, model):
            super().__init__(model)
            self.shares = False

    sampler = NativeSampler(tiny, max_rows=rows)
    sampler._checked, sampler._way = tiny.model, Own
    for a, b in zip(shared, sampler.sample(requests, SETTINGS, seed=0, step=0), strict=True):
        assert (a.key, a.index, a.finish) == (b.key, b.index, b.finish)
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_allclose(a.log_probs, b.log_probs, atol=2e-5)


def test_log_probs_of_shared_prompts_are_those_of_a_plain_forward(used):
    model = build("llama")
    drawn = NativeSampler(policy(model), max_rows=5).sample(asked((4, 4, 4)), SETTINGS, seed=3, step=1)
    assert used
    for sample in drawn:
        logits = plain_logits(model, [*sample.prompt_ids, *sample.ids])[len(sample.prompt_ids) - 1 : -1]
        expected = logits.log_softmax(-1)[torch.arange(len(sample.ids)), torch.from_numpy(sample.ids)]
        np.testing.assert_allclose(sample.log_probs, expected.numpy(), atol=5e-5)


def test_a_prompt_of_one_token_leaves_nothing_to_share_and_still_works():
    tiny = policy(build("llama"))
    drawn = NativeSampler(tiny).sample([Request(np.array([7]), "one", 6)], SETTINGS, seed=0, step=0)
    assert len({s.ids.tobytes() for s in drawn}) > 1


def test_prompts_that_no_row_continues_are_forgotten(used):
    tiny = policy(build("llama"), end_ids=tuple(range(2, 30)))
    NativeSampler(tiny, max_rows=8).sample(asked((4,) * 12), SETTINGS, seed=0, step=0)
    (store,) = used
    assert len(store.mask) < 12  # never all twelve prompts at once
    assert store.used <= 2


def test_windows_keep_a_prompt_in_every_row(used):
    tiny = policy(build("mistral window"))
    NativeSampler(tiny).sample(asked((4, 4)), SETTINGS, seed=0, step=0)
    assert not used


@pytest.mark.parametrize("counts", [(8, 8), (1,) * 10])
def test_bf16_decoding_stays_close_to_the_trainers_log_probs(counts):
    model = build("llama")
    with use_compute(precision="bf16"):
        drawn = NativeSampler(policy(model)).sample(asked(counts), SETTINGS, seed=0, step=0)
    gaps = []
    for sample in drawn:
        logits = plain_logits(model, [*sample.prompt_ids, *sample.ids])[len(sample.prompt_ids) - 1 : -1]
        exact = logits.log_softmax(-1)[torch.arange(len(sample.ids)), torch.from_numpy(sample.ids)].numpy()
        gaps.append(np.abs(sample.log_probs - exact))
    gap = np.concatenate(gaps)
    assert gap.max() < 0.3
    assert 1e-4 < gap.mean() < 0.03  # rounded, and no more than rounded
