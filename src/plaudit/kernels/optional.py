"""Whether compiled loops are there."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from types import ModuleType

logger = logging.getLogger(__name__)


@cache
def compiled(name: str) -> ModuleType | None:
    """The module ``name`` of loops; None where numba is not installed (``plaudit[fast]``) or has no place to write."""
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as reason:
        logger.info("%s is not compiled: %s", name, reason)
        return None
