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

# Words of a synthetic world with a known truth, which a report on real data does not use.
OF_A_KNOWN_TRUTH = ("gold", "perfect", "gap")
# What a word means where no truth is known.
ON_REAL_DATA: dict[str, GlossaryEntry] = {
    "over_optimization": GlossaryEntry(
        "Over-optimization",
        "Raising the reward past the point where it still means better answers: it rises, the answers get worse.",
    ),
}


def glossary_of(kind: object) -> dict[str, GlossaryEntry]:
    """The terms as they are meant in a run of this kind: ``real``, or the name of a synthetic world."""
    if kind != "real":
        return GLOSSARY
    return {k: v for k, v in (GLOSSARY | ON_REAL_DATA).items() if k not in OF_A_KNOWN_TRUTH}
