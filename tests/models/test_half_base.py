"""A base in bfloat16 below adapters: the numbers of float32 where the source is bfloat16, in half the bytes."""

from __future__ import annotations

import logging

import pytest
import torch
from tiny_models import TEXTS

from plaudit.errors import UserError
from plaudit.models.adapters import add_lora, merge
from plaudit.models.half_base import HalfLinear, is_halved
from plaudit.models.policy import build_policy, load_policy, save_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.models.tokenizers import train_bpe
from plaudit.runtime import use_compute
from plaudit.training.memory import fixed_bytes

IDS = torch.tensor([[9, 30, 31, 40, 50, 60, 61]])


def source(tmp_path, *, rounded: bool = True):
    """A folder with a model whose weights bfloat16 holds exactly, or does not."""
    policy = build_policy(train_bpe(TEXTS, 300), hidden=32, layers=2, heads=4, max_positions=64, seed=3)
    if rounded:
        policy.model.to(torch.bfloat16)
    save_policy(policy, tmp_path / "source", card="")
    return tmp_path / "source"


def trained(folder, base_dtype: str, precision: str, steps: int = 3):
    """The loss of each of a few steps on adapters, and the policy after them."""
    policy = load_policy(folder)
    add_lora(policy.model, rank=2, alpha=4, base_dtype=base_dtype, seed=1)
    optimizer = torch.optim.AdamW([p for p in policy.model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    with use_compute(precision=precision), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(steps):
            loss = policy.model(IDS, labels=IDS).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, policy


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_published_in_bfloat16_learns_the_same_with_half_the_bytes(tmp_path, precision):
    folder = source(tmp_path)
    expected, whole = trained(folder, "float32", precision)
    found, half = trained(folder, "bfloat16", precision)
    assert found == expected
    assert all(bool(p.any()) for name, p in half.model.named_parameters() if "lora_B" in name)
    assert is_halved(half.model) and not is_halved(whole.model)
    assert fixed_bytes([half.model]) < fixed_bytes([whole.model])
    halved = [m for m in half.model.modules() if isinstance(m, HalfLinear)]
    assert len(halved) == 14 and all(m.weight.dtype == torch.bfloat16 for m in halved)
    save_policy(half, tmp_path / "half", card="")  # of adapted models, merged into a copy
    merge(whole.model)
    merge(half.model)
    saved = dict(load_policy(tmp_path / "half").model.named_parameters())
    for (name, one), two in zip(whole.model.named_parameters(), half.model.parameters(), strict=True):
        assert two.dtype == torch.float32 and torch.equal(one, two) and torch.equal(one, saved[name])


def test_what_is_kept_for_the_backward_pass_is_the_stored_matrix_and_no_copy(tmp_path):
    policy = load_policy(source(tmp_path))
    add_lora(policy.model, rank=2, alpha=4, base_dtype="bfloat16", seed=1)
    shapes = {tuple(m.weight.shape) for m in policy.model.modules() if isinstance(m, HalfLinear)}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        policy.model(IDS, labels=IDS)
    both = shapes | {s[::-1] for s in shapes}
    matrices = [t for t in kept if tuple(t.shape) in both and t.shape[0] != IDS.numel()]
    assert matrices and all(t.dtype == torch.bfloat16 for t in matrices)


def test_more_digits_than_bfloat16_holds_are_said_to_be_lost_and_others_not(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        add_lora(load_policy(source(tmp_path)).model, rank=2, alpha=4, base_dtype="bfloat16")
        assert "rounded" not in caplog.text
        add_lora(load_policy(source(tmp_path, rounded=False)).model, rank=2, alpha=4, base_dtype="bfloat16")
    assert "are rounded" in caplog.text and "base_dtype: float32" in caplog.text


def test_a_reward_model_takes_it_too_and_is_saved_in_float32(tmp_path):
    policy = load_policy(source(tmp_path))
    model, mask = RewardModel.from_policy(policy, seed=1), torch.ones_like(IDS)
    with torch.no_grad():
        expected = model(IDS, mask)
        add_lora(model.backbone, rank=2, alpha=4, base_dtype="bfloat16")
        assert is_halved(model.backbone) and model.head.weight.dtype == torch.float32
        assert torch.equal(model(IDS, mask), expected)
        save_reward_model(model, tmp_path / "reward", card="")
        again = load_reward_model(tmp_path / "reward")
        assert torch.equal(again(IDS, mask), expected)


def test_a_model_without_linear_layers_is_refused_and_left_as_it_was():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50)).eval()
    with torch.no_grad():
        expected = model(IDS % 50).logits
        with pytest.raises(UserError, match="no frozen linear layer"):
            add_lora(model, rank=2, alpha=4, base_dtype="bfloat16")
        assert torch.equal(model(IDS % 50).logits, expected)
    assert all(p.requires_grad for p in model.parameters())
