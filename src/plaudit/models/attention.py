"""Attention over one packed row of many sequences, as a transformers attention function.

Each sequence sees itself (causally, or wholly for encoders) and its prefix, the shared prompt; nothing else:

    A = softmax(scale · Q Kᵀ + M) V,   M = 0 where visible, −∞ elsewhere, block by block

The table of sequences arrives as the attention mask (``Layout.table``). Any other mask means an ordinary
forward, which is transformers' own.

Shapes: S slots, H heads, G key-value heads, d and dv head sizes.
"""

from __future__ import annotations

import logging
import weakref
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from plaudit.kernels.attention_blocks import AttentionBlock, cut_into_blocks
from plaudit.kernels.blockwise_attention import (
    AttentionPlan,
    BlockwisePlan,
    cached_aligned_blocks,
    take_ranges,
)
from plaudit.kernels.cuda_varlen_attention import supports, varlen_attention, varlen_sequences
from plaudit.kernels.optional import load_compiled

logger = logging.getLogger(__name__)

NAME = "plaudit_packed"

# Modules that attended over a table since the list was set: how the load-time gate sees who took part.
witnesses: list[nn.Module] | None = None


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention [1, H, S, d] → [1, S, H, dv] over the sequences of a table, or of an ordinary batch."""
    causal = bool(getattr(module, "is_causal", True)) if is_causal is None else is_causal
    if attention_mask is None or attention_mask.is_floating_point() or attention_mask.dtype == torch.bool:
        if softcap is None and s_aux is None:
            return sdpa_attention_forward(
                module,
                query,
                key,
                value,
                attention_mask,
                dropout=dropout,
                scaling=scaling,
                is_causal=is_causal,
                sliding_window=sliding_window,
                **kwargs,
            )
        return _dense(query, key, value, attention_mask, causal, scaling, softcap, s_aux), None
    if kwargs.get("position_bias") is not None:
        raise NotImplementedError("a position bias per pair of tokens")
    if dropout and module.training:
        raise NotImplementedError("attention dropout")
    if witnesses is not None:
        witnesses.append(module)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # Under autocast the rotation lifts queries and keys to fp32; what is multiplied follows the values.
    q, k, v = query[0].to(value.dtype), key[0].to(value.dtype), value[0]
    explicit = softcap is not None or s_aux is not None
    rows = rows_of(attention_mask)
    longest = longest_of(rows)
    if (
        not explicit
        and supports(q, k, v, sliding_window, longest)
        and _kernel_is_right(q.device, q.shape[0], k.shape[0], q.shape[-1])
    ):
        q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        return varlen_attention(q, k, v, varlen_sequences(rows, q.device), scale, causal)[None], None
    if explicit or q.device.type != "cpu" or longest > LONGEST:
        blocks = cut_into_blocks(rows, causal, None)
        out = torch.cat([_block(b, q, k, v, scale, sliding_window, softcap, s_aux) for b in blocks])
    else:
        how = _whole(rows, causal, sliding_window, q, v.shape[-1])
        out = _Attended.apply(q, k, v, how, scale, torch.is_grad_enabled())
    return out[None], None


# Longest sequence whose probabilities are kept for the backward pass (T² · H numbers a layer); beyond it the
# library's kernel, which computes them again.
LONGEST = 1024
# Queries computed at once: a causal sequence in chunks skips most of what lies above its diagonal.
CHUNK = 128


AttentionInterface.register(NAME, packed_attention)
# Ordinary batches get the masks that they get with "sdpa"; a table has four dimensions and passes untouched.
AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])

Rows = tuple[tuple[int, int, int, int], ...]
_seen: tuple[Any, Rows] | None = None


def rows_of(table: Tensor) -> Rows:
    """The table as numbers; every layer of a forward asks for the same one."""
    global _seen
    if _seen is None or _seen[0]() is not table:
        _seen = weakref.ref(table), tuple((a, b, c, d) for a, b, c, d in table[0, 0].tolist())
    return _seen[1]


def longest_of(rows: Rows) -> int:
    """Tokens of the longest sequence with what it may see before it."""
    return max(end - start + beyond - before for start, end, before, beyond in rows)


# A prompt with two branches, and sequences by themselves.
_TRIED: Rows = ((0, 7, 0, 0), (7, 12, 0, 7), (12, 15, 0, 7), (15, 24, 15, 15), (24, 25, 24, 24))


@lru_cache(maxsize=32)
def _kernel_is_right(device: torch.device, heads: int, kv: int, size: int) -> bool:
    """Whether the device's kernel gives what blocks give, slopes too; tried once for each shape of heads."""
    generator = torch.Generator().manual_seed(0)

    def drawn(n: int) -> Tensor:
        return torch.randn(_TRIED[-1][1], n, size, generator=generator)

    given, weights, scale = [drawn(heads), drawn(kv), drawn(kv)], drawn(heads), size**-0.5
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
            q, k, v = (t.to(device, torch.bfloat16).requires_grad_() for t in given)
            found = varlen_attention(q, k, v, varlen_sequences(_TRIED, device), scale)
            exact_q, exact_k, exact_v = (t.detach().float().requires_grad_() for t in (q, k, v))
            sides = [t.transpose(0, 1) for t in (exact_q, exact_k, exact_v)]
            expected = torch.cat(
                [
                    _block(b, sides[0], sides[1], sides[2], scale, None, None, None)
                    for b in cut_into_blocks(_TRIED, True, None)
                ]
            )
            weights = weights.to(device)
            pairs = [(found, expected)]
            slopes = torch.autograd.grad((found * weights).sum(), (q, k, v))
            pairs += zip(slopes, torch.autograd.grad((expected * weights).sum(), (exact_q, exact_k, exact_v)))
            right = all(
                float((a.float() - b).detach().norm()) <= 3e-2 * float(b.detach().norm()) for a, b in pairs
            )
            reason = "its numbers differ"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # A kernel of another version or device may refuse in any way; blocks always work.
        right, reason = False, repr(error)[:200]
    if not right:
        logger.warning("attention is computed block by block: the device's kernel was tried, %s", reason)
    return right


