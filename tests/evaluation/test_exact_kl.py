"""The exact KL of answers, against the model's own logits at every position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import toy_policy

from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.evaluation import exact_kl

TEMPERATURE = 0.7


def by_hand(policy, reference, item):
    """Σ_t Σ_v p (log p − log q), from one plain forward pass a model."""
    ids = torch.tensor([[*item.prompt, *item.responses[0].ids]])
    count = len(item.responses[0].ids)
    with torch.no_grad():
        p, q = (
            (m.model(input_ids=ids).logits[0, -count - 1 : -1] / TEMPERATURE).double().log_softmax(-1)
            for m in (policy, reference)
        )
    return float((p.exp() * (p - q)).sum())


@pytest.mark.parametrize("rows", [1, 3, 10_000])
def test_the_kl_of_an_answer_is_that_of_its_positions_whatever_is_computed_at_once(monkeypatch, rows):
    policy, reference = toy_policy(seed=0), toy_policy(seed=1)
    with torch.no_grad():
        for tensor in reference.model.parameters():
            tensor.mul_(1.3)
    words = policy.model.config.vocab_size
    monkeypatch.setattr(exact_kl, "CHUNK", rows * words)
    rng = np.random.default_rng(0)
    items = [
        TokenItem(rng.integers(3, words, 4), (Segment.of(rng.integers(3, words, n)),)) for n in (1, 2, 7, 4)
    ]
    found = exact_kl.response_kl(policy, reference, items, temperature=TEMPERATURE)
    assert found == pytest.approx([by_hand(policy, reference, item) for item in items], rel=1e-4, abs=1e-6)
    assert (found > 0).all()
    assert exact_kl.response_kl(policy, policy, items) == pytest.approx(np.zeros(4), abs=1e-6)
