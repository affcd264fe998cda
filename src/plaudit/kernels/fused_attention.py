"""Attention part of a Llama layer as one autograd operation: RMSNorm, QKV, RoPE, attention, output, residual.

    y = x + W_o A(R q, R k, v),   q, k, v = W n + b,   n = RMSNorm(x)

Queries are computed only for the slots in ``PackedRow.needed``. The QKV projection is ``fused_qkv.py``.

Shapes: S slots, n queries, H heads, G key-value heads, d head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plaudit.kernels.blockwise_attention import AttentionPlan
from plaudit.kernels.elementwise import grad_norm_weight, inverse_rms, row_chunks, unfold_norm
from plaudit.kernels.fused_qkv import AttentionSpec, FoldedQKV, qkv_projections
from plaudit.kernels.linear import accumulate_grad_weight, linear, linear_grad_input


@dataclass(frozen=True)
class PackedRow:
    """The packed row: the attention plan, cos/sin of RoPE for each slot, and the slots needed (None: all).

    ``rotation``: cosines and sines [S, 2, d/2] for the numba kernel, else complex numbers [S, 1, d/2].
    """

    attention: AttentionPlan
    rotation: Tensor
    needed: Tensor | None


class FusedAttention(torch.autograd.Function):
    """x [S, D], the part's weights (biases and head norms may be None) → [n, D]; matmuls in ``spec.dtype``."""

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
        spec: AttentionSpec,
        row: PackedRow,
    ) -> Tensor:
        r = inverse_rms(x, spec.eps)
        rows, rows_r = _take_slots(row.needed, x, r)
        raws, made = [], []
        for projection, seen in qkv_projections(
            spec, row.rotation, row.needed, scale, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm
        ):
            given, given_r = (x, r) if seen is None else (rows, rows_r)
            out = x.new_empty(len(projection.weight) // spec.size, len(given), spec.size, dtype=spec.dtype)
            raws.append(projection.forward(given, given_r, out))
            made.append(out)
        queries, keys, values = _heads(spec, made)
        attended = queries.new_empty(len(rows), spec.heads, spec.size)
        saved = row.attention.forward(queries, keys, values, attended, spec.keep)
        out = torch.empty_like(rows)
        low = o.to(spec.dtype)
        for part in row_chunks(len(rows)):
            torch.add(rows[part], linear(attended[part].flatten(1), low), out=out[part])
        if spec.keep:
            ctx.save_for_backward(
                x, r, scale, q, k, v, o, q_bias, k_bias, v_bias, q_norm, k_norm, attended,
                *made, *(heads for raw in raws for heads in raw), *saved
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
        rows, rows_r = _take_slots(row.needed, x, r)
        low = o.to(spec.dtype)
        d_o = torch.zeros_like(o) if asked[5] else None
        d_attended = torch.empty_like(attended)
        for part in row_chunks(len(rows)):
            d = dy[part].to(spec.dtype)
            accumulate_grad_weight(d_o, d, attended[part].flatten(1))
            d_attended[part] = linear_grad_input(d, low).view_as(d_attended[part])
        d_made = [torch.empty_like(m) for m in made]
        row.attention.backward(d_attended, *_heads(spec, made), more, *_heads(spec, d_made))
        weights = FoldedQKV(spec)
        whole = x.new_zeros(sum(weights.parts), x.shape[1]) if any(asked[1:5]) else None
        bias = x.new_zeros(sum(weights.parts)) if any(asked[6:9]) else None
        norms = x.new_zeros(spec.heads + spec.kv, spec.size) if any(asked[9:11]) else None
        dx = dy
        offset = spec.heads * spec.size
        for number, (projection, seen) in enumerate(
            qkv_projections(
                spec, row.rotation, row.needed, scale, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm
            )
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
        d_scale = grad_norm_weight(scale, [weights.fold(q, k, v)], [whole]) if asked[1] else None
        return (
            dx, d_scale, *weights.unfold(unfold_norm(scale, whole)), d_o,
            *weights.unfold(bias), *weights.unfold_norms(norms), None, None
        )  # fmt: skip


def _take_slots(slots: Tensor | None, *rows: Tensor) -> list[Tensor]:
    """Rows at ``slots`` (None: all) of each tensor."""
    return list(rows) if slots is None else [tensor.index_select(0, slots) for tensor in rows]


def _heads(spec: AttentionSpec, made: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [H, n, d], keys and values [G, S, d] as views of the projections."""
    # One contiguous piece per head: bf16 matmuls over strides are slow on the CPU.
    rest = made[0][spec.heads :] if len(made) == 1 else made[1]
    return made[0][: spec.heads], rest[: spec.kv], rest[spec.kv :]
