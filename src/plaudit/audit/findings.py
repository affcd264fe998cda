"""The shape of a finding, and helpers with which rules read recorded numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel

from plaudit.config.steps import section_class
from plaudit.display.formatting import finite
from plaudit.registry import STEPS, StepKind

Severity = Literal["serious", "warning", "note"]
Rows = Sequence[Mapping[str, Any]]
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing that a rule saw: where, with which numbers, and what to do next.

    ``step`` is the step that it is about, ``settings`` the keys of the recipe that ``action`` names.
    """

    rule: str
    severity: Severity
    sentence: str
    evidence: str
    action: str
    settings: tuple[str, ...] = ()
    step: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The finding as an object of ``findings.json``."""
        return {**asdict(self), "settings": list(self.settings), "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class Watched:
    """What a rule looks at: the rows of one step, the run's summary, and what the step is called."""

    rows: Rows
    summary: Summary
    step: str
    kind: StepKind
    title: str
    start: str = "the start"

    @classmethod
    def of(cls, rows: Rows, summary: Summary, step: str, kind: str | None = None, title: str = "") -> Watched:
        """By the step's name, its kind found from it unless given."""
        known = STEPS[kind or step]
        return cls(rows, summary, step, known, title or known.title)

    def has(self, key: str) -> bool:
        """Whether the section of this step has a setting, ``kl.coefficient`` say."""
        return has_setting(section_class(self.kind), key)

    def advice(self, *options: tuple[str, str], otherwise: str = "") -> tuple[str, tuple[str, ...]]:
        """A sentence of the options whose setting this step has, and those settings; ``{}`` stands for the setting."""
        chosen = [(text, key) for text, key in options if self.has(key)]
        parts = [text.format(f"steps.{self.step}.{key}") for text, key in chosen]
        parts += [otherwise] if otherwise else []
        sentence = (
            ", or ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
        ) + "."
        return sentence[:1].upper() + sentence[1:], tuple(f"steps.{self.step}.{key}" for _, key in chosen)


def has_setting(model: type[BaseModel], key: str) -> bool:
    """Whether a section class has a key, dots leading into sections within."""
    name, _, rest = key.partition(".")
    known = model.model_fields.get(name)
    if known is None:
        return False
    if not rest:
        return True
    inner = known.annotation
    return isinstance(inner, type) and issubclass(inner, BaseModel) and has_setting(inner, rest)


def series(rows: Rows, key: str) -> list[tuple[int, float]]:
    """(step, value) of one recorded number, without what is missing, in the order of steps."""
    return [
        (row["step"], v)
        for row in rows
        if isinstance(row.get("step"), int)
        and not row.get("stopped")
        and (v := finite(row.get(key))) is not None
    ]


def tail(points: Sequence[tuple[int, float]], share: float = 0.25) -> list[tuple[int, float]]:
    return list(points[-max(1, round(len(points) * share)) :])


def mean(points: Sequence[tuple[int, float]]) -> float:
    return fmean(v for _, v in points)
