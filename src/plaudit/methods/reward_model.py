"""A reward model learns to predict human rankings.

All comparisons of one prompt are one item and weigh as one, 1/C(K,2) each (Ouyang et al. 2022 §3.5):
a prompt with many answers is not counted many times, and its pairs are never split over batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from plaudit.data.layouts import LayoutKind
from plaudit.data.tokens import TokenBatch, TokenItem
from plaudit.methods.outcomes import judged, pairs_of, rankings_of
from plaudit.models.heads import comparable_scores
from plaudit.models.packing import layout_for
from plaudit.objectives import bradley_terry, centring, plackett_luce_batch
from plaudit.training.engine import LossOutput, Term


class RewardModelling:
    """Bradley–Terry over all pairs of an item, or Plackett–Luce over its ranking; ties count.

    pairs: L = Σ_pairs w · BT(s_left − s_right − m) / Σ_items 1, where the w of one item sum to 1.
    plackett_luce: L = Σ_items PL / (K − 1) / Σ_items 1.
    """

    def __init__(
        self,
        model: Any,
        *,
        pad_id: int,
        loss: Literal["pairs", "plackett_luce"] = "pairs",
        use_strength: bool = False,
        centring: float = 0.0,
    ) -> None:
        self.model = model
        self.pad_id = pad_id
        self.kind = loss
        self.use_strength = use_strength
        self.centring = centring

    @property
    def layout(self) -> LayoutKind:
        return layout_for(self.model.backbone)

    def normalizers(self, items: Sequence[TokenItem]) -> dict[str, float]:
        return {"ranking": judged(items), "centring": float(len(items))}

    def loss(self, batch: TokenBatch) -> LossOutput:
        raw = comparable_scores(self.model, batch)
        pairs = pairs_of(batch)
        delta = raw[pairs.left] - raw[pairs.right]
        margin: Tensor | float = pairs.strength if self.use_strength else 0.0
        if self.kind == "pairs":
            values = bradley_terry(delta, result=pairs.result, margin=margin)
            ranking = Term(values, pairs.weight)
        else:
            values = plackett_luce_batch(raw, rankings_of(batch), ties="equal")
            # K answers make K − 1 choices: their mean lets a prompt weigh the same at any K.
            choices = torch.bincount(batch.item_of, minlength=len(batch.items)) - 1
            ranking = Term(values / choices, torch.ones_like(values))
        terms = {"ranking": ranking}
        if self.centring:
            per_item = 1.0 / torch.bincount(batch.item_of, minlength=len(batch.items)).to(raw.dtype)
            terms["centring"] = Term(centring(raw), per_item[batch.item_of], self.centring)
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
