"""Agreement of every two labelers, on the pairs of answers that both judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plaudit.feedback.quality.bootstrap import RESAMPLES, Estimate, proportion, summed
from plaudit.feedback.quality.pairs import TIE, AnswerPairs


@dataclass(frozen=True, slots=True)
class Meetings:
    """Two labelers, a < b, on one item: [N] each; ``says`` [N, 5] adds up the weights of the item's pairs that
    both decided alike, both decided differently, both tied, only a tied, only b tied.
    """

    a: np.ndarray
    b: np.ndarray
    item: np.ndarray
    says: np.ndarray

    def each(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """For every two labelers who met: both, and their rows of ``says``, one for each item."""
        if not len(self.a):
            return
        starts = np.flatnonzero(np.append(True, (np.diff(self.a) != 0) | (np.diff(self.b) != 0)))
        for start, stop in zip(starts, np.append(starts[1:], len(self.a))):
            yield int(self.a[start]), int(self.b[start]), self.says[start:stop]

    def agreement_of(self, labeler: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """How often others agree with one labeler, over pairs that both decided; each other labeler is one voice."""
        mine = (self.a == labeler) | (self.b == labeler)
        says, item = self.says[mine], self.item[mine]
        decided = says[:, :2].sum(axis=1) > 0
        names, place = np.unique(item[decided], return_inverse=True)
        rows = np.stack([says[:, 0], says[:, 0] + says[:, 1]], axis=1)[decided]
        return proportion(summed(rows, place, len(names)), resamples=resamples, seed=seed)


def meetings(pairs: AnswerPairs) -> Meetings:
    """All meetings in ``pairs``, which hold one judgement per labeler and item at most, by a, b and item."""
    order = np.lexsort((pairs.labeler, pairs.unit))
    unit, labeler = pairs.unit[order], pairs.labeler[order]
    verdict, weight, item = pairs.verdict[order], pairs.weight[order], pairs.item[order]
    starts = np.flatnonzero(np.append(True, np.diff(unit) != 0)) if len(unit) else np.zeros(0, dtype=int)
    sizes = np.diff(np.append(starts, len(unit)))
    lefts, rights = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    # Units with the same number of labelers make one matrix.
    for size in np.unique(sizes[sizes > 1]):
        i, j = np.triu_indices(size, 1)
        first = starts[sizes == size][:, None]
        lefts.append((first + i).ravel())
        rights.append((first + j).ravel())
    left, right = np.concatenate(lefts), np.concatenate(rights)
    a_ties, b_ties = verdict[left] == TIE, verdict[right] == TIE
    same = verdict[left] == verdict[right]
    kind = np.select([same & ~a_ties, ~a_ties & ~b_ties, same, a_ties], [0, 1, 2, 3], 4)
    key = np.stack([labeler[left], labeler[right], item[left]])
    # One row for each (a, b, item).
    rank = np.lexsort(key[::-1])
    sorted_key = key[:, rank]
    new = np.append(True, (np.diff(sorted_key) != 0).any(axis=0)) if len(rank) else np.zeros(0, dtype=bool)
    place = np.cumsum(new) - 1
    rows = int(new.sum())
    flat = np.bincount(place * 5 + kind[rank], weights=weight[left][rank], minlength=5 * rows)
    a, b, met = sorted_key[:, new]
    return Meetings(a, b, met, flat.reshape(rows, 5))


def kappa_of_says(sums: np.ndarray) -> np.ndarray:
    """Cohen's κ of two labelers, sums [R, 5] as in ``Meetings``, whichever answer is called first: [R].

        κ = (A − P_e) / (1 − P_e),   P_e = t_a t_b + (1 − t_a)(1 − t_b) / 2

    t is how often each ties. Which of two answers is the first is a matter of naming, so by chance a decision goes
    either way with one half: the κ of the table and its mirror image together. NaN where both always tie.
    """
    whole = sums.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        agreed = (sums[:, 0] + sums[:, 2]) / whole
        t_a, t_b = (sums[:, 2] + sums[:, 3]) / whole, (sums[:, 2] + sums[:, 4]) / whole
        chance = t_a * t_b + (1 - t_a) * (1 - t_b) / 2
        kappa: np.ndarray = (agreed - chance) / (1 - chance)
    return kappa


def alike_of_says(says: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The share that two labelers decided alike of what both decided, rows [N, 5] as in ``Meetings``."""
    rows = np.stack([says[:, 0], says[:, 0] + says[:, 1]], axis=1)
    return proportion(rows[rows[:, 1] > 0], resamples=resamples, seed=seed)
