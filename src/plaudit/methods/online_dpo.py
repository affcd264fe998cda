"""Online DPO: the reward ranks the policy's own samples, and DPO learns from the ranking (Guo et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch

from plaudit.config import Dpo, OnlineDpo
from plaudit.data.records import Outcome
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.direct import DirectPreference
from plaudit.methods.reference_log_probs import EXTRA
from plaudit.methods.rollouts import Rollouts
from plaudit.objectives import tie_tolerance
from plaudit.training.method import LossOutput


@dataclass(frozen=True)
class SampleOutcomes:
    """The part of a comparison that the loss reads: its outcomes."""

    outcomes: tuple[Outcome, ...]


class OnlineDPO:
    """DPO on pairs of fresh samples, β being the KL coefficient; a prompt whose samples all tie is left out."""

    on_policy = False

    def __init__(self, policy: Any, settings: OnlineDpo) -> None:
        self.policy, self.settings = policy, settings
        self.pad_id = policy.pad_id
        self.train_policy = True
        self.direct = self._direct(settings.kl.beta)

    def _direct(self, beta: float) -> DirectPreference:
        settings = Dpo(beta=beta, loss=self.settings.loss)
        # The reference's log-probs of a rollout are at the temperature that it was sampled at.
        return DirectPreference(self.policy, settings, temperature=self.settings.temperature)

    def modules(self) -> dict[str, tuple[Any, float]]:
        """What is trained, by name, with its learning rate."""
        return {"policy": (self.policy.model, self.settings.lr)}

    def warming_up(self, iteration: int) -> bool:
        return False

    def estimate(self, rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]:
        """Attach outcomes and the reference's log-probs to the rollouts' items."""
        self.direct = self._direct(max(kl_coefficient, 1e-8))
        groups = rollouts.scores.reshape(len(rollouts.items), -1)
        within = tie_tolerance(torch.from_numpy(groups)).flatten().tolist()
        rollouts.items = [
            replace(
                item,
                payload=SampleOutcomes(outcomes(scores, self.settings.pairs, within=tie)),
                extras={
                    **item.extras,
                    EXTRA: [float(np.sum(row)) for row in item.extras["reference_log_probs"]],
                },
            )
            for item, scores, tie in zip(rollouts.items, groups, within)
        ]
        return {}

    @property
    def layout(self) -> LayoutKind:
        return self.direct.layout

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return self.direct.normalizers(items)

    def loss(self, batch: TokenBatch) -> LossOutput:
        return self.direct.loss(batch)


def outcomes(scores: np.ndarray, pairs: str, *, within: float = 0.0) -> tuple[Outcome, ...]:
    """Judgements of one prompt's samples by their scores: all pairs, or the best against the worst.

    Scores that differ by ``within`` or less are ties: rounding must not decide.
    """
    if scores.max() - scores.min() <= within:
        return ()
    if pairs == "best_worst":
        return (Outcome(int(scores.argmax()), int(scores.argmin()), 1.0),)
    return tuple(
        Outcome(i, j, 0.5 if abs(scores[i] - scores[j]) <= within else float(scores[i] > scores[j]))
        for i, j in combinations(range(len(scores)), 2)
    )
