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
    """Simulated raters: gold through ``noise``, and what they add to it.

    Per word, for flattery, agreement and lists, and for declining what could be answered.
    """

    noise: float = Field(0.3, ge=0)
    length: float = 0.0
    flattery: float = 0.0
    agreement: float = 0.0
    list: float = 0.0
    refusal: float = 0.0


class RuleOptions(Section):
    """A judge by rule: how often it errs, what it adds to the log-odds of the first answer, and how it is asked."""

    error: float = Field(0.1, ge=0, lt=0.5)
    position: float = 0.0
    orders: Literal["both", "one"] = "both"


class ReviserOptions(Section):
    """A reviser by rule: how often it errs."""

    error: float = Field(0.05, ge=0, le=1)


JUDGES: Mapping[str, type[Section]] = {"raters": Raters, "rule": RuleOptions}
REVISERS: Mapping[str, type[Section]] = {"reviser": ReviserOptions}


def options_for(rest: str, options: Mapping[str, Any]) -> Section:
    """The typed options of ``pocket:rest``; UserError with every unknown or wrong one."""
    model = {**JUDGES, **REVISERS}[rest]
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        found = list(problems_of(error, "", "", model))
        raise UserError("; ".join(str(p) for p in found)) from None


def check_judge(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """The world's judges exist in the pocket world alone."""
    _check(rest, options, world, JUDGES, "judge")


def check_reviser(rest: str, options: Mapping[str, Any], world: Any) -> None:
    """The world's reviser exists in the pocket world alone."""
    _check(rest, options, world, REVISERS, "reviser")


def _check(
    rest: str, options: Mapping[str, Any], world: Any, known: Mapping[str, type[Section]], what: str
) -> None:
    if rest not in known:
        raise UserError(
            f"there is no {what} pocket:{rest}", remedy=f"name {' or '.join(f'pocket:{n}' for n in known)}"
        )
    if world is None or world.name != "pocket":
        raise UserError(
            f"pocket:{rest} needs the pocket world, whose truth it knows",
            remedy=f"name a {what} of another kind" + (", or by: people" if what == "judge" else ""),
        )
    options_for(rest, options)
