"""The Plackett–Luce likelihood of rankings, with ties, over ragged batches.

A ranking is a list of groups of response indices, best first; a group of several is a tie. It is
built stage by stage: at each stage a group is chosen before all that come after it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.objectives.checks import expect_rank

Groups = Sequence[Sequence[int]]
Ties = Literal["unknown_order", "equal"]

EXACT_TIES = 8
"""The largest group judged equal that is averaged exactly, over its 2^m subsets."""


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

    ``ties`` says what a group G of m responses means. With W = Σ e^s over all after G, and
    D(A) = log(W + Σ_{G∖A} e^s) once the members A are placed:

    - ``unknown_order``: they were ranked, but the order among them is not known. The probabilities of
      its m! orders are added: L_G = −log Σ_orders Π_i e^{s_i − D(A_i)}. Nothing is said of the
      members' difference, and the last group costs nothing. Exact for any m.
    - ``equal``: they were judged alike. The costs of the m! orders are averaged:
      L_G = Σ_{A⊊G} D(A)/C(m, |A|) − Σ_G s, which pulls tied scores together. Exact for
      m ≤ ``EXACT_TIES``; beyond, D takes the mean weight of what is left,
      D_k = log(W + (1 − k/m)·Σ_G e^s), an upper bound that is exact where the tied scores are equal.

    Args:
        scores: [R], of all responses in the batch.
        rankings: per ranking its groups of indices into ``scores``, best first; any number of each.
        ties: as above.

    Returns one number per ranking, in nats; it grows with K (log K! at equal scores).
    Raises ValueError for another rank, an index out of range or repeated, an empty group.
    Limits: K = 2 without a tie is ``bradley_terry(s_first − s_second)``, with one judged equal it is
    that of result ½; e^−L sums to 1 over all orders; adding a constant to the scores changes nothing.
    Plackett 1975; Luce 1959; the mean weight of ties is Efron's, 1977.
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
        if size == 1:
            values = -F.logsigmoid(members.squeeze(1) - rest)
        elif ties == "unknown_order":
            values = _unknown_order(members, rest)
        else:
            values = _judged_equal(members, rest)
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


def _unknown_order(members: Tensor, rest: Tensor) -> Tensor:
    """The cost of S groups of m members [S, m] all coming before the rest, of log-weight [S], in any order.

    Plackett–Luce is the order in which clocks of rate e^s ring, so this is one integral over the time
    x = log(W·t) at which the first of the rest rings:
    P = ∫ e^{x − e^x} Π_i (1 − e^{−e^{y_i}}) dx,  y_i = s_i − log W + x.
    """
    # The integrand falls off doubly exponentially, where equal steps converge beyond double precision;
    # left of −40 lies less than e^−39 of it. Slow clocks of m members move its peak to log m and narrow
    # it to a width of 1/√m, which sets the end and the step.
    size = members.shape[1]
    step = min(0.2, 0.7 / math.sqrt(size + 1))
    end = math.log(size + 10 * math.sqrt(size) + 50)
    x = torch.arange(-40.0, end, step, device=members.device, dtype=members.dtype)
    y = (members - rest[:, None])[:, :, None] + x
    # log(1 − e^{−e^y}) is y − e^y/2 far on the left; the clamps keep unused branches finite.
    far = y - 0.5 * y.clamp(max=-15.0).exp()
    near = torch.log(-torch.expm1(-y.clamp(-15.0, 6.0).exp()))
    rung = torch.where(y < -15.0, far, near).sum(1)
    return -(rung + x - x.exp()).logsumexp(1) - math.log(step)


def _judged_equal(members: Tensor, rest: Tensor) -> Tensor:
    """The mean cost over all orders of S groups of m members [S, m] before the rest, of log-weight [S]."""
    size = members.shape[1]
    if size > EXACT_TIES:
        left = torch.arange(1, size + 1, device=members.device, dtype=members.dtype) / size
        denominators = torch.logaddexp(rest[:, None], members.logsumexp(1)[:, None] + left.log())
        return denominators.sum(1) - members.sum(1)
    costs = [
        torch.logaddexp(rest[:, None], members[:, torch.tensor(left)].logsumexp(2)).mean(1)
        for left in (list(combinations(range(size), k)) for k in range(1, size + 1))
    ]
    # Summed as differences: each stage costs what is left less one member's share.
    return torch.stack([cost - members.mean(1) for cost in costs]).sum(0)
