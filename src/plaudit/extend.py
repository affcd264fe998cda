"""Registers a user's own preference loss or advantage estimator as a method.

An entry point ``plaudit.methods`` of the user's package names the returned object, which is then a method like any
other: in `plaudit --help`, in recipes, `compare` and reports. Free of torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from pydantic import create_model

from plaudit.config.methods import Dpo
from plaudit.config.online import Grpo
from plaudit.methods.descriptors import direct, online
from plaudit.registry import Code, Method, Tone, Variant

BETAS = (0.05, 0.2)


class MethodFacts(TypedDict, total=False):
    """Further fields of ``plaudit.Method``, for help, `compare` and `advise`."""

    models: tuple[str, ...]
    paper: str
    when: str
    page: str
    imitates: bool
    variants: Mapping[str, Variant]
    compared: bool
    fit: Code | None
    tone: Tone
    cost: Code | None


def preference_loss(
    name: str,
    loss: str,
    *,
    title: str = "",
    summary: str = "",
    defaults: dict[str, Any] | None = None,
    grid: tuple[str, Sequence[Any]] | None = ("beta", BETAS),
    **facts: Unpack[MethodFacts],
) -> Method:
    """A method that learns from rankings by the user's own loss, with a reference as in DPO.

    ``loss`` is ``module:function``, called as ``function(left, right, *, beta, result)`` with log-ratios
    log π − log π_ref of both answers [P] and the share of the win that goes to the left one [P]; it returns a loss a
    pair [P]. ``defaults`` are settings of ``Dpo`` that differ; ``facts`` further fields of ``Method``.
    """
    return direct(
        name,
        title or name.replace("_", " ").capitalize(),
        summary or f"Learn from rankings by {loss}.",
        _settings(name, Dpo, {"loss": loss, **(defaults or {})}),
        function="plaudit.methods.train_direct:dpo",
        code=("plaudit.methods.train_direct:dpo", loss),
        needs=("preferences", "reference"),
        grid=(grid[0], tuple(grid[1])) if grid else None,
        **facts,
    )


def estimator(
    name: str,
    algorithm: str,
    *,
    title: str = "",
    summary: str = "",
    defaults: dict[str, Any] | None = None,
    grid: tuple[str, Sequence[Any]] | None = ("kl.coefficient", BETAS),
    **facts: Unpack[MethodFacts],
) -> Method:
    """A method on the RL loop with the user's own advantage estimator.

    ``algorithm`` is ``module:Class``, a subclass of ``plaudit.methods.policy_gradient.PolicyGradient`` that defines
    ``advantages(rollouts, kl_coefficient) -> [R, T]``. ``defaults`` are settings of ``Grpo`` that differ; ``facts``
    further fields of ``Method``.
    """
    return online(
        name,
        title or name.replace("_", " ").capitalize(),
        summary or f"Learn from a reward by {algorithm}.",
        _settings(name, Grpo, {"algorithm": algorithm, **(defaults or {})}),
        function="plaudit.methods.train_online:grpo",
        code=("plaudit.methods.train_online:grpo", algorithm),
        grid=(grid[0], tuple(grid[1])) if grid else None,
        **facts,
    )


def _settings(name: str, base: Any, values: dict[str, Any]) -> Any:
    """A section class of the method's name, with other defaults than its base."""
    own: Any = {key: (base.model_fields[key].rebuild_annotation(), value) for key, value in values.items()}
    title = "".join(part.capitalize() for part in name.replace("-", "_").split("_"))
    return create_model(title, __base__=base, __module__=__name__, **own)
