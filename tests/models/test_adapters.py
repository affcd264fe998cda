"""LoRA in policies, reward models and critics."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from tiny_models import TEXTS
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from plaudit.errors import UserError
from plaudit.models.adapters import (
    adapter_layers,
    adapter_off,
    add_lora,
    has_adapter,
    merge,
    save_adapter,
)
from plaudit.models.critic import Critic
from plaudit.models.policy import build_policy, freeze_copy, load_policy, save_policy
from plaudit.models.reward_model import RewardModel, load_reward_model, save_reward_model
from plaudit.models.tokenizers import train_bpe

IDS = torch.tensor([[9, 30, 31, 40, 50, 60, 61]])


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


def move(module) -> None:
    """What training does to adapters: B leaves 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)


def small_policy():
    return build_policy(train_bpe(TEXTS, 300), hidden=32, layers=2, heads=4, max_positions=64, seed=3)


def test_every_family_takes_adapters_that_start_as_nothing_and_can_be_switched_off(decoder_folder, tmp_path):
    policy = load_policy(decoder_folder)
    before = logits(policy.model)
    add_lora(policy.model, rank=2, alpha=4, seed=1)
    assert torch.equal(logits(policy.model), before)
    assert {n.rpartition(".lora_")[1] for n, p in policy.model.named_parameters() if p.requires_grad} == {
        ".lora_"
    }
    move(policy.model)
    after = logits(policy.model)
    assert (after - before).abs().max() > 1e-3
    with adapter_off(policy.model):
        assert torch.equal(logits(policy.model), before)
    assert torch.equal(logits(policy.model), after)
    save_policy(policy, tmp_path / "m", card="")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    torch.testing.assert_close(logits(plain), after, atol=1e-4, rtol=1e-4)
    assert has_adapter(policy.model)
    merge(policy.model)
    torch.testing.assert_close(logits(policy.model), after, atol=1e-4, rtol=1e-4)
    assert not has_adapter(policy.model) and all(p.requires_grad for p in policy.model.parameters())


def test_every_family_takes_adapters_in_a_reward_model_and_a_critic(decoder_folder, tmp_path):
    model = RewardModel.from_policy(load_policy(decoder_folder), seed=1)
    mask = torch.ones_like(IDS)
    add_lora(model.backbone, rank=2, alpha=4, seed=1)
    assert model.head.weight.requires_grad
    move(model.backbone)
    with torch.no_grad():
        after = model(IDS, mask)
        save_reward_model(model, tmp_path / "rm", card="")
        torch.testing.assert_close(load_reward_model(tmp_path / "rm")(IDS, mask), after, atol=1e-4, rtol=1e-4)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm").eval()
        torch.testing.assert_close(plain(IDS).logits[:, 0], after, atol=1e-4, rtol=1e-4)
    critic = Critic.from_reward_model(model)
    assert not has_adapter(critic.backbone)
    add_lora(critic.backbone, rank=2, alpha=4, seed=2)
    critic.value(critic.backbone(IDS).last_hidden_state).sum().backward()
    assert critic.head.weight.grad is not None


def test_encoders_take_adapters(encoder_folder, tmp_path):
    model = RewardModel.from_pretrained_backbone(encoder_folder, pooling="mean", seed=1)
    add_lora(model.backbone, rank=2, alpha=4)
    move(model.backbone)
    mask = torch.ones_like(IDS)
    save_reward_model(model, tmp_path / "rm", card="")
    with torch.no_grad():
        torch.testing.assert_close(
            load_reward_model(tmp_path / "rm")(IDS, mask), model(IDS, mask), atol=1e-4, rtol=1e-4
        )


def test_only_adapters_learn_and_switching_off_does_not_change_what_learns():
    policy = small_policy()
    add_lora(policy.model, rank=2, alpha=4)
    trainable = {n for n, p in policy.model.named_parameters() if p.requires_grad}
    with pytest.raises(RuntimeError, match="inside"), adapter_off(policy.model):
        raise RuntimeError("inside")
    assert {n for n, p in policy.model.named_parameters() if p.requires_grad} == trainable
    policy.model(IDS).logits.sum().backward()
    assert {n for n, p in policy.model.named_parameters() if p.grad is not None} == trainable


