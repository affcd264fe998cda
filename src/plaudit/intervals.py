"""Confidence intervals: shares by Wilson's score, means by a t-interval corrected for skewness.

Both keep their coverage with few values and near 0 and 1, where the bootstrap fails: from ten wins in ten it never
draws a loss. Nothing here is random.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.special import gammaincinv, stdtrit

LEVEL = 0.95
# The variance of a toss of a coin.
COIN = 0.25
NO_BOUNDS = (math.nan, math.nan)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    return level


def normal_quantile(level: float) -> float:
    """z with P(|Z| ≤ z) = level."""
    return NormalDist().inv_cdf((1 + _checked(level)) / 2)


def t_quantile(n: int, level: float) -> float:
    """t with P(|T| ≤ t) = level at n − 1 degrees of freedom."""
    return float(stdtrit(n - 1, (1 + _checked(level)) / 2))


def share(part: Any, whole: Any = None, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of the share Σ part / Σ whole over independent units (prompts): (low, high), within [0, 1].

        score interval (Wilson 1927) of p̂ on m = n / φ trials
        φ = (Σ r² + ¼) / (n p̂(1 − p̂) + ¼),  r = (part − p̂·whole) / mean whole

    φ is 1 for units of 0 and 1, smaller where ties or several pairs a prompt make units less variable; the ¼ are one
    toss of a coin, for what few units do not show. The smaller φ is, the more of the variance is estimated, and the
    more of Student's t is in it. With two or fewer trials of one kind (three where m > 50) the bound beside them is
    the Poisson one of Brown, Cai & DasGupta 2001 §4.1.1.

    Args:
        part: [N], 0 ≤ part ≤ whole; half for a tie.
        whole: [N] > 0, how much each unit counts; 1 each by default.

    (NaN, NaN) without a unit. Raises ValueError for other numbers.
    """
    top = np.asarray(part, dtype=float)
    size = np.ones_like(top) if whole is None else np.asarray(whole, dtype=float)
    if top.ndim != 1 or top.shape != size.shape or not ((top >= 0) & (top <= size) & (size > 0)).all():
        raise ValueError("a share needs 0 ≤ part ≤ whole and whole above 0, two vectors of one length")
    _checked(level)
    if not len(top):
        return NO_BOUNDS
    p = float(top.sum() / size.sum())
    return _score_bounds(p, len(top) / _dispersion(top, size, p, level), level)


def _dispersion(part: np.ndarray, whole: np.ndarray, p: float, level: float) -> float:
    """φ: the variance of the units over that of trials of 0 and 1."""
    n = len(part)
    # Most shares are of trials of 0 and 1, whose φ is 1 without an estimate.
    if (whole == whole[0]).all() and ((part == 0) | (part == whole)).all():
        return 1.0
    residual = (part - p * whole) / whole.mean()
    phi = float((residual @ residual + COIN) / (n * p * (1 - p) + COIN))
    if n == 1 or phi >= 1:
        return phi
    widening = (t_quantile(n, level) / normal_quantile(level)) ** 2 * n / (n - 1)
    return phi * (1 + (1 - phi) ** 4 * (widening - 1))


def _score_bounds(p: float, trials: float, level: float) -> tuple[float, float]:
    z = normal_quantile(level)
    center = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    low = min(center - half, _rare(p * trials, trials, level))
    high = max(center + half, 1 - _rare((1 - p) * trials, trials, level))
    # At 0 and at 1 the bound equals the share itself; rounding must not put it on the wrong side.
    return min(p, max(0.0, low)), max(p, min(1.0, high))


def _rare(count: float, trials: float, level: float) -> float:
    """The Poisson lower bound of a rare outcome's share; 1 where it is not rare."""
    if count > min(2 if trials <= 50 else 3, trials / 2) + 1e-9:
        return 1.0
    return float(gammaincinv(count, 1 - level)) / trials if count > 0 else 0.0


def mean(values: Any, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a mean over independent values: (low, high).

        x̄ − s/√n · g⁻¹(t),  x̄ − s/√n · g⁻¹(−t),   g⁻¹(u) = √n · (3/γ) · [(1 + γ(u/√n − γ/(6n)))^⅓ − 1]

    γ is the skewness; at γ = 0 this is Student's interval (Hall 1992, the transformation g₃). (NaN, NaN) for fewer
    than two values.
    """
    x = np.asarray(values, dtype=float)
    n = len(x)
    _checked(level)
    if n < 2:
        return NO_BOUNDS
    center, spread = float(x.mean()), float(x.std(ddof=1))
    # Values that differ by rounding alone have no skewness.
    if spread <= 1e-12 * float(np.abs(x).max()):
        return center, center
    skewness = float(np.mean(((x - center) / x.std()) ** 3))
    t, unit = t_quantile(n, level), spread / math.sqrt(n)
    return center - unit * _unskewed(t, skewness, n), center - unit * _unskewed(-t, skewness, n)


def _unskewed(u: float, skewness: float, n: int) -> float:
    if abs(skewness) < 1e-6:
        return u
    root = math.sqrt(n)
    cube = 1 + skewness * (u / root - skewness / (6 * n))
    return float(root * 3 / skewness * (np.cbrt(cube) - 1))


def ratio_of_means(top: Any, bottom: Any, *, level: float = LEVEL) -> tuple[float, float]:
    """The interval of mean(top) / mean(bottom) over paired values (Fieller 1954): (low, high).

    The ratios R for which the mean of top − R · bottom lies within t standard errors of 0. (NaN, NaN) where the
    bottom's mean is not clearly apart from 0, since the ratio is then unbounded, and for fewer than two pairs.
    """
    a, b = np.asarray(top, dtype=float), np.asarray(bottom, dtype=float)
    n = len(a)
    if n < 2:
        return NO_BOUNDS
    t2 = t_quantile(n, level) ** 2 / n
    spread = np.cov(a, b)
    quadratic = float(b.mean() ** 2 - t2 * spread[1, 1])
    linear = float(a.mean() * b.mean() - t2 * spread[0, 1])
    constant = float(a.mean() ** 2 - t2 * spread[0, 0])
    if quadratic <= 0:
        return NO_BOUNDS
    half = math.sqrt(max(0.0, linear * linear - quadratic * constant))
    return (linear - half) / quadratic, (linear + half) / quadratic


def bootstrap_quantiles(n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The quantiles of a percentile bootstrap over n units that make it as wide as a t-interval.

    Φ(∓t·√(n/(n − 1))): resampling n units shows a variance too small by (n − 1)/n, and its normal shape leaves out
    that the variance is estimated (Hesterberg 2015 §4.3.3).
    """
    if n < 2:
        return NO_BOUNDS
    low = NormalDist().cdf(-t_quantile(n, level) * math.sqrt(n / (n - 1)))
    return low, 1 - low
