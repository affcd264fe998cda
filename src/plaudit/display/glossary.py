"""Every term of the report (glossary.yaml): one plain sentence, and the formula where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class GlossaryEntry:
    """A word that a reader may not know."""

    name: str
    sentence: str
    formula: str = ""


_TEXT = Path(__file__).with_suffix(".yaml").read_text("utf-8")
GLOSSARY: dict[str, GlossaryEntry] = {k: GlossaryEntry(**v) for k, v in yaml.safe_load(_TEXT).items()}

# What the words of a world with a known truth mean where there is none.
ON_REAL_DATA: dict[str, GlossaryEntry] = {
    "gold": GlossaryEntry(
        "Gold", "The true quality of an answer. On real data nobody knows it: a proxy judge stands in for it."
    ),
    "perfect": GlossaryEntry(
        "Perfect", "An answer that nothing could be better than. On real data none is known."
    ),
    "gap": GlossaryEntry(
        "Gap closed", "How far training moved towards perfect answers. On real data it cannot be said."
    ),
}


def glossary_of(kind: object) -> dict[str, GlossaryEntry]:
    """The terms as they are meant in a run of this kind: ``real``, or the name of a made-up world."""
    return GLOSSARY | ON_REAL_DATA if kind == "real" else GLOSSARY
