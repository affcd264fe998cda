"""Element-wise operations of the fused layers as numba loops of one pass each: SwiGLU, RMSNorm backward, RoPE.

The formulas of ``elementwise.py``. Numbers are read and stored in fp32 or bf16, arithmetic is fp32. A row depends on
no other row and not on the number of threads.

Shapes: c rows of a chunk, D features, I inner features, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from plaudit.kernels.numba_utils import as_numpy, exp, load_fp32, parallel_loop, set_threads_for, store_as


def swiglu(g: Tensor, u: Tensor, keep: bool = True) -> Tensor:
    """silu(g) ⊙ u of [c, I]; overwrites ``g`` unless ``keep``."""
    out = torch.empty_like(g) if keep else g
    set_threads_for(8 * g.numel())
    _swiglu(as_numpy(g), as_numpy(u), as_numpy(out))
    return out


def swiglu_backward(dh: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of h = silu(g) ⊙ u: h recomputed, and the gradients of g and u. ``dh`` is overwritten."""
    h, du = torch.empty_like(g), torch.empty_like(g)
    set_threads_for(8 * g.numel())
    _swiglu_backward(*map(as_numpy, (g, u, dh, h, du)))
    return h, dh, du


def rmsnorm_backward(grads: Sequence[Tensor], x: Tensor, r: Tensor, base: Tensor, out: Tensor) -> None:
    """``out`` = ``base`` + the gradient of x [c, D] from that of x̂ = r · x: one gradient, or two to be added."""
    first, second = grads[0], grads[-1]
    set_threads_for(4 * x.numel())
    _rmsnorm_backward(as_numpy(first), as_numpy(second), len(grads), *map(as_numpy, (x, r, base, out)))


def rope(made: Tensor, rotation: Tensor, rotated: int, out: Tensor, begin: int) -> None:
    """RoPE on the first ``rotated`` heads of rows [c, heads · d], into ``out`` [heads, n, d] from ``begin`` on.

    ``rotation`` [c, 2, d/2]: cosines and sines for the features i and i + d/2.
    """
    set_threads_for(4 * made.numel())
    _rope(
        as_numpy(_halves(made.unflatten(1, (len(out), -1)))),
        as_numpy(rotation),
        rotated,
        as_numpy(_halves(out)),
        begin,
    )


def rope_backward(grad: Tensor, rotation: Tensor, rotated: int, begin: int) -> Tensor:
    """The gradient of the projected rows [c, heads · d] from that of ``rope``'s result, ``grad`` [heads, n, d]."""
    made = torch.empty(len(rotation), len(grad), grad.shape[2], dtype=grad.dtype)
    set_threads_for(4 * made.numel())
    _rope_backward(as_numpy(_halves(grad)), as_numpy(rotation), rotated, as_numpy(_halves(made)), begin)
    return made.flatten(1)


def _halves(heads: Tensor) -> Tensor:
    return heads.unflatten(-1, (2, -1))


@njit(inline="always")
def _sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ); not NaN for a NaN; every caller multiplies by x."""
    return np.float32(1) / (np.float32(1) + exp(min(-x, np.float32(87.0))))


def _swiglu_rows(g: Any, u: Any, out: Any) -> None:
    for row in prange(g.shape[0]):
        for i in range(g.shape[1]):
            x = load_fp32(g[row, i])
            out[row, i] = store_as(x * _sigmoid(x) * load_fp32(u[row, i]), out[row, i])


def _swiglu_backward_rows(g: Any, u: Any, dh: Any, h: Any, du: Any) -> None:
    for row in prange(g.shape[0]):
        for i in range(g.shape[1]):
            x, y, d = load_fp32(g[row, i]), load_fp32(u[row, i]), load_fp32(dh[row, i])
            s = _sigmoid(x)
            opened = x * s
            h[row, i] = store_as(opened * y, h[row, i])
            du[row, i] = store_as(opened * d, h[row, i])
            dh[row, i] = store_as(d * y * s * (np.float32(1) + x * (np.float32(1) - s)), h[row, i])


def _rmsnorm_backward_rows(first: Any, second: Any, parts: int, x: Any, r: Any, base: Any, out: Any) -> None:
    width = x.shape[1]
    for row in prange(x.shape[0]):
        factor = r[row, 0]
        total = np.float32(0)
        for i in range(width):
            g = load_fp32(first[row, i])
            if parts > 1:
                g += load_fp32(second[row, i])
            total += g * x[row, i]
        mean = total * factor / np.float32(width)
        for i in range(width):
            g = load_fp32(first[row, i])
            if parts > 1:
                g += load_fp32(second[row, i])
            out[row, i] = base[row, i] + factor * (g - x[row, i] * factor * mean)


def _rope_rows(made: Any, rotation: Any, rotated: int, out: Any, begin: int) -> None:
    heads, _, _, half = out.shape
    like = out[0, 0, 0, 0]
    for row in prange(made.shape[0]):
        for h in range(rotated):
            for i in range(half):
                a, b = load_fp32(made[row, h, 0, i]), load_fp32(made[row, h, 1, i])
                c, s = rotation[row, 0, i], rotation[row, 1, i]
                out[h, begin + row, 0, i] = store_as(a * c - b * s, like)
                out[h, begin + row, 1, i] = store_as(b * c + a * s, like)
        for h in range(rotated, heads):
            for i in range(half):
                out[h, begin + row, 0, i] = made[row, h, 0, i]
                out[h, begin + row, 1, i] = made[row, h, 1, i]


def _rope_backward_rows(grad: Any, rotation: Any, rotated: int, made: Any, begin: int) -> None:
    heads, _, _, half = grad.shape
    like = made[0, 0, 0, 0]
    for row in prange(made.shape[0]):
        for h in range(rotated):
            for i in range(half):
                a, b = load_fp32(grad[h, begin + row, 0, i]), load_fp32(grad[h, begin + row, 1, i])
                c, s = rotation[row, 0, i], rotation[row, 1, i]
                made[row, h, 0, i] = store_as(a * c + b * s, like)
                made[row, h, 1, i] = store_as(b * c - a * s, like)
        for h in range(rotated, heads):
            for i in range(half):
                made[row, h, 0, i] = grad[h, begin + row, 0, i]
                made[row, h, 1, i] = grad[h, begin + row, 1, i]


_rope, _rope_backward = parallel_loop(_rope_rows), parallel_loop(_rope_backward_rows)
_swiglu, _swiglu_backward, _rmsnorm_backward = (
    parallel_loop(_swiglu_rows),
    parallel_loop(_swiglu_backward_rows),
    parallel_loop(_rmsnorm_backward_rows),
)
