"""One warning sign, and how rules read recorded numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from plaudit.report.formatting import finite

Severity = Literal["serious", "warning", "note"]
Rows = Sequence[Mapping[str, Any]]
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One warning sign: what was seen, where, and what to do."""

    rule: str
    severity: Severity
    sentence: str
    evidence: str
    action: str


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
