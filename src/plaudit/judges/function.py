"""A Python function as a judge of pairs, asked in both orders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from plaudit.data.records import Comparisons, Outcome, Prompt, Response
from plaudit.errors import UserError
from plaudit.judges.made_of import of_function
from plaudit.registry import resolve

CERTAIN = 40.0
PROBABILITY = "1 where the first is better for sure, 0.5 where both are alike"


class FunctionJudge:
    """p(first better) of every pair of K answers, averaged over both orders: (f(a, b) + 1 − f(b, a)) / 2.

    ``function(prompt, first, second)`` gets a ``Prompt`` and two texts and returns a probability. The log-odds of both
    orders stand in ``metadata["judge"]``. UserError where it raises or returns anything else.
    """

    def __init__(self, function: Callable[[Prompt, str, str], float], name: str = "") -> None:
        self.function, self.made_of = function, of_function(function)
        self.name = name or getattr(function, "__qualname__", "function")

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Comparisons:
        outcomes, evidence = [], []
        for i, j in combinations(range(len(responses)), 2):
            forward = self._ask(prompt, responses[i].text, responses[j].text)
            backward = self._ask(prompt, responses[j].text, responses[i].text)
            result = (forward + 1 - backward) / 2
            outcomes.append(Outcome(i, j, result, rater=self.name))
            log_odds = [_log_odds(forward), _log_odds(backward)]
            evidence.append({"left": i, "right": j, "log_odds": log_odds, "result": result})
        said = {"name": self.name, "form": "pairwise", "join": "mean", "pairs": evidence}
        return Comparisons(prompt, tuple(responses), tuple(outcomes), {"judge": said})

    def _ask(self, prompt: Prompt, first: str, second: str) -> float:
        try:
            value = float(self.function(prompt, first, second))
        except Exception as error:
            raise UserError(
                f"the judge {self.name} failed: {error!r}\n  prompt: {prompt.text!r}\n  first:  {first!r}\n"
                f"  second: {second!r}",
                remedy=f"let it return a number from 0 to 1 for these texts: {PROBABILITY}",
            ) from error
        if not 0 <= value <= 1 or math.isnan(value):
            raise UserError(
                f"the judge {self.name} returned {value}, which is not a probability",
                remedy=f"let it return a number from 0 to 1: {PROBABILITY}",
            )
        return value


def _log_odds(p: float) -> float:
    """ln p / (1 − p), within what a probability of double precision can say."""
    if p in (0.0, 1.0):
        return CERTAIN if p else -CERTAIN
    return math.log(p / (1 - p))


def make(rest: str, options: Mapping[str, Any], context: Any) -> FunctionJudge:
    """The judge of ``python:module:function``."""
    return FunctionJudge(resolve(rest, "judge"), name=f"python:{rest}")
