"""The attention part with its norm, rotation and residual, as one operation.

    y = x + W_o A(R q, R k, v),   q, k, v = W n + b,   n = RMSNorm(x)

The three projections are one product. Where torch rotates, pairs (i, i + d/2) that are turned together become
neighbours, so that the rotation is one complex product; compiled loops take them as they lie. That, the norm's weight
and the softmax's scale are folded into copies of the projections, since q·k does not change when both are permuted
alike. Queries are computed only for the slots that are asked for.

Shapes: S slots, n queries, H heads, G key-value heads, d head size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plaudit.models.blockwise import Piece, attend, attend_back
from plaudit.models.fused.parts import (
    chunks,
    folded_back,
    inverse_rms,
    norm_back,
    rotate,
    turn_back,
    turn_heads,
    unfold,
    unit_back,
)
from plaudit.models.products import add_outer, times, times_back


@dataclass(frozen=True)
class Spec:
    """What an attention part needs beside tensors: heads, the softmax's scale, epsilons, the products' type.

    ``head_eps`` is that of the norms on queries and keys (Qwen3), None where there are none. ``loops``: whether heads
    are turned by compiled loops, which know neither those norms nor biases.
    """

    heads: int
    kv: int
    size: int
    scale: float
    eps: float
    head_eps: float | None
    dtype: torch.dtype
    keep: bool
    loops: bool


@dataclass(frozen=True)
class Row:
    """The packed row: its pieces, how each slot is turned (``turns``), and the slots asked for (None: all)."""

    pieces: Sequence[Piece]
    turn: Tensor
    needed: Tensor | None


class _Weights:
    """The three projections as one matrix [(H + 2G) d, D], in the order of turning, scaled; and the way back."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.parts = [spec.heads * spec.size, spec.kv * spec.size, spec.kv * spec.size]
        # Where queries are normed, the scale goes into their norm.
        self.scale = spec.scale if spec.head_eps is None else 1.0
        self.pairs = torch.arange(spec.size)
        if not spec.loops:
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
        return rows.unflatten(0, (-1, self.spec.size))[:, order].flatten(0, 1)


@dataclass
class _Projection:
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
            if spec.loops:
                turn_heads(made, self.turn[part], self.turned, out, part.start)
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
            if spec.loops:
                low = turn_back(grad, self.turn[part], self.turned, part.start)
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


