"""Win rates by a judge of pairs: raw, and with the length of the answers held equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit import intervals

# Prior spread of the length coefficient: that of 58 published models of AlpacaEval 2 around their median.
LENGTH_PRIOR = 0.3
# A result this near to one half is a tie.
TIE = 0.05


def settled(share: float) -> float:
    """Who wins by a judge's share: 1 the first, 0 the second, a half within ``TIE`` of a half; NaN stays NaN."""
    return share if math.isnan(share) else 0.5 if abs(share - 0.5) < TIE else float(share > 0.5)


def judged_win_rate(results: Any, longer: Any, prompts: Sequence[Any]) -> dict[str, Any]:
    """Raw and length-controlled win rate of the first answers.

    Args:
        results: [N] shares of the win of the first answer, by a judge that saw both orders; NaN where it abstained.
        longer: [N] length(first) − length(second).
        prompts: [N] each pair's prompt, the unit of all intervals.

    ``controlled`` is σ(θ) of logit P(win) = θ + φ tanh(Δ / std Δ), φ ~ N(0, .3²), with a jackknife interval over
    prompts. It is rough: how hard a prompt is does not enter, which Dubois et al. 2024 fit over many models.
    """
    result, delta = np.asarray(results, dtype=float), np.asarray(longer, dtype=float)
    kept = ~np.isnan(result)
    result, delta = result[kept], delta[kept]
    names = np.unique(np.asarray([str(p) for p in prompts])[kept], return_inverse=True)[1]
    n = len(result)
    if not n:
        return {
            "mean": math.nan,
            "low": math.nan,
            "high": math.nan,
            "pairs": 0,
            "abstained": int((~kept).sum()),
        }
    low, high = intervals.share(np.bincount(names, weights=result), np.bincount(names))
    ties = np.abs(result - 0.5) < TIE
    found: dict[str, Any] = {
        "mean": float(result.mean()),
        "low": low,
        "high": high,
        "wins": float(((result > 0.5) & ~ties).mean()),
        "ties": float(ties.mean()),
        "losses": float(((result < 0.5) & ~ties).mean()),
        "pairs": n,
        "abstained": int((~kept).sum()),
    }
    found["longer"] = float((delta > 0).mean())
    found["controlled"] = length_controlled(result, delta, names)
    return found


def length_controlled(result: np.ndarray, delta: np.ndarray, prompts: np.ndarray) -> dict[str, float]:
    """The win rate at equal length, with a delete-a-group jackknife over prompts (20 groups)."""
    spread = float(delta.std())
    x = np.tanh(delta / spread) if spread > 0 else np.zeros_like(delta)
    whole = _sigmoid(_fit(result, x)[0])
    groups = prompts % 20
    parts = [_sigmoid(_fit(result[groups != g], x[groups != g])[0]) for g in np.unique(groups)]
    k = len(parts)
    if k < 2:
        return {"mean": whole, "low": math.nan, "high": math.nan}
    error = math.sqrt((k - 1) / k * float(np.sum((np.asarray(parts) - np.mean(parts)) ** 2)))
    half = intervals.t_quantile(k, intervals.LEVEL) * error
    return {"mean": whole, "low": max(0.0, whole - half), "high": min(1.0, whole + half)}


def _fit(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """θ and φ of the penalized logistic regression, by Newton's method; θ has the wide prior N(0, 10²)."""
    design = np.stack([np.ones_like(x), x], axis=1)
    precision = np.diag([1 / 10**2, 1 / LENGTH_PRIOR**2])
    beta = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (y - p) - precision @ beta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + precision
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
