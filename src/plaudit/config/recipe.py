"""A whole recipe: reading, overriding, validating, with every problem reported at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from plaudit.config.base import Fraction, PolicySource, Positive, Scratch, Section
from plaudit.config.older import older_form
from plaudit.config.problems import problems_of
from plaudit.config.sections import Evaluate
from plaudit.config.steps import LOOP, RecipeStep, parse_steps
from plaudit.config.text import Loader
from plaudit.errors import Problem, UserError, suggest
from plaudit.registry import STEPS, WORLDS, resolve

# What a code of a preference or label may mean; `drop` leaves its rows out.
Meaning = Literal["first", "second", "tie", "good", "bad", "drop"]
ROLES = ("corpus", "demonstrations", "votes", "preferences", "labels", "prompts")


class DataSource(Section):
    """A file or hub data set; ``weight`` sets its share in a mixture, ``limit`` caps its records.

    ``convert`` names a converter (see `plaudit data convert`) for layouts that are not read as they are.
    ``fields`` says which column holds a field of ours (``{prompt: ask}``), ``labels`` what the codes of the
    column with the preference or label mean (``{0: first, 1: second, 2: tie}``).
    """

    path: str
    convert: str | None = None
    fields: Mapping[str, str] | None = None
    labels: Mapping[str, Meaning] | None = None
    weight: float = Field(1.0, gt=0)
    limit: Positive | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _codes_as_text(cls, labels: Any) -> Any:
        """YAML reads the codes 0, 1.0 and yes as numbers and truth values; they are compared as text."""
        if not isinstance(labels, Mapping):
            return labels
        return {str(code).lower() if isinstance(code, bool) else str(code): m for code, m in labels.items()}

    @model_validator(mode="after")
    def _read_or_converted(self) -> DataSource:
        given = [name for name in ("fields", "labels") if getattr(self, name)]
        if self.convert and given:
            raise ValueError(
                f"convert knows its set's columns: {' and '.join(given)} would change nothing, leave one of the two"
            )
        return self


class Data(Section):
    """Where each kind of record comes from. A plain string is a path, relative to ``root``."""

    root: str = "."
    corpus: tuple[DataSource, ...] = ()
    demonstrations: tuple[DataSource, ...] = ()
    votes: tuple[DataSource, ...] = ()
    preferences: tuple[DataSource, ...] = ()
    labels: tuple[DataSource, ...] = ()
    prompts: tuple[DataSource, ...] = ()
    validation: Fraction = 0.05
    preference_validation: Fraction = 0.15
    judge_share: Fraction = 0.35
    max_length: Positive = 512
    max_prompt_length: Positive | None = None
    max_dropped: Fraction = 0.05
    train_on: Literal["all", "last"] = "all"

    @model_validator(mode="before")
    @classmethod
    def _plain_paths(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data

        def sources(value: Any) -> Any:
            value = [value] if isinstance(value, str | Mapping) else value
            if not isinstance(value, list | tuple):
                return value
            return [{"path": v} if isinstance(v, str) else v for v in value]

        return {k: sources(v) if k in ROLES else v for k, v in data.items()}


class ComputeSettings(Section):
    """``kernels``: ``auto``, the fastest of the machine, or ``reference``, plain torch and transformers code."""

    kernels: Literal["auto", "reference"] = "auto"


class Config(Section):
    """A whole run: a policy, data, and a graph of named steps in the order of work.

    ``memory`` is a limit in GiB from which token budgets are chosen (by default 60 % of all memory);
    ``checkpointing`` is activation checkpointing (by default only where nothing else fits); ``fused`` lets layers of
    the Llama layout be computed by fused operations on the CPU; ``compute.kernels`` chooses fast kernels or their
    reference. ``save`` keeps trained adapters beside the merged model (``both``) or in its place at the end
    (``adapter``); ``save_dtype`` is the type of the end's weights. ``evaluate`` is the last step, null for none.
    """

    name: str = "run"
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Positive | None = None
    deterministic: bool = True
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    layout: Literal["shared", "packed", "padded"] = "shared"
    fused: bool = True
    compute: ComputeSettings = ComputeSettings()
    memory: float | None = Field(None, gt=0)
    checkpointing: bool | None = None
    save: Literal["merged", "adapter", "both"] = "merged"
    save_dtype: Literal["source", "float32", "bfloat16", "float16"] = "source"
    policy: PolicySource = Scratch()
    world: SerializeAsAny[BaseModel] | None = None
    data: Data = Data()
    steps: dict[str, RecipeStep] = Field(default_factory=dict)
    evaluate: Evaluate | None = Evaluate()

    @field_validator("name")
    @classmethod
    def _folder_name(cls, name: str) -> str:
        """Letters of any script and spaces; not what a folder cannot be called, or a command takes for an option."""
        if (
            not name.strip()
            or name != name.strip()
            or name[0] in ".-"
            or re.search(r'[/\\:*?"<>|\x00-\x1f]', name)
        ):
            raise ValueError(
                'a name of a run begins with a letter or digit and has none of / \\ : * ? " < > |'
            )
        return name

    def data_sources(self) -> dict[str, list[str]]:
        """The paths that each role of the data section names, local ones resolved against its root."""
        found = {role: [self.locate(s) for s in getattr(self.data, role)] for role in ROLES}
        return {role: paths for role, paths in found.items() if paths}

    def locate(self, source: DataSource) -> str:
        """Where a source lies: below ``data.root`` if it is there, else as it is written."""
        local = Path(self.data.root) / source.path
        return str(local) if self.data.root != "." and local.exists() else source.path


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
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a recipe is a mapping of keys, this is a {type(raw).__name__}")
    raw.setdefault("name", path.stem)
    return raw


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
