"""Linear layers without bias through the fastest GEMM of the machine: oneDNN for fp32 on x86, else torch's default.

Shapes: c rows, N outputs, K inputs.
"""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows are padded to multiples of this: oneDNN compiles a kernel for every new shape.
ROW_MULTIPLE = 32

# oneDNN's fp32 GEMM is faster than the default library's (docs/benchmarks.md). Measured on x86 only.
ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
BF16 = ONEDNN and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _uses_onednn(x: Tensor) -> bool:
    return ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu"


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x Wᵀ: [c, K] and [N, K] → [c, N]."""
    if _uses_onednn(x):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return F.linear(x, weight)


def linear_grad_input(grad: Tensor, weight: Tensor) -> Tensor:
    """The gradient of x from that of x Wᵀ: [c, N] and [N, K] → [c, K]."""
    if _uses_onednn(grad):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(grad, weight.t(), None, "none", [], "")
        return product
    return grad @ weight


def accumulate_grad_weight(total: Tensor | None, grad: Tensor, x: Tensor) -> None:
    """Add the gradient of W, gᵀ x, to the fp32 ``total`` [N, K] (None: not needed)."""
    if total is None:
        return
    if grad.dtype == total.dtype:
        total.addmm_(grad.t(), x)
    else:
        total += grad.t() @ x


def padding_rows(rows: int, device: torch.device) -> int:
    """Rows to add so that oneDNN meets few shapes; 0 on accelerators."""
    return -rows % ROW_MULTIPLE if device.type == "cpu" else 0


class PrepackedLinear:
    """A weight [N, K] pre-packed for oneDNN, so that small-batch matmuls do not repack it each call."""

    def __init__(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        # Without AVX-512 or AMX oneDNN cannot pack bf16.
        packable = weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and BF16)
        self.by_onednn = ONEDNN and weight.device.type == "cpu" and packable
        self.weight = weight
        if self.by_onednn:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 2 * ROW_MULTIPLE)

    def __call__(self, x: Tensor) -> Tensor:
        """x Wᵀ in the weight's dtype."""
        x = x.to(self.dtype)
        if self.by_onednn:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
            return product
        return F.linear(x, self.weight)
