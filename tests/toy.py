"""A policy of a few thousand weights and items of every method, for tests of the engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from plaudit.config import Cpo, Dpo, Grpo, Kto, OnlineDpo, Orpo, Ppo, Reinforce, Rloo, Simpo
from plaudit.data.records import Demonstration, Labeled, Prompt, Ranking, Response
from plaudit.data.rendering.renderer import Renderer
from plaudit.data.tokens.batching import collate
from plaudit.methods.direct import DirectPreference
from plaudit.methods.kto import KTO, with_mismatches
from plaudit.methods.online_dpo import OnlineDPO, outcomes
from plaudit.methods.policy_gradient import GRPO, REINFORCE, RLOO
from plaudit.methods.ppo import PPO
from plaudit.methods.reference_log_probs import EXTRA
from plaudit.methods.reward_model import RewardModeling
from plaudit.methods.supervised import Supervised
from plaudit.methods.train import render_demonstrations, render_preferences
from plaudit.models.architectures import backbone
from plaudit.models.critic import Critic
from plaudit.models.fused_decoder import supports_fused
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import capability
from plaudit.models.policy import Policy, build_policy
from plaudit.models.reward_model import RewardModel
from plaudit.models.tokenizers import train_bpe
from plaudit.training.cost_model import TRIALS
from plaudit.training.engine import Engine, ParameterGroup, trainable

TEXT = "the cat sat on a mat and saw red blue green dogs run far away from home today"
WORDS = TEXT.split()


def sentence(rng: np.random.Generator, low: int, high: int) -> str:
    return " ".join(rng.choice(WORDS, int(rng.integers(low, high))))


def toy_policy(seed: int = 0, *, heads: int = 2) -> Policy:
    policy = _made(seed, heads)
    inner = backbone(policy.model)
    attention, found = _trials(heads)
    if tuple(found.values()) == ("shared", True):  # nobody has broken a kernel before the first one was tried
        inner.set_attn_implementation(attention)
        vars(inner).update(found)
    return policy


def _made(seed: int, heads: int) -> Policy:
    tokenizer = train_bpe([" ".join(WORDS)] * 4, vocabulary=300)
    return build_policy(tokenizer, hidden=16, layers=2, heads=heads, max_positions=128, seed=seed)


@cache
def _trials(heads: int) -> tuple[str, dict[str, Any]]:
    """What a model of this shape computes exactly, tried once: tests/models are about the trial of each model."""
    inner = backbone(_made(0, heads).model)
    capability(inner)
    supports_fused(inner)
    return inner.config._attn_implementation, {name: vars(inner)[name] for name in TRIALS}


def comes_first(case: str) -> bool:
    """Whether a case is its method's first objective."""
    before = itertools.takewhile(lambda name: name != case, MAKERS)
    return case.split()[0] not in {name.split()[0] for name in before}


def demonstrations(count: int = 12) -> list[Demonstration]:
    rng = np.random.default_rng(0)
    return [
        Demonstration(Prompt.user(sentence(rng, 1, 9)), Response(sentence(rng, 1, 12)), weight=1.0 + i % 3)
        for i in range(count)
    ]


def rankings(count: int = 10, smallest: int = 2, largest: int = 6) -> list[Ranking]:
    rng = np.random.default_rng(1)
    made = []
    for i in range(count):
        k = int(rng.integers(smallest, largest + 1))
        responses = tuple(Response(sentence(rng, 1, 10), finished=bool(rng.random() < 0.8)) for _ in range(k))
        groups = tuple((int(j),) for j in rng.permutation(k))
        if k > 2 and i % 2:
            groups = (groups[0] + groups[1], *groups[2:])
        weight = (1.0, 2.5, 0.5)[i % 3]
        made.append(Ranking(Prompt.user(sentence(rng, 1, 9)), responses, groups, weight=weight))
    return made


def sft_case(*, heads: int = 2):
    policy = toy_policy(heads=heads)
    items = render_demonstrations(Renderer(policy.tokenizer), demonstrations())
    return Supervised(policy), items, {"policy": policy.model}