def test_inputs_are_not_copied_in_vain_under_autocast():
    """What peft computes with a copy in fp32 is computed without one, to the bit, gradients included."""

    def computed(casts: bool):
        policy = small_policy()
        add_lora(policy.model, rank=2, alpha=4)
        move(policy.model)
        for layer in adapter_layers(policy.model).values():
            assert not layer.cast_input_dtype_enabled
            layer.cast_input_dtype_enabled = casts
        with torch.autocast("cpu", torch.bfloat16):
            found = policy.model(IDS).logits.float()
        found.square().sum().backward()
        gradients = [p.grad for p in policy.model.parameters() if p.grad is not None]
        return [found.detach(), *gradients]

    for ours, theirs in zip(computed(False), computed(True), strict=True):
        assert torch.equal(ours, theirs)
    # A base in bf16 beside adapters in fp32 needs them, since nothing else casts.
    low = small_policy()
    low.model.to(torch.bfloat16)
    add_lora(low.model, rank=2, alpha=4)
    layers = adapter_layers(low.model).values()
    mixed = {p.dtype for layer in layers for p in layer.parameters()}
    assert torch.float32 not in mixed or all(getattr(one, "cast_input_dtype_enabled", True) for one in layers)
    assert logits(low.model).isfinite().all()


def test_targets_can_be_named_and_a_wrong_name_lists_the_right_ones():
    policy = small_policy()
    with pytest.raises(UserError, match="q_proj"):
        add_lora(policy.model, rank=2, alpha=4, targets=["query"])
    add_lora(policy.model, rank=2, alpha=4, targets=("q_proj", "v_proj"))
    assert {n.rpartition(".")[2] for n in adapter_layers(policy.model)} == {"q_proj", "v_proj"}
    with pytest.raises(UserError, match="already"):
        add_lora(policy.model, rank=2, alpha=4)


def test_the_output_embedding_takes_no_adapter():
    policy = small_policy()
    add_lora(policy.model, rank=2, alpha=4)
    assert not any("lm_head" in name or "embed" in name for name in adapter_layers(policy.model))


def test_adapters_are_drawn_by_the_seed():
    a, b, c = small_policy(), small_policy(), small_policy()
    for policy, seed in ((a, 1), (b, 1), (c, 2)):
        add_lora(policy.model, rank=2, alpha=4, seed=seed)
    first, second, third = (
        next(p for n, p in x.model.named_parameters() if "lora_A" in n) for x in (a, b, c)
    )
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_saved_adapters_load_in_peft_itself(tmp_path):
    policy = small_policy()
    add_lora(policy.model, rank=2, alpha=4)
    move(policy.model)
    save_adapter(policy.model, tmp_path / "a")
    theirs = PeftModel.from_pretrained(small_policy().model, tmp_path / "a")
    assert torch.equal(logits(theirs), logits(policy.model))
    with adapter_off(theirs):
        assert torch.equal(logits(theirs), logits(small_policy().model))


def test_a_model_without_adapters_has_none_to_save_or_switch_off(tmp_path):
    policy = small_policy()
    with pytest.raises(ValueError, match="no adapter"):
        save_adapter(policy.model, tmp_path / "a")
    with pytest.raises(ValueError, match="no adapter"), adapter_off(policy.model):
        pass


def test_a_frozen_copy_of_an_adapted_policy_keeps_what_the_adapters_had_learnt():
    policy = small_policy()
    add_lora(policy.model, rank=2, alpha=4)
    move(policy.model)
    reference = freeze_copy(policy)
    before = logits(policy.model)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora" in name:
                parameter.mul_(2)
    assert torch.equal(logits(reference.model), before)
    assert (logits(policy.model) - before).abs().max() > 1e-4
