"""What a property of answers is worth in scores, prompts and policies held fixed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit import intervals

SAME = 0.01  # of a measure's variance within prompts: with less left it cannot be told from the others


def within_slope(
    scores: Any, measure: Any, prompts: Any, policies: Any, beside: Sequence[Any] = ()
) -> dict[str, float] | None:
    """The slope b of score = prompt + policy + b · measure, with a 95 % interval clustered by prompt.

    ``beside`` are further measures of the same answers, each with a slope of its own: b is then what is left for this
    one.

    All of them [A], one entry an answer. A policy that is better all over, and prompts that are easier, do not enter.
    None where the measure does not vary within all of these, or hardly (1 % of its variance within prompts). The
    variance is Liang & Zeger's, with Student's t at P − 1 degrees of freedom.
    """
    y, m = np.asarray(scores, dtype=float), np.asarray(measure, dtype=float)
    prompt = np.unique(np.asarray(prompts), return_inverse=True)[1]
    policy = np.unique(np.asarray(policies), return_inverse=True)[1]
    dummies = [np.asarray(policy == k, dtype=float) for k in range(1, policy.max() + 1)]
    columns = [*dummies, *(np.asarray(v, dtype=float) for v in beside)]
    y, m, *columns = (_centered(v, prompt) for v in (y, m, *columns))
    others = np.stack([np.zeros_like(m), *columns], axis=1)
    left, count = _left(m, others), int(prompt.max()) + 1
    within = float(m @ m)
    if count < 3 or within <= 1e-12 * len(m) or float(left @ left) <= SAME * within:
        return None
    # By Frisch & Waugh the slope on what the other columns leave of m is that of the whole regression.
    residual_y = _left(y, others)
    slope = float(left @ residual_y) / float(left @ left)
    score = np.bincount(prompt, weights=left * (residual_y - slope * left), minlength=count)
    error = math.sqrt(float(score @ score) * count / (count - 1)) / float(left @ left)
    half = intervals.t_quantile(count, intervals.LEVEL) * error
    return {"mean": slope, "low": slope - half, "high": slope + half}


def _left(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What a regression on the other columns leaves."""
    return np.asarray(values - others @ np.linalg.lstsq(others, values, rcond=None)[0])


def _centered(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    sums, counts = np.bincount(groups, weights=values), np.bincount(groups)
    return np.asarray(values - (sums / counts)[groups])
