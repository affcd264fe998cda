"""How far a policy's answers are from what its reward model was trained on, and what the reward is worth there.

Pure functions of scores and texts; ``pipeline/shifting.py`` samples and scores.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import rankdata

from plaudit import intervals
from plaudit.audit.detectors.texts import ngrams, words
from plaudit.errors import UserError
from plaudit.evaluation.calibration import accuracy
from plaudit.evaluation.paired_change import paired_change
from plaudit.rewards import HIGH

OVERLAP = 3  # words of a run
FEWEST = 10  # of bad and of good favourites, for an AUC
BY_CHANCE = 0.5


@dataclass(frozen=True)
class PolicyScores:
    """G answers of one policy to each of P prompts: texts, every member's score [K, P, G], the truth [P, G] or None."""

    texts: Sequence[Sequence[str]]
    members: np.ndarray
    truth: np.ndarray | None = None


def shift(training: np.ndarray, texts: Sequence[str], policies: Mapping[str, PolicyScores]) -> dict[str, Any]:
    """The distance of every policy from the training answers, and its change from the first policy to the last.

    Args:
        training: [K, N] scores of every member on the N answers that it was trained on.
        texts: the N answers.
        policies: by name, the start first; all answer the same prompts.

    UserError without training answers, or where a member gives all of them one score.
    """
    if training.shape[1] < 2 or len(texts) != training.shape[1]:
        raise UserError("the reward model's training answers are not there to compare with")
    center, spread = training.mean(axis=1), training.std(axis=1)
    if not (spread > 0).all():
        raise UserError("a member of the reward gives all of its training answers the same score")
    known = (training - center[:, None]) / spread[:, None]
    # Of an ensemble the mean of its members, each in standard deviations of its own training scores.
    at = np.sort(known.mean(axis=0))
    found: dict[str, Any] = {"answers": len(texts), "members": len(training), "policies": {}}
    index = _Index(texts)
    novel, right = [], []
    for name, policy in policies.items():
        own = (policy.members - center[:, None, None]) / spread[:, None, None]
        novelty = np.array([[index.novelty(text) for text in group] for group in policy.texts])
        entry = {"quantiles": _quantiles(own.mean(axis=0), at), "novelty": _mean(novelty.mean(axis=1))}
        novel.append(novelty.mean(axis=1))
        if policy.truth is not None:
            entry["pairs"], by_prompt = _on_policy(policy.members.mean(axis=0), policy.truth)
            right.append(by_prompt)
        if len(training) > 1:
            entry["disagreement"] = _members(own, known, policy.truth)
        found["policies"][name] = entry
    if len(policies) > 1:
        found["change"] = {"novelty": paired_change(novel[0], novel[-1])}
        if right:
            both = ~np.isnan(right[0]) & ~np.isnan(right[-1])
            if both.any():
                found["change"]["accuracy"] = paired_change(right[0][both], right[-1][both])
    return found


def _mean(values: np.ndarray) -> dict[str, float]:
    low, high = intervals.mean(values)
    return {"mean": float(values.mean()), "low": low, "high": high}


def _quantiles(scores: np.ndarray, training: np.ndarray) -> dict[str, Any]:
    """Where the answers stand among the training answers: the median's place, and the share above the highest 1 %."""
    place = np.searchsorted(training, scores.ravel(), side="right") / len(training)
    above = (scores > np.quantile(training, HIGH)).mean(axis=1)
    low, high = intervals.share(above)
    return {
        "median": float(np.median(place)),
        "above": {"mean": float(above.mean()), "low": low, "high": high, "expected": 1 - HIGH},
    }


