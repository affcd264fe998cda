"""The settings of a method for a model in memory, where the caller states none."""

from __future__ import annotations

from typing import Any, TypeVar

from plaudit.config.pretrained import vetted
from plaudit.models.adapters import has_adapter

S = TypeVar("S")


def default_settings(section: type[S], method: str, model: Any) -> S:
    """The section of ``method`` as vetted for a model of this size; of a tiny one the section's own defaults."""
    parameters = float(sum(p.numel() for p in model.parameters()))
    return section(**vetted(method, parameters, adapters=has_adapter(model)))
