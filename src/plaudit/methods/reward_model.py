"""A reward model learns to predict human rankings.

All comparisons of one prompt are one item and weigh as one, 1/C(K,2) each (Ouyang et al. 2022 §3.5):
a prompt with many answers is not counted many times, and its pairs are never split over batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from plaudit.data.layouts import LayoutKind
from plaudit.data.records import Comparisons
from plaudit.data.tokens import TokenBatch, TokenItem
from plaudit.models.heads import comparable_scores
from plaudit.models.packing import layout_for
from plaudit.objectives import bradley_terry, centring, plackett_luce_batch
from plaudit.training.engine import LossOutput, Term


def groups_of(comparisons: Comparisons) -> list[list[int]]:
    """The ranking behind complete, transitive outcomes: groups of responses, best first.

    Responses are placed by their share of wins. Raises ValueError where the outcomes are no ranking.
    """
    k = len(comparisons.responses)
    wins = np.zeros(k)
    for o in comparisons.outcomes:
        wins[o.left] += o.result
        wins[o.right] += 1 - o.result
    order = sorted(set(wins.tolist()), reverse=True)
    groups = [[i for i in range(k) if wins[i] == w] for w in order]
    place = {i: rank for rank, group in enumerate(groups) for i in group}
    consistent = all(
        o.result == (0.5 if place[o.left] == place[o.right] else float(place[o.left] < place[o.right]))
        for o in comparisons.outcomes
    )
    if len(comparisons.outcomes) != k * (k - 1) // 2 or not consistent:
        raise ValueError("these outcomes are not one ranking of all responses")
    return groups


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
        judged = float(sum(bool(item.payload.outcomes) for item in items))
        return {"ranking": judged, "centring": float(len(items))}

    def loss(self, batch: TokenBatch) -> LossOutput:
        raw = comparable_scores(self.model, batch)
        pairs = _pairs(batch, raw.device)
        delta = raw[pairs.left] - raw[pairs.right]
        margin: Tensor | float = pairs.strength if self.use_strength else 0.0
        if self.kind == "pairs":
            values = bradley_terry(delta, result=pairs.result, margin=margin)
            ranking = Term(values, pairs.weight)
        else:
            values = plackett_luce_batch(raw, _rankings(batch), ties="equal")
            # K answers make K − 1 choices: their mean lets a prompt weigh the same at any K.
            choices = torch.bincount(batch.item_of, minlength=len(batch.items)) - 1
            ranking = Term(values / choices, torch.ones_like(values))
        terms = {"ranking": ranking}
        if self.centring:
            per_item = 1.0 / torch.bincount(batch.item_of, minlength=len(batch.items)).to(raw.dtype)
            terms["centring"] = Term(centring(raw), per_item[batch.item_of], self.centring)
        decided = pairs.result != 0.5
        correct = ((delta > 0) == (pairs.result > 0.5)) & decided
        return LossOutput(
            terms,
            {
                "accuracy": (correct.sum(), decided.sum()),
                "margin": (((2 * pairs.result - 1) * delta.detach()).sum(), decided.sum()),
                "score": (raw.detach().sum(), len(raw)),
            },
        )


class _Pairs:
    def __init__(self, rows: Sequence[tuple[int, int, float, float, float]], device: torch.device) -> None:
        table = torch.tensor(rows, dtype=torch.float32, device=device).reshape(-1, 5)
        self.left, self.right = table[:, 0].long(), table[:, 1].long()
        self.result, self.weight, self.strength = table[:, 2], table[:, 3], table[:, 4]


def _pairs(batch: TokenBatch, device: torch.device) -> _Pairs:
    rows = []
    offset = 0
    for item in batch.items:
        outcomes = item.payload.outcomes
        total = sum(o.weight for o in outcomes)
        rows += [
            (offset + o.left, offset + o.right, o.result, o.weight / total, o.strength or 0.0)
            for o in outcomes
        ]
        offset += len(item.responses)
    return _Pairs(rows, device)


def _rankings(batch: TokenBatch) -> list[list[list[int]]]:
    rankings = []
    offset = 0
    for item in batch.items:
        rankings.append([[offset + i for i in group] for group in groups_of(item.payload)])
        offset += len(item.responses)
    return rankings
