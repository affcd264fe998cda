"""Proximal policy optimization for language models: an advantage estimator and a surrogate loss.

Schulman et al. 2017 as used by Ziegler et al. 2019 and Ouyang et al. 2022. The loop around it is
``methods/rl.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from plaudit.config import Ppo as PpoSettings
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.kl_penalty import KLPenalty
from plaudit.methods.rollouts import Rollouts
from plaudit.methods.surrogate import policy_terms
from plaudit.models.heads import values
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.objectives import (
    clipped_value_loss,
    explained_variance,
    gae,
    masked_mean,
    shaped_rewards,
    whiten,
)
from plaudit.runtime import Runtime
from plaudit.training.memory import ENOUGH
from plaudit.training.method import LossOutput, Term
from plaudit.training.sweep import per_token


class PPO:
    """GAE advantages, whitened over the global masked batch; clipped policy and value losses."""

    on_policy = False

    def __init__(
        self,
        policy: Any,
        critic: Any,
        settings: PpoSettings,
        *,
        runtime: Runtime | None = None,
    ) -> None:
        self.policy = policy
        self.critic = critic
        self.settings = settings
        self.runtime = runtime or Runtime()
        self.pad_id = policy.pad_id
        self.train_policy = True
        self.kl = KLPenalty(settings)

    def modules(self) -> dict[str, tuple[Any, float]]:
        """What is trained, by name, with its learning rate."""
        return {
            "policy": (self.policy.model, self.settings.lr),
            "critic": (self.critic, self.settings.value_lr),
        }

    def warming_up(self, iteration: int) -> bool:
        """Whether only the critic learns yet: its first estimates would mislead the policy."""
        return iteration < self.settings.critic_warmup

    def estimate(self, rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]:
        """Attach advantages and returns to the rollouts' items."""
        s = self.settings
        (old_values,) = per_token(
            rollouts.items,
            lambda batch: [values(self.critic, batch)],
            pad_id=self.pad_id,
            layout=layout_for(self.critic.backbone),
            token_budget=s.token_budget or ENOUGH,
            runtime=self.runtime,
        )
        rollouts.attach(old_values=old_values)
        mask = rollouts.mask
        value_rows = rollouts.rows("old_values")
        kl, coefficient = self.kl.of_reward(rollouts, kl_coefficient)
        rewards = shaped_rewards(
            kl, torch.from_numpy(rollouts.scores).float(), rollouts.lengths, coefficient=coefficient
        )
        advantages, returns = gae(rewards, value_rows, mask, gamma=s.gamma, lam=s.lam)
        if s.value_lam is not None:
            _, returns = gae(rewards, value_rows, mask, gamma=s.gamma, lam=s.value_lam)
        rollouts.attach(
            advantages=rollouts.per_item(whiten(advantages, rollouts.trained)),
            returns=rollouts.per_item(returns),
        )
        return {
            "val/var_explained": float(explained_variance(value_rows[mask], returns[mask])),
            "val/mean": float(masked_mean(value_rows, mask)),
            "returns/mean": float(masked_mean(returns, mask)),
            "advantages/std": float(advantages[mask].std()),
            **self.kl.metrics,
        }

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.policy.model, self.critic.backbone)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        tokens = float(sum(len(r) for item in items for r in item.responses))
        return {"policy": tokens, "value": tokens, "entropy": tokens, "kl": tokens}

    def loss(self, batch: TokenBatch) -> LossOutput:
        s = self.settings
        predicted = values(self.critic, batch)
        ones = torch.ones_like(predicted)
        value_loss, value_clipped = clipped_value_loss(
            predicted, batch.per_token("old_values"), batch.per_token("returns"), clip=s.value_clip
        )
        terms = {"value": Term(value_loss, ones, s.value_coefficient)}
        metrics: dict[str, Any] = {"val/clipfrac": (value_clipped.float().sum(), batch.tokens)}
        if self.train_policy:
            out = log_probs(
                self.policy.model, batch, temperature=s.temperature, details=s.entropy_coefficient > 0
            )
            policy, more = policy_terms(
                out, batch, clip=s.clip, entropy_coefficient=s.entropy_coefficient, kl=self.kl
            )
            terms |= policy
            metrics |= more
        return LossOutput(terms, metrics)
