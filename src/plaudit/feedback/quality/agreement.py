"""Inter-rater agreement, with intervals over items.

Most functions read ``counts`` [U, V]: how many raters gave unit u the value v (``rating_counts`` makes them from a
matrix of ratings). A unit is what is rated; units of one item (the pairs of one ranking) name it in ``items`` [U] and
share its weight in ``weights`` [U], because items were drawn and so items are drawn again. Units with one rating say
nothing about agreement and do not enter; ``n`` of the result is the number of items that do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from plaudit.feedback.quality.bootstrap import RESAMPLES, Estimate, estimate, proportion, ratio, summed

Ties = Literal["excluded", "half", "category"]
Level = Literal["nominal", "ordinal", "interval", "ratio"]


def rating_counts(ratings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ratings [raters, U], NaN where missing, as counts [U, V] of the V different values, in ascending order.

    Returns counts and values [V]. Raises ValueError for another shape.
    """
    matrix = np.asarray(ratings, dtype=float)
    if matrix.ndim != 2:
        raise ValueError(f"ratings must be [raters, units], got {matrix.shape}")
    values = np.unique(matrix[~np.isnan(matrix)])
    return (matrix[:, :, None] == values).sum(axis=0).astype(float), values


def agreeing_pairs(counts: np.ndarray, ties: Ties = "category") -> np.ndarray:
    """How many pairs of raters agree, and how many there are, per unit: [U, 2].

    ``category``: agreement is the same value, whatever the values are. ``excluded`` and ``half`` read counts of
    (first, tie, second): two raters who both decided are compared, or a tie agrees by half with a decision.
    """
    n = counts.sum(axis=1)
    same, pairs = (counts * (counts - 1)).sum(axis=1) / 2, n * (n - 1) / 2
    if ties == "category":
        return np.stack([same, pairs], axis=1)
    if counts.shape[1] != 3:
        raise ValueError(f"verdicts are (first, tie, second), got {counts.shape[1]} values")
    tied = counts[:, 1]
    decided = n - tied
    if ties == "half":
        return np.stack([same + tied * decided / 2, pairs], axis=1)
    return np.stack([same - tied * (tied - 1) / 2, decided * (decided - 1) / 2], axis=1)


