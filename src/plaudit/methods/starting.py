"""Messages at the start of training, on the console and in the stage's events."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from plaudit.data.tokens.item import TokenItem
from plaudit.errors import UserError
from plaudit.methods.preference_batch import largest_strength, rankings_in, total_weight
from plaudit.runs import Stage
from plaudit.runtime import Runtime

logger = logging.getLogger(__name__)


def announce(stage: Stage, runtime: Runtime | None, event: str, words: str, **details: Any) -> None:
    """Say a sentence to the user and record it; ranks other than the first are silent."""
    if runtime is None or runtime.is_main:
        logger.warning("%s", words)
        stage.event(event=event, words=words, **details)


def announce_judgements(
    items: Sequence[TokenItem], settings: Any, stage: Stage, runtime: Runtime | None, label: str
) -> float:
    """Say what margins and Plackett–Luce make of the judgements; the strength that becomes the whole margin.

    0 where strengths are not used. UserError where all judgements weigh 0.
    """
    if total_weight(items) == 0:
        raise UserError(
            f"{label}: the judgements of all {len(items)} prompts weigh 0, so that nothing would be learned",
            remedy="give some a weight above 0",
        )
    if getattr(settings, "loss", None) == "plackett_luce":
        _announce_rankings(items, stage, runtime, label)
    return _announce_margins(items, settings, stage, runtime, label) if settings.use_strength else 0.0


def _announce_rankings(items: Sequence[TokenItem], stage: Stage, runtime: Runtime | None, label: str) -> None:
    several = sum(len(rankings_in(item.payload.outcomes)) > 1 for item in items)
    if several:
        announce(
            stage,
            runtime,
            "rankings",
            f"{label}: {several} of {len(items)} prompts have judgements that are not one ranking of their answers; "
            "each judgement is a ranking of its own there",
            several=several,
            prompts=len(items),
        )


def _announce_margins(
    items: Sequence[TokenItem], settings: Any, stage: Stage, runtime: Runtime | None, label: str
) -> float:
    outcomes = [o for item in items for o in item.payload.outcomes]
    stated = sum(bool(o.strength) for o in outcomes)
    largest = largest_strength(items)
    words = (
        f"{label}: use_strength is on, but none of {len(outcomes)} judgements states a strength: no margin"
    )
    if largest:
        words = (
            f"{label}: {stated} of {len(outcomes)} judgements state a strength, up to {largest:g}: "
            f"their margin is {settings.margin_scale:g} · strength / {largest:g}"
        )
    announce(stage, runtime, "margins", words, stated=stated, judgements=len(outcomes), largest=largest)
    return largest
