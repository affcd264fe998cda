"""The interface between the RL loop and an on-policy method, and the result of the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from plaudit.methods.best_policy import BestKept
from plaudit.methods.rollouts import Rollouts
from plaudit.training.method import TrainingMethod


class Algorithm(TrainingMethod, Protocol):
    """An advantage estimator and a surrogate loss.

    ``on_policy``: whether ``loss`` takes items without old log-probs as samples of the policy as it is now, and then
    returns ``own_tokens`` (``methods/on_policy.py``).
    """

    train_policy: bool
    on_policy: bool

    def modules(self) -> dict[str, tuple[nn.Module, float]]: ...
    def warming_up(self, iteration: int) -> bool: ...
    def estimate(self, rollouts: Rollouts, kl_coefficient: float) -> dict[str, float]: ...


@dataclass
class RlResult:
    """The result of the loop: iterations done, the reason if it stopped early, and its last record.

    ``best``: which earlier policy ``keep_best`` went back to, None where the last one is the best.
    """

    iterations: int
    stopped: str | None
    metrics: dict[str, float]
    best: BestKept | None = None
