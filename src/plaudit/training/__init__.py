"""The one engine: optimiser, schedule, accumulation, checkpoints, devices and ranks."""

from plaudit.training.engine import (
    Engine,
    LossOutput,
    NotFiniteError,
    ParameterGroup,
    Term,
    TrainingMethod,
    evaluate,
    trainable,
)
from plaudit.training.fit import FitResult, fit

__all__ = [
    "Engine",
    "FitResult",
    "LossOutput",
    "NotFiniteError",
    "ParameterGroup",
    "Term",
    "TrainingMethod",
    "evaluate",
    "fit",
    "trainable",
]
