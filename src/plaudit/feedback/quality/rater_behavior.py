"""Rater behavior: position bias, length bias, ties, speed, self-consistency. Informative only: none blocks a labeler.

Each reads ``AnswerPairs`` (``pairs.pairs_of``) or one value per judgement with its item, and gives an interval over
items. Pairs weigh so that a judgement weighs one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plaudit.feedback.quality.bootstrap import (
    RESAMPLES,
    UNDEFINED,
    Estimate,
    estimate,
    proportion,
    ratio,
    summed,
)
from plaudit.feedback.quality.pairs import FIRST, SECOND, TIE, AnswerPairs

# Nobody reads 400 words a minute with care (Brysbaert 2019 puts silent reading at 238).
READING_WPM = 400


def share(
    part: Any,
    items: Any,
    whole: Any = None,
    *,
    less: float = 0.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Σ part / Σ whole − less over entries [N] of items [N], 0 ≤ part ≤ whole; ``whole`` is 1 each unless given."""
    top = np.asarray(part, dtype=float)
    rows = np.stack([top, np.ones_like(top) if whole is None else np.asarray(whole, dtype=float)], axis=1)
    names, place = np.unique(np.asarray(items)[rows[:, 1] > 0], return_inverse=True)
    by_item = summed(rows[rows[:, 1] > 0], place, len(names))
    found = proportion(by_item, resamples=resamples, seed=seed)
    return Estimate(found.value - less, found.low - less, found.high - less, found.n)


def tie_rate(pairs: AnswerPairs, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The share of pairs that are tied."""
    tied = pairs.weight * (pairs.verdict == TIE)
    return share(tied, pairs.item, pairs.weight, resamples=resamples, seed=seed)


def position_bias(pairs: AnswerPairs, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """How much more often than half the answer shown first is preferred to another: −½ to ½, 0 without bias.

        b = Σ w [shown first wins] / Σ w [decided] − ½,  over pairs that hold the answer shown first

    Each answer stands first equally often within a Latin square of orders, and in expectation in any random order;
    what is good about the answers then cancels. Other pairs of a ranking are left out: in a rotated order
    neighbors keep their order in all rotations but one, so quality would not cancel among them.
    """
    opening = (pairs.first_shown == 0) | (pairs.second_shown == 0)
    used = pairs.where(opening & (pairs.verdict != TIE))
    ahead = np.where(used.first_shown == 0, used.verdict == FIRST, used.verdict == SECOND)
    return share(used.weight * ahead, used.item, used.weight, less=0.5, resamples=resamples, seed=seed)


def _longer(pairs: AnswerPairs, words: Any) -> tuple[AnswerPairs, np.ndarray, np.ndarray]:
    """Decided pairs of different length, ln(longer / shorter), and whether the longer was preferred."""
    length = np.log(np.maximum(1, np.asarray(words, dtype=float)))
    gap = length[pairs.first] - length[pairs.second]
    chosen = (gap != 0) & (pairs.verdict != TIE)
    used, gap = pairs.where(chosen), gap[chosen]
    return used, np.abs(gap), (used.verdict == FIRST) == (gap > 0)


def longer_preferred(
    pairs: AnswerPairs, words: Any, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The share of decided pairs of different length in which the longer answer is preferred.

    ``words`` [A]: the length of each answer, numbered as in ``pairs``. A share above half need not be a bias:
    longer answers may be better.
    """
    used, _, longer = _longer(pairs, words)
    return share(used.weight * longer, used.item, used.weight, resamples=resamples, seed=seed)


def length_bias(pairs: AnswerPairs, words: Any, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """β of P(a preferred to b) = σ(β ln(words_a / words_b)), over decided pairs: log-odds per e-fold of length.

    ``words`` [A] as in ``longer_preferred``. Twice as long shifts the odds by the factor 2^β. No intercept, since a
    and b may be swapped. The interval moves β̂ by Σ score / Σ information of the items drawn (Kline & Santos 2012), one
    Newton step for each resample. NaN where the longer answer always or never wins: β is then unbounded.
    """
    used, gap, longer = _longer(pairs, words)
    if not len(used) or longer.all() or not longer.any():
        return UNDEFINED
    beta = 0.0
    for _ in range(100):
        p = 1 / (1 + np.exp(-beta * gap))
        score = used.weight * gap * (longer - p)
        information = used.weight * gap**2 * p * (1 - p)
        step = score.sum() / information.sum()
        beta += float(np.clip(step, -2.0, 2.0))
        if abs(step) < 1e-12:
            break
    names, place = np.unique(used.item, return_inverse=True)
    by_item = summed(np.stack([score, information], axis=1), place, len(names))
    return estimate(lambda sums: beta + ratio(sums), by_item, resamples=resamples, seed=seed)


def self_consistency(
    first: AnswerPairs, again: AnswerPairs, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The share of pairs decided both times that a labeler decided the same way when shown an item again.

    ``first`` holds one judgement per labeler and item at most. Ties are left out, as in ``pairwise_agreement``.
    """
    if not len(first) or not len(again):
        return UNDEFINED
    size = int(max(first.unit.max(), again.unit.max())) + 1
    before, after = first.labeler * size + first.unit, again.labeler * size + again.unit
    order = np.argsort(before)
    at = np.minimum(np.searchsorted(before[order], after), len(order) - 1)
    match = order[at]
    both = (before[match] == after) & (first.verdict[match] != TIE) & (again.verdict != TIE)
    same = first.verdict[match] == again.verdict
    weight = again.weight * both
    return share(weight * same, again.item, weight, resamples=resamples, seed=seed)


def too_quick(seconds: Any, shortest: Any) -> np.ndarray:
    """Whether a judgement took less time than the shortest of its answers takes to read at ``READING_WPM``."""
    quick: np.ndarray = np.asarray(seconds) < np.asarray(shortest) * 60 / READING_WPM
    return quick


def median(values: Any, items: Any, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The median of values [N] of items [N].

    Its interval is that of the share of values below the median, read off the values (Woodruff 1952): no median of
    a resample has to be found.
    """
    v = np.asarray(values, dtype=float)
    if not len(v):
        return UNDEFINED
    middle = float(np.median(v))
    below = share((v < middle) + (v == middle) / 2, items, resamples=resamples, seed=seed)
    # One item shows nothing of how items differ.
    if below.n < 2 or not math.isfinite(below.low):
        return Estimate(middle, math.nan, math.nan, below.n)
    shares = np.clip([below.low - below.value + 0.5, below.high - below.value + 0.5], 0, 1)
    low, high = np.quantile(v, shares)
    return Estimate(middle, float(low), float(high), below.n)
