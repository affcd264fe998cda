"""Fused QKV projection: RMSNorm, one matmul, QK-norm, RoPE; forward and backward.

Torch rotates adjacent pairs as complex numbers, so the pairs (i, i + d/2) of RoPE are permuted to be adjacent; the
numba kernel takes them as they are. The permutation, the norm's weight and the softmax scale are folded into copies of
the weights (q·k does not change when both are permuted alike).

Shapes: S slots, n rows, H heads, G key-value heads, d head size, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from plaudit.kernels.elementwise import (
    inverse_rms,
    normalize_backward,
    rmsnorm_backward,
    rope_pairs,
    row_chunks,
)
from plaudit.kernels.linear import accumulate_grad_weight, linear, linear_grad_input


@dataclass(frozen=True)
class AttentionSpec:
    """Settings of a fused attention part: heads, softmax scale, epsilons, dtype of the matmuls.

    ``head_eps``: of QK-norm (Qwen3), None without it. ``numba_ops``: ``elementwise_numba`` if it does the RoPE (it
    supports neither QK-norm nor biases), None if torch does.
    """

    heads: int
    kv: int
    size: int
    scale: float
    eps: float
    head_eps: float | None
    dtype: torch.dtype
    keep: bool
    numba_ops: ModuleType | None


class FoldedQKV:
    """The three projections folded into one matrix [(H + 2G) d, D], and their gradients unfolded from its gradient."""

    def __init__(self, spec: AttentionSpec) -> None:
        self.spec = spec
        self.parts = [spec.heads * spec.size, spec.kv * spec.size, spec.kv * spec.size]
        # With QK-norm the softmax scale goes into the weight of the query norm.
        self.scale = spec.scale if spec.head_eps is None else 1.0
        self.rope_order = torch.arange(spec.size)
        if spec.numba_ops is None:
            self.rope_order = self.rope_order.view(2, -1).t().reshape(-1)
        self.back = self.rope_order.argsort()

    def fold(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([self._order(q, self.rope_order) * self.scale, self._order(k, self.rope_order), v])

    def unfold(self, total: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of the three from that of the whole."""
        if total is None:
            return None, None, None
        q, k, v = total.split(self.parts)
        return self._order(q, self.back) * self.scale, self._order(k, self.back), v

    def fold_norms(self, q: Tensor, k: Tensor) -> Tensor:
        """The weights of the norms on queries and keys, head by head: [H + G, d]."""
        spec = self.spec
        q, k = q[self.rope_order] * spec.scale, k[self.rope_order]
        return torch.cat([q.expand(spec.heads, -1), k.expand(spec.kv, -1)])

    def unfold_norms(self, total: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if total is None:
            return None, None
        q, k = total[: self.spec.heads].sum(0), total[self.spec.heads :].sum(0)
        return q[self.back] * self.spec.scale, k[self.back]

    def _order(self, rows: Tensor, order: Tensor) -> Tensor:
        if self.spec.numba_ops is not None:
            return rows
        return rows.unflatten(0, (-1, self.spec.size))[:, order].flatten(0, 1)


@dataclass
class QKVProjection:
    """RMSNorm, matmul, QK-norm and RoPE of rows x with r = 1 / RMS: forward into a buffer, and backward.

    ``weight`` [heads · d, D] has the norm's weight folded in; the first ``rotated`` heads get QK-norm with weight
    ``norms`` [rotated, d], then RoPE.
    """

    spec: AttentionSpec
    rotation: Tensor
    weight: Tensor
    bias: Tensor | None
    norms: Tensor | None
    rotated: int

    def forward(self, x: Tensor, r: Tensor, out: Tensor) -> list[Tensor]:
        """x [n, D] → ``out`` [heads, n, d]; returns what the backward pass needs."""
        spec = self.spec
        raw = []
        for part in row_chunks(len(x)):
            made = linear((x[part] * r[part]).to(spec.dtype), self.weight)
            if spec.numba_ops is not None:
                spec.numba_ops.rope(made, self.rotation[part], self.rotated, out, part.start)
                continue
            made = made.float()
            if self.bias is not None:
                made += self.bias
            made = made.view(len(made), -1, spec.size)
            rotated = made[:, : self.rotated]
            if self.norms is not None and spec.head_eps is not None:
                if spec.keep:
                    raw.append(rotated)
                rotated = (rotated * inverse_rms(rotated, spec.head_eps)).mul_(self.norms)
            out[: self.rotated, part] = rope_pairs(rotated, self.rotation[part]).transpose(0, 1)
            out[self.rotated :, part] = made[:, self.rotated :].transpose(0, 1)
        return raw

    def backward(
        self,
        grad: Tensor,
        raw: Sequence[Tensor],
        x: Tensor,
        r: Tensor,
        base: Tensor,
        totals: Mapping[str, Tensor | None],
    ) -> Tensor:
        """``base`` + the gradient of x from ``grad`` [heads, n, d]; adds to the weight gradients in ``totals``."""
        spec = self.spec
        dx = torch.empty_like(x)
        for number, part in enumerate(row_chunks(len(x))):
            if spec.numba_ops is not None:
                low = spec.numba_ops.rope_backward(grad, self.rotation[part], self.rotated, part.start)
            else:
                low = self._made_back(grad, raw[number] if raw else None, part, totals)
            accumulate_grad_weight(totals["weight"], low, (x[part] * r[part]).to(spec.dtype))
            rmsnorm_backward((linear_grad_input(low, self.weight),), x[part], r[part], base[part], dx[part])
        return dx

    def _made_back(
        self, grad: Tensor, raw: Tensor | None, part: slice, totals: Mapping[str, Tensor | None]
    ) -> Tensor:
        """The gradient of the matmul's result for the rows ``part``; adds to the gradients of bias and QK-norm."""
        spec = self.spec
        made = torch.empty(len(self.rotation[part]), len(grad), spec.size).copy_(
            grad[:, part].transpose(0, 1)
        )
        rotated = rope_pairs(made[:, : self.rotated], self.rotation[part].conj())
        if self.norms is not None and spec.head_eps is not None and raw is not None:
            heads_r = inverse_rms(raw, spec.head_eps)
            unit = raw * heads_r
            if (norms := totals["norms"]) is not None:
                norms += torch.mul(rotated, unit).sum(0)
            normalize_backward(rotated.mul_(self.norms), unit, heads_r)  # in place, and so in ``made``
        made = made.flatten(1)
        if (bias := totals["bias"]) is not None:
            bias += made.sum(0)
        return made.to(spec.dtype)


def qkv_projections(
    spec: AttentionSpec,
    rotation: Tensor,
    needed: Tensor | None,
    scale: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_bias: Tensor | None,
    k_bias: Tensor | None,
    v_bias: Tensor | None,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
) -> list[tuple[QKVProjection, Tensor | None]]:
    """The projections and their slots (None: all): one for all of QKV, or queries at ``needed`` and the rest apart."""
    weights = FoldedQKV(spec)
    whole = (weights.fold(q, k, v) * scale).to(spec.dtype)
    bias = norms = None
    if q_bias is not None and k_bias is not None and v_bias is not None:
        bias = weights.fold(q_bias, k_bias, v_bias)
    if q_norm is not None and k_norm is not None:
        norms = weights.fold_norms(q_norm, k_norm)
    if needed is None:
        return [(QKVProjection(spec, rotation, whole, bias, norms, spec.heads + spec.kv), None)]
    cut, h = spec.heads * spec.size, spec.heads
    return [
        (
            QKVProjection(
                spec,
                rotation.index_select(0, needed),
                whole[:cut],
                None if bias is None else bias[:cut],
                None if norms is None else norms[:h],
                h,
            ),
            needed,
        ),
        (
            QKVProjection(
                spec,
                rotation,
                whole[cut:],
                None if bias is None else bias[cut:],
                None if norms is None else norms[h:],
                spec.kv,
            ),
            None,
        ),
    ]
