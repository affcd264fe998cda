"""Judgements of a batch as index tensors: pairs and rankings, with weights that sum to each item's weight.

All comparisons of one prompt share its weight, 1/C(K,2) each where they weigh alike (Ouyang et al. 2022 §3.5), so a
prompt with many answers is not counted many times. An item weighs the mean of its judgements' weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.data.records import Comparisons, Demonstration, Outcome, Preference
from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.item import TokenItem


@dataclass
class PairBatch:
    """Outcomes of a batch [P]: indices of responses, result, weight and strength (0 where unknown).

    The weights of one item's outcomes add up to the item's.
    """

    left: Tensor
    right: Tensor
    result: Tensor
    weight: Tensor
    strength: Tensor

    @property
    def decided(self) -> Tensor:
        """[P] bool: the outcomes that are not ties."""
        return self.result != 0.5

    def winners_first(self) -> tuple[Tensor, Tensor]:
        """Indices of winner and loser of the decided outcomes."""
        first = self.result > 0.5
        winner, loser = torch.where(first, self.left, self.right), torch.where(first, self.right, self.left)
        return winner[self.decided], loser[self.decided]


def pairs_of(batch: TokenBatch) -> PairBatch:
    rows = []
    offset = 0
    for item in batch.items:
        outcomes = item.payload.outcomes
        rows += [
            (offset + o.left, offset + o.right, o.result, o.weight / len(outcomes), o.strength or 0.0)
            for o in outcomes
        ]
        offset += len(item.responses)
    table = torch.tensor(rows, dtype=torch.float32, device=batch.targets.device).reshape(-1, 5)
    return PairBatch(table[:, 0].long(), table[:, 1].long(), table[:, 2], table[:, 3], table[:, 4])


def item_weight(judged: Any) -> float:
    """The mean of the weights of an item's outcomes; 0 without any."""
    return sum(o.weight for o in judged.outcomes) / max(1, len(judged.outcomes))


def total_weight(items: Sequence[TokenItem]) -> float:
    """Σ of the items' weights: the normalizer of a loss over judged items."""
    return float(sum(item_weight(item.payload) for item in items))


def largest_strength(items: Sequence[TokenItem]) -> float:
    """The largest stated strength among the items' outcomes; 0 where none is stated."""
    return max((o.strength or 0.0 for item in items for o in item.payload.outcomes), default=0.0)


def win_shares(comparisons: Comparisons) -> np.ndarray:
    """Each response's share of the wins among its own outcomes, ties as half; NaN where it has none: [K]."""
    won, played = np.zeros(len(comparisons.responses)), np.zeros(len(comparisons.responses))
    for o in comparisons.outcomes:
        won[o.left] += o.weight * o.result
        won[o.right] += o.weight * (1 - o.result)
        played[[o.left, o.right]] += o.weight
    with np.errstate(invalid="ignore"):
        return np.where(played > 0, won / played, np.nan)


def answer_weights(comparisons: Comparisons) -> np.ndarray:
    """The mean weight of each response's own outcomes: [K]; NaN where it has none."""
    total, count = np.zeros(len(comparisons.responses)), np.zeros(len(comparisons.responses))
    for o in comparisons.outcomes:
        total[[o.left, o.right]] += o.weight
        count[[o.left, o.right]] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def best_of(comparisons: Comparisons) -> np.ndarray:
    """Weights [K] that sum to 1 over the responses with the largest share of wins; all 0 without outcomes."""
    shares = win_shares(comparisons)
    if np.isnan(shares).all():
        return np.zeros(len(shares))
    top: np.ndarray = shares == np.nanmax(shares)
    return np.asarray(top / top.sum(), dtype=np.float64)


def preferred_answers(records: Sequence[Preference]) -> list[Demonstration]:
    """The answer of each prompt that wins most; prompts without any judgement are left out."""
    judged = [c for r in records if best_of(c := r.comparisons()).any()]
    return [Demonstration(c.prompt, c.responses[int(best_of(c).argmax())]) for c in judged]


@dataclass
class RankingBatch:
    """Rankings of a batch [Q]: groups of indices of responses, best first, and the weight of each.

    A ranking of k answers makes k − 1 choices and weighs its judgements' share of the item's weight over k − 1, so
    that an item weighs the same at any K.
    """

    groups: list[list[list[int]]]
    weight: Tensor


def rankings_of(batch: TokenBatch) -> RankingBatch:
    """The rankings behind every item's outcomes, as ``rankings_in`` finds them."""
    groups: list[list[list[int]]] = []
    weights: list[float] = []
    offset = 0
    for item in batch.items:
        for ranking, weight in rankings_in(item.payload.outcomes):
            groups.append([[offset + i for i in group] for group in ranking])
            weights.append(weight)
        offset += len(item.responses)
    return RankingBatch(groups, torch.tensor(weights, dtype=torch.float32, device=batch.targets.device))


def rankings_in(outcomes: Sequence[Outcome]) -> list[tuple[list[list[int]], float]]:
    """The outcomes of one item as rankings (groups of answers, best first) with weights.

    The outcomes are read in order; the longest sequence that is a complete and transitive ranking of three or more
    answers becomes one ranking, and the rest single pairs. A soft result r of a pair becomes both of its orders, with
    weights r and 1 − r.
    """
    found: list[tuple[list[list[int]], float]] = []
    at = 0
    while at < len(outcomes):
        size, ranking = _longest_ranking(outcomes, at)
        run = outcomes[at : at + size * (size - 1) // 2]
        weight = sum(o.weight for o in run) / len(outcomes) / (size - 1)
        if ranking is not None:
            found.append((ranking, weight))
        else:
            (o,) = run
            found.append(([[o.left], [o.right]], weight * o.result))
            found.append(([[o.right], [o.left]], weight * (1 - o.result)))
        at += len(run)
    return found


def _longest_ranking(outcomes: Sequence[Outcome], at: int) -> tuple[int, list[list[int]] | None]:
    """How many answers the longest ranking that starts at an outcome has, and its groups; None for a soft pair."""
    left = len(outcomes) - at
    for size in range(int((1 + (1 + 8 * left) ** 0.5) / 2), 1, -1):
        ranking = groups_of(outcomes[at : at + size * (size - 1) // 2], size)
        if ranking is not None:
            return size, ranking
    return 2, None


def groups_of(outcomes: Sequence[Outcome], size: int) -> list[list[int]] | None:
    """The ranking that all outcomes make together: groups of answers, best first.

    None where they are not each pair of ``size`` answers once, or not transitive.
    """
    answers = sorted({i for o in outcomes for i in (o.left, o.right)})
    pairs = {frozenset((o.left, o.right)) for o in outcomes}
    if len(answers) != size or len(pairs) != len(outcomes) or len(pairs) != size * (size - 1) // 2:
        return None
    wins = dict.fromkeys(answers, 0.0)
    for o in outcomes:
        wins[o.left] += o.result
        wins[o.right] += 1 - o.result
    place = {value: rank for rank, value in enumerate(sorted(set(wins.values()), reverse=True))}
    ranks = {answer: place[value] for answer, value in wins.items()}
    for o in outcomes:
        equal = ranks[o.left] == ranks[o.right]
        if o.result != (0.5 if equal else float(ranks[o.left] < ranks[o.right])):
            return None
    return [[i for i in answers if ranks[i] == rank] for rank in range(len(place))]
