"""The forward interface of a sampler: prompts → keys and values, one token per row → logits."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from plaudit.models import architectures
from plaudit.rollout.cache import RowCache


class Forward(Protocol):
    """``windows``: each layer's sliding window or None; ``dtype``: of keys, values and masks.

    ``shares``: whether rows that continue one prompt may leave it where it is (``RowCache.prefixes``).
    """

    windows: list[int | None]
    dtype: torch.dtype
    shares: bool

    def prefill(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys [P, H, T, K] and values [P, H, T, V] of each layer for right-padded prompts ``ids`` [P, T]."""
        ...

    def step(self, ids: Tensor, cache: RowCache) -> Tensor:
        """Logits [R, V] after one more token ``ids`` [R] in every live row."""
        ...


class CannotDecode(Exception):
    """The model cannot run over a ``RowCache``; the message says why."""


def unwrapped(model: Any) -> Any:
    """The causal LM itself, LoRA layers included, without peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def layer_windows(config: Any) -> list[int | None]:
    """Each layer's sliding window, or None. Raises ``CannotDecode`` for layers that are not attention."""
    try:
        return architectures.layer_windows(config)
    except ValueError as refusal:
        raise CannotDecode(str(refusal)) from None


class ModelForward:
    """Any transformers causal LM, through its own modules and attention."""

    def __init__(self, model: Any) -> None:
        self.model = unwrapped(model)
        self.windows = layer_windows(self.model.config)
        self.body = self.model.base_model
        self.dtype = next(self.model.parameters()).dtype
        self.shares = False

    def prefill(self, ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        # Causal attention never looks at the padding on the right, so no mask is needed. A cache made
        # without a config keeps every token of windowed layers too.
        cache = DynamicCache()
        self.body(input_ids=ids, past_key_values=cache, use_cache=True)
        if len(cache.layers) != len(self.windows):
            raise CannotDecode(f"{len(cache.layers)} of {len(self.windows)} layers keep keys and values")
        return [(layer.keys, layer.values) for layer in cache.layers]

    def step(self, ids: Tensor, cache: RowCache) -> Tensor:
        masks = cache.masks()
        # A model takes a finished 4D mask as it is; only one with two kinds of layers takes a mapping.
        mask: Any = masks if len(masks) > 1 else next(iter(masks.values()))
        output = self.model(
            input_ids=ids[:, None],
            attention_mask=mask,
            position_ids=cache.positions()[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        return output.logits[:, -1]
