"""What lies between the products of the fused layers as compiled loops: one pass each, where numba is installed.

The same formulas as the torch operations that they stand for (``parts.py``):
numbers are read and stored in fp32 or bf16, everything between is fp32. A row's numbers hang on that row alone, not on
the number of threads.

Shapes: c rows of a chunk, D features, I inner features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.models.jit import array, exp, loop, number, share, stored


def gate(g: Tensor, u: Tensor) -> Tensor:
    """silu(g) ⊙ u of [c, I]."""
    out = torch.empty_like(g)
    share(8 * g.numel())
    _gate(array(g), array(u), array(out))
    return out


def gate_back(dh: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of h = silu(g) ⊙ u: h again, and the gradients of g and u. ``dh`` is overwritten."""
    h, du = torch.empty_like(g), torch.empty_like(g)
    share(8 * g.numel())
    _gate_back(*map(array, (g, u, dh, h, du)))
    return h, dh, du


def norm_back(grads: Sequence[Tensor], x: Tensor, r: Tensor, base: Tensor, out: Tensor) -> None:
    """``base`` + the gradient of x [c, D] from that of x̂ = r · x, which is one or the sum of two, into ``out``."""
    first, second = grads[0], grads[-1]
    share(4 * x.numel())
    _norm_back(array(first), array(second), len(grads), *map(array, (x, r, base, out)))


@njit(inline="always")
def _sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ); not NaN for a NaN, by which it is multiplied everywhere."""
    return np.float32(1) / (np.float32(1) + exp(min(-x, np.float32(87.0))))


def _gate_rows(g: Any, u: Any, out: Any) -> None:
    for row in prange(g.shape[0]):
        for i in range(g.shape[1]):
            x = number(g[row, i])
            out[row, i] = stored(x * _sigmoid(x) * number(u[row, i]), out[row, i])


def _gate_back_rows(g: Any, u: Any, dh: Any, h: Any, du: Any) -> None:
    for row in prange(g.shape[0]):
        for i in range(g.shape[1]):
            x, y, d = number(g[row, i]), number(u[row, i]), number(dh[row, i])
            s = _sigmoid(x)
            opened = x * s
            h[row, i] = stored(opened * y, h[row, i])
            du[row, i] = stored(opened * d, h[row, i])
            dh[row, i] = stored(d * y * s * (np.float32(1) + x * (np.float32(1) - s)), h[row, i])


def _norm_back_rows(first: Any, second: Any, parts: int, x: Any, r: Any, base: Any, out: Any) -> None:
    width = x.shape[1]
    for row in prange(x.shape[0]):
        factor = r[row, 0]
        total = np.float32(0)
        for i in range(width):
            g = number(first[row, i])
            if parts > 1:
                g += number(second[row, i])
            total += g * x[row, i]
        mean = total * factor / np.float32(width)
        for i in range(width):
            g = number(first[row, i])
            if parts > 1:
                g += number(second[row, i])
            out[row, i] = base[row, i] + factor * (g - x[row, i] * factor * mean)


_gate, _gate_back, _norm_back = loop(_gate_rows), loop(_gate_back_rows), loop(_norm_back_rows)
