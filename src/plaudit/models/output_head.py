"""The output head of a model: the embedding matrix, and the factor and soft cap that its family applies."""

from __future__ import annotations

from typing import Any

from torch import nn

from plaudit.kernels.interface import LogitShape
from plaudit.models.architectures import backbone


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
