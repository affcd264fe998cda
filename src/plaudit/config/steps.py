"""The steps of a recipe: names, kinds, inputs by name, loops unrolled. Every problem is reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, SerializeAsAny, TypeAdapter, ValidationError, model_serializer

from plaudit.config.base import PolicySource, Pretrained, Scratch, Section
from plaudit.config.problems import problems_of
from plaudit.config.scoring import RewardPart
from plaudit.errors import Problem, suggest
from plaudit.registry import EVALUATE, PROXY, STEPS, StepKind, resolve

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PLACES = ("base", "start", "end", "perfect")
IMPLICIT = (EVALUATE, PROXY)
LOOP = "loop"
INPUTS = ("kind", "from", "on", "reward", "policy")


class StepInput(Section):
    """One source of records for a step: a data role or an earlier step, and the weight of its records."""

    name: str
    weight: float = 1.0


class RecipeStep(Section):
    """One step: its kind, its inputs where the recipe names them, and the section of its kind.

    ``start`` is the recipe's ``from``; None stands for the default, which ``config.graph`` finds.
    """

    kind: str
    settings: SerializeAsAny[BaseModel]
    start: str | None = None
    on: tuple[StepInput, ...] | None = None
    reward: tuple[RewardPart, ...] | None = None
    policy: PolicySource | None = None

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        """As in a recipe, so that a recorded run is read by the code that reads recipes."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.start is not None:
            found["from"] = self.start
        if self.on is not None:
            found["on"] = [s.name if s.weight == 1 else {s.name: s.weight} for s in self.on]
        if self.reward is not None:
            found["reward"] = [part.model_dump() for part in self.reward]
        if self.policy is not None:
            found["policy"] = self.policy.model_dump()
        return {**found, **self.settings.model_dump()}


def kind_name(name: str) -> str | None:
    """The longest registered kind that a step's name begins with, before a ``-``; None where there is none."""
    plain = name.replace("_", "-")
    fitting = [k for k in STEPS if plain == (own := k.replace("_", "-")) or plain.startswith(f"{own}-")]
    return max(fitting, key=len, default=None)


def section_class(kind: StepKind) -> type[BaseModel]:
    """The class of a kind's section."""
    found: type[BaseModel] = resolve(kind.settings, f"settings of {kind.name}")
    return found


def parse_steps(raw: Any, origin: str) -> tuple[dict[str, RecipeStep], list[Problem]]:
    """Typed steps by name in the order of work, and everything that is wrong with them."""
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        message = f"steps is a mapping of names to settings, this is a {type(raw).__name__}"
        return {}, [Problem(message, file=origin, field="steps", remedy="write `steps: {sft: {}, dpo: {}}`")]
    found: dict[str, RecipeStep] = {}
    problems: list[Problem] = []
    for name, section, place in _unrolled(raw, origin, problems):
        if name in found:
            remedy = f"give one a suffix: {name}-2"
            problems.append(
                Problem(f"two steps are called {name!r}", file=origin, field=place, remedy=remedy)
            )
            continue
        step = _parsed(name, section, place, origin, problems)
        if step is not None:
            found[name] = step
    return found, problems


def _parsed(name: str, section: Any, place: str, origin: str, problems: list[Problem]) -> RecipeStep | None:
    def wrong(message: str, remedy: str | None = None, field: str = place) -> None:
        problems.append(Problem(message, file=origin, field=field, remedy=remedy))

    if not NAME.fullmatch(name):
        wrong(f"{name!r} is not a name for a step", "letters, digits and . _ - only, such as ppo-2")
        return None
    if name in PLACES:
        wrong(f"{name!r} is a reserved name: it stands for a place in every run", f"call the step {name}-2")
        return None
    if name in IMPLICIT:
        wrong(f"the step {name!r} is set by the section `evaluate:`", f"move it there, or call this {name}-2")
        return None
    section = {} if section is None else section
    if not isinstance(section, Mapping):
        wrong(f"a step is a mapping of settings, this is {section!r}", f"write `{name}: {{}}`")
        return None
    given = section.get("kind") or kind_name(name)
    kind = STEPS.get(str(given)) if given is not None else None
    if kind is None:
        what = (
            f"there is no kind of step {given!r}"
            if section.get("kind")
            else f"{name!r} begins with no kind of step"
        )
        known = ", ".join(sorted(STEPS))
        wrong(what, suggest(str(section.get("kind") or name), STEPS) or f"add `kind:`, one of {known}")
        return None
    inputs: dict[str, Any] = {"kind": kind.name}
    for key, reader in (("from", _start), ("on", _on), ("reward", _reward), ("policy", _policy)):
        if section.get(key) is None:
            continue
        try:
            inputs["start" if key == "from" else key] = reader(section[key])
        except ValidationError as error:
            source = Pretrained if "path" in section[key] else Scratch
            read = source if key == "policy" else RewardPart
            problems.extend(problems_of(error, origin, f"{place}.{key}", read))
        except ValueError as error:
            wrong(str(error), field=f"{place}.{key}")
    model = section_class(kind)
    try:
        settings = model.model_validate({k: v for k, v in section.items() if k not in INPUTS})
    except ValidationError as error:
        problems.extend(problems_of(error, origin, place, model, also=INPUTS))
        return None
    return RecipeStep(settings=settings, **inputs)


