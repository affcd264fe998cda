"""Did a number change between two policies' answers to the same prompts? Tests, and what they could have found.

The interval is that of ``intervals.mean``; the test is exact where no answer tells which policy gave it: under that
null each prompt's difference has either sign with equal chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import bdtr, gammaincinv

from plaudit import intervals

FLIPS = 10_000
MOST_KEPT = 250  # prompts whose flips are kept for the next detector: 10 MB
ALPHA = 0.05  # the chance of any false alarm beside m − 1 other tests
POWER = 0.9


def paired_change(before: Any, after: Any) -> dict[str, float]:
    """mean(after − before) over prompts with its interval and the p-value of the sign-flip test.

    ``before`` and ``after``: [P], or [P, G] (the mean over samples). ValueError where they are not paired.
    """
    a, b = _by_prompt(before), _by_prompt(after)
    if a.shape != b.shape:
        raise ValueError(f"paired by prompt, but one side has {len(a)} prompts and the other {len(b)}")
    difference = b - a
    low, high = intervals.mean(difference)
    return {"mean": float(difference.mean()), "low": low, "high": high, "p": sign_flip(difference)}


def _by_prompt(values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    return array.mean(axis=1) if array.ndim == 2 else array


def sign_flip(differences: Any) -> float:
    """The two-sided p-value of Σ d against all ways to flip the signs of d [P]; 1 where every d is 0.

    The binomial test where all nonzero d have one size (McNemar's exact test); else 10,000 flips of a fixed seed, so
    that the same numbers give the same p: (1 + extreme) / (1 + flips), which keeps its level (Phipson & Smyth 2010).
    """
    d = np.asarray(differences, dtype=float)
    d = d[np.abs(d) > 1e-12]
    if not len(d):
        return 1.0
    size = np.abs(d)
    if np.allclose(size, size[0]):
        fewer = int(min((d > 0).sum(), (d < 0).sum()))
        return min(1.0, 2 * float(bdtr(fewer, len(d), 0.5)))
    extreme = np.abs(_signs(len(d)) @ d) >= abs(d.sum()) * (1 - 1e-9)
    return float(1 + extreme.sum()) / (1 + FLIPS)


def _signs(n: int) -> np.ndarray:
    """[FLIPS, n] of ±1, single precision to be quick; kept for the sizes that audits have, tens of MB beyond."""
    return _kept_signs(n) if n <= MOST_KEPT else _drawn_signs(n)


def _drawn_signs(n: int) -> np.ndarray:
    bits = np.random.default_rng(n).integers(0, 2, size=(FLIPS, n), dtype=np.int8)
    return (2 * bits - 1).astype(np.float32)


@lru_cache(maxsize=32)
def _kept_signs(n: int) -> np.ndarray:
    return _drawn_signs(n)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values: rejecting where they are ≤ α keeps the chance of any false alarm ≤ α (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    adjusted, most = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * float(p[i])))
        adjusted[i] = most
    return adjusted


def smallest_change(differences: Any, *, tests: int, unit: float | None = None) -> float:
    """The change that this many prompts would have shown with a chance of 90 % beside ``tests`` − 1 other tests.

        (z_{1 − α/2m} + z_{.9}) · s / √n

    ``unit`` is the size of one prompt's change where it has one (1 for a share): then at least so many prompts must
    change that the exact test can reject, which matters where none did and s is 0. NaN where s is 0 and there is none.
    """
    d = np.asarray(differences, dtype=float)
    n = len(d)
    if n < 2:
        return math.nan
    level = ALPHA / tests
    z = intervals.normal_quantile(1 - level) + intervals.normal_quantile(2 * POWER - 1)
    found = z * float(d.std(ddof=1)) / math.sqrt(n)
    if unit is None and not found:
        return math.nan  # no spread, and no size of a change to go by
    if unit is not None:
        needed = math.ceil(math.log2(2 / level))  # so many changes in one direction give 2 · ½^k ≤ α/m
        found = max(found, unit * float(gammaincinv(needed, POWER)) / n)
    return found
