"""A whole recipe: reading, overriding, validating, with every problem told at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from plaudit.config.base import Fraction, Lora, PolicySource, Positive, Scratch, Section, Training
from plaudit.config.methods import (
    FINAL,
    ONLINE,
    Cpo,
    Dpo,
    Grpo,
    Kto,
    OnlineDpo,
    Orpo,
    Ppo,
    Reinforce,
    Rejection,
    Rloo,
    Sft,
    Simpo,
)
from plaudit.errors import Problem, UserError, suggest

# What a code of a preference or label may mean; `drop` leaves its rows out.
Meaning = Literal["first", "second", "tie", "good", "bad", "drop"]
ROLES = ("corpus", "demonstrations", "votes", "preferences", "labels", "prompts")


class Source(Section):
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
    def _read_or_converted(self) -> Source:
        given = [name for name in ("fields", "labels") if getattr(self, name)]
        if self.convert and given:
            raise ValueError(
                f"convert knows its set's columns: {' and '.join(given)} would change nothing, leave one of the two"
            )
        return self


class Data(Section):
    """Where each kind of record comes from. A plain string is a path, relative to ``root``."""

    root: str = "."
    corpus: tuple[Source, ...] = ()
    demonstrations: tuple[Source, ...] = ()
    votes: tuple[Source, ...] = ()
    preferences: tuple[Source, ...] = ()
    labels: tuple[Source, ...] = ()
    prompts: tuple[Source, ...] = ()
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


class Pocket(Section):
    """The pocket world: how much of each kind of text."""

    documents: Positive = 41_600
    demonstrations: Positive = 6000
    verdicts: Annotated[int, Field(ge=0)] = 12_800
    kept_verdicts: Annotated[int, Field(ge=0)] = 3000
    votes: Annotated[int, Field(ge=0)] = 8000
    train_prompts: Positive = 6000
    validation_prompts: Positive = 300
    test_prompts: Positive = 800


class Pretrain(Training):
    """Next-token prediction on raw text."""

    batch_size: Positive = 16
    lr: float = Field(3e-3, gt=0)


class Verdict(Training):
    """A short stage in which only the verdict of an answer is trained (pocket world)."""

    batch_size: Positive = 32


class Rank(Section):
    """Rollouts from the SFT model, ranked by simulated raters (pocket world)."""

    prompts: Positive = 2500
    low: Annotated[int, Field(ge=2)] = 4
    high: Annotated[int, Field(ge=2)] = 9
    scripted_share: Fraction = 0.35
    noise: float = Field(0.3, ge=0)
    biased: bool = False
    temperature: float = Field(1.0, gt=0)
    max_new_tokens: Positive = 40
    validation: Fraction = 0.1

    @model_validator(mode="after")
    def _order(self) -> Rank:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Reward(Training):
    """A reward model on rankings (Stiennon et al. 2020; Ouyang et al. 2022).

    ``use_strength`` makes stated strengths margins, ``margin_scale`` · strength / the largest in the training data:
    1 is the small margin of Touvron et al. 2023 (Llama 2), 3 the large one.
    """

    backbone: Literal["policy", "base"] | PolicySource = "policy"
    pooling: Literal["last", "mean"] = "last"
    loss: Literal["pairs", "plackett_luce"] = "pairs"
    length_normalised: bool = False
    use_strength: bool = False
    margin_scale: float = Field(1.0, gt=0)
    centering: float = Field(0.0, ge=0)
    members: Positive = 1
    aggregate: Literal["mean", "min", "mean_minus_std", "mean_minus_variance"] = "mean"
    std_penalty: float = Field(1.0, ge=0)
    votes: Training | None = None
    lora: Lora | None = None
    batch_size: Positive = 4

    @model_validator(mode="after")
    def _strength(self) -> Reward:
        if self.use_strength and self.loss != "pairs":
            raise ValueError(f"use_strength is for loss pairs, not {self.loss}")
        if self.margin_scale != 1.0 and not self.use_strength:
            raise ValueError("margin_scale needs use_strength: true")
        return self


class Evaluate(Section):
    """What the report measures, at which temperatures, on how many prompts."""

    temperature: float = Field(1.0, gt=0)
    temperatures: tuple[float, ...] = (0.15, 0.3, 0.5)
    prompts: Positive = 800
    max_new_tokens: Positive = 48
    show: Positive = 40
    judge: Training | None = None


class Config(Section):
    """A whole run. Stages that are absent (null) are not run.

    ``memory`` is a limit in GiB from which token budgets are chosen (by default a share of what is free);
    ``checkpointing`` computes layers again in the backward pass (by default only where nothing else fits);
    ``fused`` lets layers of the Llama layout be computed by ``models/fused`` on the CPU.
    """

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Positive | None = None
    deterministic: bool = True
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    layout: Literal["shared", "packed", "padded"] = "shared"
    fused: bool = True
    memory: float | None = Field(None, gt=0)
    checkpointing: bool | None = None
    policy: PolicySource = Scratch()
    world: Pocket | None = None
    data: Data = Data()
    pretrain: Pretrain | None = None
    verdict: Verdict | None = None
    sft: Sft | None = None
    rank: Rank | None = None
    reward: Reward | None = None
    ppo: Ppo | None = None
    grpo: Grpo | None = None
    rloo: Rloo | None = None
    reinforce: Reinforce | None = None
    online_dpo: OnlineDpo | None = None
    rejection: Rejection | None = None
    dpo: Dpo | None = None
    simpo: Simpo | None = None
    cpo: Cpo | None = None
    orpo: Orpo | None = None
    kto: Kto | None = None
    evaluate: Evaluate | None = Evaluate()

    @property
    def final(self) -> str | None:
        """The section of the method that trains the last policy."""
        return next((name for name in FINAL if getattr(self, name) is not None), None)

    @property
    def online(self) -> Any:
        """The section of the RL loop's method, None where there is none."""
        return next((s for name in ONLINE if (s := getattr(self, name)) is not None), None)

    @property
    def scoring(self) -> Any:
        """The section that asks for a reward, None where none does."""
        return self.online or self.rejection

    @model_validator(mode="after")
    def _one_method(self) -> Config:
        given = [name for name in FINAL if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"sections {', '.join(given)} would each train the last policy: keep one "
                "(`plaudit compare` runs several)"
            )
        return self

    def data_sources(self) -> dict[str, list[str]]:
        """The paths that each role of the data section names, local ones resolved against its root."""
        found = {role: [self.locate(s) for s in getattr(self.data, role)] for role in ROLES}
        return {role: paths for role, paths in found.items() if paths}

    def locate(self, source: Source) -> str:
        """Where a source lies: below ``data.root`` if it is there, else as it is written."""
        local = Path(self.data.root) / source.path
        return str(local) if self.data.root != "." and local.exists() else source.path


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML recipe, apply ``a.b=c`` overrides, and validate the whole."""
    raw = read_yaml(Path(path))
    for override in overrides:
        apply_override(raw, override)
    return validate(raw, str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """A recipe as plain values; UserError for what is not a mapping of YAML."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no recipe {path}", remedy="see recipes/ for those that ship") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = Problem(
            str(getattr(error, "problem", None) or error),
            file=str(path),
            line=mark.line + 1 if mark else None,
            remedy="mend the YAML at this place",
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


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Set ``a.b.c=value`` in place; the value is YAML."""
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(f"--set {override!r} is not of the form a.b=value")
    *parents, last = key.strip().split(".")
    node = raw
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise UserError(f"--set {override!r}: {parent!r} holds a value, not a section")
        node = child
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override!r}: the value is not valid YAML") from None
    if isinstance(value, str):
        # YAML 1.1 reads 1e-4 as a string; people write it as a number.
        with contextlib.suppress(ValueError):
            value = float(value)
    node[last] = value


def validate(raw: Mapping[str, Any], origin: str) -> Config:
    """The typed config, or one UserError that lists every problem with its place and remedy."""
    try:
        return Config.model_validate(_numbers(raw))
    except ValidationError as error:
        raise UserError(f"{origin} has problems", problems=_problems(error, origin)) from None


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


def _problems(error: ValidationError, origin: str) -> Iterator[Problem]:
    for item in error.errors():
        # The tags of unions are pydantic's, not the user's: they appear in no recipe.
        place = [str(p) for p in item["loc"] if p not in ("scratch", "pretrained") and "[" not in str(p)]
        remedy = None
        if item["type"] == "extra_forbidden":
            message = f"unknown key {place[-1]!r}"
            known = _fields_at(place[:-1])
            remedy = suggest(place[-1], known) or f"known keys: {', '.join(sorted(known))}"
        else:
            message = item["msg"].removeprefix("Value error, ")
            if "input" in item and not isinstance(item["input"], Mapping):
                message += f" (got {item['input']!r})"
        yield Problem(message, file=origin, field=".".join(place) or None, remedy=remedy)


def _fields_at(place: Sequence[str]) -> set[str]:
    """Keys known to the sections that may stand at this place."""
    sections: set[type[BaseModel]] = {Config}
    for key in place:
        inner: set[type[BaseModel]] = set()
        for section in sections:
            if key.isdigit():
                inner.add(section)
            elif key in section.model_fields:
                inner |= set(_sections_in(section.model_fields[key].annotation))
        sections = inner
    return {name for section in sections for name in section.model_fields}


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections_in(argument)
