"""A forward pass without a gradient over a global batch, before its micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.batching import collate, plan
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.training.ranks import Ranks


@dataclass(frozen=True)
class Pass:
    """How a method runs a model over a global batch: in micro-batches, shared by the ranks."""

    token_budget: int
    device: Any
    ranks: Ranks

    @torch.no_grad()
    def mean(
        self,
        items: Sequence[TokenItem],
        pad_id: int,
        layout: LayoutKind,
        value: Callable[[TokenBatch], Tensor],
    ) -> float:
        """The mean over all responses of ``value(batch)`` [R], the same on every rank."""
        total, count = 0.0, 0
        for indices in self.ranks.share(plan(items, self.token_budget, layout)):
            numbers = value(collate([items[i] for i in indices], pad_id).to(self.device)).double()
            total, count = total + float(numbers.sum()), count + len(numbers)
        parts = self.ranks.gather_shares([(total, count)])
        return sum(t for t, _ in parts) / max(1, sum(c for _, c in parts))


@runtime_checkable
class Prepared(Protocol):
    """A method that must see the whole global batch before any of its micro-batches."""

    def prepare(self, items: Sequence[TokenItem], forward: Pass) -> None: ...
