"""Attention over one packed row of many sequences, as a transformers attention function.

Each sequence sees itself (causally, or wholly for encoders) and its prefix, the shared prompt; nothing else:

    A = softmax(scale · Q Kᵀ + M) V,   M = 0 where visible, −∞ elsewhere, block by block

The table of sequences arrives as the attention mask (``Layout.table``). Any other mask means an ordinary
forward, which is transformers' own.

Shapes: S slots, H heads, G key-value heads, d and dv head sizes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

from plaudit.kernels.attention_blocks import rows_of
from plaudit.kernels.reference import explicit_attention
from plaudit.models.compute import kernels_in_use

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
    compute = kernels_in_use().packed_attention
    return compute(
        q,
        k,
        v,
        rows_of(attention_mask),
        scale=scale,
        causal=causal,
        window=sliding_window,
        softcap=softcap,
        sinks=s_aux,
    )[None], None


AttentionInterface.register(NAME, packed_attention)
# Ordinary batches get the masks that they get with "sdpa"; a table has four dimensions and passes untouched.
AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


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
    return explicit_attention(query, key, value, mask, scale, softcap, sinks).transpose(1, 2)
