"""Matrix products by the fastest kernel at hand.

Shapes: c rows, N outputs, K inputs.
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows are rounded up to whole multiples: oneDNN makes a kernel for every shape it has not seen.
ROUND = 32

# oneDNN's fp32 products are faster than the default library's (docs/benchmarks.md). Measured on x86 alone.
ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def _by_onednn(x: Tensor) -> bool:
    return ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu"


def times(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ: [c, K] and [N, K] → [c, N]."""
    if _by_onednn(x):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return F.linear(x, weight)


def times_back(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of x from that of x Wᵀ: [c, N] and [N, K] → [c, K]."""
    if _by_onednn(grad):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(grad, weight.t(), None, "none", [], "")
        return product
    return grad @ weight


def add_outer(total: Tensor | None, grad: Tensor, x: Tensor) -> None:
    """Add the gradient of W from that of x Wᵀ, gᵀ x, to the fp32 ``total`` [N, K]."""
    if total is None:
        return
    if grad.dtype == total.dtype:
        total.addmm_(grad.t(), x)
    else:
        total += grad.t() @ x


def spare_rows(rows: int, device: torch.device) -> int:
    """How many rows make ``rows`` a whole multiple, where that saves kernels."""
    return -rows % ROUND if device.type == "cpu" else 0


class Packed:
    """A weight [N, K] laid out once for many products with few rows, which else lay it out anew every time."""

    def __init__(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        self.by_onednn = (
            ONEDNN and weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
        )
        self.weight = weight
        if self.by_onednn:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 2 * ROUND)

    def times(self, x: Tensor) -> Tensor:
        """x Wᵀ, in the weight's precision."""
        x = x.to(self.dtype)
        if self.by_onednn:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
            return product
        return F.linear(x, self.weight)
