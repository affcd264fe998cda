"""Reads a recipe, applies overrides and validates it; all problems are reported at once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from plaudit.config.older import older_form
from plaudit.config.problems import problems_of
from plaudit.config.recipe import Config
from plaudit.config.steps import LOOP, parse_steps
from plaudit.config.text import Loader
from plaudit.errors import Problem, UserError, suggest
from plaudit.registry import STEPS, WORLDS, resolve


def load_recipe(path: str | Path, overrides: Sequence[str] = (), without: Sequence[str] = ()) -> Config:
    """Read a YAML recipe, leave out the steps of ``without``, apply ``a.b=c`` overrides, validate the whole."""
    raw = read_yaml(Path(path))
    for name in without:
        leave_out(raw, name)
    for override in overrides:
        apply_override(raw, override)
    return validate(raw, str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """A recipe as plain values; UserError for what is not a mapping of YAML."""
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader)  # a SafeLoader
    except FileNotFoundError:
        raise UserError(f"there is no recipe {path}", remedy="see recipes/ for those that ship") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise UserError(
                f"{path} is not a recipe: it holds no YAML",
                remedy=f"for data: plaudit check {path}, or a method such as plaudit dpo {path} --model MODEL",
            ) from None
        mark = getattr(error, "problem_mark", None)
        problem = Problem(
            str(getattr(error, "problem", None) or error),
            file=str(path),
            line=mark.line + 1 if mark else None,
            remedy="fix the YAML at this place",
        )
        raise UserError(f"{path} is not valid YAML", problems=[problem]) from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a recipe") from None
    except OSError as error:
        raise UserError(f"the recipe {path} cannot be read: {error.strerror}") from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys, this is a {type(raw).__name__}")
    raw.setdefault("name", path.stem)
    if "steps" in raw:
        raw["steps"] = _named(raw["steps"])
    return raw


def _named(steps: Any) -> Any:
    """Steps by their names as text, those of loops too: YAML reads a name such as 2 or null as another type."""
    if not isinstance(steps, dict):
        return steps
    return {
        str(n): {**s, "steps": _named(s["steps"])} if isinstance(s, dict) and "steps" in s else s
        for n, s in steps.items()
    }


def leave_out(raw: dict[str, Any], name: str) -> None:
    """Remove the step ``name``, also from a loop; UserError where there is none."""
    places = _step_places(raw)
    if name not in places:
        raise UserError(
            f"--without {name}: the recipe has no such step",
            remedy=suggest(name, places) or f"steps: {', '.join(places) or 'none'}",
        )
    del places[name][name]


def _step_places(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The mapping in which each step of a recipe stands, by the step's name."""
    steps = raw.get("steps")
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(steps, dict):
        return found
    for name, section in steps.items():
        inner = section.get("steps") if isinstance(section, dict) else None
        if (name == LOOP or str(name).startswith(f"{LOOP}-")) and isinstance(inner, dict):
            found |= dict.fromkeys(inner, inner)
        else:
            found[name] = steps
    return found


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Set ``a.b.c=value`` in place; the value is YAML. A step is changed by this, never created."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set {override!r} is not of the form a.b=value")
    *parents, last = key.strip().split(".")
    _not_of_a_step(raw, override, (*parents, last)[0])
    node: dict[str, Any] = raw
    if key.strip() == "steps":
        raise UserError(
            f"--set {override!r} would replace all steps, and --set cannot create one",
            remedy="set one key of a step: steps.NAME.KEY=…",
        )
    if parents and parents[0] == "steps":
        node, parents = _step_node(raw, override, [*parents[1:], last])
        last = parents.pop()
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise UserError(f"--set {override!r}: {parent!r} holds a value, not a section")
        node = child
    try:
        value = yaml.load(text, Loader)
    except yaml.YAMLError:
        raise UserError(f"--set {override!r}: the value is not valid YAML") from None
    if isinstance(value, str):
        # YAML 1.1 reads 1e-4 as a string; people write it as a number.
        with contextlib.suppress(ValueError):
            value = float(value)
    node[last] = value


def _not_of_a_step(raw: Mapping[str, Any], override: str, first: str) -> None:
    """UserError where an override names a step of a recipe, or a kind of step, as if it stood at top level."""
    places = _step_places(raw)
    if isinstance(raw.get("steps"), dict) and first not in Config.model_fields:
        if first in places:
            raise UserError(
                f"--set {override!r}: the settings of a step stand under `steps`",
                remedy=f"--set steps.{override.strip()}",
            )
        if first in STEPS:
            raise UserError(
                f"--set {override!r}: the recipe has no step {first!r}, and --set cannot create one",
                remedy=f"its steps: {', '.join(places) or 'none'}, such as --set steps.{next(iter(places), first)}.…",
            )


def _step_node(raw: dict[str, Any], override: str, path: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The mapping below which the rest of a ``steps.NAME.…`` path is set."""
    places = _step_places(raw)
    steps = raw.get("steps")
    if isinstance(steps, dict) and path[0] in steps and path[0] not in places:
        if path[1:2] in ([], ["steps"]):
            raise UserError(
                f"--set {override!r} would replace steps of a loop, and --set cannot create one",
                remedy="a step of a loop is set by its name in the loop: steps.NAME.KEY=…",
            )
        return steps, path  # a loop's own settings, such as its rounds
    # A step's name may hold dots: the longest that fits is meant.
    for size in range(len(path), 0, -1):
        name = ".".join(path[:size])
        if name not in places:
            continue
        if size == len(path):
            raise UserError(
                f"--set {override!r} would replace a whole step",
                remedy=f"set one key of it: steps.{name}.KEY=…",
            )
        if places[name].get(name) is None:
            places[name][name] = {}
        return places[name], [name, *path[size:]]
    raise UserError(
        f"--set {override!r}: the recipe has no step {path[0]!r}, and --set cannot create one",
        remedy=suggest(path[0], places) or f"steps: {', '.join(places) or 'none'}",
    )


def validate(raw: Mapping[str, Any], origin: str) -> Config:
    """The typed config, or one UserError that lists every problem with its place and remedy."""
    older_form(raw, origin)
    plain = {k: v for k, v in _numbers(raw).items() if k not in ("steps", "world")}
    steps, problems = parse_steps(_numbers(raw).get("steps"), origin)
    world, wrong = _world(_numbers(raw).get("world"), origin)
    problems += wrong
    config = None
    try:
        config = Config.model_validate(plain)
    except ValidationError as error:
        problems = [*problems_of(error, origin, "", Config), *problems]
    if problems or config is None:
        raise UserError(f"{origin} has problems", problems=problems)
    return config.model_copy(update={"steps": steps, "world": world})


def _world(value: Any, origin: str) -> tuple[Any, list[Problem]]:
    """The section of the world that a recipe names: ``world: NAME``, or its settings with ``kind: NAME``."""
    if value is None:
        return None, []
    value = {"kind": value} if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        return None, [
            Problem(f"a world is a name or a section, this is {value!r}", file=origin, field="world")
        ]
    name = str(value.get("kind") or (next(iter(WORLDS)) if len(WORLDS) == 1 else ""))
    if name not in WORLDS:
        remedy = suggest(name, WORLDS) or f"write `world: {{kind: …}}`, one of {', '.join(WORLDS)}"
        return None, [Problem(f"there is no world {name!r}", file=origin, field="world", remedy=remedy)]
    model = resolve(WORLDS[name].settings)
    try:
        return model.model_validate({**value, "kind": name}), []
    except ValidationError as error:
        return None, list(problems_of(error, origin, "world", model))


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if isinstance(value, str) and value[:1].isdigit() and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value
