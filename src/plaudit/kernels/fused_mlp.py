"""MLP part of a Llama layer as one autograd operation: RMSNorm, SwiGLU, residual.

    y = x + W_d (silu(W_g n) ⊙ W_u n),   n = RMSNorm(x)

Computed in chunks of rows, forward and backward, so that results between two matmuls stay in the cache. Saved for the
backward pass: W_g n, W_u n and 1 / RMS of each row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from plaudit.kernels import elementwise
from plaudit.kernels.elementwise import (
    grad_norm_weight,
    inverse_rms,
    rmsnorm_backward,
    row_chunks,
    swiglu_backward,
    unfold_norm,
)
from plaudit.kernels.linear import accumulate_grad_weight, linear, linear_grad_input


class FusedMLP(torch.autograd.Function):
    """x [n, D], norm [D], gate and up [I, D], down [D, I] → [n, D]; matmuls in ``dtype``, the rest in fp32."""

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
        low = _folded_weights(scale, gate, up, down, dtype)
        out = torch.empty_like(x)
        r = inverse_rms(x, eps)
        kept = []
        for part in row_chunks(len(x)):
            n = (x[part] * r[part]).to(dtype)
            g, u = linear(n, low[0]), linear(n, low[1])
            if keep:
                kept += [g, u]
            torch.add(x[part], linear(elementwise.swiglu(g, u, keep), low[2]), out=out[part])
        if keep:
            ctx.save_for_backward(x, r, scale, gate, up, down, *kept)
            ctx.dtype = dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, r, scale, gate, up, down, *kept = ctx.saved_tensors
        dy, dtype = grads[0], ctx.dtype
        low = _folded_weights(scale, gate, up, down, dtype)
        of_scale, *asked = ctx.needs_input_grad[1:5]
        d_gate = torch.zeros_like(gate) if asked[0] or of_scale else None
        d_up = torch.zeros_like(up) if asked[1] or of_scale else None
        d_down = torch.zeros_like(down) if asked[2] else None
        dx = torch.empty_like(x)
        for number, part in enumerate(row_chunks(len(x))):
            g, u = kept[2 * number : 2 * number + 2]
            n = (x[part] * r[part]).to(dtype)
            d = dy[part].to(dtype)
            h, dg, du = swiglu_backward(linear_grad_input(d, low[2]), g, u)
            accumulate_grad_weight(d_down, d, h)
            accumulate_grad_weight(d_gate, dg, n)
            accumulate_grad_weight(d_up, du, n)
            rmsnorm_backward(
                (linear_grad_input(dg, low[0]), linear_grad_input(du, low[1])),
                x[part],
                r[part],
                dy[part],
                dx[part],
            )
        d_scale = grad_norm_weight(scale, (gate, up), (d_gate, d_up)) if of_scale else None
        return dx, d_scale, unfold_norm(scale, d_gate), unfold_norm(scale, d_up), d_down, None, None, None


def _folded_weights(
    scale: Tensor, gate: Tensor, up: Tensor, down: Tensor, dtype: torch.dtype
) -> list[Tensor]:
    """The matrices in ``dtype``, with the norm's weight folded in."""
    return [(gate * scale).to(dtype), (up * scale).to(dtype), down.to(dtype)]
