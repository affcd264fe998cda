"""The prompts of RL's iterations, and dynamic sampling: prompts that teach nothing are replaced by further ones.

Yu et al. 2025 (DAPO, arXiv:2503.14476) §3.2.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from plaudit.data.records import Prompt
from plaudit.methods.rollouts import Rollouts
from plaudit.objectives import zero_variance
from plaudit.runs import Stage
from plaudit.runtime import Mesh
from plaudit.training.fit import stream_indices

logger = logging.getLogger(__name__)


class PromptStream:
    """Training prompts without an end, every epoch in an order of its own; ``at`` is how many were taken."""

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        self.prompts, self.seed, self.at = prompts, seed, 0

    def take(self, count: int) -> list[Prompt]:
        """The next ones, a function of ``at`` alone."""
        chosen = stream_indices(self.at, count, items=len(self.prompts), seed=self.seed)
        self.at += count
        return [self.prompts[i] for i in chosen]


def teaches(rollouts: Rollouts) -> np.ndarray:
    """[I] bool: prompts whose samples differ in score, and that have a sample to train on."""
    groups = rollouts.scores.reshape(len(rollouts.items), -1)
    flat = zero_variance(torch.from_numpy(groups)).numpy()
    left = ~rollouts.cut.reshape(groups.shape) if rollouts.masked else np.ones(groups.shape, dtype=bool)
    found: np.ndarray = ~flat & left.any(1)
    return found


class DynamicSampling:
    """Draws further prompts in the place of those that teach nothing, in at most ``rounds`` rounds an iteration."""

    def __init__(self, rounds: int, stage: Stage, mesh: Mesh) -> None:
        self.rounds, self.stage = rounds, stage
        self.told = not mesh.is_main

    def fill(
        self, first: Rollouts, draw: Callable[[int], Rollouts], iteration: int
    ) -> tuple[Rollouts, dict[str, float]]:
        """As many prompts as ``first`` has, and what was sampled for them; ``draw(count)`` scores further ones.

        A round draws what is missing, over the share of prompts that taught so far, and at most as many as ``first``.
        Where the rounds do not suffice, prompts that teach nothing fill the places that are left.
        """
        wanted, rounds = len(first.items), 0
        good, spare = _split(first)
        scores = [first.scores]
        while len(good.items) < wanted and rounds < self.rounds:
            share = max(1, len(good.items)) / (len(good.items) + len(spare.items))
            more = draw(min(wanted, math.ceil((wanted - len(good.items)) / share)))
            scores.append(more.scores)
            useful, useless = _split(more)
            good, spare = good.join(useful), spare.join(useless)
            rounds += 1
        missing = max(0, wanted - len(good.items))
        if missing and not self.told:
            self.told = True
            logger.warning(
                "after %d further rounds of sampling %d of %d prompts still have samples of one score: the reward "
                "tells too few answers apart (raise dynamic_sampling, or look at the reward)",
                rounds,
                missing,
                wanted,
            )
            self.stage.event(
                event="dynamic_sampling_short", iteration=iteration, missing=missing, prompts=wanted
            )
        metrics = {
            "sampling/rounds": float(1 + rounds),
            "sampling/prompts": float(len(good.items) + len(spare.items)),
            "sampling/dropped": float(len(spare.items) - missing),
            "sampling/missing": float(missing),
            # Of all samples: the scores that are trained on are those of prompts that were chosen by them.
            "sampling/scores": float(np.concatenate(scores).mean()),
        }
        return good.take(range(wanted - missing)).join(spare.take(range(missing))), metrics


def _split(rollouts: Rollouts) -> tuple[Rollouts, Rollouts]:
    """Prompts that teach, and those that do not."""
    useful = teaches(rollouts)
    good, spare = (rollouts.take(np.flatnonzero(of).tolist()) for of in (useful, ~useful))
    return good, spare
