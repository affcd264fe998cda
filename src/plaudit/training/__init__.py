"""The one engine: optimiser, schedule, accumulation, checkpoints, devices and ranks."""

from plaudit.training.engine import (
    Engine,
    Group,
    LossOutput,
    Method,
    NotFiniteError,
    Term,
    evaluate,
    trainable,
)
from plaudit.training.fit import FitResult, fit
from plaudit.training.ranks import Ranks

__all__ = [
    "Engine",
    "FitResult",
    "Group",
    "LossOutput",
    "Method",
    "NotFiniteError",
    "Ranks",
    "Term",
    "evaluate",
    "fit",
    "trainable",
]
