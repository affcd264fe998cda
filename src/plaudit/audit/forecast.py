"""What a reward will do to a policy, before any RL: the exact optimum on stored samples (tilting), and best of n.

n answers of the start policy to each prompt, weighted by exp(r/β), are the optimum of E[r] − β·KL among all policies
that choose from these answers. Each β gives its KL, its reward, and the truth where gold or a second judge is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from plaudit.errors import UserError
from plaudit.evaluation.best_of_n import best_of_n_frontier
from plaudit.evaluation.statistics import mean_interval

LEAST_ESS = 8.0  # effective answers a prompt below which a point says little
BETAS = 40
FEWEST_PROMPTS = 10
FEWEST_ANSWERS = 8
NO_TRUTH = (
    "neither gold nor a second judge is known, and the reward alone only rises as β falls: it has no peak"
)


@dataclass(frozen=True)
class TiltPoint:
    """The tilted policy at one β: KL in nats per response from the start, reward and truth with 95 % intervals.

    ``ess`` is the effective number of answers a prompt, 1 / Σ w² (mean over prompts); ``thin`` where it is below 8.
    """

    beta: float
    kl: float
    ess: float
    thin: bool
    reward: Mapping[str, float]
    truth: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Law:
    """R(d) − R(0) = d (α − β d) of best of n and tilting (``bon``), or d (α − β log d) of RL (``rl``); d = √KL.

    ``peak`` is the d at which it is highest: α / 2β, or exp(α/β − 1); None where it does not turn. Gao et al. 2022.
    """

    form: str
    alpha: float
    beta: float
    r2: float
    peak: float | None


@dataclass(frozen=True)
class Suggestion:
    """The β to train with and the KL that it will cost; ``beta`` None where ``reason`` says why there is none."""

    beta: float | None
    kl: float | None
    reason: str
    truth: Mapping[str, float] | None = None
    gain: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Forecast:
    """Tilt curve (from loose to tight β last), best of n by the reward, the law of the truth, and a suggestion.

    ``start`` is the start policy's own reward and truth, ``favourites`` the answers that the reward likes most and
    the truth does not.
    """

    prompts: int
    answers: int
    start: Mapping[str, Any]
    tilt: Sequence[TiltPoint]
    best_of_n: Sequence[Mapping[str, Any]]
    law: Law | None
    suggestion: Suggestion
    favourites: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def forecast(
    reward: np.ndarray, truth: np.ndarray | None = None, *, betas: Sequence[float] | None = None
) -> Forecast:
    """The forecast of ``reward`` [P, N] on N answers of the start policy to P prompts, ``truth`` [P, N] where known."""
    r, t = _checked(reward, "rewards"), None if truth is None else _checked(truth, "truths")
    if t is not None and t.shape != r.shape:
        raise UserError(f"{r.shape} rewards, but {t.shape} truths")
    points = [tilted(r, beta, t) for beta in (betas or default_betas(r))]
    sizes = _sizes(r.shape[1])
    chosen = best_of_n_frontier(r, r, sizes)
    worth = best_of_n_frontier(r, t, sizes) if t is not None else [None] * len(sizes)
    best = [
        {"n": p["n"], "kl": p["kl"], "reward": _interval(p), "truth": None if w is None else _interval(w)}
        for p, w in zip(chosen, worth)
    ]
    law = None
    if t is not None:
        law = fit_law([p["kl"] for p in best], [p["truth"]["mean"] for p in best], "bon")
    start = {"reward": mean_interval(r), "truth": None if t is None else mean_interval(t)}
    return Forecast(len(r), r.shape[1], start, points, best, law, suggestion(r, t, points))


def _checked(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or array.shape[0] < FEWEST_PROMPTS or array.shape[1] < FEWEST_ANSWERS:
        raise UserError(
            f"a forecast needs at least {FEWEST_PROMPTS} prompts with {FEWEST_ANSWERS} answers each, and was given "
            f"{' × '.join(map(str, array.shape))} {name}",
            remedy="sample more: 100 prompts × 64 answers show most, 50 × 32 are nearly as good",
        )
    if not np.isfinite(array).all():
        raise UserError(f"a number among the {name} is not finite")
    return array


def _interval(point: Mapping[str, Any]) -> dict[str, float]:
    return {k: float(point[k]) for k in ("mean", "low", "high")}


def _sizes(answers: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16 … up to the number of answers."""
    return sorted({n for k in range(12) for n in (2**k, 3 * 2**k) if n <= answers})


def default_betas(reward: np.ndarray) -> list[float]:
    """From hardly any change to almost the best answer alone, in the reward's own spread within prompts."""
    spread = float(np.sqrt(reward.var(axis=1).mean()))
    if spread <= 0:
        raise UserError(
            "the reward is the same for all answers to a prompt: there is nothing to choose by",
            remedy="look at the reward, and at the policy: one that answers a prompt always alike leaves no choice",
        )
    return [spread * b for b in np.geomspace(20, 0.02, BETAS).tolist()]


