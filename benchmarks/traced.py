"""A candidate for accelerators: decoder layers of the Llama layout as two functions a layer, compiled by torch.

It belongs to the project once ``accelerator.py`` has shown it to be 10 % faster there; that measures it in place of the
model's own modules.

Between products an accelerator waits for memory: norms, rotation, gate and residuals read and write every state many
times when each operation is a kernel of its own. Compiled, they are one pass each, forward and backward.

Shapes: S slots, D features, I inner features, H heads, G key-value heads, d head size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor

from plaudit.data.tokens.layout import Layout
from plaudit.models.architectures import layer_windows
from plaudit.models.attention import packed_attention
from plaudit.models.packing import same_states

Parts = tuple[Callable[..., Any], Callable[..., Any]]


def traced_hidden(inner: Any, layout: Layout, dtype: torch.dtype, parts: Parts) -> Tensor:
    """Hidden states [S, D] of a packed row; products in ``dtype``, all else in fp32."""
    assert layout.table is not None
    before, after = parts
    with torch.autocast(layout.table.device.type, enabled=False):
        x = F.embedding(layout.input_ids[0], inner.embed_tokens.weight, inner.embed_tokens.padding_idx)
        cos, sin = (_any_length(t[0, :, None]) for t in inner.rotary_emb(x[None], layout.position_ids))
        for layer, window in zip(inner.layers, layer_windows(inner.config)):
            part, norm = layer.self_attn, layer.input_layernorm
            q_norm, k_norm = getattr(part, "q_norm", None), getattr(part, "k_norm", None)
            made = before(
                _any_length(x), cos, sin, norm.weight, part.q_proj.weight, part.k_proj.weight, part.v_proj.weight,
                part.q_proj.bias, part.k_proj.bias, part.v_proj.bias,
                None if q_norm is None else q_norm.weight, None if k_norm is None else k_norm.weight,
                norm.variance_epsilon, 0.0 if q_norm is None else q_norm.variance_epsilon, part.head_dim, dtype,
            )  # fmt: skip
            q, k, v = (t.transpose(0, 1)[None] for t in made)
            attended, _ = packed_attention(
                part, q, k, v, layout.table, scaling=part.scaling, sliding_window=window
            )
            norm, mlp = layer.post_attention_layernorm, layer.mlp
            x = after(
                _any_length(x), _any_length(attended[0]), part.o_proj.weight, norm.weight,
                mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight, norm.variance_epsilon, dtype,
            )  # fmt: skip
        return F.rms_norm(x, x.shape[-1:], inner.norm.weight, inner.norm.variance_epsilon)


def _any_length(rows: Tensor) -> Tensor:
    """Tell the compiler that there will be other numbers of rows, or it compiles for this one first."""
    torch._dynamo.maybe_mark_dynamic(rows, 0)
    return rows


def before(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    scale: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_bias: Tensor | None,
    k_bias: Tensor | None,
    v_bias: Tensor | None,
    q_norm: Tensor | None,
    k_norm: Tensor | None,
    eps: float,
    head_eps: float,
    size: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """x [S, D] → rotated queries [S, H, d] and keys [S, G, d], values [S, G, d]; cos and sin [S, 1, d]."""
    n = _norm(x, scale, eps).to(dtype)

    def heads(weight: Tensor, bias: Tensor | None) -> Tensor:
        made = F.linear(n, weight.to(dtype))
        return (made if bias is None else made.float() + bias).unflatten(-1, (-1, size))

    def turned(states: Tensor, norm: Tensor | None) -> Tensor:
        states = states.float() if norm is None else _norm(states.float(), norm, head_eps)
        a, b = states.chunk(2, dim=-1)
        return (states * cos + torch.cat((-b, a), dim=-1) * sin).to(dtype)

    return turned(heads(q, q_bias), q_norm), turned(heads(k, k_bias), k_norm), heads(v, v_bias).to(dtype)


def after(
    x: Tensor,
    attended: Tensor,
    out: Tensor,
    scale: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """The rest of a layer, x [S, D] and ``attended`` a [S, H, d] → [S, D].

    y = x + W_o a,   y + W_d (silu(W_g n) ⊙ W_u n),   n = RMSNorm(y)
    """
    x = x + F.linear(attended.flatten(1), out.to(dtype))
    n = _norm(x, scale, eps).to(dtype)
    opened = F.silu(F.linear(n, gate.to(dtype)).float()) * F.linear(n, up.to(dtype))
    return x + F.linear(opened.to(dtype), down.to(dtype))


def _norm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * scale


PLAIN: Parts = (before, after)
# Models of other shapes in one process (a critic, a reward model), each with and without gradients.
SHAPES = 64


@cache
def compiled_parts() -> Parts:
    """The two functions compiled."""
    torch._dynamo.config.recompile_limit = max(SHAPES, torch._dynamo.config.recompile_limit)
    return torch.compile(before), torch.compile(after)


def right(inner: Any) -> bool:
    """Whether the two functions, as they are, give the model's own numbers."""
    with torch.no_grad():
        return same_states(inner, lambda layout, _: traced_hidden(inner, layout, torch.float32, PLAIN))


def hidden(inner: Any, layout: Layout, _: Tensor | None) -> Tensor | None:
    """What ``fused_hidden`` is for the CPU; every slot is computed."""
    if layout.table is None:
        return None
    return traced_hidden(inner, layout, torch.bfloat16, compiled_parts())
