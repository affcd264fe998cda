"""A policy of a few thousand weights and items of every method, for tests of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from plaudit.config import Ppo
from plaudit.data.records import Demonstration, Prompt, Ranking, Response
from plaudit.data.rendering import Renderer
from plaudit.methods.ppo import PPO
from plaudit.methods.reward_model import RewardModelling
from plaudit.methods.supervised import Supervised
from plaudit.methods.train import render_demonstrations, render_preferences
from plaudit.models.critic import Critic
from plaudit.models.policy import Policy, build_policy
from plaudit.models.reward_model import RewardModel
from plaudit.models.tokenizers import train_bpe

TEXT = "the cat sat on a mat and saw red blue green dogs run far away from home today"
WORDS = TEXT.split()


def sentence(rng: np.random.Generator, low: int, high: int) -> str:
    return " ".join(rng.choice(WORDS, int(rng.integers(low, high))))


def toy_policy(seed: int = 0) -> Policy:
    tokenizer = train_bpe([" ".join(WORDS)] * 4, vocabulary=300)
    return build_policy(tokenizer, hidden=16, layers=2, heads=2, max_positions=128, seed=seed)


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
        made.append(Ranking(Prompt.user(sentence(rng, 1, 9)), responses, groups))
    return made


def sft_case():
    policy = toy_policy()
    items = render_demonstrations(Renderer(policy.tokenizer), demonstrations())
    return Supervised(policy), items, {"policy": policy.model}


def reward_case(loss: str = "pairs"):
    policy = toy_policy()
    model = RewardModel.from_policy(policy, pooling="last", seed=0)
    method = RewardModelling(model, pad_id=policy.pad_id, loss=loss, centring=0.1)
    return method, render_preferences(Renderer(policy.tokenizer), rankings()), {"reward": model}


def ppo_case(samples_per_prompt: int = 2):
    policy = toy_policy()
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


CASES = {
    "sft": sft_case,
    "reward pairs": reward_case,
    "reward plackett_luce": lambda: reward_case("plackett_luce"),
    "ppo": ppo_case,
}
