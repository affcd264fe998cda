"""The KL penalty of the RL loop: one answer, for every method, to where it is paid and how it is estimated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plaudit.config import KL_STEP, Online
from plaudit.data.tokens.batch import TokenBatch
from plaudit.methods.rollouts import Rollouts
from plaudit.objectives import AdaptiveKL, FixedKL, kl_penalty
from plaudit.training.method import Term


class KLPenalty:
    """β · Σ_t k_t of a response, k being ``kl.estimator``: off the reward, or in the loss (``kl.place``).

    In the loss a token weighs what it weighs in the method's surrogate. ``coefficient`` is β as the controller has it;
    ``in_loss`` is β where the loss pays and 0 where the reward does; ``metrics`` are those of the reward's part.
    """

    def __init__(self, settings: Online) -> None:
        kl = settings.kl.resolved(settings.kl_place)
        assert kl.estimator is not None
        self.estimator, self.place = kl.estimator, kl.place
        self.in_loss = 0.0
        self.metrics: dict[str, float] = {}

    def paid_by_reward(self, coefficient: float) -> bool:
        """Whether the rewards need the policy's log-probs."""
        return self.place == "reward" and coefficient != 0

    def of_reward(self, rollouts: Rollouts, coefficient: float) -> tuple[Tensor, float]:
        """k_t of the rollouts [R, T] and β of the reward: zeros, and nothing is read, where the loss pays."""
        self.in_loss = coefficient if self.place == "loss" else 0.0
        if not self.paid_by_reward(coefficient):
            return torch.zeros(rollouts.mask.shape), 0.0
        old, reference = rollouts.rows("old_log_probs"), rollouts.rows("reference_log_probs")
        values, bounded = kl_penalty(old, reference, estimator=self.estimator)
        if self.estimator == "k3":
            self.metrics = {"kl/bounded": float(bounded[rollouts.mask].float().mean())}
        return values * rollouts.mask, coefficient

    def of_loss(
        self, log_prob: Tensor, old: Tensor, batch: TokenBatch, weights: Tensor
    ) -> tuple[dict[str, Term], dict[str, Any]]:
        """The term ``kl`` of a batch's tokens [N] and its metrics; neither where the reward pays."""
        if not self.in_loss:
            return {}, {}
        reference = batch.per_token("reference_log_probs")
        values, bounded = kl_penalty(log_prob, reference, estimator=self.estimator, old_log_prob=old)
        metrics = {"kl/bounded": (bounded.float().sum(), batch.tokens)} if "k3" in self.estimator else {}
        return {"kl": Term(values, weights, self.in_loss)}, metrics


def kl_controller(settings: Online) -> FixedKL | AdaptiveKL:
    """What moves β from one iteration to the next."""
    kl = settings.kl
    if kl.controller == "adaptive":
        return AdaptiveKL(kl.beta, target=kl.target, horizon=settings.kl_horizon, max_error=KL_STEP)
    return FixedKL(kl.beta)
