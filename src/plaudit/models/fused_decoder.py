"""Forward pass of a Llama, Mistral, Qwen2 or Qwen3 backbone over a packed row with fused layers, on the CPU.

Equals the model's own modules up to rounding, with fewer passes over memory: a layer is two autograd operations; the
last layer computes queries, attention and MLP only where states are read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plaudit.data.tokens.layout import Layout
from plaudit.kernels.attention_blocks import (
    CHUNK,
    LONGEST,
    AttentionBlock,
    cut_into_blocks,
    longest_of,
    rows_of,
)
from plaudit.kernels.blockwise_attention import AttentionPlan, BlockwisePlan, aligned_blocks
from plaudit.kernels.elementwise import numba_ops, varlen_kernel
from plaudit.kernels.fused_attention import FusedAttention, PackedRow
from plaudit.kernels.fused_mlp import FusedMLP
from plaudit.kernels.fused_qkv import AttentionSpec
from plaudit.kernels.linear import ROW_MULTIPLE
from plaudit.models.architectures import layer_windows
from plaudit.runtime import compute_config

logger = logging.getLogger(__name__)

FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")


def fused_hidden(inner: Any, layout: Layout, slots: Tensor | None) -> Tensor | None:
    """Hidden states [S, D] of a packed row, of which those at ``slots`` (None: all) will be read.

    None where the model, the device, the row or the settings do not allow fused layers.
    """
    if (
        layout.table is None
        or not compute_config().fused_layers
        or layout.table.device.type != "cpu"
        or not supports_fused(inner)
    ):
        return None
    rows = rows_of(layout.table)
    if longest_of(rows) > LONGEST:
        return None
    return _forward(inner, layout, slots)


def supports_fused(inner: Any) -> bool:
    """Whether fused layers compute what the model's modules do: checked by structure now, by numbers once."""
    if not _is_plain_llama(inner):
        return False
    if not hasattr(inner, "_plaudit_fused"):
        from plaudit.models.packing import same_states

        with torch.no_grad():
            inner._plaudit_fused = same_states(inner, lambda layout, slots: _forward(inner, layout, slots))
        if not inner._plaudit_fused:
            logger.warning("%s is computed by its own modules: the fused ones differ", type(inner).__name__)
    return bool(inner._plaudit_fused)


def _is_plain_llama(inner: Any) -> bool:
    """Structure that may change between two calls, or that the comparison of numbers would not show."""
    kind, config = type(inner), inner.config
    if kind.__name__ not in FAMILIES or not kind.__module__.startswith("transformers."):
        return False
    try:
        layer_windows(config)
    except ValueError:
        return False
    if inner.training and (config.attention_dropout or any(map(_checkpointed, inner.layers))):
        return False
    if type(inner.embed_tokens) is not nn.Embedding:  # an adapter, say
        return False
    # One weight is enough: a model is cast as a whole.
    if config.hidden_act != "silu" or inner.embed_tokens.weight.dtype != torch.float32:
        return False
    home = kind.__module__
    return all(map(_is_plain, inner.modules())) and all(_is_own_layer(layer, home) for layer in inner.layers)


def _is_plain(module: nn.Module) -> bool:
    """Whether a module has no hooks and no replaced forward."""
    own = vars(module)
    if "forward" in own or own["_backward_hooks"] or own["_backward_pre_hooks"]:
        return False
    return all(
        _is_ours(hook) for name in ("_forward_hooks", "_forward_pre_hooks") for hook in own[name].values()
    )


