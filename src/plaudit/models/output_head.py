"""What turns a hidden state into logits: the output embedding, and what a family does to its product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.models.architectures import backbone


@dataclass(frozen=True)
class LogitShape:
    """What a family does to W h before the softmax: a factor, then a soft cap."""

    factor: float
    cap: float | None

    def apply(self, logits: Tensor) -> Tensor:
        """In place where no gradient is recorded."""
        if self.factor != 1.0:
            logits = logits * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def output_head(model: nn.Module) -> Any:
    outer: Any = model
    inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    return inner.get_output_embeddings()


def shape_of(model: nn.Module) -> LogitShape:
    """The factor and cap that the model's family puts on its logits, from its config."""
    config = backbone(model).config.get_text_config()
    factor = float(getattr(config, "logit_scale", None) or 1.0)
    factor /= float(getattr(config, "logits_scaling", None) or 1.0)
    return LogitShape(factor, getattr(config, "final_logit_softcapping", None))
