"""Judgements of a batch as index tensors: pairs weighted so that a prompt weighs as one, and rankings.

All comparisons of one prompt weigh 1/C(K,2) each (Ouyang et al. 2022 §3.5), so a prompt with many answers is not
counted many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from plaudit.data.records import Comparisons
from plaudit.data.tokens import TokenBatch, TokenItem


@dataclass
class Pairs:
    """Outcomes of a batch [P]: indices of responses, result, weight (1 an item) and strength (0 where unknown)."""

    left: Tensor
    right: Tensor
    result: Tensor
    weight: Tensor
    strength: Tensor

    @property
    def decided(self) -> Tensor:
        """[P] bool: those that are no tie."""
        return self.result != 0.5

    def winners_first(self) -> tuple[Tensor, Tensor]:
        """Indices of winner and loser of the decided outcomes."""
        first = self.result > 0.5
        winner, loser = torch.where(first, self.left, self.right), torch.where(first, self.right, self.left)
        return winner[self.decided], loser[self.decided]


def pairs_of(batch: TokenBatch) -> Pairs:
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
    table = torch.tensor(rows, dtype=torch.float32, device=batch.targets.device).reshape(-1, 5)
    return Pairs(table[:, 0].long(), table[:, 1].long(), table[:, 2], table[:, 3], table[:, 4])


def judged(items: Sequence[TokenItem]) -> float:
    """How many items have outcomes: the normaliser of a loss in which each weighs one."""
    return float(sum(bool(item.payload.outcomes) for item in items))


def win_shares(comparisons: Comparisons) -> np.ndarray:
    """Each response's share of the wins among its own outcomes, ties as half; NaN where it has none: [K]."""
    won, played = np.zeros(len(comparisons.responses)), np.zeros(len(comparisons.responses))
    for o in comparisons.outcomes:
        won[o.left] += o.weight * o.result
        won[o.right] += o.weight * (1 - o.result)
        played[[o.left, o.right]] += o.weight
    with np.errstate(invalid="ignore"):
        return np.where(played > 0, won / played, np.nan)


def best_of(comparisons: Comparisons) -> np.ndarray:
    """Weights [K] that sum to 1 over the responses with the largest share of wins; all 0 without outcomes."""
    shares = win_shares(comparisons)
    if np.isnan(shares).all():
        return np.zeros(len(shares))
    top = shares == np.nanmax(shares)
    return np.asarray(top / top.sum(), dtype=np.float64)


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


def rankings_of(batch: TokenBatch) -> list[list[list[int]]]:
    """The ranking of every item, as indices of the batch's responses."""
    rankings = []
    offset = 0
    for item in batch.items:
        rankings.append([[offset + i for i in group] for group in groups_of(item.payload)])
        offset += len(item.responses)
    return rankings
