"""The forecast of scored samples, with the reward's favourites where a truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.audit.answers import AnswerSet
from plaudit.audit.detect import Detector, detectors_of
from plaudit.audit.favourites import favourites
from plaudit.audit.forecast import Forecast, forecast
from plaudit.audit.stored import world_detectors
from plaudit.rewards import Sample


def forecast_of(
    samples: Sequence[Sample], scores: np.ndarray, truth: np.ndarray | None, detectors: Sequence[Detector]
) -> Forecast:
    """Of samples in order of prompts, with their rewards [P, N] and truths [P · N]."""
    count = scores.shape[1]
    groups = [samples[i : i + count] for i in range(0, len(samples), count)]
    rewards = np.asarray(scores, dtype=float)
    answers = AnswerSet(
        "start",
        [g[0].prompt.conversation for g in groups],
        [[s.response for s in g] for g in groups],
        rewards,
        None if truth is None else np.asarray(truth, dtype=float).reshape(rewards.shape),
    )
    made = forecast(rewards, answers.truth)
    if answers.truth is None:
        return made
    return replace(made, favourites=favourites(answers, detectors_of(detectors)))


def own_detectors(context: Any) -> tuple[Detector, ...]:
    """What the recipe's made world has audits watch; nothing on real data."""
    world = context.config.world
    return world_detectors(None if world is None else {"kind": world.kind})
