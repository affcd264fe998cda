"""The one call into a transformers backbone: a token batch in, hidden states out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from plaudit.data.tokens.batch import TokenBatch
from plaudit.data.tokens.batching import collate
from plaudit.data.tokens.layout import Layout, LayoutKind
from plaudit.models.architectures import backbone, is_causal
from plaudit.models.autocast_hooks import cast_once
from plaudit.models.compute import autocast, kernels_in_use
from plaudit.models.fused_decoder import fused_hidden
from plaudit.models.packing import arguments, layout_for
from plaudit.models.rotation import apart, changing, forget, singles
from plaudit.models.skip_last_mlp import last_mlp_only_at
from plaudit.runtime import compute_config


@dataclass
class Encoded:
    """Hidden states of the last layer at every slot, [S, D], and the layout that says which slot is what.

    A padded slot holds numbers without meaning, and so does one that ``encode`` was not asked for.
    """

    hidden: Tensor
    layout: Layout

    @property
    def predicting(self) -> Tensor:
        """The states that predict each response token: [N, D]."""
        return self.hidden.index_select(0, self.layout.predicting)


At = Literal["all", "predicting", "last"]


def encode(model: nn.Module, batch: TokenBatch, at: At = "all") -> Encoded:
    """Hidden states in the best layout that the model computes exactly.

    ``at``: which of them will be read, those that predict response tokens or those of last tokens.
    """
    inner = backbone(model)
    kind = layout_for(model)
    changes = changing(inner.config)
    if changes:
        parts = apart(batch, changes)
        if len(parts) > 1:
            return _encode_apart(model, batch, at, kind, parts)
        forget(inner)
    layout = batch.layout(kind)
    slots = None if at == "all" else layout.predicting if at == "predicting" else layout.last
    if (fused := fused_hidden(inner, layout, slots)) is not None:
        return Encoded(fused, layout)
    fast = kernels_in_use().fused
    if fast and compute_config().precision == "bf16":
        cast_once(inner)
    causal = layout.table is None and is_causal(model)  # tried on tokens of its own, so not within the block
    with (
        autocast(batch.targets.device),
        last_mlp_only_at(inner, slots if fast else None, layout.input_ids.numel()),
    ):
        if layout.table is not None:
            hidden = inner(
                **arguments(inner, layout.input_ids, layout.position_ids, layout.table)
            ).last_hidden_state
        elif causal:
            # Rows are padded on the right, so what a causal model computes at a real token cannot depend
            # on padding, with or without a mask; without one the fastest attention kernel applies.
            hidden = inner(input_ids=layout.input_ids, use_cache=False).last_hidden_state
        else:
            hidden = inner(input_ids=layout.input_ids, attention_mask=layout.attention_mask).last_hidden_state
    hidden = hidden.to(next(inner.parameters()).dtype)
    return Encoded(hidden.reshape(-1, hidden.shape[-1]), layout)


def _encode_apart(
    model: nn.Module, batch: TokenBatch, at: At, kind: LayoutKind, parts: Sequence[Sequence[int]]
) -> Encoded:
    """Responses of different rotary frequencies in calls of their own; none of these can share a prompt."""
    layout = batch.layout("packed" if kind == "shared" else kind)
    slots, owners = layout.whole()
    alone = singles(batch)
    places, states = [], []
    for part in parts:
        encoded = encode(model, collate([alone[i] for i in part], batch.pad_id).to(slots.device), at)
        own_slots, own_owners = encoded.layout.whole()
        for number, owner in enumerate(part):
            places.append(slots[owners == owner])
            states.append(encoded.hidden[own_slots[own_owners == number]])
    made = torch.cat(states)
    hidden = made.new_zeros(layout.input_ids.numel(), made.shape[-1])
    return Encoded(hidden.index_copy(0, torch.cat(places), made), layout)
