"""The score of a rollout: the reward, clipped if it is normalized, minus the penalties for length."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch

from plaudit.config import Online
from plaudit.methods.rollouts import Rollouts
from plaudit.objectives import overlong
from plaudit.rewards import Reward, RewardOutput, Sample, checked
from plaudit.runs import Stage
from plaudit.runtime import Mesh

logger = logging.getLogger(__name__)

NORMALIZED_CLIP = 5.0
"""Standard deviations of the reference answers: further out a reward model extrapolates."""

CLIPPED = "reward/clipped"
OVERLONG = "reward/overlong"
# The share of clipped scores that is worth a warning.
MUCH = 0.1


def bound(output: RewardOutput, settings: Online) -> float | None:
    """Within what scores are held: ``auto`` holds normalized ones alone, whose unit it knows."""
    if settings.reward_clip == "auto":
        return NORMALIZED_CLIP if output.normalized else None
    return settings.reward_clip


def pay(rollouts: Rollouts, reward: Reward, settings: Online, mesh: Mesh | None = None) -> dict[str, float]:
    """Set the rollouts' scores; returns the mean of each part of the reward, and the share of scores that was cut.

        score = clip(reward, ±c) − penalty·[cut by the length limit] − overlong_penalty·overlong(length)

    The penalties come last: inside the bound an answer at the floor would pay nothing for them.
    """
    rollouts.scores, metrics = paid(checked(reward, rollouts.samples, mesh), rollouts.samples, settings)
    return metrics


def paid(
    output: RewardOutput, samples: Sequence[Sample], settings: Online
) -> tuple[np.ndarray, dict[str, float]]:
    """What ``pay`` sets and returns, of a reward's output for some samples."""
    scores, limit = output.scores, bound(output, settings)
    metrics = {f"reward/{name}": float(np.mean(part)) for name, part in output.parts.items()}
    if limit is not None:
        metrics[CLIPPED] = float(np.mean(np.abs(scores) > limit))
        scores = np.clip(scores, -limit, limit)
    cut = np.asarray([sample.finish == "length" for sample in samples])
    scores = scores - (settings.unfinished_penalty or 0.0) * cut
    if settings.overlong_cache is not None:
        longest, cache = settings.max_new_tokens, settings.overlong_cache
        lengths = torch.tensor([len(sample.ids) for sample in samples]).double()
        share = overlong(lengths, longest=longest, cache=cache).numpy()
        scores = scores - settings.overlong_penalty * share
        metrics[OVERLONG] = float(settings.overlong_penalty * share.mean())
    return scores, metrics


def pooled(paid: Sequence[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """The means of several batches' numbers, each by how many samples it has."""
    if len(paid) == 1:
        return paid[0][1]
    whole = sum(count for count, _ in paid)
    return {name: sum(count * found[name] for count, found in paid) / whole for name in paid[0][1]}


class ClippingWarning:
    """Warns once a run, where so many scores are cut that it decides what is learned."""

    def __init__(self, stage: Stage, mesh: Mesh) -> None:
        self.stage = stage
        self.given = not mesh.is_main

    def check(self, iteration: int, share: float) -> None:
        if share <= MUCH or self.given:
            return
        self.given = True
        logger.warning(
            "reward_clip cut %.0f %% of this iteration's scores: answers beyond it all count the same",
            100 * share,
        )
        self.stage.event(event="reward_clipped", iteration=iteration, share=share)
