"""A recipe's settings that nobody stated, filled in for the models that its steps start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from plaudit.config import Config, Pretrained
from plaudit.config.pretrained import LORA_SOURCE, defaults_of, vetted
from plaudit.config.problems import problems_of
from plaudit.config.sections import RewardSettings
from plaudit.config.steps import RecipeStep
from plaudit.errors import UserError
from plaudit.registry import STEPS
from plaudit.runs.sizes import size_of


@dataclass(frozen=True)
class Filled:
    """What one step (or section) was given, with its source."""

    step: str
    settings: dict[str, Any]
    source: str

    def __str__(self) -> str:
        said = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return f"{self.step}: {said} ({self.source})"


def with_defaults(config: Config) -> tuple[Config, list[Filled]]:
    """The config with the table's values wherever a setting was not stated, and what was filled in."""
    filled: list[Filled] = []
    steps = {name: _step(name, step, source, filled) for name, step, source in _sourced(config)}
    first = _source(config.policy)
    changes: dict[str, Any] = {"steps": steps}
    if config.world is None and first is not None:
        changes["data"] = _section("data", config.data, first, filled)
        if config.evaluate is not None:
            evaluate = _section("evaluate", config.evaluate, first, filled)
            if evaluate.proxy is not None:
                proxy = _section(
                    "evaluate.proxy", evaluate.proxy, first, filled, "reward", adapters=_proxy(steps)
                )
                evaluate = evaluate.model_copy(update={"proxy": proxy})
            changes["evaluate"] = evaluate
    return config.model_copy(update=changes), filled


def _sourced(config: Config) -> Iterator[tuple[str, RecipeStep, Any]]:
    """The steps with the pretrained model that each starts from, None for one made from scratch."""
    sources: dict[str, Any] = {}
    newest = config.policy
    for name, step in config.steps.items():
        source = step.policy or sources.get(str(step.start), newest)
        sources[name] = source
        if "policy" in STEPS[step.kind].gives:
            newest = source
        yield name, step, _source(source)


def _source(policy: Any) -> tuple[float | None, bool] | None:
    """Parameters (None: not known) of a pretrained model, and whether adapters are trained on it."""
    if not isinstance(policy, Pretrained):
        return None
    return size_of(policy.path), policy.lora is not None


def _step(
    name: str, step: RecipeStep, source: tuple[float | None, bool] | None, filled: list[Filled]
) -> RecipeStep:
    settings = step.settings
    if isinstance(settings, RewardSettings):
        backbone = settings.backbone
        source = _source(backbone) if backbone is not None else source
        source = (source[0], settings.adapters is not None) if source is not None else None
    if source is None:
        return step
    made = _section(name, settings, source, filled, step.kind)
    return step.model_copy(update={"settings": made})


def _proxy(steps: dict[str, RecipeStep]) -> bool:
    """Whether the proxy judge, which is made like the recipe's reward model, trains adapters."""
    made = next((s.settings for s in steps.values() if isinstance(s.settings, RewardSettings)), None)
    return made is not None and made.adapters is not None


def _section(
    name: str,
    settings: Any,
    source: tuple[float | None, bool],
    filled: list[Filled],
    row: str | None = None,
    *,
    adapters: bool | None = None,
) -> Any:
    """The section with the table's row wherever it was not stated."""
    parameters, lora = source
    lora = lora if adapters is None else adapters
    row = row or name
    fields = type(settings).model_fields
    given = {
        key: value
        for key, value in vetted(row, parameters, adapters=lora).items()
        if key in fields and key not in settings.model_fields_set
    }
    if not given:
        return settings
    known = defaults_of(row)
    assert known is not None, "vetted gave its settings"
    words = known.source + (f"; {LORA_SOURCE}" if lora and "lr" in given else "")
    filled.append(Filled(name, given, words))
    stated = {key: getattr(settings, key) for key in settings.model_fields_set}
    try:
        return type(settings)(**stated, **given)
    except ValidationError as error:
        problems = problems_of(error, "with what is filled in for a pretrained model", name, type(settings))
        raise UserError(f"{name} does not hold together", problems=problems) from None
