"""Dropout of models made in memory: off where the model's own is, said, and never part of a measurement."""

from __future__ import annotations

import pytest
import torch
from toy import demonstrations, rankings, toy_policy
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from plaudit.config import Dpo, Grpo, Sft
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.methods.supervised import Supervised
from plaudit.methods.train import sft
from plaudit.methods.train_direct import dpo
from plaudit.methods.train_online import grpo
from plaudit.models.adapters import add_lora
from plaudit.models.dropout import in_eval, switch_off
from plaudit.models.policy import Policy
from plaudit.rewards import FunctionReward
from plaudit.training.held_out import evaluate

FIXED = {"max_steps": 2, "batch_size": 4, "lr": 1e-3}
KINDS = {
    "gpt2": lambda size: GPT2LMHeadModel(
        GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    ),
    "qwen2": lambda size: Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=48,
            attention_dropout=0.2,
        )
    ),
}


def policy_of(kind):
    tokenizer = toy_policy().tokenizer
    torch.manual_seed(0)
    return Policy(KINDS[kind](len(tokenizer)), tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stock_model_with_dropout_trains_and_says_what_is_off(kind, caplog):
    policy = policy_of(kind)
    dpo(policy, rankings(largest=2), Dpo(reference="live", **FIXED))
    name = {"gpt2": "attn_dropout 0.1", "qwen2": "attention_dropout 0.2"}[kind]
    assert "dropout is off" in caplog.text and name in caplog.text
    assert not any(rate for key, rate in policy.model.config.to_dict().items() if "pdrop" in key)
    caplog.clear()
    sft(policy, demonstrations(), Sft(**FIXED))
    assert "dropout is off" not in caplog.text
    prompts = [Prompt.user("the cat"), Prompt.user("red blue")]
    rounds = Grpo(iterations=1, prompts_per_iteration=2, samples_per_prompt=2, minibatch=4, max_new_tokens=4)
    grpo(policy_of(kind), FunctionReward(lambda s: float(len(s.ids))), prompts, rounds)
    assert "dropout is off" in caplog.text


def test_adapters_keep_their_dropout_in_training_and_lose_it_in_rl(caplog):
    policy = toy_policy()
    add_lora(policy.model, 2, 4, dropout=0.4)
    policy.model.train()
    switch_off(policy.model)
    rates = [m.p for m in policy.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates and set(rates) == {0.4} and "dropout is off" not in caplog.text
    switch_off(policy.model, adapters=True)
    assert "lora_dropout 0.4" in caplog.text
    assert not any(m.p for m in policy.model.modules() if isinstance(m, torch.nn.Dropout))


def test_held_out_numbers_are_those_without_dropout(tmp_path):
    policy = toy_policy()
    add_lora(policy.model, 2, 4, dropout=0.5)
    held = demonstrations(6)
    found = sft(policy, demonstrations(), Sft(eval_every=1, **FIXED | {"lr": 1e-2}), held_out=held)
    items = [Renderer(policy.tokenizer).demonstration(d) for d in held]
    expected = evaluate(Supervised(policy), items, token_budget=1000)
    assert found.evaluation["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    policy.model.train()
    noisy = evaluate(Supervised(policy), items, token_budget=1000)
    assert abs(noisy["loss"] - expected["loss"]) > 1e-4  # dropout that shows, had it been on


def test_every_part_gets_its_own_mode_back():
    model = toy_policy().model.train()
    model.lm_head.eval()
    with in_eval(model):
        assert not any(part.training for part in model.modules())
    assert model.model.training and not model.lm_head.training
