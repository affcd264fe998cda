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
