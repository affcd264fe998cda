"""The types of a whole recipe: its data sources and its settings (``config.load`` reads it)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SerializeAsAny, field_validator, model_validator

from plaudit.config.base import Fraction, PolicySource, Positive, Scratch, Section
from plaudit.config.sections import Evaluate
from plaudit.config.steps import RecipeStep
from plaudit.config.text import home

# What a code of a preference or label may mean; `drop` leaves its rows out.
Meaning = Literal["first", "second", "tie", "good", "bad", "drop"]
ROLES = ("corpus", "demonstrations", "votes", "preferences", "labels", "prompts")


class DataSource(Section):
    """A file or hub data set; ``weight`` sets its share in a mixture, ``limit`` caps its records.

    A weight of preferences multiplies those of their judgements; records of other roles are repeated.

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

    @field_validator("prompts")
    @classmethod
    def _each_once(cls, sources: tuple[DataSource, ...]) -> tuple[DataSource, ...]:
        if any(source.weight != 1 for source in sources):
            raise ValueError(
                "each prompt is asked once, whatever its weight: leave it out; limit takes fewer of a source"
            )
        return sources


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

    @model_validator(mode="after")
    def _typed(self) -> Config:
        if self.save == "adapter" and self.save_dtype != "source":
            raise ValueError(
                "save_dtype is the type of the merged model, and save: adapter writes none: leave out one"
            )
        return self

    def data_sources(self) -> dict[str, list[str]]:
        """The paths that each role of the data section names, local ones resolved against its root."""
        found = {role: [self.locate(s) for s in getattr(self.data, role)] for role in ROLES}
        return {role: paths for role, paths in found.items() if paths}

    def locate(self, source: DataSource) -> str:
        """Where a source lies: below ``data.root`` if it is there, else as it is written."""
        # Not a Path throughout: project://X has two slashes.
        path = str(home(source.path)) if source.path.startswith("~") else source.path
        local = home(self.data.root) / path
        return str(local) if self.data.root != "." and local.exists() else path
