"""GRPO, RLOO and REINFORCE++: the RL loop without a critic.

Each is an advantage estimator and the settings of one surrogate; the loop is ``methods/rl.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from plaudit.config import Grpo, Reinforce, Rloo
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.kl_penalty import KLPenalty
from plaudit.methods.on_policy import OWN, own_tokens
from plaudit.methods.rollouts import Rollouts
from plaudit.methods.surrogate import Aggregation, normalizer, policy_terms
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.objectives import group_advantages, leave_one_out, rewards_to_go, shaped_rewards, whiten
from plaudit.training.method import LossOutput


class PolicyGradient:
    """Advantages from rewards alone; what a method adds is ``estimate`` and how tokens are summed."""

    aggregation: Aggregation = "token"
    on_policy = True

    def __init__(self, policy: Any, settings: Grpo | Rloo | Reinforce) -> None:
        self.policy = policy
        self.settings = settings
        self.pad_id = policy.pad_id
        self.train_policy = True
        self.kl = KLPenalty(settings)

    def modules(self) -> dict[str, tuple[Any, float]]:
        """What is trained, by name, with its learning rate."""
        return {"policy": (self.policy.model, self.settings.lr)}

    def warming_up(self, iteration: int) -> bool:
        return False

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.policy.model)

    def estimate(self, rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]:
        """Attach an advantage to every token of the rollouts' items."""
        advantages = self.advantages(rollouts, kl_coefficient)
        mask = rollouts.mask
        rollouts.attach(advantages=rollouts.per_item(advantages * mask))
        return {
            "advantages/std": float(advantages[mask].std()),
            "advantages/max": float(advantages[mask].abs().max()),
            **self.kl.metrics,
        }

    def advantages(self, rollouts: Rollouts, kl_coefficient: float) -> Tensor:
        """[R, T], in the order of the rollouts."""
        raise NotImplementedError

    def surrogate(self) -> dict[str, Any]:
        """The options of ``policy_terms``."""
        return {}

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        told = self.surrogate()
        by_sequence = told.get("ratio") == "sequence"
        length = self.settings.max_new_tokens
        tokens = normalizer(items, self.aggregation, length)
        return {
            "policy": normalizer(items, "sum", length) if by_sequence else tokens,
            "entropy": tokens,
            "kl": tokens,
        }

    def loss(self, batch: TokenBatch) -> LossOutput:
        """Items without old log-probs are samples of the policy as it is now."""
        s = self.settings
        on_policy = not batch.knows(OWN[0])
        out = log_probs(
            self.policy.model,
            batch,
            temperature=s.temperature,
            details=on_policy or s.entropy_coefficient > 0,
        )
        terms, metrics = policy_terms(
            out,
            batch,
            clip=s.clip,
            aggregation=self.aggregation,
            entropy_coefficient=s.entropy_coefficient,
            kl=self.kl,
            on_policy=on_policy,
            **self.surrogate(),
        )
        return LossOutput(terms, metrics, own_tokens(out) if on_policy else {})


def _by_group(rollouts: Rollouts, rewards: Tensor) -> Tensor:
    """[R] → [I, G]."""
    return rewards.view(len(rollouts.items), -1)


def _rewards(rollouts: Rollouts, penalty: KLPenalty, kl_coefficient: float) -> Tensor:
    """score − β · Σ_t KL_t of each response, the score alone where the loss pays for the KL: [R]."""
    kl, coefficient = penalty.of_reward(rollouts, kl_coefficient)
    return torch.from_numpy(rollouts.scores).float() - coefficient * kl.sum(1)


def _spread(rollouts: Rollouts, advantages: Tensor) -> Tensor:
    """One number a response at each of its tokens: [I, G] → [R, T]."""
    return advantages.reshape(-1, 1) * rollouts.mask


class GRPO(PolicyGradient):
    """A = (R − mean_g)/std_g at every token of a response."""

    settings: Grpo

    def __init__(self, policy: Any, settings: Grpo) -> None:
        super().__init__(policy, settings)
        self.aggregation = settings.aggregation

    def advantages(self, rollouts: Rollouts, kl_coefficient: float) -> Tensor:
        rewards = _rewards(rollouts, self.kl, kl_coefficient)
        scaled = group_advantages(_by_group(rollouts, rewards), scale=self.settings.advantage_scale)
        return _spread(rollouts, scaled)

    def surrogate(self) -> dict[str, Any]:
        s = self.settings
        return {"clip_high": s.clip_high, "surrogate": s.surrogate, "ratio": s.ratio}


class RLOO(PolicyGradient):
    """A_i = R_i − mean of the other samples; summed over the tokens of a response."""

    settings: Rloo
    aggregation: Aggregation = "sum"

    def advantages(self, rollouts: Rollouts, kl_coefficient: float) -> Tensor:
        rewards = _rewards(rollouts, self.kl, kl_coefficient)
        return _spread(rollouts, leave_one_out(_by_group(rollouts, rewards)))

    def surrogate(self) -> dict[str, Any]:
        return {"ratio": self.settings.ratio, "length_normalized": False}


class REINFORCE(PolicyGradient):
    """Rewards to go, each token's with its own KL where the reward pays for it, whitened over the batch's tokens."""

    settings: Reinforce

    def advantages(self, rollouts: Rollouts, kl_coefficient: float) -> Tensor:
        mask = rollouts.mask
        scores = torch.from_numpy(rollouts.scores).float()
        if self.settings.baseline == "group":
            scores = (
                _by_group(rollouts, scores) - _by_group(rollouts, scores).mean(1, keepdim=True)
            ).flatten()
        kl, coefficient = self.kl.of_reward(rollouts, kl_coefficient)
        rewards = shaped_rewards(kl, scores, rollouts.lengths, coefficient=coefficient)
        return whiten(rewards_to_go(rewards, mask, gamma=self.settings.gamma), rollouts.trained)
