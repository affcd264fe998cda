"""Rewards: reward model, ensemble, Python function, weighted sums."""

from plaudit.rewards.protocol import Reward, RewardError, RewardOutput, Sample, checked
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
    "ModelReward",
    "Reward",
    "RewardError",
    "RewardOutput",
    "Sample",
    "SumReward",
    "checked",
    "fewest",
    "score_items",
]
