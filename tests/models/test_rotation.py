"""Rotary frequencies that change with the length: a sequence gets those that it has alone, whatever lies beside it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from test_packing import close, direct, gradient_of, made
from tiny_models import plain_tokenizer, write_model

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import TokenItem
from plaudit.models.heads import scores
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel
from plaudit.runtime import use_compute

LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [2.0, 3.0, 4.0, 5.0],
    "original_max_position_embeddings": 24,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
CASES = {
    "longrope": ("llama", {"rope_parameters": LONGROPE | {"factor": 4.0}}),
    "phi3": ("phi3", {"rope_parameters": LONGROPE, "original_max_position_embeddings": 24}),
    "dynamic": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 24}),
    "by layer": (
        "gemma3_text",
        {
            "rope_parameters": {"full_attention": DYNAMIC, "sliding_attention": PLAIN},
            "layer_types": ["sliding_attention", "full_attention"],
            "max_position_embeddings": 24,
        },
    ),
}
# At the border, over it, twice the same length, and a prompt whose answers lie on both sides.
ITEMS = made((20, (4,)), (20, (5,)), (9, (3, 40, 16)), (2, (3,)), (30, (19,)))


@pytest.fixture(scope="module", params=CASES)
def folder(request, tmp_path_factory) -> Path:
    family, over = CASES[request.param]
    return write_model(tmp_path_factory.mktemp("rope") / "m", family, plain_tokenizer(), **over)


def singles():
    return [TokenItem(item.prompt, (r,)) for item in ITEMS for r in item.responses]


def test_a_log_prob_is_that_of_the_sequence_alone_in_a_new_model(folder):
    model = load_policy(folder).model
    with torch.no_grad():
        expected = torch.cat([direct(copy.deepcopy(model), [item]) for item in singles()])
    grad = None
    for kind in ("padded", "packed", "shared"):
        with use_compute(layout=kind):
            together = log_probs(model, collate(ITEMS, 0)).log_prob
            alone = torch.cat([log_probs(model, collate([item], 0)).log_prob for item in ITEMS[::-1]])
        torch.testing.assert_close(together, expected, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(alone.sort().values, expected.sort().values, atol=2e-5, rtol=1e-5)
        found = gradient_of(model, together)
        grad = found if grad is None else grad
        close(found, grad, grad)


def test_neighbors_would_matter_if_a_call_took_one_length(folder):
    """What transformers gives a padded batch: the check above would see it."""
    model = load_policy(folder).model
    short, long = (item for item in (ITEMS[3], ITEMS[4]))
    row = [*short.prompt, *short.responses[0].ids]
    pair = torch.tensor([row + [0] * (49 - len(row)), [*long.prompt, *long.responses[0].ids]])
    with torch.no_grad():
        together = model(input_ids=pair).logits[0, len(short.prompt) - 1 : len(row) - 1].log_softmax(-1)
    got = together.gather(1, torch.tensor(row[len(short.prompt) :])[:, None])[:, 0]
    expected = direct(load_policy(folder).model, [short])
    assert float((got - expected).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_rewards_are_those_of_the_sequence_alone(pooling, folder):
    model = RewardModel.from_policy(load_policy(folder), pooling=pooling, seed=1)
    together = scores(model, collate(ITEMS, 0))
    alone = torch.cat([scores(model, collate([item], 0)) for item in singles()])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
