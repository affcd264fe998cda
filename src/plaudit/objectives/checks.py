"""Shape checks: a tensor of the wrong rank is an error, never a silent broadcast."""

from __future__ import annotations

import torch
from torch import Tensor


def expect_rank(rank: int, **tensors: Tensor) -> None:
    """Raise ValueError if a tensor does not have ``rank`` axes."""
    for name, tensor in tensors.items():
        if tensor.ndim != rank:
            raise ValueError(f"{name} must have {rank} axes, got shape {tuple(tensor.shape)}")


def expect_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError where the tensors differ in shape."""
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise ValueError(f"shapes must be equal: {shapes}")


def expect_mask(mask: Tensor) -> None:
    """Raise TypeError where a mask is not boolean: weights would be taken for True."""
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean, got {mask.dtype}")
