"""Means, differences and win rates with intervals, paired by prompt.

Every interval is a percentile bootstrap over prompts (Efron 1979): the prompt is what was drawn at random,
so it is what is drawn again. The same prompts and seed give the same resamples, whatever is measured on
them, so that differences between policies are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

RESAMPLES = 2000
_CELLS = 4_000_000  # numbers held at once while resampling

Interval = dict[str, float]


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


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    columns: np.ndarray,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of ``statistic(column means [resamples, C]) -> [resamples]`` over rows of [P, C].

    With one row there is nothing to resample, and with a statistic that is undefined on some resample
    (not finite) there is no honest bound: both limits are then NaN.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    n = len(columns)
    if n < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, columns.shape[1]))
    chunk = max(1, _CELLS // n)
    for start in range(0, resamples, chunk):
        drawn = rng.integers(n, size=(min(chunk, resamples - start), n))
        for c in range(columns.shape[1]):
            means[start : start + len(drawn), c] = columns[:, c][drawn].mean(axis=1)
    values = statistic(means)
    if not np.isfinite(values).all():
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(values: Any, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean over prompts with its bootstrap interval: {"mean", "low", "high"}.

    ``values``: [P] or [P, G]. ValueError where empty or not finite; low and high are NaN for one prompt.
    """
    column = _by_prompt(values, "values")
    low, high = bootstrap(lambda m: m[:, 0], column[:, None], level=level, resamples=resamples, seed=seed)
    return {"mean": float(column.mean()), "low": low, "high": high}


def paired_difference(
    after: Any, before: Any, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """mean(after − before) over the same prompts, with its interval."""
    a, b = _pair(after, before)
    return mean_interval(a - b, level=level, resamples=resamples, seed=seed)


def _pair(first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = _by_prompt(first, "first"), _by_prompt(second, "second")
    if len(a) != len(b):
        raise ValueError(f"paired by prompt, but one side has {len(a)} prompts and the other {len(b)}")
    return a, b


def win_rate(
    scores: Any,
    against: Any,
    *,
    tolerance: float = 1e-9,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """P(score > against) + ½ P(tie), with its interval and the shares of wins, ties and losses.

    One score per prompt on each side, [P]; scores nearer than ``tolerance`` tie.
    """
    if np.ndim(scores) != 1 or np.ndim(against) != 1:
        raise ValueError("a win rate compares one answer per prompt: give [prompts]")
    a, b = _pair(scores, against)
    wins, ties = a - b > tolerance, np.abs(a - b) <= tolerance
    found = mean_interval(wins + 0.5 * ties, level=level, resamples=resamples, seed=seed)
    return {
        **found,
        "wins": float(wins.mean()),
        "ties": float(ties.mean()),
        "losses": float((b - a > tolerance).mean()),
    }


def wilson(successes: float, trials: float, *, level: float = 0.95) -> Interval:
    """A proportion with Wilson's score interval (Wilson 1927); a tie may count as half a success.

    Unlike p ± z·√(p(1−p)/n) it stays within [0, 1] and has a width at 0 and 1.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is no proportion")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    # At 0 and at 1 the bound equals the proportion itself; rounding must not put it on the wrong side.
    return {"mean": p, "low": min(p, max(0.0, centre - half)), "high": max(p, min(1.0, centre + half))}


def gap_closed(
    sft: Any,
    ppo: Any,
    perfect: Any,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """(mean ppo − mean sft) / (mean perfect − mean sft), resampled by prompt with all three paired.

    NaN where perfect is not above SFT: there is no gap to close. Low and high are NaN where a
    resample has no gap, because the ratio is then unbounded.
    """
    (a, b), c = _pair(sft, ppo), _by_prompt(perfect, "perfect")
    if len(c) != len(a):
        raise ValueError(f"paired by prompt, but perfect has {len(c)} prompts and the others {len(a)}")

    def ratio(means: np.ndarray) -> np.ndarray:
        gap = means[:, 2] - means[:, 0]
        return np.where(gap > 0, (means[:, 1] - means[:, 0]) / np.where(gap > 0, gap, 1.0), np.nan)

    columns = np.stack([a, b, c], axis=1)
    low, high = bootstrap(ratio, columns, level=level, resamples=resamples, seed=seed)
    return {"mean": float(ratio(columns.mean(axis=0)[None])[0]), "low": low, "high": high}
