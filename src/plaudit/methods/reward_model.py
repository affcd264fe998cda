"""A reward model learns to predict human rankings.

All comparisons of one prompt are one item and share its weight, 1/C(K,2) each (Ouyang et al. 2022 §3.5): a prompt
with many answers is not counted many times, and its pairs are never split over batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem
from plaudit.data.tokens.layout import LayoutKind
from plaudit.methods.preference_batch import item_weight, pairs_of, rankings_of, total_weight
from plaudit.models.heads import comparable_scores
from plaudit.models.packing import layout_for
from plaudit.objectives import bradley_terry, centering, plackett_luce_batch
from plaudit.training.method import LossOutput, Term


class RewardModeling:
    """Bradley–Terry over all pairs of an item, or Plackett–Luce over its ranking; ties count.

    pairs: L = Σ_pairs w · BT(s_left − s_right − m) / Σ_items W, where the w of one item add up to its weight W.
    plackett_luce: L = Σ_items W · PL / (K − 1) / Σ_items W, each judgement being a ranking of its own.

    W is the mean of the item's judgements' weights. m = ``margin_scale`` · strength / ``strongest``, 0 where
    ``strongest`` is 0.
    """

    def __init__(
        self,
        model: Any,
        *,
        pad_id: int,
        loss: Literal["pairs", "plackett_luce"] = "pairs",
        margin_scale: float = 1.0,
        strongest: float = 0.0,
        centering: float = 0.0,
    ) -> None:
        self.model = model
        self.pad_id = pad_id
        self.kind = loss
        self.margin_per_strength = margin_scale / strongest if strongest else 0.0
        self.centering = centering

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.model.backbone)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return {"ranking": total_weight(items), "centering": total_weight(items)}

    def loss(self, batch: TokenBatch) -> LossOutput:
        raw = comparable_scores(self.model, batch)
        pairs = pairs_of(batch)
        delta = raw[pairs.left] - raw[pairs.right]
        if self.kind == "pairs":
            margin = pairs.strength * self.margin_per_strength
            values = bradley_terry(delta, result=pairs.result, margin=margin)
            ranking = Term(values, pairs.weight)
        else:
            rankings = rankings_of(batch)
            ranking = Term(plackett_luce_batch(raw, rankings.groups, ties="equal"), rankings.weight)
        terms = {"ranking": ranking}
        if self.centering:
            weights = torch.tensor([item_weight(i.payload) for i in batch.items], dtype=raw.dtype)
            pull = centering(raw, batch.item_of)
            terms["centering"] = Term(pull, weights.to(raw.device), self.centering)
        decided = pairs.decided
        correct = ((delta > 0) == (pairs.result > 0.5)) & decided
        return LossOutput(
            terms,
            {
                "accuracy": (correct.sum(), decided.sum()),
                "margin": (((2 * pairs.result - 1) * delta.detach()).sum(), decided.sum()),
                "score": (raw.detach().sum(), len(raw)),
            },
        )
