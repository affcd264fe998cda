"""The one call into a transformers backbone: a token batch in, hidden states out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from plaudit.data.layouts import Layout
from plaudit.data.tokens import TokenBatch
from plaudit.models.casts import cast_once
from plaudit.models.compute import autocast, compute
from plaudit.models.families import backbone, is_causal
from plaudit.models.fused.decoder import fused_hidden
from plaudit.models.last_layer import only_at
from plaudit.models.packing import arguments, layout_for


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


def encode(model: nn.Module, batch: TokenBatch, at: Literal["all", "predicting", "last"] = "all") -> Encoded:
    """Hidden states in the best layout that the model computes exactly.

    ``at``: which of them will be read, those that predict response tokens or those of last tokens.
    """
    inner = backbone(model)
    layout = batch.layout(layout_for(model))
    slots = None if at == "all" else layout.predicting if at == "predicting" else layout.last
    if (fused := fused_hidden(inner, layout, slots)) is not None:
        return Encoded(fused, layout)
    if compute().precision == "bf16":
        cast_once(inner)
    with autocast(batch.targets.device), only_at(inner, slots, layout.input_ids.numel()):
        if layout.table is not None:
            hidden = inner(
                **arguments(inner, layout.input_ids, layout.position_ids, layout.table)
            ).last_hidden_state
        elif is_causal(model):
            # Rows are padded on the right, so what a causal model computes at a real token cannot depend
            # on padding, with or without a mask; without one the fastest attention kernel applies.
            hidden = inner(input_ids=layout.input_ids, use_cache=False).last_hidden_state
        else:
            hidden = inner(input_ids=layout.input_ids, attention_mask=layout.attention_mask).last_hidden_state
    hidden = hidden.to(next(inner.parameters()).dtype)
    return Encoded(hidden.reshape(-1, hidden.shape[-1]), layout)
