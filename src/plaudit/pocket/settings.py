"""Sections of the pocket world: how much of each kind of text, and what its raters are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from plaudit.config.base import Positive, Section
from plaudit.config.problems import problems_of
from plaudit.errors import UserError


class Pocket(Section):
    """The pocket world: how much of each kind of text."""

    kind: Literal["pocket"] = "pocket"
    documents: Positive = 41_600
    demonstrations: Positive = 6000
    votes: Annotated[int, Field(ge=0)] = 8000
    train_prompts: Positive = 6000
    validation_prompts: Positive = 300
    test_prompts: Positive = 800


class Raters(Section):
    """Simulated raters: gold through ``noise``, and what they add to it per word, for flattery, agreement and lists."""

    noise: float = Field(0.3, ge=0)
    length: float = 0.0
    flattery: float = 0.0
    agreement: float = 0.0
    list: float = 0.0


def raters_of(options: Mapping[str, Any]) -> Raters:
    """The typed options of ``pocket:raters``; UserError with every unknown or wrong one."""
    try:
        return Raters.model_validate(dict(options))
    except ValidationError as error:
        found = list(problems_of(error, "", "", Raters))
        raise UserError("; ".join(str(p) for p in found)) from None


def check_raters(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """The raters exist in the pocket world alone."""
    if rest != "raters":
        raise UserError(f"there is no judge pocket:{rest}", remedy="name pocket:raters")
    if world is None or world.name != "pocket":
        raise UserError(
            "simulated raters need the pocket world", remedy="name by: people, or a judge of another kind"
        )
    raters_of(options)
