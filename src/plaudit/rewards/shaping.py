"""Rewards made of another reward: per token, or held against reference answers of the same prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from plaudit.objectives import length_normalize, relative_sigmoid
from plaudit.rewards.protocol import Reward, RewardOutput, Sample, needs_rank_0


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
