"""Whether the compiled loops of decoding are there."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def compiled() -> ModuleType | None:
    """``plaudit.rollout.compiled``; None where numba is not installed (``plaudit[fast]``)."""
    try:
        return import_module("plaudit.rollout.compiled")
    except ImportError:
        return None
