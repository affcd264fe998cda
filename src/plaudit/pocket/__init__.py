"""A tiny self-made world with a known gold preference: openly a simulation, and useful for being one."""

import importlib
from typing import Any

# Loaded when first used: the registry reads this package's descriptors without numpy.
_MODULE_OF = {"Gold": "gold", "GoldScore": "gold", "World": "world", "leaks": "world"}

__all__ = ["Gold", "GoldScore", "World", "leaks"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'plaudit.pocket' has no attribute {name!r}")
    return getattr(importlib.import_module(f"plaudit.pocket.{_MODULE_OF[name]}"), name)
