"""Supervised learning: next-token cross-entropy on the trained tokens of each item.

Pretraining, SFT, the pocket world's verdict stage and PPO's PTX term are this one method on
different items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.models.logprobs import log_probs
from plaudit.models.packing import layout_for
from plaudit.training.method import LossOutput, Term


class Supervised:
    """L = −Σ w · log π(y_t | x, y_<t) / Σ w over trained tokens, w the item's weight: nats per token."""

    def __init__(self, policy: Any, *, name: str = "nll", coefficient: float = 1.0) -> None:
        self.model = policy.model
        self.pad_id = policy.pad_id
        self.name = name
        self.coefficient = coefficient

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.model)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        weighted = (
            w * r.trained.sum() for item in items for w, r in zip(item.extras["weight"], item.responses)
        )
        return {self.name: float(sum(weighted))}

    def loss(self, batch: TokenBatch) -> LossOutput:
        out = log_probs(self.model, batch)
        weights = batch.trained * batch.per_response("weight")[batch.response_of]
        return LossOutput({self.name: Term(-out.log_prob, weights, self.coefficient)})
