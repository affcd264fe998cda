"""The answers that a reward likes best and a second opinion does not: what RL will find and exploit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plaudit import intervals
from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import measured
from plaudit.errors import UserError
from plaudit.registry import DetectorKind

SHOWN = 20


def favourites(answers: AnswerSet, detectors: Sequence[DetectorKind]) -> dict[str, Any]:
    """Of each prompt the answer with the highest reward: how often it is worse than that prompt's usual answer.

    Bad: its truth is below the median of all answers to the prompt. ``rows`` are the worst, by how far below the mean
    (in standard deviations of the truth), each with the properties in which it stands out from the prompt's other
    answers: those are matters of ``style``, which new rankings can mend; a favourite without any is wrong in its
    content (``knowledge``), which needs facts. UserError without reward and truth.
    """
    if answers.reward is None or answers.truth is None:
        raise UserError("favourites need the reward and the truth of every answer")
    reward, truth = answers.reward, answers.truth
    top, rows = reward.argmax(axis=1), np.arange(len(reward))
    worth = truth[rows, top]
    bad = worth < np.median(truth, axis=1)
    low, high = intervals.share(bad.astype(float))
    spread = float(np.sqrt(truth.var(axis=1).mean())) or 1.0
    below = (truth.mean(axis=1) - worth) / spread
    stands = _standing_out(answers, top, detectors)
    order = [int(i) for i in np.argsort(-below, kind="stable") if bad[i]]
    return {
        "bad": {"mean": float(bad.mean()), "low": low, "high": high},
        "style": sum(bool(stands[i]) for i in order),
        "knowledge": sum(not stands[i] for i in order),
        "rows": [
            {
                "prompt": answers.prompts[i],
                "favourite": answers.responses[i][top[i]].text,
                "reward": float(reward[i, top[i]]),
                "truth": float(worth[i]),
                "better": answers.responses[i][int(truth[i].argmax())].text,
                "better_reward": float(reward[i, truth[i].argmax()]),
                "better_truth": float(truth[i].max()),
                "style": stands[i],
            }
            for i in order[:SHOWN]
        ],
    }


def _standing_out(answers: AnswerSet, top: np.ndarray, detectors: Sequence[DetectorKind]) -> list[list[str]]:
    """By prompt, the properties in which its favourite differs from the mean of the prompt's answers.

    A share: the favourite has it and less than half of the answers do; a ratio: a third longer or shorter; a number:
    two standard deviations, and more than the smallest change that matters.
    """
    found: list[list[str]] = [[] for _ in top]
    for kind in detectors:
        if kind.across:
            continue
        values = measured(kind, answers)
        own = values[np.arange(len(top)), top]
        away = own - values.mean(axis=1)
        if kind.unit == "share":
            out = (own > 0.5) & (values.mean(axis=1) < 0.5)
        elif kind.unit == "ratio":
            out = np.abs(away) > np.log(4 / 3)
        else:
            out = away > np.maximum(max(kind.least, 1e-9), 2 * values.std(axis=1))
        for i in np.flatnonzero(out):
            found[i].append(kind.name)
    return found
