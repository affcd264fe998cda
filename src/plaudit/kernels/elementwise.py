"""What lies between the products of the fused layers: rows in chunks, norms, rotation, gate.

A norm's weight is folded into the matrix behind it, W (w ⊙ x̂) = (W diag(w)) x̂: a pass over a matrix instead of
several over the rows.

Shapes: c rows of a chunk, D features, I inner features, H heads, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.kernels.optional import compiled

# Rows of one chunk. Always the same, so that the kernels made for one batch serve the next.
CHUNK = 512


def loops() -> ModuleType | None:
    """The compiled loops, where they are there."""
    return compiled("plaudit.kernels.elementwise_numba")


def tiles() -> ModuleType | None:
    """Attention as compiled loops, where they are there and the processor has what they are made of."""
    return compiled("plaudit.kernels.varlen_attention")


def chunks(rows: int) -> Iterator[slice]:
    """Slices of ``rows``: bounds what lies between two products, and is the size at which they are fastest."""
    for begin in range(0, rows, CHUNK):
        yield slice(begin, min(rows, begin + CHUNK))


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / √(mean x² + ε) over the last dimension, which is kept."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def unit_back(grad: Tensor, unit: Tensor, r: Tensor) -> Tensor:
    """The gradient of x from that of x̂ = r · x, r = ``inverse_rms(x)``; ``grad`` is overwritten.

    dx = r · (g − x̂ · mean(g · x̂))
    """
    mean = torch.mul(grad, unit).mean(-1, keepdim=True)
    return grad.addcmul_(unit, mean, value=-1).mul_(r)


def norm_back(grads: Sequence[Tensor], x: Tensor, r: Tensor, base: Tensor, out: Tensor) -> None:
    """``base`` + the gradient of x [c, D] from that of x̂ = r · x into ``out``.

    That of x̂ is one or the sum of two, which may be overwritten.
    """
    if (found := loops()) is not None:
        found.norm_back(grads, x, r, base, out)
        return
    total = grads[0].float()
    for more in grads[1:]:
        total.add_(more)
    torch.add(base, unit_back(total, x * r, r), out=out)


def gate(g: Tensor, u: Tensor, keep: bool) -> Tensor:
    """silu(g) ⊙ u of [c, I]; ``g`` may be overwritten unless it is to be kept."""
    if (found := loops()) is not None:
        opened: Tensor = found.gate(g, u, keep)
        return opened
    return F.silu(g, inplace=not keep).mul_(u)


def gate_back(dh: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of h = silu(g) ⊙ u, which is overwritten: h again, and the gradients of g and u."""
    if (found := loops()) is not None:
        made: tuple[Tensor, Tensor, Tensor] = found.gate_back(dh, g, u)
        return made
    opened = F.silu(g)
    h = opened * u
    du = opened.mul_(dh)
    return h, torch.ops.aten.silu_backward(dh.mul_(u), g), du


def unfold(scale: Tensor, total: Tensor | None) -> Tensor | None:
    """The gradient of W from that of the folded W diag(w), which is overwritten."""
    return None if total is None else total.mul_(scale)


def folded_back(scale: Tensor, weights: Sequence[Tensor], totals: Sequence[Tensor | None]) -> Tensor:
    """The gradient of a norm's weight w from those of the matrices W diag(w) that it was folded into."""
    made = torch.zeros_like(scale)
    for weight, total in zip(weights, totals, strict=True):
        assert total is not None
        made += torch.mul(weight, total).sum(0)
    return made


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Neighbouring pairs of x [c, H, d] turned as complex numbers by ``turn`` [c, 1, d/2], in place."""
    torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(turn)
    return x
