"""How models compute in this process: layout, precision, kernels, memory.

Set once per run (``pipeline/run.py``) and read wherever a model is called, like the thread count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from plaudit.data.tokens.layout import LayoutKind
from plaudit.kernels import auto, reference
from plaudit.kernels.interface import Kernels

Precision = Literal["fp32", "bf16"]
KernelChoice = Literal["auto", "reference"]
_KERNELS: dict[KernelChoice, Kernels] = {"auto": auto, "reference": reference}
LAYOUT_ORDER: tuple[LayoutKind, ...] = ("padded", "packed", "shared")


@dataclass(frozen=True)
class ComputeConfig:
    """``layout``: the most compact one allowed; a model that cannot use it falls back (``models/packing.py``).

    ``precision`` bf16 computes matmuls in bfloat16 while weights, gradients, optimizer state and
    reductions stay fp32. ``kept_logits``: response logits saved for the backward pass; beyond it they are
    recomputed in chunks. ``memory``: bytes that a stage may take, None for no limit;
    ``checkpointing``: activation checkpointing, None for only where nothing else fits.
    ``fused``: whether layers of the Llama layout may be fused (``models/fused_decoder.py``). ``kernels``: the fastest
    kernels, or their reference (``kernels/README.md``).
    """

    layout: LayoutKind = "shared"
    precision: Precision = "fp32"
    kept_logits: int = 2**27
    memory: float | None = None
    checkpointing: bool | None = None
    fused: bool = True
    kernels: KernelChoice = "auto"

    @property
    def fused_layers(self) -> bool:
        """Whether layers of the Llama layout may be computed by fused operations."""
        return self.fused and _KERNELS[self.kernels].fused


_current = ComputeConfig()


def compute_config() -> ComputeConfig:
    """The settings in force."""
    return _current


@contextmanager
def use_compute(**changes: Any) -> Iterator[ComputeConfig]:
    """Use changed settings within the block: ``with use_compute(precision="bf16"): …``."""
    global _current
    before = _current
    _current = replace(before, **changes)
    try:
        yield _current
    finally:
        _current = before


def kernels_in_use() -> Kernels:
    """The implementation of ``kernels/interface.py`` that the settings name."""
    return _KERNELS[_current.kernels]


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The autocast context of the current precision."""
    if _current.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