def _start(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"from names one step, this is {value!r}")
    return value


def _on(value: Any) -> tuple[StepInput, ...]:
    found = []
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, str):
            found.append(StepInput(name=one))
        elif isinstance(one, Mapping) and len(one) == 1 and isinstance(next(iter(one.values())), int | float):
            ((name, weight),) = one.items()
            if not weight > 0:
                raise ValueError(f"the weight of {name!r} must be above 0, got {weight}")
            found.append(StepInput(name=str(name), weight=float(weight)))
        else:
            raise ValueError(f"on is a list of names, or of {{name: weight}}; this is {one!r}")
    if not found:
        raise ValueError("on names nothing to learn from")
    return tuple(found)


def _reward(value: Any) -> tuple[RewardPart, ...]:
    """A step's name, a spec, or a list of them, each also as ``{spec: weight}`` or as a part of a sum."""
    found = []
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, Mapping) and not set(one) & set(RewardPart.model_fields):
            if len(one) != 1:
                raise ValueError(f"a part of a reward is a spec or {{spec: weight}}, this is {one!r}")
            ((spec, weight),) = one.items()
            part = RewardPart.of_spec(str(spec)).model_dump()
            found.append(RewardPart.model_validate(part | {"weight": weight}))
        elif isinstance(one, Mapping):
            found.append(RewardPart.model_validate(one))
        elif isinstance(one, str):
            found.append(RewardPart.of_spec(one))
        else:
            raise ValueError(f"a reward is a step or a spec such as python:module:function; this is {one!r}")
    if not found:
        raise ValueError("reward names nothing that scores")
    return tuple(found)


def _policy(value: Any) -> Any:
    return TypeAdapter(PolicySource).validate_python(value)


def _unrolled(raw: Mapping[str, Any], origin: str, problems: list[Problem]) -> Iterator[tuple[str, Any, str]]:
    """(name, section, place in the recipe) of every step, each round of a loop with its number behind."""
    for name, section in raw.items():
        if name != LOOP and not str(name).startswith(f"{LOOP}-"):
            yield str(name), section, f"steps.{name}"
            continue
        place = f"steps.{name}"
        rounds, inner = _loop(section, place, origin, problems)
        for number in range(1, rounds + 1):
            for own, settings in inner.items():
                yield (
                    f"{own}-{number}",
                    _in_round(settings, list(map(str, inner)), str(own), number),
                    f"{place}.steps.{own}",
                )


def _loop(section: Any, place: str, origin: str, problems: list[Problem]) -> tuple[int, Mapping[str, Any]]:
    def wrong(message: str) -> tuple[int, Mapping[str, Any]]:
        remedy = "write `loop: {rounds: 2, steps: {rank: {}, reward: {}, ppo: {}}}`"
        problems.append(Problem(message, file=origin, field=place, remedy=remedy))
        return 0, {}

    if not isinstance(section, Mapping) or set(section) - {"rounds", "steps"}:
        return wrong("a loop has the keys rounds and steps")
    rounds, steps = section.get("rounds"), section.get("steps")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        return wrong(f"rounds is a whole number from 1 on, this is {rounds!r}")
    if not isinstance(steps, Mapping) or not steps:
        return wrong("a loop needs steps")
    if any(n == LOOP or str(n).startswith(f"{LOOP}-") for n in steps):
        return wrong("a loop inside a loop is not supported")
    return rounds, steps


def _in_round(section: Any, names: Sequence[str], own: str, number: int) -> Any:
    """A section whose inputs name steps of the same round, or of the round before for later steps."""
    if not isinstance(section, Mapping):
        return section

    def meant(name: Any) -> Any:
        """A name, ``{name: weight}`` or a part of a sum as of this round; None where the first round has none."""
        if isinstance(name, Mapping):
            found = {
                meant(k): meant(v) if k == "path" and name.get("source") == "step" else v
                for k, v in name.items()
            }
            return None if None in (*found, found.get("path", "")) else found
        if not isinstance(name, str) or name not in names:
            return name
        earlier = names.index(name) < names.index(own)
        if earlier or number > 1:
            return f"{name}-{number if earlier else number - 1}"
        return None

    def judge(spec: Any) -> Any:
        if isinstance(spec, Mapping):
            return {**spec, "judge": judge(spec.get("judge"))}
        step, mark, options = str(spec).removeprefix("reward:").partition("?")
        made_of = isinstance(spec, str) and spec.startswith("reward:")
        return f"reward:{meant(step) or step}{mark}{options}" if made_of else spec

    made = dict(section)
    for key in ("from", "reward", "against", "recheck", "keep_best", "on", "beside", "also"):
        if (value := made.get(key)) is None:
            continue
        several = key in ("on", "beside", "also")
        if several or isinstance(value, list | tuple):
            value = value if isinstance(value, list | tuple) else [value]
            made[key] = [m for v in value if (m := meant(v)) is not None] or (
                () if several and key != "on" else None
            )
        else:
            made[key] = meant(value)
    return made | {key: judge(made[key]) for key in ("by", "judge") if made.get(key) is not None}