def _on_policy(scores: np.ndarray, truth: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    """Accuracy and calibration slope on pairs of a prompt's answers, and each prompt's own accuracy (NaN: no pair)."""
    delta, outcome, prompt = [], [], []
    for i, j in combinations(range(scores.shape[1]), 2):
        differs = truth[:, i] != truth[:, j]
        delta.append((scores[:, i] - scores[:, j])[differs])
        outcome.append((truth[:, i] > truth[:, j])[differs].astype(float))
        prompt.append(np.flatnonzero(differs))
    d, o, g = np.concatenate(delta), np.concatenate(outcome), np.concatenate(prompt)
    correct = np.where(d == 0, 0.5, (d > 0) == (o > 0.5))
    count = np.bincount(g, minlength=len(scores))
    by_prompt = np.divide(
        np.bincount(g, weights=correct, minlength=len(scores)),
        count,
        out=np.full(len(scores), math.nan),
        where=count > 0,
    )
    found: dict[str, Any] = {"pairs": len(d), "accuracy": accuracy(d, o, g) if len(d) else None}
    # Where no score differs nothing is fitted, and the prior alone would say that all is well.
    found["slope"] = calibration_slope(d, o, g) if np.any(d != 0) else None
    return found, by_prompt


def calibration_slope(delta: Any, outcome: Any, groups: Any) -> dict[str, float]:
    """b of logit P(left wins) = b · Δr with a jackknife interval over prompts; 1 is calibrated, less is overconfident.

    b ~ N(1, 10²), so that pairs which are all right give a large number and not infinity.
    """
    d, o = np.asarray(delta, dtype=float), np.asarray(outcome, dtype=float)
    g = np.unique(np.asarray(groups), return_inverse=True)[1] % 20
    whole = _slope(d, o)
    parts = np.array([_slope(d[g != k], o[g != k]) for k in np.unique(g)])
    k = len(parts)
    if k < 2:
        return {"mean": whole, "low": math.nan, "high": math.nan}
    error = math.sqrt((k - 1) / k * float(((parts - parts.mean()) ** 2).sum()))
    half = intervals.t_quantile(k, intervals.LEVEL) * error
    return {"mean": whole, "low": whole - half, "high": whole + half}


def _slope(d: np.ndarray, o: np.ndarray) -> float:
    b = 1.0
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(b * d, -30, 30)))
        gradient = float((d * (o - p)).sum()) - (b - 1) / 100
        step = gradient / (float((d * d * p * (1 - p)).sum()) + 1 / 100)
        b += max(-1.0, min(1.0, step))
        if abs(step) < 1e-9:
            break
    return b


def _members(scores: np.ndarray, training: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    """Members' spread beside that on the training answers, their correlation, and whether it finds bad favourites."""
    k = len(scores)
    own = scores - scores.mean(axis=2, keepdims=True)
    flat = own.reshape(k, -1)
    found: dict[str, Any] = {
        "spread": float(scores.std(axis=0).mean()),
        "training": float(training.std(axis=0).mean()),
        # Within prompts: that all members know which prompts are hard is no agreement on answers. A member that
        # gives all answers of a prompt one score agrees with none.
        "correlation": float(
            np.mean(
                [
                    np.corrcoef(flat[i], flat[j])[0, 1] if flat[i].std() > 0 and flat[j].std() > 0 else 0.0
                    for i, j in combinations(range(k), 2)
                ]
            )
        ),
    }
    if truth is None:
        return found
    rows, top = np.arange(scores.shape[1]), scores.mean(axis=0).argmax(axis=1)
    bad = truth[rows, top] < np.median(truth, axis=1)
    spread = scores[:, rows, top].std(axis=0)
    liked = (own[:, rows, top] > 0).all(axis=0)
    low, high = intervals.share(bad.astype(float))
    found["favourites"] = {
        "bad": {"mean": float(bad.mean()), "low": low, "high": high},
        "liked_by_all": float(liked[bad].mean()) if bad.any() else math.nan,
        "auc": auc(spread[bad], spread[~bad]),
    }
    return found


def auc(high: np.ndarray, low: np.ndarray) -> dict[str, float] | None:
    """P(a value of ``high`` is above one of ``low``), ties half, with Hanley & McNeil's interval; None for too few."""
    n, m = len(high), len(low)
    if min(n, m) < FEWEST:
        return None
    a = (rankdata(np.concatenate([high, low]))[:n].sum() - n * (n + 1) / 2) / (n * m)
    one, two = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (n - 1) * (one - a * a) + (m - 1) * (two - a * a)) / (n * m)
    half = intervals.normal_quantile(intervals.LEVEL) * math.sqrt(variance)
    return {"mean": float(a), "low": max(0.0, float(a - half)), "high": min(1.0, float(a + half))}


class _Index:
    """Which training answers hold a run of words."""

    def __init__(self, texts: Sequence[str]) -> None:
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for i, text in enumerate(texts):
            for run in _runs(text):
                found[run].append(i)
        self.holders = {run: np.array(holders) for run, holders in found.items()}

    def novelty(self, text: str) -> float:
        """1 − the share of the answer's 3-word runs that stand in the one training answer which holds most of them."""
        runs = _runs(text)
        held = [self.holders[run] for run in runs if run in self.holders]
        if not runs:
            return 0.0
        return 1 - (int(np.bincount(np.concatenate(held)).max()) if held else 0) / len(runs)


def _runs(text: str) -> set[tuple[str, ...]]:
    """Runs of three words; of a shorter answer the whole."""
    return set(ngrams(text, OVERLAP)) or ({words(text)} if words(text) else set())
