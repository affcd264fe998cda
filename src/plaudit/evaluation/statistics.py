"""Means and win rates with intervals, paired by prompt.

The prompt is what was drawn at random, so it is the unit of every interval (``plaudit.intervals``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plaudit import intervals

Interval = dict[str, float]
TOLERANCE = 1e-9


def _by_prompt(values: Any, name: str) -> np.ndarray:
    """Values as [P], the mean over samples where a prompt has several ([P, G])."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 2:
        array = array.mean(axis=1)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be [prompts] or [prompts, samples] and not empty, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} holds a number that is not finite, at prompt {np.argmin(np.isfinite(array))}"
        )
    return array


def mean_interval(values: Any) -> Interval:
    """The mean over prompts with its interval (``intervals.mean``): {"mean", "low", "high"}.

    ``values``: [P] or [P, G]. ValueError where empty or not finite; low and high are NaN for one prompt.
    """
    column = _by_prompt(values, "values")
    low, high = intervals.mean(column)
    return {"mean": float(column.mean()), "low": low, "high": high}


def _pair(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = _by_prompt(first, "first"), _by_prompt(second, "second")
    if len(a) != len(b):
        raise ValueError(f"paired by prompt, but one side has {len(a)} prompts and the other {len(b)}")
    return a, b


def win_rate(scores: Any, against: Any) -> dict[str, float]:
    """P(score > against) + ½ P(tie), with its interval (``intervals.share``) and the shares of wins, ties and losses.

    One score per prompt on each side, [P]; scores nearer than ``TOLERANCE`` tie.
    """
    if np.ndim(scores) != 1 or np.ndim(against) != 1:
        raise ValueError("a win rate compares one answer per prompt: give [prompts]")
    a, b = _pair(scores, against)
    wins, ties = a - b > TOLERANCE, np.abs(a - b) <= TOLERANCE
    low, high = intervals.share(wins + 0.5 * ties)
    return {
        "mean": float((wins + 0.5 * ties).mean()),
        "low": low,
        "high": high,
        "wins": float(wins.mean()),
        "ties": float(ties.mean()),
        "losses": float((b - a > TOLERANCE).mean()),
    }


def gap_closed(start: Any, end: Any, perfect: Any) -> Interval:
    """(mean end − mean start) / (mean perfect − mean start), all three paired by prompt (``intervals.ratio_of_means``).

    NaN where perfect is not above start: there is no gap to close. Low and high are NaN where the gap is not clearly
    above 0, because the ratio is then unbounded.
    """
    (a, b), c = _pair(start, end), _by_prompt(perfect, "perfect")
    if len(c) != len(a):
        raise ValueError(f"paired by prompt, but perfect has {len(c)} prompts and the others {len(a)}")
    gap = float(c.mean() - a.mean())
    if gap <= 0:
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    low, high = intervals.ratio_of_means(b - a, c - a)
    return {"mean": float(b.mean() - a.mean()) / gap, "low": low, "high": high}