def _is_ours(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("plaudit.")


# Projections whose biases the fused layers support.
BIASED = ("q_proj", "k_proj", "v_proj")


def _is_own_layer(layer: nn.Module, home: str) -> bool:
    """Whether a layer and its parts are the family's own, with plain projections."""
    if type(layer).__module__ != home:
        return False
    for part in layer._modules.values():
        if type(part).__module__ != home:
            return False
        for name, child in vars(part)["_modules"].items():
            if name.endswith("_proj") and (
                type(child) is not nn.Linear or (child.bias is not None and name not in BIASED)
            ):
                return False
    return True


def _checkpointed(layer: Any) -> bool:
    return bool(getattr(layer, "gradient_checkpointing", False))


def _forward(inner: Any, layout: Layout, slots: Tensor | None) -> Tensor:
    assert layout.table is not None
    config = inner.config
    dtype = torch.bfloat16 if compute_config().precision == "bf16" else torch.float32
    keep = torch.is_grad_enabled()
    total = layout.input_ids.numel()
    extra = -total % ROW_MULTIPLE
    rows = rows_of(layout.table)
    ids, positions = layout.input_ids[0], layout.position_ids
    if extra:
        # A padding sequence that is never read: the number of rows must be a multiple.
        rows = (*rows, (total, total + extra, total, total))
        ids, positions = F.pad(ids, (0, extra)), F.pad(positions, (0, extra))
    with torch.autocast("cpu", enabled=False):
        x = F.embedding(ids, inner.embed_tokens.weight, inner.embed_tokens.padding_idx)
        rope_kernel = None if any(map(_has_bias_or_norm, inner.layers)) else numba_ops()
        rotation = _rotation(inner, x, positions, rope_kernel is not None)
        size = inner.layers[0].self_attn.head_dim
        varlen = found if (found := varlen_kernel()) is not None and found.supports(size, dtype) else None
        # Blocks are not needed with the varlen kernel.
        blocks = () if varlen else cut_into_blocks(rows, True, CHUNK)
        read = _last_layer(slots, blocks, len(x))
        windows = layer_windows(config)
        plans: dict[tuple[int | None, bool], AttentionPlan] = {}
        for number, (layer, window) in enumerate(zip(inner.layers, windows)):
            at = read if number == len(windows) - 1 else None
            needed = None if at is None else at.attended
            if (window, at is None) not in plans:
                if varlen:
                    plan = varlen.varlen_plan(rows, window=window, needed=needed)
                else:
                    align = dtype == torch.bfloat16
                    plan = BlockwisePlan(
                        aligned_blocks(blocks, window=window, slots=len(x), align=align, needed=needed)
                    )
                plans[window, at is None] = plan
            row = PackedRow(plans[window, at is None], rotation, needed)
            x = _attend(layer, x, row, dtype, keep, rope_kernel)
            if at is not None:
                x = x.index_select(0, at.places)
            x = _feed_forward(layer, x, dtype, keep)
        x = F.rms_norm(x, x.shape[-1:], inner.norm.weight, inner.norm.variance_epsilon)
    if read is not None:
        return x.new_zeros(total + extra, x.shape[-1]).index_copy(0, read.slots, x)[:total]
    return x[:total]


def _has_bias_or_norm(layer: Any) -> bool:
    """Whether queries and keys have a bias or a norm."""
    return hasattr(layer.self_attn, "q_norm") or layer.self_attn.q_proj.bias is not None


def _attend(
    layer: Any, x: Tensor, row: PackedRow, dtype: torch.dtype, keep: bool, rope_kernel: ModuleType | None
) -> Tensor:
    attention = layer.self_attn
    q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    size = attention.head_dim
    spec = AttentionSpec(
        heads=attention.q_proj.out_features // size,
        kv=attention.k_proj.out_features // size,
        size=size,
        scale=attention.scaling,
        eps=layer.input_layernorm.variance_epsilon,
        head_eps=None if q_norm is None else q_norm.variance_epsilon,
        dtype=dtype,
        keep=keep,
        numba_ops=rope_kernel,
    )
    made: Tensor = FusedAttention.apply(
        x,
        layer.input_layernorm.weight,
        attention.q_proj.weight,
        attention.k_proj.weight,
        attention.v_proj.weight,
        attention.o_proj.weight,
        attention.q_proj.bias,
        attention.k_proj.bias,
        attention.v_proj.bias,
        None if q_norm is None else q_norm.weight,
        None if k_norm is None else k_norm.weight,
        spec,
        row,
    )
    return made


def _feed_forward(layer: Any, x: Tensor, dtype: torch.dtype, keep: bool) -> Tensor:
    mlp = layer.mlp
    after = layer.post_attention_layernorm
    made: Tensor = FusedMLP.apply(
        x,
        after.weight,
        mlp.gate_proj.weight,
        mlp.up_proj.weight,
        mlp.down_proj.weight,
        after.variance_epsilon,
        dtype,
        keep,
    )
    return made


def _rotation(inner: Any, x: Tensor, positions: Tensor, apart: bool) -> Tensor:
    """cos/sin of the rotary embedding for each slot, from the model's own module: see ``PackedRow``."""
    cos, sin = inner.rotary_emb(x[None], positions)
    half = cos.shape[-1] // 2
    cos, sin = cos[0, :, :half], sin[0, :, :half]
    return torch.stack((cos, sin), 1) if apart else torch.complex(cos.contiguous(), sin.contiguous())[:, None]


# With more slots than this share the last layer is computed at all of them: selecting costs copies.
MAX_SHARE = 0.85


@dataclass(frozen=True)
class _LastLayer:
    """Where the last layer is computed: attention at slots ``attended``, the MLP at ``places`` of these; sorted."""

    attended: Tensor
    places: Tensor

    @property
    def slots(self) -> Tensor:
        return self.attended[self.places]


def _last_layer(slots: Tensor | None, blocks: tuple[AttentionBlock, ...], total: int) -> _LastLayer | None:
    """Where the last layer must be computed for states at ``slots``; None for all slots."""
    if slots is None:
        return None
    wanted = torch.zeros(total, dtype=torch.bool)
    wanted[slots] = True
    if int(wanted.sum()) > MAX_SHARE * total:
        return None
    wanted = _whole_multiple(wanted)
    attended = wanted.clone()
    for block in blocks:
        if block.repeat > 1 and bool(attended[block.start : block.end].any()):
            # Batched sequences are computed together.
            attended[block.start : block.end] = True
    attended = _whole_multiple(attended).nonzero().squeeze(1)
    return _LastLayer(attended, wanted[attended].nonzero().squeeze(1))


def _whole_multiple(wanted: Tensor) -> Tensor:
    """``wanted`` plus free slots, up to a multiple of ROW_MULTIPLE."""
    spare = (~wanted).nonzero().squeeze(1)[: -int(wanted.sum()) % ROW_MULTIPLE]
    return wanted.index_fill(0, spare, True)
