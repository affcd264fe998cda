"""Element-wise operations between the matmuls of the fused layers: RMSNorm, RoPE, SwiGLU, in torch or numba.

A norm's weight is folded into the next matrix, W (w ⊙ x̂) = (W diag(w)) x̂: one pass over a matrix instead of several
over the rows.

Shapes: c rows of a chunk, D features, I inner features, H heads, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.kernels.optional import load_compiled

# Rows of one chunk; always the same, so that oneDNN's kernels are reused from batch to batch.
ROW_CHUNK = 512


def numba_ops() -> ModuleType | None:
    """``elementwise_numba``, if it can be imported."""
    return load_compiled("plaudit.kernels.elementwise_numba")


def varlen_kernel() -> ModuleType | None:
    """``varlen_attention``, if it can be imported on this processor."""
    return load_compiled("plaudit.kernels.varlen_attention")


def row_chunks(rows: int) -> Iterator[slice]:
    """Slices of ``rows``: bounds the memory between two matmuls, at the size at which these are fastest."""
    for begin in range(0, rows, ROW_CHUNK):
        yield slice(begin, min(rows, begin + ROW_CHUNK))


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / √(mean x² + ε) over the last dimension, which is kept."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def normalize_backward(grad: Tensor, unit: Tensor, r: Tensor) -> Tensor:
    """The gradient of x from that of x̂ = r · x, r = ``inverse_rms(x)``; ``grad`` is overwritten.

    dx = r · (g − x̂ · mean(g · x̂))
    """
    mean = torch.mul(grad, unit).mean(-1, keepdim=True)
    return grad.addcmul_(unit, mean, value=-1).mul_(r)


def rmsnorm_backward(grads: Sequence[Tensor], x: Tensor, r: Tensor, base: Tensor, out: Tensor) -> None:
    """``out`` = ``base`` + the gradient of x [c, D] from that of x̂ = r · x.

    ``grads``: one gradient of x̂, or two to be added; they may be overwritten.
    """
    if (found := numba_ops()) is not None:
        found.rmsnorm_backward(grads, x, r, base, out)
        return
    total = grads[0].float()
    for more in grads[1:]:
        total.add_(more)
    torch.add(base, normalize_backward(total, x * r, r), out=out)


def swiglu(g: Tensor, u: Tensor, keep: bool) -> Tensor:
    """silu(g) ⊙ u of [c, I]; ``g`` may be overwritten unless it is to be kept."""
    if (found := numba_ops()) is not None:
        opened: Tensor = found.swiglu(g, u, keep)
        return opened
    return F.silu(g, inplace=not keep).mul_(u)


def swiglu_backward(dh: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of h = silu(g) ⊙ u (overwritten): h recomputed, and the gradients of g and u."""
    if (found := numba_ops()) is not None:
        made: tuple[Tensor, Tensor, Tensor] = found.swiglu_backward(dh, g, u)
        return made
    opened = F.silu(g)
    h = opened * u
    du = opened.mul_(dh)
    return h, torch.ops.aten.silu_backward(dh.mul_(u), g), du


def unfold_norm(scale: Tensor, total: Tensor | None) -> Tensor | None:
    """The gradient of W from that of the folded W diag(w) (overwritten)."""
    return None if total is None else total.mul_(scale)


def grad_norm_weight(scale: Tensor, weights: Sequence[Tensor], totals: Sequence[Tensor | None]) -> Tensor:
    """The gradient of a norm's weight w from those of the matrices W diag(w)."""
    made = torch.zeros_like(scale)
    for weight, total in zip(weights, totals, strict=True):
        assert total is not None
        made += torch.mul(weight, total).sum(0)
    return made


def rope_pairs(x: Tensor, rotation: Tensor) -> Tensor:
    """RoPE on adjacent pairs of x [c, H, d]: multiply them as complex numbers by ``rotation`` [c, 1, d/2], in place."""
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(rotation)
    return x
