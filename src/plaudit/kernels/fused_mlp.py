"""The gated feed-forward part with its norm and residual, as one operation.

    y = x + W_d (silu(W_g n) ⊙ W_u n),   n = RMSNorm(x)

Computed chunk by chunk, forward and backward, so that nothing between two products leaves the cache; kept are
only W_g n, W_u n and a number a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plaudit.kernels import elementwise as parts
from plaudit.kernels.elementwise import chunks, folded_back, gate_back, inverse_rms, norm_back, unfold
from plaudit.kernels.linear import add_outer, times, times_back


class FeedForward(torch.autograd.Function):
    """x [n, D], norm [D], gate and up [I, D], down [D, I] → [n, D]; products in ``dtype``, the rest in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        gate: Tensor,
        up: Tensor,
        down: Tensor,
        eps: float,
        dtype: torch.dtype,
        keep: bool,
    ) -> Tensor:
        low = _low(scale, gate, up, down, dtype)
        out = torch.empty_like(x)
        r = inverse_rms(x, eps)
        kept = []
        for part in chunks(len(x)):
            n = (x[part] * r[part]).to(dtype)
            g, u = times(n, low[0]), times(n, low[1])
            if keep:
                kept += [g, u]
            torch.add(x[part], times(parts.gate(g, u, keep), low[2]), out=out[part])
        if keep:
            ctx.save_for_backward(x, r, scale, gate, up, down, *kept)
            ctx.dtype = dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, r, scale, gate, up, down, *kept = ctx.saved_tensors
        dy, dtype = grads[0], ctx.dtype
        low = _low(scale, gate, up, down, dtype)
        of_scale, *asked = ctx.needs_input_grad[1:5]
        d_gate = torch.zeros_like(gate) if asked[0] or of_scale else None
        d_up = torch.zeros_like(up) if asked[1] or of_scale else None
        d_down = torch.zeros_like(down) if asked[2] else None
        dx = torch.empty_like(x)
        for number, part in enumerate(chunks(len(x))):
            g, u = kept[2 * number : 2 * number + 2]
            n = (x[part] * r[part]).to(dtype)
            d = dy[part].to(dtype)
            h, dg, du = gate_back(times_back(d, low[2]), g, u)
            add_outer(d_down, d, h)
            add_outer(d_gate, dg, n)
            add_outer(d_up, du, n)
            norm_back((times_back(dg, low[0]), times_back(du, low[1])), x[part], r[part], dy[part], dx[part])
        d_scale = folded_back(scale, (gate, up), (d_gate, d_up)) if of_scale else None
        return dx, d_scale, unfold(scale, d_gate), unfold(scale, d_up), d_down, None, None, None


def _low(scale: Tensor, gate: Tensor, up: Tensor, down: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """The matrices as they are multiplied with: the norm's weight folded in, in ``dtype``."""
    return [(gate * scale).to(dtype), (up * scale).to(dtype), down.to(dtype)]