def _block(
    block: AttentionBlock,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """One block by plain operations that autograd differentiates: [Tq, H, dv]."""
    group = q.shape[0] // k.shape[0]
    queries = q[:, block.start : block.end]
    keys, values = (take_ranges(block.keys, t).repeat_interleave(group, dim=0) for t in (k, v))
    mask = block.mask(window, torch.float32, q.device)
    if softcap is None and sinks is None:
        plain = block.plain and (window is None or window >= queries.shape[1])
        attended = F.scaled_dot_product_attention(
            queries[None],
            keys[None],
            values[None],
            attn_mask=None if plain or mask is None else mask.to(q.dtype),
            is_causal=plain,
            scale=scale,
        )
        return attended[0].transpose(0, 1)
    return _explicit(queries, keys, values, mask, scale, softcap, sinks).transpose(0, 1)


def _explicit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention [..., H, Tq, dv] with what kernels lack: soft caps on scores, and sinks [H]."""
    scores = (q @ k.transpose(-1, -2)).float() * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    if sinks is None:
        weights = scores.softmax(-1)
    else:
        # A sink is one more key whose value is nothing.
        sink = sinks.float().reshape(-1, 1, 1).expand(*scores.shape[:-1], 1)
        weights = torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    return weights.to(v.dtype) @ v


def _dense(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    causal: bool,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """An ordinary batch with soft caps or sinks: [B, T, H, dv]."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    asked, seen = query.shape[2], key.shape[2]
    if mask is None and causal and asked > 1:
        visible = torch.ones(asked, seen, dtype=torch.bool, device=query.device).tril(seen - asked)
        mask = torch.zeros(asked, seen, device=query.device).masked_fill_(~visible, -torch.inf)
    elif mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _explicit(query, key, value, mask, scale, softcap, sinks).transpose(1, 2)


def _whole(rows: Rows, causal: bool, window: int | None, q: Tensor, size: int) -> AttentionPlan:
    """All queries of a row: tile by tile where that is compiled, else block by block."""
    found = load_compiled("plaudit.kernels.varlen_attention")
    if found is not None and causal and q.shape[-1] == size and found.supports(size, q.dtype):
        plan: AttentionPlan = found.cached_varlen_plan(rows, window)
        return plan
    align = q.dtype == torch.bfloat16
    return BlockwisePlan(
        cached_aligned_blocks(cut_into_blocks(rows, causal, CHUNK), window, q.shape[1], align, q.device)
    )


class _Attended(torch.autograd.Function):
    """A layer's attention with a backward pass of its own: that of its ``Attending``."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, how: AttentionPlan, scale: float, keep: bool
    ) -> Tensor:
        q = q * scale
        out = v.new_empty(q.shape[1], q.shape[0], v.shape[-1])
        ctx.save_for_backward(q, k, v, *how.forward(q, k, v, out, keep))
        ctx.how, ctx.scale = how, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        q, k, v, *kept = ctx.saved_tensors
        slots = q.shape[1]
        # In the order in which the projections lie in memory: a view is then all that they need.
        dq, dk, dv = (t.new_empty(slots, t.shape[0], t.shape[2]).transpose(0, 1) for t in (q, k, v))
        ctx.how.backward(grads[0], q, k, v, kept, dq, dk, dv)
        return dq.mul_(ctx.scale), dk, dv, None, None, None
