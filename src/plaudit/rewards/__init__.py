"""Rewards: reward model, ensemble, Python function, weighted sums."""

from plaudit.rewards.protocol import Reward, RewardError, RewardOutput, Sample, checked
from plaudit.rewards.shaping import HIGH, LengthNormalizedReward, RelativeReward, WatchedReward
from plaudit.rewards.sources import (
    EnsembleReward,
    FunctionReward,
    ModelReward,
    SumReward,
    fewest,
    score_items,
)

__all__ = [
    "HIGH",
    "EnsembleReward",
    "FunctionReward",
    "LengthNormalizedReward",
    "ModelReward",
    "RelativeReward",
    "Reward",
    "RewardError",
    "RewardOutput",
    "Sample",
    "SumReward",
    "WatchedReward",
    "checked",
    "fewest",
    "score_items",
]
