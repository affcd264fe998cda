"""What lies between the products of the fused layers: rows in chunks, norms, rotation.

Shapes: c rows of a chunk, D features, H heads, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Rows of one chunk. Always the same, so that the kernels made for one batch serve the next.
CHUNK = 512


def chunks(rows: int) -> Iterator[slice]:
    """Slices of ``rows``: bounds what lies between two products, and is the size at which they are fastest."""
    for begin in range(0, rows, CHUNK):
        yield slice(begin, min(rows, begin + CHUNK))


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / √(mean x² + ε) over the last dimension, which is kept."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """RMSNorm in fp32, cast once: w · x / √(mean x² + ε)."""
    return (x * inverse_rms(x, eps)).mul_(weight).to(dtype)


def norm_back(grad: Tensor, x: Tensor, weight: Tensor, eps: float, total: Tensor | None) -> Tensor:
    """The gradient of x from that of its norm, in fp32; the weight's is added to ``total`` [like weight].

    dx = r · (w·g − x̂ · mean(w·g·x̂)),   x̂ = r · x;   ``grad`` is overwritten.
    """
    r = inverse_rms(x, eps)
    unit = x * r
    inner = grad * unit
    if total is not None:
        total += inner.sum(0)
    mean = inner.mul_(weight).mean(-1, keepdim=True)
    return grad.mul_(weight).sub_(unit.mul_(mean)).mul_(r)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Neighbouring pairs of x [c, H, d] turned as complex numbers by ``turn`` [c, 1, d/2], in place."""
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(turn)
    return x
