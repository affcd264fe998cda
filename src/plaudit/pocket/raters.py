"""The pocket world's judges, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.simulated import Biases, SimulatedRaters
from plaudit.pocket import rule_judge
from plaudit.pocket.settings import Raters, options_for


def make(rest: str, options: Mapping[str, Any], context: Any) -> SimulatedRaters | rule_judge.RuleJudge:
    """The judge of ``pocket:raters`` or ``pocket:rule``."""
    if rest == "rule":
        return rule_judge.make(rest, options, context)
    settings = options_for("raters", options)
    assert isinstance(settings, Raters)
    biases = Biases(settings.length, settings.flattery, settings.agreement, settings.list, settings.refusal)
    return SimulatedRaters(context.world.gold, noise=settings.noise, biases=biases, seed=context.seed)
