"""Strength of models from judgements of their answers: Bradley–Terry with intervals over items.

Rankings are taken apart into pairs of weight 1 / C(K, 2), so that a judgement weighs one whatever K is. Under
Plackett–Luce the pairs of a ranking follow Bradley–Terry with the same strengths, so both estimate the same; pairs
also take ties and are no worse off where a ranking is not Plackett–Luce. The pairs of one ranking, and the rankings
of one item, hang together: the interval draws items, and so needs no independence among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from plaudit import intervals
from plaudit.feedback.quality.bootstrap import RESAMPLES, Estimate, pooled, resampled, summed
from plaudit.feedback.quality.pairs import SECOND, TIE, AnswerPairs
from plaudit.feedback.quality.records import RatedAnswer

TieModel = Literal["half", "davidson"]
PRIOR = 0.5
STEPS = 60
MOST_ETA = 15.0


@dataclass(frozen=True, slots=True)
class Strengths:
    """Models, strongest first, [M], and the counts behind them, [M, M]."""

    models: tuple[str, ...]
    log_odds: tuple[Estimate, ...]  # mean 0 over models
    win_rate: tuple[Estimate, ...]  # expected against another model drawn at random
    wins: np.ndarray  # judgements in which row beat column; a ranking counts by the weight of its pairs
    ties: np.ndarray
    compared: np.ndarray  # comparisons of row with column, each pair of a ranking as one
    group: tuple[
        int, ...
    ]  # models of one group reach each other by chains of wins; others' distance is the prior's

    def observed(self) -> np.ndarray:
        """The share of judgements that row won against column, ties as half; NaN where they never met: [M, M]."""
        with np.errstate(invalid="ignore"):
            return (self.wins + self.ties / 2) / (self.wins + self.wins.T + self.ties)


def bradley_terry(
    wins: np.ndarray, ties: np.ndarray | None = None, *, prior: float = 0.0, tie_model: TieModel = "half"
) -> np.ndarray:
    """Log-strengths θ [..., M] of win counts [..., M, M] and symmetric tie counts, mean 0.

        P(i beats j) = σ(θ_i − θ_j)                                                     (ties count as half a win each)
        P(i beats j) ∝ e^θ_i,  P(j beats i) ∝ e^θ_j,  P(tie) ∝ e^{η + (θ_i + θ_j) / 2}  (tie_model="davidson")

    The maximum of log-likelihood + prior · Σ_i [log σ(θ_i) + log σ(−θ_i)]: each model has besides won and lost
    ``prior`` comparisons with an average one. Without a prior, all NaN unless each model can be reached from each
    other one by a chain of wins, since otherwise some ratio has no finite maximum (Ford 1957). Bradley & Terry 1952;
    Davidson 1970. Raises ValueError for other shapes and a negative prior.
    """
    won = np.asarray(wins, dtype=float)
    tied = np.zeros_like(won) if ties is None else np.asarray(ties, dtype=float)
    if won.ndim < 2 or won.shape[-1] != won.shape[-2] or won.shape != tied.shape:
        raise ValueError(f"wins {won.shape} and ties {tied.shape} must be [..., models, models]")
    if prior < 0:
        raise ValueError(f"prior {prior} is negative")
    shape, size = won.shape[:-1], won.shape[-1]
    won, tied = won.reshape(-1, size, size), tied.reshape(-1, size, size)
    found = np.full(won.shape[:2], math.nan)
    finite = np.asarray([prior > 0 or _strong(w + t) for w, t in zip(won, tied)], dtype=bool)
    found[finite] = _newton(won[finite], tied[finite], prior, tie_model == "davidson")
    return found.reshape(shape)


def _newton(won: np.ndarray, tied: np.ndarray, prior: float, davidson: bool) -> np.ndarray:
    """Newton's method for all resamples at once; the likelihood is concave, steps are capped."""
    resamples, size, _ = won.shape
    met = won + won.transpose(0, 2, 1) + tied
    score = (won + tied / 2).sum(axis=2)
    tie_total = tied.sum(axis=(1, 2)) / 2
    theta, eta = np.zeros((resamples, size)), np.zeros(resamples)
    some = davidson & (tie_total > 0)
    for _ in range(STEPS):
        gap = theta[:, :, None] - theta[:, None, :]
        tie = np.where(some, np.exp(eta), 0.0)[:, None, None]
        whole = np.exp(gap / 2) + np.exp(-gap / 2) + tie
        p_win, p_tie = np.exp(gap / 2) / whole, tie / whole
        expected = p_win + p_tie / 2
        own = 1 / (1 + np.exp(-theta))
        gradient = score - (met * expected).sum(axis=2) + prior * (1 - 2 * own)
        # Var of a comparison's score: 1, ½ or 0 points.
        curve = met * (p_win + p_tie / 4 - expected**2)
        information = -curve
        diagonal = curve.sum(axis=2) + 2 * prior * own * (1 - own)
        information[:, np.arange(size), np.arange(size)] += diagonal
        # Strengths are known up to a constant without a prior: this pins their mean and moves nothing else.
        information += 0.0 if prior else 1 / size
        if davidson:
            cross = (met * p_tie * (0.5 - expected)).sum(axis=2)
            information, gradient = _with_ties(information, gradient, cross, met, p_tie, tie_total, some)
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        theta += step[:, :size]
        if davidson:
            # Where all comparisons tie, η has no maximum; θ is long settled at this bound.
            eta = np.clip(eta + step[:, size], -MOST_ETA, MOST_ETA)
        if np.abs(step).max(initial=0) < 1e-10:
            break
    centered: np.ndarray = theta - theta.mean(axis=1, keepdims=True)
    return centered


