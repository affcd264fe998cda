"""What a training method is to the engine: the terms of its loss on a micro-batch, and their global weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind


@dataclass
class Term:
    """One term of a loss: values and weights of equal shape, and its coefficient in the sum."""

    values: Tensor
    weights: Tensor
    coefficient: float = 1.0


@dataclass
class LossOutput:
    """Named terms, and metrics as (sum, count) so that they add over micro-batches and ranks.

    ``tokens`` holds numbers [N] of the batch's tokens that whoever wraps the method may want; the engine
    does not read them.
    """

    terms: dict[str, Term]
    metrics: dict[str, tuple[Tensor | float, Tensor | float]] = field(default_factory=dict)
    tokens: dict[str, Tensor] = field(default_factory=dict)


class TrainingMethod(Protocol):
    """Data preparation plus an objective; the engine owns the loop."""

    pad_id: int

    @property
    def layout(self) -> LayoutKind:
        """The layout that all models of the method compute."""
        ...

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        """Σ weight of each term over the items, known from data alone."""
        ...

    def loss(self, batch: TokenBatch) -> LossOutput:
        """The terms of one micro-batch."""
        ...


# What one step trains on: methods and their items.
Work = Sequence[tuple[TrainingMethod, Sequence[TokenItem]]]
