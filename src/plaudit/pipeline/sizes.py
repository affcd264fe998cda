"""Bytes of a step's models in memory and on disk, from the architecture alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.config import Lora
from plaudit.config.graph import Node
from plaudit.pipeline.work import Work
from plaudit.runs.sizes import counted

# fp32: a weight, and its gradient with AdamW's two moments where it is trained.
WEIGHT, TRAINING = 4.0, 12.0


def parameters_in(config: Any) -> float:
    """Parameters of a decoder by its config; 0 where its layout is not known."""
    return counted(config.to_dict()) or 0.0


def adapter_parameters(config: Any, lora: Lora) -> float:
    """Numbers of low-rank adapters on all linear layers of a decoder of the usual layout; an estimate for others."""
    text: Mapping[str, Any] = config.get_text_config().to_dict()
    hidden, layers = (
        float(config.get_text_config().hidden_size),
        text.get("num_hidden_layers", text.get("n_layer", 0)),
    )
    heads = text.get("num_attention_heads") or text.get("n_head") or 1
    width = text.get("head_dim") or hidden / heads
    groups = text.get("num_key_value_heads") or heads
    inner = text.get("intermediate_size") or text.get("n_inner") or 4 * hidden
    attention = 2 * (hidden + heads * width) + 2 * (hidden + groups * width)
    return float(lora.rank * layers * (attention + 3 * (hidden + inner)))


def fixed_bytes_of(config: Any, work: Work, lora: Lora | None) -> float:
    """Weights of all models of a step, and gradients and moments of what is trained: all but activations."""
    size = parameters_in(config)
    if lora is None:
        return size * (WEIGHT * (work.trained + work.frozen) + TRAINING * work.trained)
    own = (WEIGHT + TRAINING) * adapter_parameters(config, lora) * work.trained
    return size * WEIGHT * (work.trained + work.frozen - work.references) + own


def written_bytes(node: Node, config: Any) -> float:
    """The model that a step leaves on disk, in fp32; checkpoints while it trains come on top."""
    if not (node.gives("policy") or node.gives("reward model")):
        return 0.0
    return parameters_in(config) * WEIGHT * getattr(node.settings, "members", 1)
