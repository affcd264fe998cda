"""What lies between the products of the fused layers as compiled loops: one pass each, where numba is installed.

The same formulas as the torch operations that they stand for (``parts.py``):
numbers are read and stored in fp32 or bf16, everything between is fp32. A row's numbers hang on that row alone, not on
the number of threads.

Shapes: c rows of a chunk, D features, I inner features, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.kernels.numba_utils import array, exp, loop, number, share, stored


def gate(g: Tensor, u: Tensor, keep: bool = True) -> Tensor:
    """silu(g) ⊙ u of [c, I], in place of ``g`` unless that is to be kept."""
    out = torch.empty_like(g) if keep else g
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


def turn_heads(made: Tensor, turn: Tensor, turned: int, out: Tensor, begin: int) -> None:
    """Projected rows [c, heads · d] into ``out`` [heads, n, d] from ``begin`` on, the first ``turned`` heads rotated.

    ``turn`` [c, 2, d/2]: cosines and sines of the angles by which features i and i + d/2 are turned together.
    """
    share(4 * made.numel())
    _turn(array(_halves(made.unflatten(1, (len(out), -1)))), array(turn), turned, array(_halves(out)), begin)


def turn_back(grad: Tensor, turn: Tensor, turned: int, begin: int) -> Tensor:
    """The way back of ``turn_heads``: the gradient [c, heads · d] from that of what it made, ``grad`` [heads, n, d]."""
    made = torch.empty(len(turn), len(grad), grad.shape[2], dtype=grad.dtype)
    share(4 * made.numel())
    _turn_back(array(_halves(grad)), array(turn), turned, array(_halves(made)), begin)
    return made.flatten(1)


def _halves(heads: Tensor) -> Tensor:
    return heads.unflatten(-1, (2, -1))


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


def _turn_rows(made: Any, turn: Any, turned: int, out: Any, begin: int) -> None:
    heads, _, _, half = out.shape
    like = out[0, 0, 0, 0]
    for row in prange(made.shape[0]):
        for h in range(turned):
            for i in range(half):
                a, b = number(made[row, h, 0, i]), number(made[row, h, 1, i])
                c, s = turn[row, 0, i], turn[row, 1, i]
                out[h, begin + row, 0, i] = stored(a * c - b * s, like)
                out[h, begin + row, 1, i] = stored(b * c + a * s, like)
        for h in range(turned, heads):
            for i in range(half):
                out[h, begin + row, 0, i] = made[row, h, 0, i]
                out[h, begin + row, 1, i] = made[row, h, 1, i]


def _turn_back_rows(grad: Any, turn: Any, turned: int, made: Any, begin: int) -> None:
    heads, _, _, half = grad.shape
    like = made[0, 0, 0, 0]
    for row in prange(made.shape[0]):
        for h in range(turned):
            for i in range(half):
                a, b = number(grad[h, begin + row, 0, i]), number(grad[h, begin + row, 1, i])
                c, s = turn[row, 0, i], turn[row, 1, i]
                made[row, h, 0, i] = stored(a * c + b * s, like)
                made[row, h, 1, i] = stored(b * c - a * s, like)
        for h in range(turned, heads):
            for i in range(half):
                made[row, h, 0, i] = grad[h, begin + row, 0, i]
                made[row, h, 1, i] = grad[h, begin + row, 1, i]


_turn, _turn_back = loop(_turn_rows), loop(_turn_back_rows)
_gate, _gate_back, _norm_back = loop(_gate_rows), loop(_gate_back_rows), loop(_norm_back_rows)