def reward_case(loss: str = "pairs", *, heads: int = 2):
    policy = toy_policy(heads=heads)
    model = RewardModel.from_policy(policy, pooling="last", seed=0)
    method = RewardModeling(model, pad_id=policy.pad_id, loss=loss, centering=0.1)
    return method, render_preferences(Renderer(policy.tokenizer), rankings()), {"reward": model}


def ppo_case(samples_per_prompt: int = 2, *, heads: int = 2):
    policy = toy_policy(heads=heads)
    critic = Critic.from_policy(policy)
    with torch.no_grad():
        for p in critic.head.parameters():
            p.normal_(generator=torch.Generator().manual_seed(0), std=0.1)
    method = PPO(policy, critic, Ppo(entropy_coefficient=0.01, value_coefficient=0.5))
    rng = np.random.default_rng(2)
    records = rankings(8, samples_per_prompt, samples_per_prompt)
    items = render_preferences(Renderer(policy.tokenizer), records)

    def numbers(item, scale):
        return [rng.normal(size=len(r)).astype(np.float32) * scale for r in item.responses]

    items = [
        replace(
            item,
            extras={
                "old_log_probs": [x - 5.5 for x in numbers(item, 0.3)],
                "old_values": numbers(item, 0.1),
                "advantages": numbers(item, 1.0),
                "returns": numbers(item, 1.0),
            },
        )
        for item in items
    ]
    return method, items, {"policy": policy.model, "critic": critic}


def moved(policy, items, rng):
    """Items whose reference is near what the policy says, but not the same: 2 nats of noise a response."""

    def noisy(item):
        totals = [-5.6 * len(r) + 2 * rng.normal() for r in item.responses]
        return replace(item, extras={**item.extras, EXTRA: totals})

    return [noisy(item) for item in items]


def direct_case(settings, *, smallest: int = 2, largest: int = 6, heads: int = 2):
    policy = toy_policy(heads=heads)
    records = rankings(10, smallest, largest)
    items = render_preferences(Renderer(policy.tokenizer), records)
    items = moved(policy, items, np.random.default_rng(4))
    return DirectPreference(policy, settings), items, {"policy": policy.model}


def labels(count: int = 14) -> list[Labeled]:
    rng = np.random.default_rng(5)
    return [
        Labeled(Prompt.user(sentence(rng, 1, 9)), Response(sentence(rng, 1, 10)), bool(i % 3), 1.0 + i % 2)
        for i in range(count)
    ]


def kto_case(*, heads: int = 2):
    policy = toy_policy(heads=heads)
    renderer = Renderer(policy.tokenizer)
    items = with_mismatches([renderer.labeled(record) for record in labels()], seed=0)
    rng = np.random.default_rng(4)
    items = [
        replace(item, payload=other)
        for item, other in zip(moved(policy, items, rng), moved(policy, [i.payload for i in items], rng))
    ]
    return KTO(policy, Kto(beta=0.3, undesirable_weight=1.5)), items, {"policy": policy.model}


def sampled_items(policy, samples: int):
    """Items with the numbers that the RL loop attaches: old log-probs are the policy's own, slightly off."""
    rng = np.random.default_rng(2)
    items = render_preferences(Renderer(policy.tokenizer), rankings(8, samples, samples))

    def numbers(item, scale):
        return [rng.normal(size=len(r)).astype(np.float32) * scale for r in item.responses]

    def near(item):
        with torch.no_grad():
            own = log_probs(policy.model, collate([item], policy.pad_id)).log_prob.numpy()
        cuts = np.cumsum([len(r) for r in item.responses])[:-1]
        return [a + 0.05 * n for a, n in zip(np.split(own, cuts), numbers(item, 1.0))]

    return [
        replace(
            item,
            extras={
                "old_log_probs": near(item),
                "reference_log_probs": near(item),
                "advantages": numbers(item, 1.0),
            },
        )
        for item in items
    ]


