"""Losses of scores on pairwise judgements."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.objectives.checks import expect_rank, expect_same_shape


def bradley_terry(delta: Tensor, *, result: Tensor | float = 1.0, margin: Tensor | float = 0.0) -> Tensor:
    """The negative log-likelihood of judgements between two responses.

        z = Δ − m·(2r − 1),   L = −r·log σ(z) − (1 − r)·log σ(−z),   Δ = s_left − s_right

    Args:
        delta: [P] Δ, in nats of log-odds.
        result: r, the share of the win that goes to left: 1 won, 0 lost, .5 a tie; a number or [P].
        margin: m ≥ 0, by how much the winner should win; a number or [P]. It acts in favor of the side that
            won, and has no effect on a tie.

    Returns [P]. Raises ValueError for other shapes, or a number outside its range (tensors are not
    read, so that no device has to wait).
    Limits: Δ = m = 0 gives log 2; r = .5 is least at Δ = 0; Δ → ∞ with r = 1 gives 0.
    Bradley & Terry 1952; with the margin Touvron et al. 2023 (Llama 2) §3.2.2.
    """
    expect_rank(1, delta=delta)
    for name, value, high in (("result", result, 1.0), ("margin", margin, float("inf"))):
        if isinstance(value, Tensor):
            expect_same_shape(**{"delta": delta, name: value})
        elif not 0 <= value <= high:
            raise ValueError(f"{name} must be from 0 to {high:g}, got {value}")
    z = delta - margin * (2 * result - 1)
    return -(result * F.logsigmoid(z) + (1 - result) * F.logsigmoid(-z))


def all_pairs(K: int) -> Tensor:
    """The C(K, 2) pairs (i, j) with i < j of K responses, in lexicographic order: [C(K, 2), 2]."""
    if K < 2:
        raise ValueError(f"a pair needs two responses or more, got {K}")
    return torch.combinations(torch.arange(K))


def pair_weights(item_of: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weights normalized so that the outcomes of one item sum to one.

        w'_p = w_p / Σ_q [item_q = item_p]·w_q,   so 1/C(K, 2) each for all pairs of one ranking

    Args:
        item_of: [P] integers from 0: the item that outcome p belongs to.
        weight: [P] ≥ 0, with a positive sum over each item; 1 each by default.

    Returns [P]. Raises ValueError for other shapes.
    Ouyang et al. 2022 §3.5: a prompt with many answers must not count as many prompts.
    """
    weight = torch.ones(item_of.shape, device=item_of.device) if weight is None else weight
    expect_rank(1, item_of=item_of)
    expect_same_shape(item_of=item_of, weight=weight)
    if item_of.numel() == 0:
        return weight
    totals = weight.new_zeros(int(item_of.max()) + 1).index_add(0, item_of, weight)
    return weight / totals[item_of]


def centering(scores: Tensor, item_of: Tensor) -> Tensor:
    """A pull of each item's mean score towards zero, which fixes the constant that comparisons leave free.

        L = (2/K · Σ_i s_i)²,   so (s_w + s_l)² of a pair

    Args:
        scores: [R]. item_of: [R] integers from 0: the item that each response belongs to.

    Returns [I], 0 for an item without a response. All scores of an item have the same gradient, whatever K, so no
    margin shrinks: the mean of (s_i + s_j)² over the pairs of a ranking would pull its scores together.
    Eisenstein et al. 2023 (arXiv:2312.09244) §3, for pairs.
    """
    expect_rank(1, scores=scores)
    expect_same_shape(scores=scores, item_of=item_of)
    if item_of.numel() == 0:
        return scores
    items = int(item_of.max()) + 1
    sums = scores.new_zeros(items).index_add(0, item_of, scores)
    counts = torch.bincount(item_of, minlength=items).clamp(min=1)
    return (2 * sums / counts).square()


def length_normalize(totals: Tensor, lengths: Tensor, *, power: float = 1.0) -> Tensor:
    """Sums over the tokens of a response made comparable between lengths.

        s' = s / n^power

    Args:
        totals: [R] sums over tokens, or scores to be read as such.
        lengths: [R] n ≥ 1, tokens per response.
        power: 1 is the mean per token, .5 keeps the spread of a sum of independent terms equal,
            0 changes nothing.

    Returns [R]. Raises ValueError for other shapes.
    A model fitted on s' must be used through s': its bare s = s'·n^power grows with length.
    """
    expect_rank(1, totals=totals, lengths=lengths)
    expect_same_shape(totals=totals, lengths=lengths)
    return totals / lengths.to(totals.dtype).pow(power)
