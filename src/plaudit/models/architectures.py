"""Properties of a transformers model: its backbone, causality, and attention windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# Families that count positions from pad + 1.
OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "longformer")


def backbone(model: nn.Module) -> Any:
    """The transformer below the output head, adapters included.

    Under peft ``get_base_model`` comes first: peft's own ``base_model`` is its tuner, and the LoRA
    layers live inside the modules of the model that it wraps.
    """
    outer: Any = model
    inner: Any = outer.get_base_model() if hasattr(outer, "get_base_model") else outer
    return inner.base_model if hasattr(inner, "base_model") else inner


def is_causal(model: nn.Module) -> bool:
    """Whether a token's hidden state is independent of later tokens; tested once per model."""
    inner = backbone(model)
    known = getattr(inner, "_plaudit_causal", None)
    if known is None:
        device = next(inner.parameters()).device
        training = inner.training
        inner.eval()
        with torch.no_grad():
            ids = (
                torch.tensor([[3, 4, 5], [3, 4, 6]], device=device)
                % inner.config.get_text_config().vocab_size
            )
            hidden = inner(input_ids=ids).last_hidden_state[:, 0]
        inner.train(training)
        known = bool(torch.allclose(hidden[0], hidden[1], rtol=0, atol=1e-5 * float(hidden.abs().max())))
        inner._plaudit_causal = known
    return bool(known)


def layer_windows(config: Any) -> list[int | None]:
    """Each layer's sliding window, or None. ValueError for layers that are not attention over a window or all."""
    config = config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if getattr(config, "attention_chunk_size", None) is not None:
        raise ValueError("attention in chunks")
    if kinds is None:
        kinds = ["full_attention" if window is None else "sliding_attention"] * config.num_hidden_layers
    strange = sorted(set(kinds) - {"full_attention", "sliding_attention"})
    if strange:
        raise ValueError(f"layers of type {', '.join(strange)}")
    rope = getattr(config, "rope_parameters", None) or {}
    for parameters in [rope, *rope.values()]:
        if isinstance(parameters, dict) and parameters.get("rope_type") in ("dynamic", "longrope"):
            # A row's numbers would then depend on the longest row beside it.
            raise ValueError(f"rotary frequencies of type {parameters['rope_type']} change with the length")
    return [window if kind == "sliding_attention" else None for kind in kinds]
