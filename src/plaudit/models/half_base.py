"""Frozen matrices in bfloat16 below adapters in float32: half of the base's bytes.

Embeddings, norms and the output head stay float32, and products are computed in the precision in force. A model that
was published in bfloat16 therefore computes the same numbers as with its weights in float32.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plaudit.errors import UserError

logger = logging.getLogger(__name__)


class _Product(torch.autograd.Function):
    """x · Wᵀ + b in the type of x; the backward pass keeps W as it is stored, not the copy that was multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return F.linear(x, weight.to(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return gradient @ weight.to(gradient.dtype), None, None


class HalfLinear(nn.Linear):
    """A frozen linear layer whose matrix is stored in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            return F.linear(x, self.weight, self.bias)
        found: Tensor = _Product.apply(x, self.weight, self.bias)
        return found


def halve(module: nn.Module) -> None:
    """Store the frozen linear layers of a transformers module in bfloat16, in place, but for the output head.

    What is lost where the matrices hold more digits is said. UserError where there is no such layer.
    """
    inner: Any = module
    head = inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None
    layers = [m for m in module.modules() if type(m) is nn.Linear and m is not head and _is_frozen(m)]
    if not layers:
        raise UserError(
            f"a {type(module).__name__} has no frozen linear layer to store in bfloat16",
            remedy="leave out base_dtype: the base is then float32",
        )
    changed = sum(_store(layer) for layer in layers)
    if changed:
        total = sum(layer.weight.numel() for layer in layers)
        logger.warning(
            "the base is kept in bfloat16: of %s frozen weights %.0f %% are rounded, by 0.2 %% at most "
            "(base_dtype: float32 keeps them)",
            f"{total:,}",
            100 * changed / total,
        )


def _is_frozen(layer: nn.Linear) -> bool:
    return not layer.weight.requires_grad and layer.weight.dtype == torch.float32


def _store(layer: nn.Linear) -> int:
    """Store one layer's matrix in bfloat16; how many of its numbers that changes (0 without their values)."""
    exact = layer.weight.data
    low = exact.to(torch.bfloat16)
    changed = 0 if exact.is_meta else int((low.float() != exact).sum())
    layer.weight = nn.Parameter(low, requires_grad=False)
    layer.__class__ = HalfLinear
    return changed


def is_halved(module: nn.Module) -> bool:
    return any(isinstance(m, HalfLinear) for m in module.modules())


def restore(module: nn.Module) -> None:
    """Store all matrices in float32 again, in place."""
    for layer in module.modules():
        if isinstance(layer, HalfLinear):
            layer.weight = nn.Parameter(layer.weight.data.float(), requires_grad=False)
            layer.__class__ = nn.Linear  # type: ignore[assignment]
