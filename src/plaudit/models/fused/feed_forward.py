"""The gated feed-forward part with its norm and residual, as one operation.

    y = x + W_d (silu(W_g n) ⊙ W_u n),   n = RMSNorm(x)

Computed chunk by chunk, forward and backward, so that nothing between two products leaves the cache; kept are
only W_g n and W_u n.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from plaudit.models.fused.parts import chunks, norm, norm_back
from plaudit.models.products import add_outer, times, times_back


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
        low = [w.to(dtype) for w in (gate, up, down)]
        out = torch.empty_like(x)
        kept = []
        for part in chunks(len(x)):
            n = norm(x[part], scale, eps, dtype)
            g, u = times(n, low[0]), times(n, low[1])
            if keep:
                kept += [g, u]
            torch.add(x[part], times(F.silu(g, inplace=not keep).mul_(u), low[2]), out=out[part])
        if keep:
            ctx.save_for_backward(x, scale, gate, up, down, *kept)
            ctx.eps, ctx.dtype = eps, dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, scale, gate, up, down, *kept = ctx.saved_tensors
        dy, dtype = grads[0], ctx.dtype
        low = [w.to(dtype) for w in (gate, up, down)]
        asked = ctx.needs_input_grad
        totals = [torch.zeros_like(w) if a else None for w, a in zip((scale, gate, up, down), asked[1:5])]
        dx = torch.empty_like(x)
        for number, part in enumerate(chunks(len(x))):
            g, u = kept[2 * number : 2 * number + 2]
            n = norm(x[part], scale, ctx.eps, dtype)
            d = dy[part].to(dtype)
            dh = times_back(d, low[2])
            opened = F.silu(g)
            add_outer(totals[3], d, opened * u)
            du = opened.mul_(dh)
            dg = torch.ops.aten.silu_backward(dh.mul_(u), g)
            add_outer(totals[1], dg, n)
            add_outer(totals[2], du, n)
            dn = times_back(dg, low[0]).float().add_(times_back(du, low[1]))
            torch.add(dy[part], norm_back(dn, x[part], scale, ctx.eps, totals[0]), out=dx[part])
        return dx, *totals, None, None, None
