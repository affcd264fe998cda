"""Settings of judges, and what can be checked of them before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator

from plaudit.config.base import Section
from plaudit.config.problems import problems_of
from plaudit.errors import UserError, suggest
from plaudit.registry import JUDGES, resolve
from plaudit.runs.locate import is_run, locate


class RewardOptions(Section):
    """``soft`` gives σ(r_i − r_j) of each pair instead of the order of the scores."""

    soft: bool = False


class GatedOptions(Section):
    """``gate: off`` lets a judge work that was not held against people's rankings; the report says so."""

    gate: Literal["on", "off"] = "on"

    @model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:
        # YAML reads a bare `off` as false.
        if isinstance(value, Mapping) and isinstance(value.get("gate"), bool):
            return {**value, "gate": "on" if value["gate"] else "off"}
        return value


class FunctionOptions(GatedOptions):
    """A function as a judge."""


def options_of(scheme: str, given: Mapping[str, Any]) -> Any:
    """The typed options of a judge, None where its kind has none; UserError with every unknown or wrong one."""
    model = resolve(JUDGES[scheme].options)
    if model is None:
        return None
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        found = list(problems_of(error, "", "", model))
        raise UserError("; ".join(str(p) for p in found)) from None


def check_reward(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """A reward model that stands before the step, or one that is saved."""
    options_of("reward", options)
    if rest in models:
        return
    if not rest:
        raise UserError(
            "reward: names no reward model", remedy="write reward:STEP, reward:PATH or reward:RUN@step"
        )
    if "/" not in rest and ":" not in rest and not is_run(rest) and not Path(rest).exists():
        raise UserError(
            f"there is no reward model {rest!r} before this step",
            remedy=suggest(rest, models) or f"steps that give one: {', '.join(models) or 'none'}",
        )
    locate(rest, kind="reward model")


def check_function(rest: str, options: Mapping[str, Any], world: Any, models: Sequence[str]) -> None:
    """A function that can be imported and called."""
    options_of("python", options)
    if not callable(resolve(rest, "judge")):
        raise UserError(f"{rest} is not a function", remedy="name module:function")


def resolved_policy(rest: str) -> str:
    """A model by its folder; what is not on this machine stays as it is written."""
    return _folder(rest, "policy")


def resolved_reward(rest: str) -> str:
    """A reward model by its folder; a step's name stays as it is written."""
    return _folder(rest, "reward model")


def _folder(rest: str, kind: str) -> str:
    try:
        found = locate(rest, kind=kind)
    except UserError:
        return rest
    return rest if found.hub else str(found.folder.resolve())


def resolved_address(rest: str) -> str:
    """``//host/v1#model`` without what says nothing: capitals of the host, a usual port, a slash at the end."""
    url, _, model = rest.partition("#")
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return rest
    host = (parts.hostname or "") + (f":{port}" if port not in (None, 80, 443) else "")
    return f"//{host}{parts.path.rstrip('/')}#{model}"
