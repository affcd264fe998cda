"""The Plackett–Luce likelihood of rankings, with ties, over ragged batches.

A ranking is a list of groups of response indices, best first; a group of several is a tie. It is
built stage by stage: at each stage a group is chosen before all that come after it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.objectives.checks import expect_rank

Groups = Sequence[Sequence[int]]
Ties = Literal["unknown_order", "equal"]

EXACT_TIES = 8
"""The largest tied group that is summed exactly, over its 2^m subsets; larger ones are approximated."""


def plackett_luce(scores: Tensor, groups: Groups, *, ties: Ties = "unknown_order") -> Tensor:
    """The negative log-likelihood of one ranking of K responses; see ``plackett_luce_batch``.

    Args:
        scores: [K].
        groups: indices 0..K−1, each once, best group first.

    Returns a scalar. Raises ValueError where the groups are not a ranking of all K.
    """
    expect_rank(1, scores=scores)
    if sorted(i for group in groups for i in group) != list(range(len(scores))):
        raise ValueError(f"groups must name each of 0..{len(scores) - 1} once, got {groups}")
    return plackett_luce_batch(scores, [groups], ties=ties).squeeze(0)


def plackett_luce_batch(
    scores: Tensor, rankings: Sequence[Groups], *, ties: Ties = "unknown_order"
) -> Tensor:
    """The negative log-likelihood of each ranking: which group is chosen from all that remain.

        L = Σ_i −log (e^{s_i} / Σ_{j not before i} e^{s_j})          without ties

    ``ties`` says what a group G of m responses means, with A the members already placed,
    W the e^s of all after G, and D(A) = log(W + Σ_{G∖A} e^s):

    - ``unknown_order``: they were ranked, but the order among them is not known. Its m! orders are
      summed: L_G = −log Σ_orders Π e^{s_i − D(A_i)}. Nothing is said of the members' difference;
      the last group costs nothing.
    - ``equal``: they were judged alike. The loss is the mean over the m! orders:
      L_G = Σ_{A⊊G} D(A)/C(m, |A|) − Σ_G s, which pulls tied scores together. For K = 2 it is
      ``bradley_terry`` with result .5.

    Both are exact for m ≤ ``EXACT_TIES``. Beyond, every subset of one size is given the mean weight,
    D_k = log(W + (1 − k/m)·Σ_G e^s) (Efron's approximation; exact where the tied scores are equal).

    Args:
        scores: [R], of all responses in the batch.
        rankings: per ranking its groups of indices into ``scores``, best first; any number of each.
        ties: as above.

    Returns one number per ranking, in nats; it grows with K (log K! at equal scores).
    Raises ValueError for another rank, an index out of range or repeated, an empty group.
    Limits: K = 2 without a tie is ``bradley_terry(s_first − s_second)``; e^−L sums to 1 over all
    orders; adding a constant to the scores of a ranking changes nothing.
    Plackett 1975; Luce 1959; Efron 1977 §5 for ties.
    """
    expect_rank(1, scores=scores)
    if ties not in ("unknown_order", "equal"):
        raise ValueError(f"ties must be 'unknown_order' or 'equal', got {ties!r}")
    stages: dict[int, list[tuple[int, list[int], list[int]]]] = defaultdict(list)
    for number, groups in enumerate(rankings):
        _check(groups, len(scores))
        after: list[int] = []
        for group in reversed(groups):
            if after or (ties == "equal" and len(group) > 1):
                stages[len(group)].append((number, list(group), list(after)))
            after += group
    total = scores.new_zeros(len(rankings))
    for size in sorted(stages):
        rows = stages[size]
        members = scores[torch.tensor([group for _, group, _ in rows], device=scores.device)]
        rest = _log_weight(scores, [after for _, _, after in rows])
        values = _tied(members, rest, ties) if size > 1 else -F.logsigmoid(members.squeeze(1) - rest)
        total = total.index_add(0, torch.tensor([n for n, _, _ in rows], device=scores.device), values)
    return total


def _check(groups: Groups, size: int) -> None:
    named = [i for group in groups for i in group]
    if not all(len(group) for group in groups):
        raise ValueError(f"a ranking must not hold an empty group, got {groups}")
    if len(set(named)) != len(named) or not all(0 <= i < size for i in named):
        raise ValueError(f"a ranking must name indices below {size} at most once each, got {groups}")


def _log_weight(scores: Tensor, indices: Sequence[Sequence[int]]) -> Tensor:
    """log Σ e^s over each ragged row of indices; −∞ for an empty one."""
    width = max(1, max(len(row) for row in indices))
    table = [[*row, *[0] * (width - len(row))] for row in indices]
    lengths = torch.tensor([len(row) for row in indices], device=scores.device)
    present = torch.arange(width, device=scores.device) < lengths[:, None]
    gathered = scores[torch.tensor(table, device=scores.device)]
    # An empty row is computed on finite stand-ins and replaced after: −∞ alone would give NaN gradients.
    empty = lengths == 0
    sums = gathered.masked_fill(~(present | empty[:, None]), -math.inf).logsumexp(1)
    return sums.masked_fill(empty, -math.inf)


def _tied(members: Tensor, rest: Tensor, ties: Ties) -> Tensor:
    """The loss of S tied groups of m members [S, m] against the log-weight of what follows [S]."""
    # Only differences count; without the shift, large scores would eat the digits of the sum.
    shift = members.detach().amax(1)
    members, rest = members - shift[:, None], rest - shift
    size = members.shape[1]
    if size > EXACT_TIES:
        share = torch.arange(size, 0, -1, device=members.device, dtype=members.dtype) / size
        denominators = torch.logaddexp(rest[:, None], members.logsumexp(1)[:, None] + share.log())
        loss = denominators.sum(1) - members.sum(1)
        return loss - math.lgamma(size + 1) if ties == "unknown_order" else loss
    levels = [
        _denominators(members, rest, torch.tensor(left, device=members.device)) for left in _subsets(size)[1:]
    ]
    levels.reverse()  # by how many are placed: 0 … m − 1
    if ties == "equal":
        return torch.stack([level.mean(1) for level in levels]).sum(0) - members.sum(1)
    # reached[A] = log Σ over the orders of A of Π e^{−D}: a walk through the subsets by size.
    reached = torch.zeros_like(rest)[:, None]
    for level, before in zip(levels, _predecessors(size)):
        steps = (reached - level)[:, torch.tensor(before, device=members.device)]
        reached = steps.logsumexp(2)
    return -(members.sum(1) + reached.squeeze(1))


def _denominators(members: Tensor, rest: Tensor, left: Tensor) -> Tensor:
    """D for every choice ``left`` [C, k] of members not yet placed: [S, C]."""
    return torch.logaddexp(rest[:, None], members[:, left].logsumexp(2))


@lru_cache(maxsize=EXACT_TIES + 1)
def _subsets(size: int) -> list[list[tuple[int, ...]]]:
    """The subsets of 0..size−1 by their number of members."""
    return [list(combinations(range(size), k)) for k in range(size + 1)]


@lru_cache(maxsize=EXACT_TIES + 1)
def _predecessors(size: int) -> list[list[list[int]]]:
    """For k = 1 … size: of every placed set of k, where its k predecessors lie in the level before.

    The levels of D list the sets *left*, in lexicographic order; the placed set is the complement.
    """
    everything = set(range(size))
    placed = [
        [frozenset(everything - set(left)) for left in _subsets(size)[size - k]] for k in range(size + 1)
    ]
    where = [{subset: i for i, subset in enumerate(level)} for level in placed]
    return [
        [[where[k - 1][subset - {i}] for i in sorted(subset)] for subset in placed[k]]
        for k in range(1, size + 1)
    ]
