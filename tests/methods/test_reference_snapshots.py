"""The reference is the policy as it stands when a step begins, what its adapters have learnt included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toy import WORDS, demonstrations, labels, rankings, toy_policy

from plaudit.config import KL, Dpo, Grpo, Kto, OnlineDpo, Ppo, Reinforce, Rloo, Sft
from plaudit.data.records import Prompt
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.batching import collate
from plaudit.methods import train, train_direct, train_online
from plaudit.methods.reference_log_probs import frozen_reference
from plaudit.models.adapters import add_lora
from plaudit.models.logprobs import log_probs
from plaudit.rewards import FunctionReward
from plaudit.runs import Stage
from plaudit.training.engine import Engine

PROMPTS = [Prompt.user(f"{a} {b}") for a in WORDS[:4] for b in WORDS[:2]]
RANKINGS, LABELS = rankings(largest=2), labels()
REWARD = FunctionReward(lambda sample: float(np.mean(sample.ids)) / 300)
ROUND = {
    "iterations": 3,
    "prompts_per_iteration": 4,
    "samples_per_prompt": 2,
    "minibatch": 8,
    "epochs": 1,
    "max_new_tokens": 5,
    "checkpoint_every": 1,
    "lr": 1e-2,
    "kl": KL(coefficient=0.05),
}
ONLINE = {"ppo": Ppo, "grpo": Grpo, "rloo": Rloo, "reinforce": Reinforce, "online_dpo": OnlineDpo}
FIXED = {"max_steps": 3, "batch_size": 4, "lr": 1e-2, "log_every": 1, "checkpoint_every": 1}


def adapted(learnt: bool = True, dropout: float = 0.0):
    policy = toy_policy()
    add_lora(policy.model, 4, 8, dropout=dropout)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if learnt and "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return policy


def weights(policy):
    return torch.cat([p.detach().flatten() for p in policy.model.parameters()])


def items_of(policy):
    return [Renderer(policy.tokenizer).demonstration(d) for d in demonstrations()]


@torch.no_grad()
def said(policy):
    return log_probs(policy.model, collate(items_of(policy), policy.pad_id), temperature=0.7).log_prob


@pytest.mark.parametrize("learnt", [True, False])
def test_a_reference_stays_what_the_policy_was_and_lets_it_learn(learnt):
    policy = adapted(learnt, dropout=0.3)
    policy.model.eval()
    before = said(policy)
    reference = frozen_reference(policy)
    policy.model.train()
    for _ in range(2):
        found = log_probs(policy.model, collate(items_of(policy), policy.pad_id)).log_prob
        kept = reference(collate(items_of(policy), policy.pad_id), temperature=0.7).log_prob
        torch.testing.assert_close(kept, before, atol=1e-6, rtol=1e-6)
        assert not kept.requires_grad and policy.model.training
        found.sum().backward()
        with torch.no_grad():
            for parameter in policy.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.05 * parameter.grad.sign())
    policy.model.eval()
    assert float((said(policy) - before).abs().max()) > 1e-2


def test_gradients_are_those_without_a_reference_in_between():
    """The base and what moves are one memory: whoever looked back in between must leave no trace."""
    policy = adapted()
    reference = frozen_reference(policy)
    grads = []
    for look in (False, True):
        policy.model.zero_grad()
        batch = collate(items_of(policy), policy.pad_id)
        found = log_probs(policy.model, batch).log_prob
        if look:
            reference(batch)
        found.sum().backward()
        grads.append([p.grad.clone() for p in policy.model.parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*grads))


@pytest.mark.parametrize("kind", ["live", "precomputed"])
def test_direct_methods_begin_where_policy_and_reference_are_one(kind, tmp_path):
    train_direct.dpo(adapted(), RANKINGS, Dpo(reference=kind, **FIXED), out=tmp_path / "dpo")
    assert Stage(tmp_path / "dpo").metrics()[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    train_direct.kto(adapted(), LABELS, Kto(reference=kind, **FIXED), out=tmp_path / "kto")
    first = Stage(tmp_path / "kto").metrics()[0]
    assert first["loss"] == pytest.approx(0.5, abs=1e-6), first


def test_sft_in_memory_is_part_of_the_reference(tmp_path):
    policy = adapted(learnt=False)
    train.sft(policy, demonstrations(), Sft(**FIXED))
    train_direct.dpo(policy, RANKINGS, Dpo(reference="live", **FIXED), out=tmp_path)
    assert Stage(tmp_path).metrics()[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("name", ONLINE)
def test_online_methods_begin_at_no_divergence(name, tmp_path):
    settings = ONLINE[name](**ROUND | {"iterations": 1})
    getattr(train_online, name)(adapted(), REWARD, PROMPTS, settings, out=tmp_path)
    assert Stage(tmp_path).metrics()[0]["objective/kl"] == pytest.approx(0, abs=1e-6)


def interrupted(monkeypatch, run):
    """The run killed before its third step, and again from the start in another process."""
    plain, calls = Engine.step, []

    def step(self, *given, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(self, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", step)
        with pytest.raises(KeyboardInterrupt):
            run()
    return run()


def test_a_resumed_run_has_the_reference_of_its_first_start(tmp_path, monkeypatch):
    def direct(path):
        policy = adapted()
        train_direct.dpo(policy, RANKINGS, Dpo(reference="live", **FIXED), out=path)
        return weights(policy)

    def online(path):
        policy = adapted()
        train_online.grpo(policy, REWARD, PROMPTS, Grpo(**ROUND), out=path)
        return weights(policy)

    for number, run in enumerate((direct, online)):
        whole = run(tmp_path / f"{number}-whole")
        assert torch.equal(interrupted(monkeypatch, lambda: run(tmp_path / f"{number}-cut")), whole)  # noqa: B023
