"""How models compute in this process: layout, precision, and how many logits may be kept.

Chosen once a run (``training/device.py``) and read wherever a model is called, like the thread count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import torch

from plaudit.data.layouts import LayoutKind

Precision = Literal["fp32", "bf16"]
ORDER: tuple[LayoutKind, ...] = ("padded", "packed", "shared")


@dataclass(frozen=True)
class Compute:
    """``layout`` is the most that may be used; a model that cannot falls back (``models/packing.py``).

    ``precision`` bf16 computes matrix products in bfloat16 while weights, gradients, optimiser state and
    reductions stay fp32. ``kept_logits``: elements of response logits that are kept for the backward pass;
    beyond it they are computed again in chunks.
    """

    layout: LayoutKind = "shared"
    precision: Precision = "fp32"
    kept_logits: int = 2**27


_current = Compute()


def compute() -> Compute:
    """The settings in force."""
    return _current


def set_compute(settings: Compute) -> None:
    """Put settings in force for the rest of the process."""
    global _current
    _current = settings


@contextmanager
def computing(
    *, layout: LayoutKind | None = None, precision: Precision | None = None, kept_logits: int | None = None
) -> Iterator[Compute]:
    """Put the given settings in force within the block; the others stay."""
    before = _current
    given = {"layout": layout, "precision": precision, "kept_logits": kept_logits}
    set_compute(replace(before, **{k: v for k, v in given.items() if v is not None}))  # type: ignore[arg-type]
    try:
        yield _current
    finally:
        set_compute(before)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context in which matrix products use the precision in force."""
    if _current.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
