"""Peak memory of this process since ``begin_peak``, in MB; the accelerator's if one is in use."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path
from typing import Any

CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def begin_peak() -> None:
    """Reset the peak if the system can; otherwise it is that of the whole process.

    What earlier steps have freed goes back to the system first: glibc is asked to keep it within a step
    (``training/memory.py``), and a step must not pay for those before it.
    """
    gc.collect()
    give_back()
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()
    try:
        CLEAR.write_text("5")
    except OSError:
        return


def peak_mb() -> float | None:
    """The peak since ``begin_peak`` in MB; None if the system does not count it (Windows)."""
    if (cuda := _cuda()) is not None:
        return float(cuda.max_memory_allocated()) / 2**20
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return _peak_of_process()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # not glibc
        return


def _peak_of_process() -> float | None:
    try:
        import resource
    except ModuleNotFoundError:  # Windows has none
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _cuda() -> Any | None:
    """torch.cuda where it is loaded and has been used: counting must not load or start it."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
