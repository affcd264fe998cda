"""The findings of a check, per file: records read, methods they fit, lengths in tokens, examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plaudit.data.checks.method_compatibility import Feed
from plaudit.data.readers.read_report import ReadReport
from plaudit.errors import Problem, UserError


@dataclass(frozen=True)
class ExampleSpan:
    """Consecutive tokens of an example as text, and whether they are trained."""

    text: str
    trained: bool


@dataclass(frozen=True)
class ExampleAnswer:
    """An answer as it is trained on, with a title that says how it was judged."""

    title: str
    parts: tuple[ExampleSpan, ...]


@dataclass(frozen=True)
class Example:
    """A prompt as the model sees it, and its answers."""

    prompt: str
    answers: tuple[ExampleAnswer, ...]


@dataclass
class Tokens:
    """Lengths of the sampled records in tokens: prompts [n], answers [m], and the share that is trained."""

    sampled: int
    prompts: np.ndarray
    answers: np.ndarray
    trained_share: float | None
    counts: Mapping[str, int]


@dataclass
class FileCheck:
    """One file: what was read, the methods that it fits, and its lengths in tokens."""

    path: str
    role: str
    report: ReadReport
    kinds: Counter[str] = field(default_factory=Counter)
    prompts: int = 0
    feeds: list[Feed] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    tokens: Tokens | None = None
    examples: list[Example] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    error: UserError | None = None


@dataclass
class CheckReport:
    """All files of a check; ``ok`` is False if any of them cannot be used as it is."""

    files: list[FileCheck]
    tokenizer: str

    @property
    def ok(self) -> bool:
        return not any(f.error or f.problems for f in self.files)

    def require(self) -> None:
        """Raise one ``UserError`` with all problems of all files."""
        if not self.ok:
            problems = [p for f in self.files for p in (*(f.error.problems if f.error else ()), *f.problems)]
            message = "; ".join(f.error.message for f in self.files if f.error) or "the data has problems"
            raise UserError(message, problems=problems)
