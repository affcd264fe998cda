"""Which methods can train on a set of records, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plaudit.data.records import Comparisons, Labeled, Ranking
from plaudit.data.records.native_format import kind_of


@dataclass(frozen=True)
class Feed:
    """Whether a method can train on the records; ``reason`` says why not, and is empty if it can."""

    method: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        return not self.reason


# The kinds of record that each method learns from, and their description.
NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "pretraining": (("text", "demonstrations"), "raw text"),
    "SFT": (("demonstrations",), "demonstrations (a prompt and an answer worth imitating)"),
    "RM": (("preferences",), "preferences (two or more answers, ranked)"),
    "DPO": (("preferences",), "preferences (two or more answers, ranked)"),
    "KTO": (
        ("labelled", "preferences"),
        "answers labeled good or bad, or ranked (ratings: set kto.threshold)",
    ),
    "PPO": (("prompts", "demonstrations", "preferences", "labelled", "rated"), "prompts"),
}


def feeds(records: Sequence[Any]) -> list[Feed]:
    """One ``Feed`` per method, in the order of a pipeline."""
    kinds = Counter(map(kind_of, records))
    return [Feed(method, _reason(method, kinds, records)) for method in NEEDS]


def _reason(method: str, kinds: Counter[str], records: Sequence[Any]) -> str:
    able, what = NEEDS[method]
    if not kinds:
        return "there are no records"
    if not set(able) & set(kinds):
        return f"it needs {what}; this has {' and '.join(kinds)}"
    if able == ("preferences",) or (method == "KTO" and "labelled" not in kinds):
        preferences = [r for r in records if isinstance(r, Comparisons | Ranking)]
        if all(o.result == 0.5 for r in preferences for o in r.comparisons().outcomes):
            return "every judgement is a tie"
    if method == "KTO" and "labelled" in kinds:
        labels = {r.good for r in records if isinstance(r, Labeled)}
        if len(labels) == 1:
            return f"it needs good and bad answers; all are {'good' if True in labels else 'bad'}"
    return ""
