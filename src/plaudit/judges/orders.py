"""Joins both orders of a pair, which removes the judge's position bias.

A judge that adds b to the log-odds of the first answer gives l₁ = c + b for (a, b) and l₂ = −c + b for (b, a):
content c = (l₁ − l₂) / 2, position bias b = (l₁ + l₂) / 2, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from plaudit.generation.labels import LabelReply

Join = Literal["log_odds", "mean", "hard"]
# With less probability than this on the labels, a judge has not answered the question.
LEAST_MASS = 0.5
# Log-odds of a verdict that came as text alone: as good as certain, and finite.
CERTAIN = 6.0


@dataclass(frozen=True)
class Order:
    """One asking: the log-odds that the answer shown first is better, the mass on the labels, whether it was readable.

    ``log_odds`` is None where nothing could be read.
    """

    log_odds: float | None
    mass: float | None = None
    text: str = ""

    @property
    def abstains(self) -> bool:
        return self.log_odds is None or (self.mass is not None and self.mass < LEAST_MASS)

    @classmethod
    def of(
        cls,
        reading: LabelReply,
        first: str,
        second: str,
        tie: str | None = None,
    ) -> Order:
        """Of a reading of two labels."""
        odds = reading.log_odds(first, second)
        if odds is None and reading.label is not None:
            odds = {first: CERTAIN, second: -CERTAIN}.get(
                reading.label, 0.0 if reading.label == tie else None
            )
        return cls(odds, reading.mass, reading.text)


@dataclass(frozen=True)
class JoinedOrders:
    """A pair in both orders. ``result`` is P(a better), None where the judge abstains in either order."""

    forward: Order
    backward: Order
    result: float | None

    @property
    def content(self) -> float | None:
        """(l₁ − l₂) / 2: log-odds that a is better."""
        one, two = self.forward.log_odds, self.backward.log_odds
        return None if one is None or two is None else (one - two) / 2

    @property
    def position(self) -> float | None:
        """(l₁ + l₂) / 2: log-odds of the first position."""
        one, two = self.forward.log_odds, self.backward.log_odds
        return None if one is None or two is None else (one + two) / 2

    @property
    def consistent(self) -> bool | None:
        """Whether the same answer wins in both orders."""
        one, two = self.forward.log_odds, self.backward.log_odds
        return None if one is None or two is None else (one > 0) == (two < 0) and one != 0 and two != 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "log_odds": [self.forward.log_odds, self.backward.log_odds],
            "mass": [self.forward.mass, self.backward.mass],
            "result": self.result,
        }


def join(
    forward: Order,
    backward: Order,
    how: Join = "log_odds",
    temperature: float = 1.0,
    clamp: float | None = None,
) -> JoinedOrders:
    """Both orders of a pair (a, b) as P(a better).

    ``log_odds``: σ(c / T). ``mean``: (σ(l₁ / T) + σ(−l₂ / T)) / 2, as Lee et al. 2023 (RLAIF). ``hard``: 1 or 0 where
    both orders agree, else a half. ``clamp`` c keeps the probability within [c, 1 − c], for verdicts after reasons.
    """
    found = _joined(forward, backward, how, temperature)
    if clamp is None or found.result is None:
        return found
    return replace(found, result=max(clamp, min(1 - clamp, found.result)))


def _joined(forward: Order, backward: Order, how: Join, temperature: float) -> JoinedOrders:
    if forward.abstains or backward.abstains:
        return JoinedOrders(forward, backward, None)
    assert forward.log_odds is not None and backward.log_odds is not None
    one, two = float(forward.log_odds), float(backward.log_odds)
    if how == "log_odds":
        return JoinedOrders(forward, backward, sigmoid((one - two) / 2 / temperature))
    if how == "mean":
        return JoinedOrders(forward, backward, (sigmoid(one / temperature) + sigmoid(-two / temperature)) / 2)
    votes = (one > 0) - (one < 0) - (two > 0) + (two < 0)
    return JoinedOrders(forward, backward, {2: 1.0, -2: 0.0}.get(votes, 0.5))


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def fit_temperature(contents: Sequence[float], labels: Sequence[float]) -> float:
    """The T that makes σ(c / T) the most likely for people's results (0 to 1): minimum of the log loss over ln T.

    Guo et al. 2017. Bounded to [0.05, 50]; 1 without any judgement.
    """
    import numpy as np
    from scipy.optimize import minimize_scalar

    if not contents:
        return 1.0
    c, y = np.asarray(contents, dtype=float), np.asarray(labels, dtype=float)

    def loss(log_t: float) -> float:
        z = c * math.exp(-log_t)
        return float(np.mean(np.logaddexp(0, z) - y * z))

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(50)), method="bounded")
    return float(math.exp(found.x))
