"""What is compared: a method with its settings, and the points of its small grid."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from plaudit.config import Online, apply_override
from plaudit.config.text import Loader
from plaudit.errors import Problem, UserError, suggest
from plaudit.registry import METHODS, Method, resolve

Grid = Mapping[str, tuple[str, Sequence[Any]]]
# What a step takes from others stays as it is when another method takes its place.
KEPT = ("from", "on", "reward")


@dataclass(frozen=True)
class Arm:
    """One run of the comparison: a method (or a variant of one), its kind of step, and what is set there."""

    method: str
    section: str
    sets: tuple[str, ...]
    point: str = ""

    @property
    def name(self) -> str:
        """A folder's name."""
        return self.method + (f"-{self.point.replace('=', '-')}" if self.point else "")


def names_known() -> dict[str, tuple[Method, tuple[str, ...]]]:
    """Every name that can be compared: methods and their variants, with what a variant sets."""
    found: dict[str, tuple[Method, tuple[str, ...]]] = {}
    for method in METHODS.values():
        if method.trains_policy:
            found[method.name] = (method, ())
            found |= {name: (method, variant.sets) for name, variant in method.variants.items()}
    return found


def default_methods() -> list[str]:
    """What is compared unless a user names methods."""
    found = []
    for method in METHODS.values():
        if method.trains_policy and method.compared:
            found.append(method.name)
        found += [name for name, variant in method.variants.items() if variant.compared]
    return found


def default_grid() -> dict[str, tuple[str, Sequence[Any]]]:
    """Two values of the setting that trades reward for KL, of every method that names one."""
    grid: dict[str, tuple[str, Sequence[Any]]] = {}
    for method in METHODS.values():
        if method.grid:
            grid[method.name] = method.grid
        grid |= {name: variant.grid for name, variant in method.variants.items() if variant.grid}
    return grid


def arms_of(
    methods: Sequence[str],
    grid: Grid | None = None,
    shared: Sequence[str] = (),
    own: Mapping[str, Any] | None = None,
) -> list[Arm]:
    """The runs for these methods: each at every point of its grid.

    ``shared`` are ``METHOD.key=value`` overrides, kept where the method is theirs; ``own`` is a recipe's section by
    kind, which is where a method starts from. Online methods without a section of their own take the iterations of one
    that is there: samples decide what a method reaches.
    """
    known = names_known()
    looped = [section["iterations"] for section in (own or {}).values() if (section or {}).get("iterations")]
    arms = []
    for given in methods:
        method = given if given in known else given.replace("-", "_")
        if method not in known:
            raise UserError(
                f"there is no method {given!r} to compare",
                remedy=suggest(given, known) or f"methods: {', '.join(known)}",
            )
        kind, sets = known[method]
        section = (own or {}).get(kind.name) or {}
        if not section and looped and issubclass(resolve(kind.settings), Online):
            section = {"iterations": looped[0]}
        base = tuple(_sets(section))
        mine = tuple(s.partition(".")[2] for s in shared if s.partition(".")[0] in (kind.name, kind.verb))
        key, values = (grid or {}).get(method, ("", ()))
        # The label leaves out the section of a nested key: kl.coefficient is the coefficient.
        arms += [
            Arm(method, kind.name, (*base, *sets, *mine, f"{key}={value}"), f"{key.split('.')[-1]}={value}")
            for value in values
        ] or [Arm(method, kind.name, (*base, *sets, *mine))]
    names = [arm.name for arm in arms]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise UserError(f"{', '.join(twice)} would run twice")
    return arms


def check_asked(
    methods: Sequence[str], grid: Grid, overrides: Sequence[str], seeds: Sequence[int], steps: Collection[str]
) -> None:
    """UserError with all that a comparison was asked and that would act on none of its runs, or on a run twice."""
    known = names_known()
    names = [m if m in known else m.replace("-", "_") for m in methods]
    kinds = {word for n in names if n in known for word in (known[n][0].name, known[n][0].verb)}
    problems = [
        Problem(
            f"--grid {name}: {name!r} is not compared",
            remedy=suggest(name, names) or f"compared: {', '.join(names)}",
        )
        for name in grid
        if name not in names
    ]
    for override in overrides:
        head = override.partition(".")[0]
        if override.startswith("steps.") and not names_one(override, steps):
            name = override.partition("=")[0].split(".")[1]
            remedy = suggest(name, steps) or f"steps: {', '.join(steps)}"
            problems.append(Problem(f"--set {override}: no run has the step {name!r}", remedy=remedy))
        elif head.replace("-", "_") in METHODS and head not in kinds:
            remedy = f"name it with --methods; a step of the recipe is set by steps.{override}"
            problems.append(Problem(f"--set {override}: {head} is not compared", remedy=remedy))
    if not seeds or len(set(seeds)) < len(seeds):
        problems.append(Problem("--seeds names none, or one twice", remedy="write --seeds 0,1,2"))
    if problems:
        raise UserError("this comparison cannot run", problems=problems)


def names_one(override: str, steps: Collection[str]) -> bool:
    """Whether ``steps.NAME.key=value`` is about one of these steps, whose names may hold dots."""
    return any(f"{override.partition('=')[0]}.".startswith(f"steps.{name}.") for name in steps)


def with_arm(raw: Mapping[str, Any], step: str, arm: Arm) -> dict[str, Any]:
    """A recipe in which an arm's method makes the step ``step``; what the step takes from others stays."""
    made: dict[str, Any] = copy.deepcopy(dict(raw))
    before = made["steps"].get(step) or {}
    inputs = {key: before[key] for key in KEPT if key in before}
    if not METHODS[arm.section].rewarded:
        inputs.pop("reward", None)
    made["steps"] = {
        n: ({"kind": arm.section, **inputs} if n == step else section) for n, section in made["steps"].items()
    }
    for override in arm.sets:
        apply_override(made, f"steps.{step}.{override}")
    return made


def without_arm(raw: Mapping[str, Any], step: str) -> dict[str, Any]:
    """A recipe up to what all arms share: without the step and what comes after it."""
    made: dict[str, Any] = copy.deepcopy(dict(raw))
    names = list(made["steps"])
    made["steps"] = {n: made["steps"][n] for n in names[: names.index(step)]}
    return made


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """``method.key=v1,v2`` as a grid; UserError for anything else."""
    found: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for text in texts:
        place, separator, values = text.partition("=")
        method, dot, key = place.partition(".")
        if not (separator and dot and key and values):
            raise UserError(f"--grid {text!r} is not of the form method.key=v1,v2")
        name = method if method in names_known() else method.replace("-", "_")
        if name in found:
            raise UserError(
                f"--grid names {name} twice: {found[name][0]} and {key}", remedy="vary one of them"
            )
        try:
            found[name] = (key, tuple(yaml.load(v, Loader) for v in values.split(",")))
        except yaml.YAMLError:
            raise UserError(f"--grid {text!r}: a value is not valid YAML") from None
    return found


def _sets(section: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A recipe's section as overrides."""
    sets = []
    for key, value in section.items():
        if isinstance(value, Mapping):
            sets += _sets(value, f"{prefix}{key}.")
        else:
            sets.append(f"{prefix}{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}")
    return sets
