"""The one engine: optimiser, schedule, accumulation, checkpoints, devices and ranks."""

from plaudit.errors import NotFiniteError
from plaudit.training.engine import Engine, ParameterGroup, trainable
from plaudit.training.fit import FitResult, fit
from plaudit.training.held_out import evaluate
from plaudit.training.method import LossOutput, Term, TrainingMethod

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
