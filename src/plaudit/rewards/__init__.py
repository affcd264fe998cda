"""Rewards: reward model, ensemble, Python function, weighted sums."""

from plaudit.rewards.protocol import Reward, RewardError, RewardOutput, Sample, checked
from plaudit.rewards.shaping import LengthNormalizedReward, RelativeReward
from plaudit.rewards.sources import (
    EnsembleReward,
    FunctionReward,
    ModelReward,
    SumReward,
    fewest,
    score_items,
)

__all__ = [
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
    "checked",
    "fewest",
    "score_items",
]
