"""The native sampler against plain forward passes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.rollout.native import NativeSampler
from plaudit.rollout.protocol import Request, SamplingSettings


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=60,
        max_position_embeddings=128,
        initializer_range=0.3,
    )
    return SimpleNamespace(model=LlamaForCausalLM(config).eval(), tokenizer=None, pad_id=0, end_ids=(0, 1, 2))


def requests(count, n=1, seed=0):
    rng = np.random.default_rng(seed)
    return [Request(rng.integers(3, 60, size=rng.integers(1, 12)), f"prompt {i}", n) for i in range(count)]


def plain_log_probs(model, sampled, temperature=1.0):
    ids = torch.from_numpy(np.concatenate([sampled.prompt_ids, sampled.ids]))[None]
    with torch.no_grad():
        logits = model(ids).logits[0, len(sampled.prompt_ids) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, torch.from_numpy(sampled.ids)[:, None])[:, 0].numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_a_plain_forward(policy, temperature):
    settings = SamplingSettings(20, temperature=temperature)
    for sampled in NativeSampler(policy).sample(requests(12, n=3), settings, seed=1, step=0):
        expected = plain_log_probs(policy.model, sampled, temperature)
        np.testing.assert_allclose(sampled.log_probs, expected, atol=1e-5)


def test_a_sample_does_not_depend_on_batch_order_refilling_or_group(policy):
    asked = requests(20, n=2)
    settings = SamplingSettings(20)
    whole = NativeSampler(policy).sample(asked, settings, seed=1, step=4)
    for max_rows in (1, 3, 7):
        turned = NativeSampler(policy, max_rows=max_rows).sample(asked[::-1], settings, seed=1, step=4)
        found = {(s.key, s.index): s for s in turned}
        for s in whole:
            np.testing.assert_array_equal(s.ids, found[s.key, s.index].ids)
            assert s.finish == found[s.key, s.index].finish
    assert [(s.key, s.index) for s in whole] == [(r.key, i) for r in asked for i in range(2)]