class Attention(torch.autograd.Function):
    """x [S, D], the part's weights (biases and head norms may be None) → [n, D]; products in ``spec.dtype``."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        scale: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        o: Tensor,
        q_bias: Tensor | None,
        k_bias: Tensor | None,
        v_bias: Tensor | None,
        q_norm: Tensor | None,
        k_norm: Tensor | None,
        spec: Spec,
        row: Row,
    ) -> Tensor:
        r = inverse_rms(x, spec.eps)
        rows, rows_r = _at(row.needed, x, r)
        raws, made = [], []
        for projection, seen in _projections(
            spec, row, scale, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm
        ):
            given, given_r = (x, r) if seen is None else (rows, rows_r)
            out = x.new_empty(len(projection.weight) // spec.size, len(given), spec.size, dtype=spec.dtype)
            raws.append(projection.forward(given, given_r, out))
            made.append(out)
        queries, keys, values = _heads(spec, made)
        attended = queries.new_empty(len(rows), spec.heads, spec.size)
        kept = attend(queries, keys, values, row.pieces, attended)
        out = torch.empty_like(rows)
        low = o.to(spec.dtype)
        for part in chunks(len(rows)):
            torch.add(rows[part], times(attended[part].flatten(1), low), out=out[part])
        if spec.keep:
            ctx.save_for_backward(
                x, r, scale, q, k, v, o, q_bias, k_bias, v_bias, q_norm, k_norm, attended,
                *made, *(heads for raw in raws for heads in raw), *kept
            )  # fmt: skip
            ctx.spec, ctx.row, ctx.counts = spec, row, (len(made), [len(raw) for raw in raws])
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, r, scale, q, k, v, o, q_bias, k_bias, v_bias, q_norm, k_norm, attended, *more = ctx.saved_tensors
        spec, row, (count, raw_counts) = ctx.spec, ctx.row, ctx.counts
        made, more = more[:count], more[count:]
        raws = []
        for n in raw_counts:
            raws.append(more[:n])
            more = more[n:]
        asked = ctx.needs_input_grad
        dy = grads[0]
        rows, rows_r = _at(row.needed, x, r)
        low = o.to(spec.dtype)
        d_o = torch.zeros_like(o) if asked[5] else None
        d_attended = torch.empty_like(attended)
        for part in chunks(len(rows)):
            d = dy[part].to(spec.dtype)
            add_outer(d_o, d, attended[part].flatten(1))
            d_attended[part] = times_back(d, low).view_as(d_attended[part])
        d_made = [torch.empty_like(m) for m in made]
        d_heads = _heads(spec, d_made)
        for d in d_heads[1:]:
            d.zero_()
        attend_back(d_attended, *_heads(spec, made), more, row.pieces, *d_heads)
        weights = _Weights(spec)
        whole = x.new_zeros(sum(weights.parts), x.shape[1]) if any(asked[1:5]) else None
        bias = x.new_zeros(sum(weights.parts)) if any(asked[6:9]) else None
        norms = x.new_zeros(spec.heads + spec.kv, spec.size) if any(asked[9:11]) else None
        dx = dy
        offset = spec.heads * spec.size
        for number, (projection, seen) in enumerate(
            _projections(spec, row, scale, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm)
        ):
            cut, heads = slice(None), slice(None)
            if row.needed is not None:
                cut = slice(0, offset) if seen is not None else slice(offset, None)
                heads = slice(0, spec.heads) if seen is not None else slice(spec.heads, None)
            totals = {
                "weight": None if whole is None else whole[cut],
                "bias": None if bias is None else bias[cut],
                "norms": None if norms is None else norms[heads],
            }
            given, given_r = (x, r) if seen is None else (rows, rows_r)
            base = dy
            if row.needed is not None and seen is None:
                base = torch.zeros_like(x).index_copy_(0, row.needed, dx)
            dx = projection.backward(d_made[number], raws[number], given, given_r, base, totals)
        d_scale = folded_back(scale, [weights.together(q, k, v)], [whole]) if asked[1] else None
        return (
            dx, d_scale, *weights.apart(unfold(scale, whole)), d_o,
            *weights.apart(bias), *weights.norms_apart(norms), None, None
        )  # fmt: skip


def _at(slots: Tensor | None, *rows: Tensor) -> list[Tensor]:
    """Of each tensor the rows at ``slots``; None for all."""
    return list(rows) if slots is None else [tensor.index_select(0, slots) for tensor in rows]


def _projections(
    spec: Spec,
    row: Row,
    scale: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_bias: Tensor | None,
    k_bias: Tensor | None,
    v_bias: Tensor | None,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
) -> list[tuple[_Projection, Tensor | None]]:
    """What is projected, and at which slots (None: all): everything at once, or queries apart from the rest."""
    weights = _Weights(spec)
    whole = (weights.together(q, k, v) * scale).to(spec.dtype)
    bias = norms = None
    if q_bias is not None and k_bias is not None and v_bias is not None:
        bias = weights.together(q_bias, k_bias, v_bias)
    if q_norm is not None and k_norm is not None:
        norms = weights.norms(q_norm, k_norm)
    if row.needed is None:
        return [(_Projection(spec, row.turn, whole, bias, norms, spec.heads + spec.kv), None)]
    cut, h = spec.heads * spec.size, spec.heads
    return [
        (
            _Projection(
                spec,
                row.turn.index_select(0, row.needed),
                whole[:cut],
                None if bias is None else bias[:cut],
                None if norms is None else norms[:h],
                h,
            ),
            row.needed,
        ),
        (
            _Projection(
                spec,
                row.turn,
                whole[cut:],
                None if bias is None else bias[cut:],
                None if norms is None else norms[h:],
                spec.kv,
            ),
            None,
        ),
    ]


def _heads(spec: Spec, made: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [H, n, d], keys and values [G, S, d] as views of what was projected."""
    # Head by head, each in one piece: the CPU's bf16 products are slow over strides.
    rest = made[0][spec.heads :] if len(made) == 1 else made[1]
    return made[0][: spec.heads], rest[: spec.kv], rest[spec.kv :]
