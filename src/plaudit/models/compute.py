"""What the settings in force mean for models: kernels, precision of matmuls, and the order of layouts."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from plaudit.kernels import auto, reference
from plaudit.kernels.interface import Kernels
from plaudit.runtime import KernelChoice, LayoutKind, compute_config

_KERNELS: dict[KernelChoice, Kernels] = {"auto": auto, "reference": reference}
LAYOUT_ORDER: tuple[LayoutKind, ...] = ("padded", "packed", "shared")


def kernels_in_use() -> Kernels:
    """The implementation of ``kernels/interface.py`` that the settings name."""
    return _KERNELS[compute_config().kernels]


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """The context in which matmuls use the precision in force."""
    if compute_config().precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
