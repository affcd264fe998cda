"""Adapters on embeddings, output heads and experts: what is saved is what was trained, or it is refused before."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from test_packing import direct, made
from tiny_models import COMMON, DECODERS, plain_tokenizer, write_model
from transformers import AutoModelForCausalLM

from plaudit.data.tokens.batching import collate
from plaudit.errors import UserError
from plaudit.models.adapters import adapter_layers, add_lora, has_adapter, merge, save_adapter
from plaudit.models.logprobs import log_probs
from plaudit.models.policy import Policy, freeze_copy, load_policy, save_policy
from plaudit.models.reward_model import RewardModel

MOE = COMMON | {"num_experts_per_tok": 2, "num_local_experts": 4, "num_experts": 4}
EXPERTS = {
    "mixtral": MOE,
    "qwen3_moe": MOE | {"moe_intermediate_size": 24, "head_dim": 8},
    "phimoe": MOE,
}
ITEMS = made((9, (5, 7)), (6, (8,)))


def policy_of(tmp_path, family, **over):
    if family in EXPERTS:
        over = EXPERTS[family] | over
    DECODERS.setdefault(family, {})
    return load_policy(write_model(tmp_path / "m", family, plain_tokenizer(), **over))


def trained(model):
    """What a step does: both factors leave where they began."""
    log_probs(model, collate(ITEMS, 0)).log_prob.sum().backward()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


@torch.no_grad()
def check_saved(policy, tmp_path):
    """The folder, plain transformers, a copy, and the model with its adapters merged give one and the same."""
    expected = direct(policy.model, ITEMS)
    found = log_probs(policy.model, collate(ITEMS, 0)).log_prob
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    save_policy(policy, tmp_path / "saved", card="")
    torch.testing.assert_close(direct(policy.model, ITEMS), expected, atol=0, rtol=0)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(direct(plain, ITEMS), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(direct(freeze_copy(policy).model, ITEMS), expected, atol=1e-5, rtol=1e-5)
    inner = policy.model.get_base_model() if hasattr(policy.model, "get_base_model") else policy.model
    merge(inner)
    assert not has_adapter(inner)
    torch.testing.assert_close(direct(inner, ITEMS), expected, atol=1e-5, rtol=1e-5)
    again = Policy(inner, policy.tokenizer)
    save_policy(again, tmp_path / "again", card="")
    torch.testing.assert_close(
        direct(load_policy(tmp_path / "again").model, ITEMS), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "family, targets",
    [
        ("llama", ["lm_head"]),
        ("llama", ["embed_tokens"]),
        ("llama", ["lm_head", "embed_tokens", "q_proj"]),
        ("llama", r".*(lm_head|v_proj)"),
        ("gpt2", ["wte", "c_attn"]),
        ("gemma2", ["lm_head"]),
        ("gemma3_text", ["embed_tokens"]),
    ],
)
def test_an_adapter_on_head_or_embeddings_saves_what_it_learnt(family, targets, tied, tmp_path):
    policy = policy_of(tmp_path, family, tie_word_embeddings=tied)
    add_lora(policy.model, rank=2, alpha=4, targets=targets)
    trained(policy.model)
    check_saved(policy, tmp_path)


@pytest.mark.parametrize("whole", ["lm_head", "embed_tokens", "norm"])
def test_layers_that_peft_trains_whole_are_saved_as_trained(whole, tmp_path):
    policy = policy_of(tmp_path, "llama", tie_word_embeddings=True)
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=[whole])
    policy = Policy(get_peft_model(policy.model, config), policy.tokenizer)
    trained(policy.model)
    check_saved(policy, tmp_path)


@pytest.mark.parametrize("family", EXPERTS)
def test_adapters_on_experts_save_what_they_learnt(family, tmp_path):
    policy = policy_of(tmp_path, family)
    add_lora(policy.model, rank=2, alpha=4)
    trained(policy.model)
    save_adapter(policy.model, tmp_path / "adapter")
    theirs = PeftModel.from_pretrained(load_policy(tmp_path / "m").model, tmp_path / "adapter")
    assert torch.equal(direct(theirs, ITEMS), direct(policy.model, ITEMS))
    RewardModel.from_policy(policy)
    check_saved(policy, tmp_path)


def test_experts_without_adapters_are_told(tmp_path, caplog):
    policy = policy_of(tmp_path, "phimoe")
    add_lora(policy.model, rank=2, alpha=4)
    assert "no adapters in down_proj, gate_up_proj" in caplog.text
    assert not any("router" in name for name in adapter_layers(policy.model))


@pytest.mark.parametrize(
    "options, why",
    [
        ({"targets": ["q_proj", "up_down"]}, "no layer is called up_down"),
        ({"targets": ["router"]}, "cannot be computed with adapters in router"),
        ({"targets": ["query"]}, "no layer takes a LoRA adapter .*query"),
    ],
)
def test_targets_that_would_not_do_are_refused_and_leave_the_model_as_it_was(options, why, tmp_path):
    policy = policy_of(tmp_path, "phimoe")
    before = direct(policy.model, ITEMS)
    with pytest.raises(UserError, match=why):
        add_lora(policy.model, rank=2, alpha=4, **options)
    assert not has_adapter(policy.model)
    assert torch.equal(direct(policy.model, ITEMS), before)


def test_dropout_that_experts_cannot_take_is_refused(tmp_path):
    policy = policy_of(tmp_path, "mixtral")
    with pytest.raises(UserError, match="no dropout"):
        add_lora(policy.model, rank=2, alpha=4, dropout=0.1)
    assert not has_adapter(policy.model)
