"""The pocket world's raters as a judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.feedback.simulated import Biases, SimulatedRaters
from plaudit.pocket.settings import raters_of


def make(rest: str, options: Mapping[str, Any], context: Any) -> SimulatedRaters:
    """The judge of ``pocket:raters``."""
    settings = raters_of(options)
    biases = Biases(settings.length, settings.flattery, settings.agreement, settings.list)
    return SimulatedRaters(context.world.gold, noise=settings.noise, biases=biases, seed=context.seed)
