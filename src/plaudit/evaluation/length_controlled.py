"""Win rates of many models at equal length, with the difficulty of each instruction fitted (Dubois et al. 2024)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.evaluation.judged_win_rate import LENGTH_PRIOR

# Models that share instructions, from which on their difficulty can be fitted.
FEWEST_MODELS = 10
WIDE = 10.0  # prior spread of a model's θ
GROUPS = 20  # of the jackknife over instructions
SWEEPS, CLOSE = 400, 1e-6


def length_controlled_rates(
    results: Any, longer: Any, models: Any, instructions: Any
) -> dict[str, dict[str, float]]:
    """The length-controlled win rate of each of M models against one baseline, by the joint GLM.

        logit P(win) = θ_m + φ_m · tanh(Δ / std_m Δ) + ψ_m · γ_i,    rate_m = mean_i σ(θ_m + ψ_m γ_i)

    Args:
        results: [N] shares of the win of the model's answer.
        longer: [N] length(model's answer) − length(baseline's).
        models, instructions: [N] names.

    First all models together with ψ = 1 and one φ for all give γ_i ~ N(0, 1); then γ is held, and each model is fitted
    with θ ~ N(0, 10²), φ ~ N(φ of all, .3²) and ψ ~ N(1, 1). The prior on φ is what keeps answers of one length from
    gaming the rate. Intervals: the jackknife over 20 groups of instructions, γ held. By model: ``mean``, ``low``,
    ``high``, ``length`` (φ_m). ValueError for fewer than 10 models, which do not show how hard an instruction is.
    """
    y, delta = np.asarray(results, dtype=float), np.asarray(longer, dtype=float)
    names, model = np.unique([str(m) for m in models], return_inverse=True)
    _, item = np.unique([str(i) for i in instructions], return_inverse=True)
    if len(names) < FEWEST_MODELS:
        raise ValueError(f"{len(names)} models do not show how hard an instruction is; {FEWEST_MODELS} do")
    x = _relative(delta, model, len(names))
    difficulty, common = _jointly(y, x, model, item)
    easy = difficulty[item]
    design = np.stack([np.ones_like(x), x, easy], axis=1)
    center, precision = np.array([0.0, common, 1.0]), np.array([WIDE, LENGTH_PRIOR, 1.0]) ** -2
    whole = ridge_logistic(y, design, model, center, precision)
    parts = []
    for g in range(min(GROUPS, int(item.max()) + 1)):
        kept = item % GROUPS != g
        fitted = ridge_logistic(y[kept], design[kept], model[kept], center, precision)
        parts.append(_rates(fitted, easy, model))
    rates = _rates(whole, easy, model)
    k = len(parts)
    error = np.sqrt((k - 1) / k * ((np.array(parts) - np.mean(parts, axis=0)) ** 2).sum(axis=0))
    half = intervals.t_quantile(k, intervals.LEVEL) * error if k > 1 else np.full(len(names), math.nan)
    return {
        str(name): {
            "mean": float(rates[m]),
            "low": max(0.0, float(rates[m] - half[m])),
            "high": min(1.0, float(rates[m] + half[m])),
            "length": float(whole[m, 1]),
        }
        for m, name in enumerate(names)
    }


def _relative(delta: np.ndarray, model: np.ndarray, count: int) -> np.ndarray:
    """tanh(Δ / std Δ) by model; 0 where all differences of a model are one."""
    spread = np.array([delta[model == m].std() for m in range(count)])[model]
    return np.tanh(np.divide(delta, spread, out=np.zeros_like(delta), where=spread > 0))


def _jointly(y: np.ndarray, x: np.ndarray, model: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, float]:
    """γ [I] and the one φ of all models, ψ = 1: block by block, each by Newton's method."""
    one, everything = np.ones((len(y), 1)), np.zeros(len(y), dtype=int)
    theta, gamma, phi = np.zeros(model.max() + 1), np.zeros(item.max() + 1), 0.0
    none, wide, unit = np.zeros(1), np.array([WIDE**-2]), np.ones(1)
    for _ in range(SWEEPS):
        before = np.concatenate([theta, gamma, [phi]])
        theta = ridge_logistic(y, one, model, none, wide, phi * x + gamma[item])[:, 0]
        phi = float(ridge_logistic(y, x[:, None], everything, none, wide, theta[model] + gamma[item])[0, 0])
        gamma = ridge_logistic(y, one, item, none, unit, theta[model] + phi * x)[:, 0]
        if float(np.abs(np.concatenate([theta, gamma, [phi]]) - before).max()) < CLOSE:
            break
    return gamma, phi


def ridge_logistic(
    y: np.ndarray,
    design: np.ndarray,
    group: np.ndarray,
    center: np.ndarray,
    precision: np.ndarray,
    offset: np.ndarray | float = 0.0,
) -> np.ndarray:
    """β_g [G, K] of logit P(y) = offset + design · β_g, β_g ~ N(center, 1 / precision), by damped Newton steps.

    ``y`` [N] in [0, 1], ``design`` [N, K], ``group`` [N] in 0 … G − 1, ``center`` and ``precision`` [K].
    """
    count, width = int(group.max()) + 1, design.shape[1]
    beta = np.tile(center, (count, 1))
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(offset + (design * beta[group]).sum(axis=1), -30, 30)))
        weight = p * (1 - p)
        gradient = _sums(design * (y - p)[:, None], group, count) - precision * (beta - center)
        outer = (design[:, :, None] * design[:, None, :] * weight[:, None, None]).reshape(len(y), -1)
        hessian = _sums(outer, group, count).reshape(count, width, width) + np.diag(precision)
        # A step of more than 4 logits leaves where the curvature holds.
        step = np.clip(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0], -4, 4)
        beta = beta + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return beta


def _sums(values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.bincount(group, weights=v, minlength=count) for v in values.T], axis=1)


def _rates(beta: np.ndarray, easy: np.ndarray, model: np.ndarray) -> np.ndarray:
    """mean_i σ(θ_m + ψ_m γ_i) over the instructions that each model answered."""
    p = 1 / (1 + np.exp(-(beta[model, 0] + beta[model, 2] * easy)))
    return np.asarray(np.bincount(model, weights=p) / np.bincount(model))
