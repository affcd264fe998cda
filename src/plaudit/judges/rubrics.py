"""Rubrics: criteria with weights, the same for every prompt or from a file with some for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plaudit.config.text import Loader
from plaudit.data.records import Prompt
from plaudit.errors import Problem, UserError


@dataclass(frozen=True)
class Criterion:
    """A statement that is true of a good answer; ``weight`` < 0 where it is true of a bad one."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Rubric:
    """Criteria for all prompts, and those for single ones by the text of their last message or their id."""

    common: tuple[Criterion, ...] = ()
    by_prompt: Mapping[str, tuple[Criterion, ...]] | None = None

    def criteria(self, prompt: Prompt) -> tuple[Criterion, ...]:
        """The criteria of a prompt: its own (also in its metadata, ``rubric``), then the common ones."""
        own = prompt.metadata.get("rubric")
        found = criteria_of(own, "metadata") if own else ()
        known = self.by_prompt or {}
        return (*found, *known.get(prompt.id, ()), *known.get(prompt.text, ()), *self.common)


def read_rubric(path: Path) -> Rubric:
    """YAML or JSON: a list of criteria, or ``{common: […], prompts: {TEXT: […]}}``; JSONL: ``{prompt, rubric}`` rows.

    UserError with the place of everything that is not a criterion.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"the rubric {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"the rubric {path} is no UTF-8", remedy="save it as UTF-8") from None
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            return Rubric((), {r["prompt"]: criteria_of(r["rubric"], str(path)) for r in rows})
        value = yaml.load(text, Loader)
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"the rubric {path} cannot be read: {error}") from None
    if isinstance(value, Mapping):
        unknown = set(value) - {"common", "prompts"}
        if unknown:
            raise UserError(
                f"the rubric {path} has unknown keys: {', '.join(map(str, unknown))}",
                remedy="common, prompts",
            )
        each = value.get("prompts") or {}
        if not isinstance(each, Mapping):
            raise UserError(
                f"prompts of the rubric {path} is a {type(each).__name__}",
                remedy="write the criteria of each prompt behind its text: prompts: {TEXT: [criterion, …]}",
            )
        return Rubric(
            criteria_of(value.get("common") or [], str(path)),
            {str(k): criteria_of(v, str(path)) for k, v in each.items()},
        )
    return Rubric(criteria_of(value, str(path)))


def criteria_of(value: Any, file: str) -> tuple[Criterion, ...]:
    """Criteria as texts, or ``{criterion, weight}``; UserError lists everything that is wrong."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(f"{file}: a rubric is a list of criteria, got {type(value).__name__}")
    found, problems = [], []
    for i, one in enumerate(value, start=1):
        text, weight = (one, 1.0) if isinstance(one, str) else (None, None)
        if isinstance(one, Mapping):
            text = one.get("criterion") or one.get("description") or one.get("text")
            weight = one.get("weight", one.get("points", 1.0))
        if (
            not isinstance(text, str)
            or not text.strip()
            or isinstance(weight, bool)
            or not isinstance(weight, int | float)
        ):
            problems.append(
                Problem(
                    f"criterion {i} is {one!r}", file, remedy="write a text, or {criterion: …, weight: 1}"
                )
            )
        elif weight == 0:
            problems.append(Problem(f"criterion {i} has weight 0 and would act on nothing", file))
        else:
            found.append(Criterion(text.strip(), float(weight)))
    if problems:
        raise UserError("the rubric cannot be used", problems=problems)
    return tuple(found)
