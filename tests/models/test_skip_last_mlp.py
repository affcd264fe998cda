"""The last feed-forward part is computed only where it is read, and bf16 states are cast once."""

from __future__ import annotations

import copy

import numpy as np
import torch
from tiny_models import plain_tokenizer, write_model
from torch import nn

from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.item import Segment, TokenItem
from plaudit.models import skip_last_mlp as skip_last_mlp
from plaudit.models.architectures import backbone
from plaudit.models.autocast_hooks import cast_once
from plaudit.models.encoder import encode
from plaudit.models.heads import scores
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import load_policy
from plaudit.models.reward_model import RewardModel
from plaudit.runtime import use_compute

rng = np.random.default_rng(5)
ITEMS = [
    TokenItem(rng.integers(5, 250, p), tuple(Segment.of(rng.integers(5, 250, r)) for r in rs))
    for p, rs in ((30, (4, 6)), (25, (3,)), (1, (1, 1)))
]


def slots_of_each_mlp(model, call):
    """How many slots each layer's feed-forward part was computed at."""
    found: dict[str, int] = {}
    hooks = [
        part.register_forward_hook(
            lambda _, given, __, name=name: found.update({name: given[0].shape[:-1].numel()})
        )
        for name, part in backbone(model).named_modules()
        if name.endswith(".mlp")
    ]
    call()
    for hook in hooks:
        hook.remove()
    return list(found.values())


def test_every_family_computes_its_last_part_only_at_the_slots_that_predict(decoder_folder):
    policy = load_policy(decoder_folder)
    batch = collate(ITEMS, 0)
    log_probs(policy.model, batch)
    layout = batch.layout("shared")
    first, last = slots_of_each_mlp(policy.model, lambda: log_probs(policy.model, batch))
    assert first == layout.input_ids.numel()
    # Answers of one prompt share the slot that predicts their first tokens.
    assert last == len(set(layout.predicting.tolist())) < batch.tokens


def test_scores_and_gradients_are_those_of_the_whole_layer(decoder_folder, monkeypatch):
    model = RewardModel.from_policy(load_policy(decoder_folder), pooling="last", seed=1)

    def measured():
        model.zero_grad()
        got = scores(model, collate(ITEMS, 0))
        (got * torch.linspace(-1, 1, len(got))).sum().backward()
        return got.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    got, grad = measured()
    monkeypatch.setattr(skip_last_mlp, "MOST", 0.0)
    whole, whole_grad = measured()
    torch.testing.assert_close(got, whole, atol=1e-5, rtol=1e-5)
    assert float((grad - whole_grad).norm()) <= 2e-6 * float(whole_grad.norm())


def test_a_part_that_mixes_tokens_is_computed_in_full(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    inner = policy.model.model

    class Mixing(nn.Module):
        def __init__(self, part):
            super().__init__()
            self.part = part

        def forward(self, hidden):
            return self.part(hidden) + hidden.cumsum(1)

    inner.layers[-1].mlp = Mixing(inner.layers[-1].mlp)
    assert skip_last_mlp._part(inner) is None
    whole, only = encode(policy.model, collate(ITEMS, 0)), encode(policy.model, collate(ITEMS, 0), at="last")
    torch.testing.assert_close(only.hidden, whole.hidden)


def test_a_copy_narrows_its_own_part(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    log_probs(policy.model, collate(ITEMS, 0))
    twin = copy.deepcopy(policy.model)
    before = log_probs(policy.model, collate(ITEMS, 0)).log_prob.detach()
    nn.init.zeros_(policy.model.model.layers[-1].mlp.down_proj.weight)
    torch.testing.assert_close(log_probs(twin, collate(ITEMS, 0)).log_prob, before)


def test_casts_change_nothing_but_where_they_happen(decoder_folder):
    policy = load_policy(decoder_folder)
    fp32 = log_probs(policy.model, collate(ITEMS, 0)).log_prob.detach()
    plain = copy.deepcopy(policy.model)
    plain._plaudit_casts = backbone(plain)._plaudit_casts = True  # as if they were installed
    with use_compute(precision="bf16"):
        expected = log_probs(plain, collate(ITEMS, 0)).log_prob.detach()
        got = log_probs(policy.model, collate(ITEMS, 0)).log_prob.detach()
    torch.testing.assert_close(got, expected, atol=2e-2, rtol=0)
    # Installed, they sleep outside autocast.
    torch.testing.assert_close(log_probs(policy.model, collate(ITEMS, 0)).log_prob.detach(), fp32)


def test_projections_are_given_bf16(tmp_path):
    policy = load_policy(write_model(tmp_path / "m", "llama", plain_tokenizer()))
    seen = []
    policy.model.model.layers[0].self_attn.q_proj.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].dtype)
    )
    policy.model.model.layers[0].mlp.up_proj.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].dtype)
    )
    cast_once(policy.model.model)
    with use_compute(precision="bf16"):
        log_probs(policy.model, collate(ITEMS, 0))
    assert seen[-2:] == [torch.bfloat16] * 2
