"""How a sampler computes a model: prompts into keys and values, one token per row into logits."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor
from transformers.cache_utils import DynamicCache

from plaudit.rollout.cache import RowCache


class Forward(Protocol):
    """``windows``: each layer's sliding window or None."""

    windows: list[int | None]

    def prefill(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys [P, H, T, K] and values [P, H, T, V] of each layer for right-padded prompts ``ids`` [P, T]."""
        ...

    def step(self, ids: Tensor, cache: RowCache) -> Tensor:
        """Logits [R, V] after one more token ``ids`` [R] in every live row."""
        ...


class CannotDecode(Exception):
    """The model cannot run over a ``RowCache``; the message says why."""


def layer_windows(config: Any) -> list[int | None]:
    """Each layer's sliding window, or None. Raises ``CannotDecode`` for layers that are not attention."""
    config = config.get_text_config()
    layers = config.num_hidden_layers
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return [window if getattr(config, "use_sliding_window", True) else None] * layers
    strange = sorted(set(kinds) - {"full_attention", "sliding_attention"})
    if strange:
        raise CannotDecode(f"layers of type {', '.join(strange)}")
    return [window if kind == "sliding_attention" else None for kind in kinds]


class ModelForward:
    """Any transformers causal LM, through its own modules and attention."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.windows = layer_windows(model.config)
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.body = inner.base_model
        self.by_kind = hasattr(model.config.get_text_config(), "layer_types")

    def prefill(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        # Causal attention never looks at the padding on the right, so no mask is needed.
        cache = DynamicCache()
        self.body(input_ids=ids, past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def step(self, ids: Tensor, cache: RowCache) -> Tensor:
        masks = cache.masks()
        mask: Any = masks if self.by_kind else next(iter(masks.values()))
        positions = cache.end - 1 - cache.start[: cache.live, None]
        output = self.model(
            input_ids=ids[:, None],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits[:, -1]


def choose_forward(model: Any) -> Forward:
    """The fastest way that is exact for this model."""
    from plaudit.rollout.llama import LlamaForward

    try:
        return LlamaForward(model)
    except CannotDecode:
        return ModelForward(model)
