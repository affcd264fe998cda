"""Import optional numba kernels; None if numba is missing or its cache is not writable."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from types import ModuleType

logger = logging.getLogger(__name__)


@cache
def load_compiled(name: str) -> ModuleType | None:
    """The kernel module ``name``; None without numba (``plaudit[fast]``), a writable cache or a supported CPU."""
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as reason:
        logger.info("%s is not compiled: %s", name, reason)
        return None
