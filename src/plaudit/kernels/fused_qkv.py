"""The three projections of an attention part as one product: norm, product, head norms and rotation, and the way back.

Where torch rotates, pairs (i, i + d/2) that are turned together become neighbours, so that the rotation is one complex
product; compiled loops take them as they lie. That order, the norm's weight and the softmax's scale are folded into
copies of the weights, since q·k does not change when both are permuted alike.

Shapes: S slots, n rows, H heads, G key-value heads, d head size, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from plaudit.kernels.elementwise import chunks, inverse_rms, norm_back, rotate, unit_back
from plaudit.kernels.linear import add_outer, times, times_back


@dataclass(frozen=True)
class Spec:
    """What an attention part needs beside tensors: heads, the softmax's scale, epsilons, the products' type.

    ``head_eps`` is that of the norms on queries and keys (Qwen3), None where there are none. ``loops``: the compiled
    loops that turn heads, which know neither those norms nor biases; None where torch does.
    """

    heads: int
    kv: int
    size: int
    scale: float
    eps: float
    head_eps: float | None
    dtype: torch.dtype
    keep: bool
    loops: ModuleType | None


class Weights:
    """The three projections as one matrix [(H + 2G) d, D], in the order of turning, scaled; and the way back."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.parts = [spec.heads * spec.size, spec.kv * spec.size, spec.kv * spec.size]
        # Where queries are normed, the scale goes into their norm.
        self.scale = spec.scale if spec.head_eps is None else 1.0
        self.pairs = torch.arange(spec.size)
        if spec.loops is None:
            self.pairs = self.pairs.view(2, -1).t().reshape(-1)
        self.back = self.pairs.argsort()

    def together(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.cat([self._order(q, self.pairs) * self.scale, self._order(k, self.pairs), v])

    def apart(self, total: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of the three from that of the whole."""
        if total is None:
            return None, None, None
        q, k, v = total.split(self.parts)
        return self._order(q, self.back) * self.scale, self._order(k, self.back), v

    def norms(self, q: Tensor, k: Tensor) -> Tensor:
        """The weights of the norms on queries and keys, head by head: [H + G, d]."""
        spec = self.spec
        q, k = q[self.pairs] * spec.scale, k[self.pairs]
        return torch.cat([q.expand(spec.heads, -1), k.expand(spec.kv, -1)])

    def norms_apart(self, total: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if total is None:
            return None, None
        q, k = total[: self.spec.heads].sum(0), total[self.spec.heads :].sum(0)
        return q[self.back] * self.spec.scale, k[self.back]

    def _order(self, rows: Tensor, order: Tensor) -> Tensor:
        if self.spec.loops is not None:
            return rows
        return rows.unflatten(0, (-1, self.spec.size))[:, order].flatten(0, 1)


@dataclass
class Projection:
    """Norm, product, head norms and rotation of some rows x, r = 1 / RMS of each: forward into a buffer, and back.

    ``weight`` [heads · d, D] has the norm's weight folded in; the first ``turned`` heads are normed by ``norms``
    [turned, d] and rotated.
    """

    spec: Spec
    turn: Tensor
    weight: Tensor
    bias: Tensor | None
    norms: Tensor | None
    turned: int

    def forward(self, x: Tensor, r: Tensor, out: Tensor) -> list[Tensor]:
        """x [n, D] → ``out`` [heads, n, d]; what must be kept for the way back."""
        spec = self.spec
        raw = []
        for part in chunks(len(x)):
            made = times((x[part] * r[part]).to(spec.dtype), self.weight)
            if spec.loops is not None:
                spec.loops.turn_heads(made, self.turn[part], self.turned, out, part.start)
                continue
            made = made.float()
            if self.bias is not None:
                made += self.bias
            made = made.view(len(made), -1, spec.size)
            turned = made[:, : self.turned]
            if self.norms is not None and spec.head_eps is not None:
                if spec.keep:
                    raw.append(turned)
                turned = (turned * inverse_rms(turned, spec.head_eps)).mul_(self.norms)
            out[: self.turned, part] = rotate(turned, self.turn[part]).transpose(0, 1)
            out[self.turned :, part] = made[:, self.turned :].transpose(0, 1)
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
        """From ``grad`` [heads, n, d] of what was made: ``base`` + the gradient of x, and adds to the totals."""
        spec = self.spec
        dx = torch.empty_like(x)
        for number, part in enumerate(chunks(len(x))):
            if spec.loops is not None:
                low = spec.loops.turn_back(grad, self.turn[part], self.turned, part.start)
            else:
                low = self._made_back(grad, raw[number] if raw else None, part, totals)
            add_outer(totals["weight"], low, (x[part] * r[part]).to(spec.dtype))
            norm_back((times_back(low, self.weight),), x[part], r[part], base[part], dx[part])
        return dx

    def _made_back(
        self, grad: Tensor, raw: Tensor | None, part: slice, totals: Mapping[str, Tensor | None]
    ) -> Tensor:
        """The gradient of what the product made for the rows ``part``, and adds to the totals of what came after it."""
        spec = self.spec
        made = torch.empty(len(self.turn[part]), len(grad), spec.size).copy_(grad[:, part].transpose(0, 1))
        turned = rotate(made[:, : self.turned], self.turn[part].conj())
        if self.norms is not None and spec.head_eps is not None and raw is not None:
            heads_r = inverse_rms(raw, spec.head_eps)
            unit = raw * heads_r
            if (norms := totals["norms"]) is not None:
                norms += torch.mul(turned, unit).sum(0)
            unit_back(turned.mul_(self.norms), unit, heads_r)  # in place, and so in ``made``
        made = made.flatten(1)
        if (bias := totals["bias"]) is not None:
            bias += made.sum(0)
        return made.to(spec.dtype)


def projections(
    spec: Spec,
    turn: Tensor,
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
) -> list[tuple[Projection, Tensor | None]]:
    """What is projected, and at which slots (None: all): everything at once, or queries apart from the rest."""
    weights = Weights(spec)
    whole = (weights.together(q, k, v) * scale).to(spec.dtype)
    bias = norms = None
    if q_bias is not None and k_bias is not None and v_bias is not None:
        bias = weights.together(q_bias, k_bias, v_bias)
    if q_norm is not None and k_norm is not None:
        norms = weights.norms(q_norm, k_norm)
    if needed is None:
        return [(Projection(spec, turn, whole, bias, norms, spec.heads + spec.kv), None)]
    cut, h = spec.heads * spec.size, spec.heads
    return [
        (
            Projection(
                spec,
                turn.index_select(0, needed),
                whole[:cut],
                None if bias is None else bias[:cut],
                None if norms is None else norms[:h],
                h,
            ),
            needed,
        ),
        (
            Projection(
                spec,
                turn,
                whole[cut:],
                None if bias is None else bias[cut:],
                None if norms is None else norms[h:],
                spec.kv,
            ),
            None,
        ),
    ]
