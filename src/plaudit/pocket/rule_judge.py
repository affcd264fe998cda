"""A judge of the pocket world whose error rate and position bias are known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from plaudit.data.records import Comparisons, Outcome, Prompt, Response
from plaudit.judges.orders import CERTAIN, Order, join, sigmoid
from plaudit.pocket.settings import RuleOptions, options_for


class RuleJudge:
    """Gold decides each pair, in ``error`` of them wrongly; the answer shown first gets ``position`` on top.

    l = ± ln((1 − error) / error) + position: log-odds that the first is better, 0 + position where gold is equal. Both
    orders of a pair share its error, so that joining them removes the bias of the position and nothing else.
    ``orders: one`` asks once, with a random one of the two first.
    """

    def __init__(self, gold: Any, settings: RuleOptions, *, seed: int = 0) -> None:
        self.gold, self.settings, self.seed = gold, settings, seed
        self.name = f"pocket:rule, error {settings.error:g}, position {settings.position:g}"
        odds = (1 - settings.error) / settings.error if settings.error else math.inf
        self.strength = min(CERTAIN, math.log(odds))

    def judge(self, prompt: Prompt, responses: Sequence[Response]) -> Comparisons:
        scores = [self.gold.judge(prompt, response).score for response in responses]
        outcomes, evidence = [], []
        for i, j in combinations(range(len(responses)), 2):
            content = self._content(prompt, responses[i], responses[j], scores[i] - scores[j])
            forward = Order(content + self.settings.position)
            backward = Order(-content + self.settings.position)
            result = self._result(prompt, responses[i], responses[j], forward, backward)
            outcomes.append(Outcome(i, j, result, rater=self.name))
            log_odds = [forward.log_odds, backward.log_odds]
            evidence.append({"left": i, "right": j, "log_odds": log_odds, "result": result})
        said = {"name": self.name, "form": "rule", "orders": self.settings.orders, "pairs": evidence}
        return Comparisons(prompt, tuple(responses), tuple(outcomes), {"judge": said})

    def _content(self, prompt: Prompt, a: Response, b: Response, better: float) -> float:
        if abs(better) < 1e-9:
            return 0.0
        errs = self._drawn("errs", prompt, *sorted((a.text, b.text))) < self.settings.error
        return self.strength if (better > 0) != errs else -self.strength

    def _result(self, prompt: Prompt, a: Response, b: Response, forward: Order, backward: Order) -> float:
        if self.settings.orders == "both":
            result = join(forward, backward).result
            assert result is not None
            return result
        assert forward.log_odds is not None and backward.log_odds is not None
        if self._drawn("order", prompt, a.text, b.text) < 0.5:
            return sigmoid(forward.log_odds)
        return sigmoid(-backward.log_odds)

    def _drawn(self, what: str, prompt: Prompt, *texts: str) -> float:
        """A number in [0, 1) that is a function of the seed, the prompt and the texts."""
        digest = hashlib.blake2b(repr((self.seed, what, prompt.id, *texts)).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


def make(rest: str, options: Mapping[str, Any], context: Any) -> RuleJudge:
    """The judge of ``pocket:rule``."""
    settings = options_for("rule", options)
    assert isinstance(settings, RuleOptions)
    return RuleJudge(context.world.gold, settings, seed=context.seed)
