"""Input records of the statistics: answers, judgements, and the accepted rankings of gold items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Ranking = tuple[tuple[str, ...], ...]  # answer ids, best first, ties together
Golds = Mapping[str, Sequence[Ranking]]  # item id → the rankings that count as right

PURPOSES = ("work", "gold", "calibration", "repeat")


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer that was shown: who wrote it (None where unknown), and its length in words."""

    id: str
    model: str | None
    words: int


@dataclass(frozen=True, slots=True)
class JudgementRecord:
    """One judgement: the answers in the order shown, the ranking, and its provenance."""

    id: str
    item: str
    labeler: str
    groups: Ranking  # empty when not rankable
    shown: tuple[str, ...]  # answer ids in display order
    purpose: str = "work"  # one of PURPOSES; gold is silent, calibration gives feedback
    round: int = 1  # 1 is this labeler's first judgement of this item
    strength: int | None = None  # 1..4, pairs only
    all_bad: bool = False
    not_rankable: bool = False
    untouched: bool = False  # submitted in the order in which the answers were shown
    surplus: bool = False  # submitted beyond the overlap that was asked for
    confidence: int | None = None
    active_ms: int = 0
    created: float = 0.0  # unix seconds
    attributes: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict
    )  # name → answer id, or "*" → value
