"""Answers whose judgements are still codes; `decode` gives them a meaning once the whole file has been read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plaudit.data.readers.preferences.codes import CodedColumn
from plaudit.data.records import Prompt, Response

# The line of a row, and its number where a line says little.
Place = tuple[int, int | None]


@dataclass(frozen=True)
class CodedJudgement:
    """One judgement as it was written, and whose it is."""

    value: Any
    rater: str | None = None


@dataclass(frozen=True)
class CodedComparison:
    """A prompt, its answers, and judgements in codes.

    ``called``: names by which this row calls each answer (its model, its text). ``scores`` stand beside the
    answers; they are compared with the judgement, not learned from.
    """

    prompt: Prompt
    responses: tuple[Response, ...]
    where: CodedColumn
    said: tuple[CodedJudgement, ...]
    called: tuple[frozenset[str], ...] = ()
    scores: tuple[float, ...] | None = None
    weight: float = 1.0
    strength: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