def _with_ties(
    information: np.ndarray,
    gradient: np.ndarray,
    cross: np.ndarray,
    met: np.ndarray,
    p_tie: np.ndarray,
    tie_total: np.ndarray,
    some: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Information and gradient with η as the last parameter; without ties η stays fixed."""
    resamples, size = gradient.shape
    wide = np.zeros((resamples, size + 1, size + 1))
    wide[:, :size, :size] = information
    wide[:, :size, size] = wide[:, size, :size] = np.where(some[:, None], cross, 0.0)
    wide[:, size, size] = np.where(some, (met * p_tie * (1 - p_tie)).sum(axis=(1, 2)) / 2, 1.0)
    last = np.where(some, tie_total - (met * p_tie).sum(axis=(1, 2)) / 2, 0.0)
    return wide, np.concatenate([gradient, last[:, None]], axis=1)


def _strong(won: np.ndarray) -> bool:
    """Whether a chain of wins (or ties) leads from each model to each other."""
    return int(connected_components(csr_array(won > 0), connection="strong", return_labels=False)) == 1


def expected_win_rate(theta: np.ndarray) -> np.ndarray:
    """Mean over the other models of σ(θ_i − θ_j): [..., M] → [..., M]. NaN for one model."""
    size = theta.shape[-1]
    gap = theta[..., :, None] - theta[..., None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate: np.ndarray = ((1 / (1 + np.exp(-gap))).sum(axis=-1) - 0.5) / (size - 1)
    return rate


def strengths(
    pairs: AnswerPairs,
    answers: Sequence[RatedAnswer],
    *,
    prior: float = PRIOR,
    tie_model: TieModel = "half",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Strengths | None:
    """Bradley–Terry strengths of the models behind ``pairs``, whose answers are numbered as in ``answers``.

    Pairs within one model, and answers of unknown models, say nothing and do not enter. ``prior`` as in
    ``bradley_terry``; its pull towards the average goes with prior / judgements, and it keeps values and intervals
    finite where a model has only won or only lost. With ``prior=0`` those are NaN. None where fewer than two models
    met.
    """
    names = sorted({a.model for a in answers if a.model is not None})
    number = {name: i for i, name in enumerate(names)}
    of = np.asarray([-1 if a.model is None else number[a.model] for a in answers], dtype=int)
    first, second = of[pairs.first], of[pairs.second]
    used = pairs.where((first >= 0) & (second >= 0) & (first != second))
    if not len(used):
        return None
    met, place = np.unique(of[np.stack([used.first, used.second])], return_inverse=True)
    size, (left, right) = len(met), place.reshape(2, -1)
    by_item, cells = _by_item(used, left, right, size, seed)

    def unfold(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whole = np.zeros((len(sums), 2 * size * size))
        whole[:, cells] = sums
        wins, ties = whole.reshape(-1, 2, size, size).transpose(1, 0, 2, 3)
        return wins, ties + ties.transpose(0, 2, 1)

    wins, ties = unfold(by_item.sum(axis=0)[None])
    value = bradley_terry(wins, ties, prior=prior, tie_model=tie_model)[0]
    drawn = np.full((1, size), math.nan)
    if len(by_item) > 1 and resamples and np.isfinite(value).all():
        sums = resampled(by_item, resamples=resamples, seed=seed)
        drawn = bradley_terry(*unfold(sums), prior=prior, tie_model=tie_model)
    compared = np.bincount(left * size + right, minlength=size * size).reshape(size, size)
    group = connected_components(csr_array(wins[0] + ties[0] > 0), connection="strong")[1]
    items = [len(np.unique(used.item[(left == m) | (right == m)])) for m in range(size)]
    rate, rate_drawn = expected_win_rate(value), expected_win_rate(drawn)
    order = np.argsort(-value, kind="stable")
    across = np.ix_(order, order)
    return Strengths(
        models=tuple(names[met[m]] for m in order),
        log_odds=tuple(_interval(value[m], drawn[:, m], items[m]) for m in order),
        win_rate=tuple(_interval(rate[m], rate_drawn[:, m], items[m]) for m in order),
        wins=wins[0][across],
        ties=ties[0][across],
        compared=(compared + compared.T)[across],
        group=tuple(int(n) for n in _renumbered(group[order])),
    )


def _renumbered(group: np.ndarray) -> np.ndarray:
    """Groups numbered from 0 in the order in which they first occur."""
    _, start, place = np.unique(group, return_index=True, return_inverse=True)
    renumbered: np.ndarray = np.argsort(np.argsort(start))[place]
    return renumbered


def _by_item(
    used: AnswerPairs, left: np.ndarray, right: np.ndarray, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights per item and cell [I, C], and which cells [C]: wins of row over column, then ties, flattened."""
    won, lost = np.where(used.verdict == SECOND, right, left), np.where(used.verdict == SECOND, left, right)
    low, high = np.minimum(left, right), np.maximum(left, right)
    cell = np.where(used.verdict == TIE, (size + low) * size + high, won * size + lost)
    cells, column = np.unique(cell, return_inverse=True)
    item = pooled(np.unique(used.item, return_inverse=True)[1], seed=seed)
    items = int(item.max()) + 1
    flat = summed(used.weight[:, None], item * len(cells) + column, items * len(cells))
    return flat.reshape(items, len(cells)), cells


def _interval(value: float, drawn: np.ndarray, n: int) -> Estimate:
    if not np.isfinite(drawn).all():
        return Estimate(float(value), math.nan, math.nan, n)
    low, high = np.quantile(drawn, intervals.bootstrap_quantiles(max(2, n)))
    return Estimate(float(value), float(low), float(high), n)
