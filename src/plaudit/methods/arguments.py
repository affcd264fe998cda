"""Checks the arguments of the Python functions; the errors say how to make the right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plaudit.errors import UserError
from plaudit.models.policy import Policy
from plaudit.models.reward_model import RewardModel

DEMONSTRATION = "Demonstration(Prompt.user(TEXT), Response(TEXT))"
RANKING = "Ranking.pair(Prompt.user(TEXT), BETTER, WORSE)"
LABELED = "Labeled(Prompt.user(TEXT), Response(TEXT), good=True)"
PROMPT = "Prompt.user(TEXT)"


def expect_policy(policy: Any, function: str) -> None:
    """UserError if the first argument is not a ``Policy``."""
    if isinstance(policy, Policy):
        return
    remedy = "plaudit.load_policy(PATH)"
    if hasattr(policy, "generate") and hasattr(policy, "config"):
        remedy = "plaudit.Policy(model, tokenizer)"
    raise UserError(f"plaudit.{function} trains a Policy, and was given {_kind(policy)}", remedy=remedy)


def expect_reward_model(model: Any, function: str) -> None:
    """UserError if the first argument is not a ``RewardModel``."""
    if isinstance(model, RewardModel):
        return
    remedy = "plaudit.RewardModel.from_policy(plaudit.load_policy(PATH))"
    if isinstance(model, Policy):
        remedy = "plaudit.RewardModel.from_policy(policy)"
    raise UserError(f"plaudit.{function} trains a RewardModel, and was given {_kind(model)}", remedy=remedy)


def expect_settings(settings: Any, section: type, function: str) -> None:
    """UserError if settings are given that are not this method's."""
    if settings is None or isinstance(settings, section):
        return
    own = f"plaudit.{section.__name__}"
    remedy = f"{own}(**settings)" if isinstance(settings, Mapping) else f"{own}(…), or none for the defaults"
    raise UserError(
        f"plaudit.{function} takes settings of the type {section.__name__}, and was given {_kind(settings)}",
        remedy=remedy,
    )


def expect_records(records: Any, kinds: tuple[type, ...], function: str, example: str) -> None:
    """UserError if the records are not of these kinds; ``example`` shows how to make one."""
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if isinstance(records, str | Path):
        raise UserError(
            f"plaudit.{function} takes records ({wanted}), and was given the text {str(records)!r}",
            remedy=f"plaudit.read({str(records)!r}).records reads a file",
        )
    if not isinstance(records, Sequence):
        raise UserError(
            f"plaudit.{function} takes a sequence of records ({wanted}), and was given {_kind(records)}",
            remedy=f"a list of {example}",
        )
    for number, record in enumerate(records):
        if not isinstance(record, kinds):
            raise UserError(
                f"plaudit.{function} takes {wanted}, and record {number} is {_kind(record)}",
                remedy=f"make it {example}, or read a file of such rows with plaudit.read(PATH).records",
            )


def expect_reward(reward: Any, function: str) -> None:
    """UserError if the argument is not a reward: a plain function must be wrapped."""
    if callable(getattr(reward, "score", None)):
        return
    name = getattr(reward, "__name__", None)
    remedy = (
        f"plaudit.FunctionReward({name})" if callable(reward) and name else "an object with score(samples)"
    )
    raise UserError(
        f"plaudit.{function} takes a reward with a method score, and was given {_kind(reward)}", remedy=remedy
    )


def _kind(value: Any) -> str:
    """A description of a value's type."""
    return f"a {type(value).__name__}" if value is not None else "None"