def weights(reward: np.ndarray, beta: float) -> np.ndarray:
    """[P, N] exp(r/β), self-normalized per prompt."""
    logits = (reward - reward.max(axis=1, keepdims=True)) / beta
    w = np.exp(logits)
    return np.asarray(w / w.sum(axis=1, keepdims=True))


def tilted(reward: np.ndarray, beta: float, truth: np.ndarray | None = None) -> TiltPoint:
    """The tilted policy at one β: KL = Σ w log(w N), a prompt's mean reward Σ w r, and its truth (``tilted_truth``)."""
    if beta <= 0:
        raise UserError(f"β must be above 0, got {beta:g}")
    w = weights(reward, beta)
    kl = np.sum(w * np.log(np.maximum(w, 1e-300) * w.shape[1]), axis=1)
    ess = float(np.mean(1 / (w**2).sum(axis=1)))
    worth = None if truth is None else mean_interval(tilted_truth(w, truth))
    return TiltPoint(
        beta, float(kl.mean()), ess, ess < LEAST_ESS, mean_interval((w * reward).sum(axis=1)), worth
    )


def tilted_truth(w: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """A prompt's truth Σ w t [P], by the jackknife over its answers where 8 effective ones carry it.

    A few answers cannot hold the extremes that the tilted policy would, so the plain sum is biased towards the start.
    """
    plain = (w * truth).sum(axis=1)
    if float(np.mean(1 / (w**2).sum(axis=1))) < LEAST_ESS:
        return np.asarray(plain)
    left = 1 - w
    without = np.where(left > 1e-9, (plain[:, None] - w * truth) / np.maximum(left, 1e-9), plain[:, None])
    n = w.shape[1]
    return np.asarray(n * plain - (n - 1) * without.mean(axis=1))


def fit_law(kl: Sequence[float], values: Sequence[float], form: str) -> Law | None:
    """Least squares of the law through its start (the point of KL 0 comes first); None with fewer than four points."""
    d = np.sqrt(np.maximum(0.0, np.asarray(kl, dtype=float)))
    rise = np.asarray(values, dtype=float) - values[0]
    kept = d > 0
    if kept.sum() < 3:
        return None
    second = -(d[kept] ** 2) if form == "bon" else -d[kept] * np.log(d[kept])
    design = np.stack([d[kept], second], axis=1)
    alpha, beta = np.linalg.lstsq(design, rise[kept], rcond=None)[0]
    left = rise[kept] - design @ np.array([alpha, beta])
    whole = float(((rise - rise.mean()) ** 2).sum())
    r2 = 1 - float(left @ left) / whole if whole > 0 else math.nan
    peak = None
    if alpha > 0 and beta > 0:
        peak = float(alpha / (2 * beta)) if form == "bon" else float(math.exp(min(alpha / beta - 1, 50)))
    return Law(form, float(alpha), float(beta), r2, peak)


def suggestion(reward: np.ndarray, truth: np.ndarray | None, points: Sequence[TiltPoint]) -> Suggestion:
    """The largest β whose truth is within one standard error of the highest, among points that enough answers carry.

    The error is that of the difference, paired by prompt. Refused without a truth, and where no β surely raises it
    over the start's.
    """
    if truth is None:
        return Suggestion(None, None, NO_TRUTH)
    carried = [p for p in points if not p.thin and p.truth is not None]
    if not carried:
        return Suggestion(None, None, "no β is carried by 8 effective answers: sample more answers a prompt")
    values = {p.beta: tilted_truth(weights(reward, p.beta), truth) for p in carried}
    top = max(values, key=lambda beta: float(values[beta].mean()))
    best = max((p for p in carried if _near(values[p.beta], values[top])), key=lambda p: p.beta)
    gain = mean_interval(values[best.beta] - truth.mean(axis=1))
    if not gain["low"] > 0:
        reason = "no β surely raises the truth: on these answers this reward is no guide to it"
        return Suggestion(None, None, reason, best.truth, gain)
    reason = "the largest β whose truth is within one standard error of the highest"
    if top == min(values):
        reason = (
            "the truth is still rising at the smallest β that 8 effective answers carry: a smaller one may be better, "
            "more answers a prompt would show it"
        )
    return Suggestion(best.beta, best.kl, reason, best.truth, gain)


def _near(values: np.ndarray, top: np.ndarray) -> bool:
    """Whether a mean over prompts is within one standard error of another, paired by prompt."""
    below = top - values
    return float(below.mean()) <= float(below.std(ddof=1)) / math.sqrt(len(below))
