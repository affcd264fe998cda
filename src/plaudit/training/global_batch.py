"""Methods that must see a whole global batch before its micro-batches (KTO estimates a KL over it)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.runtime import Runtime
from plaudit.training.sweep import sweep


@dataclass(frozen=True)
class GlobalPass:
    """How a method runs a model over a global batch without a gradient."""

    token_budget: int
    runtime: Runtime

    def mean(
        self,
        items: Sequence[TokenItem],
        pad_id: int,
        layout: LayoutKind,
        value: Callable[[TokenBatch], Tensor],
    ) -> float:
        """The mean over all responses of ``value(batch)`` [R], the same on every rank."""

        def total(batch: TokenBatch) -> tuple[float, int]:
            numbers = value(batch).double()
            return float(numbers.sum()), len(numbers)

        parts = sweep(
            items,
            total,
            pad_id=pad_id,
            layout=layout,
            token_budget=self.token_budget,
            runtime=self.runtime,
        )
        return sum(t for _, (t, _) in parts) / max(1, sum(c for _, (_, c) in parts))


@runtime_checkable
class NeedsGlobalBatch(Protocol):
    """A method with a pass of its own over the global batch, before any micro-batch is trained on."""

    def prepare(self, items: Sequence[TokenItem], forward: GlobalPass) -> None: ...
