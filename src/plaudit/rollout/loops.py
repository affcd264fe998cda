"""Whether the compiled loops of decoding are there."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from types import ModuleType

logger = logging.getLogger(__name__)


@cache
def compiled() -> ModuleType | None:
    """``plaudit.rollout.compiled``; None where numba is not installed (``plaudit[fast]``) or has no place to write."""
    try:
        return import_module("plaudit.rollout.compiled")
    except (ImportError, RuntimeError) as reason:
        logger.info("decoding is not compiled: %s", reason)
        return None
