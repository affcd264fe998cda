"""Accuracy and calibration of a reward model on judgements, with the "longer wins" baseline.

Throughout, ``delta`` [N] is score(left) − score(right), ``outcome`` [N] is the share of the win that went to
left (1 won, 0 lost, ½ tie), and ``longer`` [N] is length(left) − length(right).

Accuracy counts only decided pairs: a tie has no winner. A prediction of exact equality counts half. Calibration
includes ties, as the outcome ½.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.evaluation.statistics import Interval

CELLS = 1_000_000  # outcomes drawn at once


def _correctness(prediction: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """1 where the sign of the prediction names the winner, ½ where it names none, else 0."""
    agree = np.sign(prediction) == np.sign(outcome - 0.5)
    return np.where(prediction == 0, 0.5, agree.astype(float))


def _checked(delta: Any, outcome: Any) -> tuple[np.ndarray, np.ndarray]:
    d, o = np.asarray(delta, dtype=float), np.asarray(outcome, dtype=float)
    if d.ndim != 1 or d.shape != o.shape:
        raise ValueError(
            f"score differences {d.shape} and outcomes {o.shape} must be two vectors of one length"
        )
    if not np.isfinite(d).all():
        raise ValueError(f"the score difference of pair {int(np.argmin(np.isfinite(d)))} is not finite")
    if ((o < 0) | (o > 1)).any():
        raise ValueError("an outcome is a share of the win, between 0 and 1")
    return d, o


def accuracy(delta: Any, outcome: Any, groups: Any = None) -> Interval:
    """The share of decided pairs whose winner scores higher, with an interval (``intervals.share``).

    ``groups`` [N] names each pair's prompt: pairs of one ranking are not independent, so the prompt is the
    interval's unit. Without it every pair stands for itself. NaN where no pair is decided.
    """
    d, o = _checked(delta, outcome)
    decided = o != 0.5
    right = _correctness(d, o)[decided]
    if not len(right):
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    names = np.arange(len(right)) if groups is None else np.asarray(groups)[decided]
    place = np.unique(names, return_inverse=True)[1]
    low, high = intervals.share(np.bincount(place, weights=right), np.bincount(place))
    return {"mean": float(right.mean()), "low": low, "high": high}


def longer_answer_accuracy(longer: Any, outcome: Any) -> float:
    """The accuracy of always naming the longer answer, where one is longer: equal lengths do not count."""
    size, o = _checked(longer, outcome)
    return accuracy(size[size != 0], o[size != 0])["mean"]


def _mirrored_bins(delta: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """σ(Δ), and the bins of each pair seen one way and the other: [N] each."""
    chance = 1 / (1 + np.exp(-np.clip(delta, -50, 50)))
    # The bin of one side is the mirror of the other's, whatever rounding does to 1 − σ(Δ).
    upper = np.minimum((np.maximum(chance, 1 - chance) * bins).astype(int), bins - 1)
    first = np.where(delta >= 0, upper, bins - 1 - upper)
    return chance, first, bins - 1 - first


def reliability(delta: Any, outcome: Any, bins: int = 10) -> list[dict[str, float]]:
    """Stated against observed: σ(Δ) in equal bins over [0, 1], with the mean outcome in each.

    Every pair enters twice, as (left, right) and as (right, left), so that the order in which a file
    names its answers cannot matter; a bin's ``count`` is of such entries. Empty bins are left out.
    """
    d, o = _checked(delta, outcome)
    chance, first, second = _mirrored_bins(d, bins)
    stated = np.concatenate([chance, 1 - chance])
    # A pair at exactly one half has no sure side: seen both ways round its mean outcome is one half.
    seen = np.where(d == 0, 0.5, o)
    observed = np.concatenate([seen, 1 - seen])
    place = np.concatenate([first, second])
    found = []
    for b in range(bins):
        inside = place == b
        if inside.any():
            found.append(
                {
                    "low": b / bins,
                    "high": (b + 1) / bins,
                    "predicted": float(stated[inside].mean()),
                    "observed": float(observed[inside].mean()),
                    "count": int(inside.sum()),
                }
            )
    return found


def expected_calibration_error(delta: Any, outcome: Any, bins: int = 10) -> float:
    """ECE = Σ_b n_b / N · |observed_b − predicted_b| over symmetrized pairs (Guo et al. 2017)."""
    found = reliability(delta, outcome, bins)
    total = sum(b["count"] for b in found)
    if not total:
        return math.nan
    return sum(b["count"] / total * abs(b["observed"] - b["predicted"]) for b in found)


def calibration_noise(delta: Any, outcome: Any, bins: int = 10, *, draws: int = 200, seed: int = 0) -> float:
    """The ECE that a perfectly calibrated model with these predictions shows on so many pairs, by chance alone.

    The mean ECE over outcomes drawn from σ(Δ): a decided pair is one draw, a tied one the mean of two, each pair by
    itself. ECE is above 0 by about this much however good the model is; NaN without pairs.
    """
    d, o = _checked(delta, outcome)
    if not len(d):
        return math.nan
    # Seen from the side that scores higher, so that the order in which a file names its answers cannot matter.
    chance, first, second = _mirrored_bins(np.abs(d), bins)
    tied = o == 0.5
    # Observed less predicted, added up in each bin; the other way round it is of the opposite sign.
    place = (np.arange(bins) == first[:, None]).astype(float) - (np.arange(bins) == second[:, None])
    rng = np.random.default_rng(seed)
    total = 0.0
    at_once = max(1, CELLS // len(d))
    for start in range(0, draws, at_once):
        drawn = rng.random((2, min(at_once, draws - start), len(d))) < chance
        won = np.where(tied, drawn.mean(axis=0), drawn[0]) - chance
        total += float(np.abs(won @ place).sum()) / (2 * len(d))
    return total / draws


def pair_report(
    delta: Any,
    outcome: Any,
    longer: Any,
    *,
    groups: Any = None,
    ceiling: float | None = None,
) -> dict[str, Any]:
    """The entry of ``summary.json`` for a reward model on held-out pairs.

    ``accuracy`` with ``low`` and ``high``; ``longer_answer_accuracy``; accuracy where the winner was the longer
    and where it was the shorter answer; ``ece`` with its ``bins`` and ``ece_noise``, what it is of perfect
    calibration; counts; the noise ``ceiling`` (the accuracy that the true order itself reaches on these labels) where
    the caller knows one.
    """
    d, o = _checked(delta, outcome)
    size = np.asarray(longer, dtype=float)
    found = accuracy(d, o, groups)
    favors = np.sign(size) * np.sign(o - 0.5)
    report: dict[str, Any] = {
        "accuracy": found["mean"],
        "low": found["low"],
        "high": found["high"],
        "longer_wins": longer_answer_accuracy(size, o),
        "when_longer": accuracy(d[favors > 0], o[favors > 0])["mean"],
        "when_shorter": accuracy(d[favors < 0], o[favors < 0])["mean"],
        "longer_pairs": int((favors > 0).sum()),
        "shorter_pairs": int((favors < 0).sum()),
        "ece": expected_calibration_error(d, o),
        "ece_noise": calibration_noise(d, o),
        "bins": reliability(d, o),
        "decided": int((o != 0.5).sum()),
        "ties": int((o == 0.5).sum()),
    }
    if ceiling is not None:
        report["ceiling"] = float(ceiling)
    return report
