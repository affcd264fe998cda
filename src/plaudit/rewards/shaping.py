"""Rewards made of another reward: per token, held against reference answers, or set beside the training answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from plaudit.objectives import length_normalize, relative_sigmoid
from plaudit.rewards.protocol import Reward, RewardOutput, Sample, asked_once, needs_rank_0
from plaudit.rewards.sources import EnsembleReward, ModelReward

HIGH = 0.99  # the quantile of the training answers' scores above which a score is far out


class _Around:
    """Another reward's demands on samples and ranks."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    @property
    def max_positions(self) -> int | None:
        found: int | None = getattr(self.reward, "max_positions", None)
        return found

    @property
    def on_rank_0(self) -> bool:
        return needs_rank_0(self.reward)

    @property
    def asked_once(self) -> bool:
        return asked_once(self.reward)


class LengthNormalizedReward(_Around):
    """r / n^power for an answer of n tokens."""

    def __init__(self, reward: Reward, power: float) -> None:
        super().__init__(reward)
        self.power = power

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        output = self.reward.score(samples)
        lengths = torch.tensor([len(s.ids) for s in samples]).double()
        scores = length_normalize(torch.as_tensor(output.scores).double(), lengths, power=self.power)
        return RewardOutput(scores.numpy(), output.parts, output.normalized)


class RelativeReward(_Around):
    """``relative_sigmoid`` of a reward, given the scores of M reference answers to each prompt, by its id.

    The part ``unshaped`` is the reward itself. What is not finite stays so, for ``checked`` to see.
    """

    def __init__(self, reward: Reward, references: Mapping[str, Sequence[float]]) -> None:
        super().__init__(reward)
        self.references = references

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        output = self.reward.score(samples)
        scores = np.asarray(output.scores, dtype=np.float64)
        known = np.array([self.references[s.prompt.id] for s in samples], dtype=np.float64)
        shaped = relative_sigmoid(torch.from_numpy(scores), torch.from_numpy(known)).numpy()
        parts = {**output.parts, "unshaped": scores}
        return RewardOutput(np.where(np.isfinite(scores), shaped, scores), parts)


class WatchedReward(_Around):
    """A reward model, or an ensemble of them, whose scores are set beside those of the answers that it was trained on.

    The part ``above_training`` is 1 where a score is above the ``HIGH`` quantile of the training answers' scores,
    ``disagreement`` of an ensemble the members' spread over their mean spread on the training answers (1 is usual).
    The scores are the reward's own.

    Args:
        training: [K, N] raw scores of every member on N training answers.
    """

    def __init__(self, reward: ModelReward | EnsembleReward, training: Sequence[Sequence[float]]) -> None:
        super().__init__(reward)
        members: Sequence[Any] = reward.members if isinstance(reward, EnsembleReward) else [reward]
        every = np.stack([m.paid(np.asarray(row)) for m, row in zip(members, training, strict=True)])
        known = reward.joined(every) if isinstance(reward, EnsembleReward) else every[0]
        self.high, self.spread = float(np.quantile(known, HIGH)), float(every.std(0).mean())

    def score(self, samples: Sequence[Sample]) -> RewardOutput:
        output = self.reward.score(samples)
        parts = {**output.parts, "above_training": (output.scores > self.high).astype(float)}
        if "ensemble_std" in parts and self.spread > 0:
            parts["disagreement"] = parts["ensemble_std"] / self.spread
        return RewardOutput(output.scores, parts, output.normalized)