def mirrored(counts: Any, weights: Any, items: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Verdicts (first, tie, second) [U, 3] beside their mirror image, at half the weight each: [2U, 3].

    For pairs of answers whose naming as first and second is arbitrary: chance-corrected measures then do not depend
    on it. Agreement itself stays as it is.
    """
    table, weight = np.asarray(counts, dtype=float), np.asarray(weights, dtype=float) / 2
    return np.concatenate([table, table[:, ::-1]]), np.tile(weight, 2), np.tile(np.asarray(items), 2)


def _checked(counts: Any, weights: Any, items: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, weights and items of the units that two or more raters rated."""
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or (table < 0).any():
        raise ValueError(f"counts must be [units, values] and not negative, got {table.shape}")
    units = len(table)
    weight = np.ones(units) if weights is None else np.asarray(weights, dtype=float)
    item = np.arange(units) if items is None else np.asarray(items)
    if len(weight) != units or len(item) != units:
        raise ValueError(f"{units} units, but {len(weight)} weights and {len(item)} items")
    rated = table.sum(axis=1) >= 2
    return table[rated], weight[rated], item[rated]


def _by_item(rows: np.ndarray, weights: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Rows of units [U, C], weighted and added up within each item."""
    names, place = np.unique(items, return_inverse=True)
    return summed(rows * weights[:, None], place, len(names))


def pairwise_agreement(
    counts: Any,
    *,
    ties: Ties = "excluded",
    weights: Any = None,
    items: Any = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The share of pairs of raters that agree, over all units.

        A = Σ_u w_u · agreeing_u / Σ_u w_u · C(n_u, 2)

    ``ties``: see ``agreeing_pairs``. Two raters who toss a coin agree in half of the decided units.
    ``n`` is the number of items with a comparison. NaN where there is none.
    """
    table, weight, item = _checked(counts, weights, items)
    rows = agreeing_pairs(table, ties)
    compared = rows[:, 1] > 0
    by_item = _by_item(rows[compared], weight[compared], item[compared])
    return proportion(by_item, resamples=resamples, seed=seed)


def fleiss_kappa(
    counts: Any,
    *,
    weights: Any = None,
    items: Any = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Agreement beyond chance, where chance draws from the pooled ratings of all raters.

        κ = (A − P_e) / (1 − P_e),   P_e = Σ_v p_v²,   p_v = Σ_u n_uv / Σ_u n_u

    With n raters for every unit this is Fleiss 1971. With unequal numbers A pools the pairs of raters
    (``pairwise_agreement`` with ``ties="category"``) and p pools the ratings, so a unit with more raters counts for
    more. NaN where only one value occurs.
    """

    def chance(shares: np.ndarray) -> np.ndarray:
        return np.square(shares).sum(axis=1)

    return _beyond_chance(chance, counts, weights, items, resamples, seed)


def gwet_ac1(
    counts: Any,
    *,
    weights: Any = None,
    items: Any = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Agreement beyond chance that stays high where nearly all ratings are one value.

        AC1 = (A − P_e) / (1 − P_e),   P_e = Σ_v p_v (1 − p_v) / (V − 1)

    A and p as in ``fleiss_kappa``; V is the number of columns, so a value that nobody gave must have its column if
    it could have been given. NaN for V = 1. Gwet 2008.
    """

    def chance(shares: np.ndarray) -> np.ndarray:
        return (shares * (1 - shares)).sum(axis=1) / (shares.shape[1] - 1)

    return _beyond_chance(chance, counts, weights, items, resamples, seed)


def _beyond_chance(
    chance: Callable[[np.ndarray], np.ndarray],
    counts: Any,
    weights: Any,
    items: Any,
    resamples: int,
    seed: int,
) -> Estimate:
    table, weight, item = _checked(counts, weights, items)

    def statistic(sums: np.ndarray) -> np.ndarray:
        observed = ratio(sums)
        expected = chance(sums[:, 2:] / sums[:, 2:].sum(axis=1, keepdims=True))
        return (observed - expected) / (1 - expected)

    rows = np.concatenate([agreeing_pairs(table), table], axis=1)
    return estimate(statistic, _by_item(rows, weight, item), resamples=resamples, seed=seed)


def krippendorff_alpha(
    counts: Any,
    *,
    level: Level = "nominal",
    values: Any = None,
    weights: Any = None,
    items: Any = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's α: one minus observed over expected disagreement. Any number of raters, ratings may be missing.

        α = 1 − (N − 1) · Σ_cd o_cd δ_cd / Σ_cd n_c n_d δ_cd,
        o_cd = Σ_u w_u n_uc (n_ud − [c = d]) / (n_u − 1),   n_c = Σ_d o_cd,   N = Σ_c n_c

    Args:
        counts: [U, V], columns in ascending order of value.
        level: δ is [c ≠ d] (nominal), (r_c − r_d)² of the mid-ranks of all values given (ordinal), (c − d)²
            (interval), or ((c − d) / (c + d))² (ratio).
        values: [V] the values of the columns; interval and ratio need them, ratio not below zero.

    NaN where only one value occurs. Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    table, weight, item = _checked(counts, weights, items)
    size = table.shape[1]
    first, second = np.triu_indices(size, 1)
    crossed = 2 * table[:, first] * table[:, second] / (table.sum(axis=1, keepdims=True) - 1)
    if level == "ordinal":
        rows = np.concatenate([crossed, table], axis=1)
    else:
        distance = _distances(level, size, values)
        rows = np.concatenate([(crossed @ distance[first, second])[:, None], table], axis=1)

    def statistic(sums: np.ndarray) -> np.ndarray:
        given = sums[:, -size:]
        total = given.sum(axis=1)
        if level == "ordinal":
            middle = given.cumsum(axis=1) - given / 2
            apart = np.square(middle[:, first] - middle[:, second])
            observed = (sums[:, :-size] * apart).sum(axis=1)
            expected = 2 * (given[:, first] * given[:, second] * apart).sum(axis=1)
        else:
            observed = sums[:, 0]
            expected = ((given @ distance) * given).sum(axis=1)
        return 1 - (total - 1) * observed / expected

    return estimate(statistic, _by_item(rows, weight, item), resamples=resamples, seed=seed)


def _distances(level: Level, size: int, values: Any) -> np.ndarray:
    """δ [V, V] for the levels at which it does not depend on what was given."""
    if level == "nominal":
        return 1 - np.eye(size)
    if values is None or len(values) != size:
        raise ValueError(f"level {level!r} needs the values of the {size} columns")
    v = np.asarray(values, dtype=float)
    apart, together = v[:, None] - v, v[:, None] + v
    if level == "interval":
        return np.square(apart)
    if level != "ratio":
        raise ValueError(f"level must be nominal, ordinal, interval or ratio, got {level!r}")
    if (v < 0).any():
        raise ValueError("values on a ratio scale are not negative")
    return np.square(np.divide(apart, together, out=np.zeros_like(apart), where=together > 0))


def kappa_of_tables(tables: np.ndarray, weights: Literal["linear", "quadratic"] | None = None) -> np.ndarray:
    """Cohen's κ of tables [..., V, V] of how often the two raters gave (row, column): [...]."""
    size = tables.shape[-1]
    steps = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(float)
    cost = {None: (steps > 0).astype(float), "linear": steps, "quadratic": steps**2}[weights]
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    expected = np.einsum("...i,ij,...j->...", rows, cost, columns) / tables.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - (tables * cost).sum(axis=(-2, -1)) / expected


def cohen_kappa(
    a: Any,
    b: Any,
    *,
    weights: Literal["linear", "quadratic"] | None = None,
    values: Any = None,
    items: Any = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Cohen's κ of two raters, [U] each, NaN where missing; units that both rated enter.

        κ = 1 − Σ_ij c_ij o_ij / Σ_ij c_ij e_ij,   e_ij = o_i· o_·j / N

    c is [i ≠ j], or with ``weights`` |i − j| or (i − j)² of the places of the values in ``values`` (by default those
    that occur, ascending). NaN where both gave one and the same value only. Cohen 1960, 1968.
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"ratings {left.shape} and {right.shape} must be two vectors of one length")
    both = ~(np.isnan(left) | np.isnan(right))
    item = (np.arange(len(left)) if items is None else np.asarray(items))[both]
    seen = np.concatenate([left[both], right[both]])
    scale = np.unique(seen) if values is None else np.asarray(values, dtype=float)
    if not np.isin(seen, scale).all():
        raise ValueError("a rating is not among the values given")
    size = len(scale)
    cells = (left[both][:, None] == scale)[:, :, None] & (right[both][:, None] == scale)[:, None, :]

    def statistic(sums: np.ndarray) -> np.ndarray:
        return kappa_of_tables(sums.reshape(-1, size, size), weights)

    rows = cells.reshape(len(item), size * size).astype(float)
    return estimate(statistic, _by_item(rows, np.ones(len(item)), item), resamples=resamples, seed=seed)