def gradient_case(kind, settings, *, heads: int = 2):
    policy = toy_policy(heads=heads)
    method = kind(policy, settings)
    method.kl.in_loss = 0.1 if kind is GRPO else 0.0
    return method, sampled_items(policy, 3), {"policy": policy.model}


def online_dpo_case(*, heads: int = 2):
    policy = toy_policy(heads=heads)
    method = OnlineDPO(policy, OnlineDpo())
    rng = np.random.default_rng(3)
    items = [
        replace(item, payload=SimpleNamespace(outcomes=outcomes(rng.normal(size=3), "all")))
        for item in moved(policy, sampled_items(policy, 3), rng)
    ]
    return method, items, {"policy": policy.model}


def gradients_of(method, items, modules, *, token_budget=4096):
    """The loss of a step over the items and its gradient, as one vector."""
    engine = Engine(
        [ParameterGroup(name, trainable(module), 1e-3) for name, module in modules.items()],
        schedule=lambda step: 1.0,
        token_budget=token_budget,
    )
    for module in modules.values():
        module.zero_grad(set_to_none=True)
    totals = engine.accumulate([(method, items)])
    grads = torch.cat(
        [
            (p.grad if p.grad is not None else torch.zeros_like(p)).flatten()
            for g in engine.groups
            for p in g.parameters
        ]
    )
    return totals["loss"][0], grads.clone()


# By method of the table, then by variant: every method has one at least (tests/methods/test_every_method.py).
MAKERS: dict[str, Callable[..., Any]] = {
    "sft": sft_case,
    "reward pairs": reward_case,
    "reward plackett_luce": partial(reward_case, "plackett_luce"),
    "ppo": ppo_case,
    "dpo": partial(direct_case, Dpo()),
    "dpo smoothed": partial(direct_case, Dpo(label_smoothing=0.1, nll=0.5)),
    "dpo robust": partial(direct_case, Dpo(loss="robust", label_smoothing=0.1)),
    "dpo plackett_luce": partial(direct_case, Dpo(loss="plackett_luce")),
    "dpo hinge": partial(direct_case, Dpo(loss="hinge", length_normalised=True)),
    "dpo ipo": partial(direct_case, Dpo(loss="ipo", length_normalised=True)),
    "dpo sppo_hard": partial(direct_case, Dpo(loss="sppo_hard")),
    "dpo apo_zero": partial(direct_case, Dpo(loss="apo_zero")),
    "dpo apo_down": partial(direct_case, Dpo(loss="apo_down")),
    "dpo alpha": partial(direct_case, Dpo(divergence="alpha", alpha=0.3, length_normalised=True)),
    "dpo js": partial(direct_case, Dpo(divergence="js")),
    "simpo": partial(direct_case, Simpo(nll=0.1)),
    "cpo": partial(direct_case, Cpo()),
    "orpo": partial(direct_case, Orpo()),
    "kto": kto_case,
    "grpo": partial(gradient_case, GRPO, Grpo(entropy_coefficient=0.01)),
    "grpo sequence": partial(gradient_case, GRPO, Grpo(aggregation="sequence", clip_high=0.3)),
    "grpo fixed": partial(gradient_case, GRPO, Grpo(aggregation="fixed", surrogate="cispo")),
    "grpo gspo": partial(gradient_case, GRPO, Grpo(ratio="sequence")),
    "rloo": partial(gradient_case, RLOO, Rloo()),
    "reinforce": partial(gradient_case, REINFORCE, Reinforce()),
    "online_dpo": online_dpo_case,
}
# One head of 16 numbers is attended tile by tile, two of 8 block by block; both happen here.
CASES = {name: partial(make, heads=1 if comes_first(name) else 2) for name, make in MAKERS.items()}
# Their items are made in the RL loop, which has its own tests of resuming.
LOOPED = ("ppo", "grpo", "rloo", "reinforce", "online_dpo")
