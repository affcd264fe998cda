"""How a sampler computes a model: prompts into keys and values, one token per row into logits."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from plaudit.errors import PlauditError
from plaudit.models import architectures
from plaudit.models.compute import computing
from plaudit.rollout.cache import RowCache

logger = logging.getLogger(__name__)


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


# Prompt lengths and steps of the check below.
_CHECK_PROMPTS, _CHECK_STEPS = (7, 4, 4, 1), 4


def check(model: Any, forward: Forward) -> None:
    """Compare teacher-forced logits with the model's plain forward; raise ``CannotDecode``.

    A few tiny rows of different lengths, one of them dropped on the way. Windows longer than these
    rows are taken from the config on trust. Raises ``PlauditError`` where the plain forward itself is
    not finite.
    """
    device, dtype = next(model.parameters()).device, forward.dtype
    vocabulary = model.config.get_text_config().vocab_size
    widest = max(_CHECK_PROMPTS) - 1 + _CHECK_STEPS
    ids = torch.arange(1, 1 + len(_CHECK_PROMPTS) * (widest + 1), device=device).mul_(7919) % vocabulary
    ids = ids.view(len(_CHECK_PROMPTS), -1)
    lengths = torch.tensor([p - 1 for p in _CHECK_PROMPTS], device=device)
    cache = RowCache(forward.windows, len(ids), widest, dtype, device)
    cache.end = max(_CHECK_PROMPTS) - 1
    rows = torch.arange(len(ids), device=device)
    cache.open(rows, lengths)
    for layer, (k, v) in enumerate(forward.prefill(ids[:, : cache.end])):
        cache.fill(layer, rows, rows, lengths, k, v)
    cache.settle(len(ids))
    plain = [model(input_ids=row[None]).logits[0].float() for row in ids]
    if not all(bool(logits.isfinite().all()) for logits in plain):
        raise PlauditError("the policy's logits are not finite")
    worst = scale = 0.0
    for t in range(_CHECK_STEPS):
        if t == _CHECK_STEPS // 2:
            cache.move(rows[-1:], rows[:1])
            rows = torch.cat((rows[-1:], rows[1:-1]))
            cache.settle(len(rows))
        cache.advance()
        place = lengths[rows] + t
        got = forward.step(ids[rows, place], cache).float()
        expected = torch.stack([plain[row][at] for row, at in zip(rows, place)])
        # max() would pass over a NaN.
        worst = max(worst, float((got - expected).abs().nan_to_num(torch.inf).max()))
        scale = max(scale, float(expected.abs().max()))
    tolerance = (1e-4 if dtype == torch.float32 else 5e-2) * max(scale, 1e-3)
    if not worst <= tolerance:
        raise CannotDecode(f"its logits differ from a plain forward by {worst:.2g} at a scale of {scale:.2g}")


def choose_forward(model: Any) -> type[Forward] | None:
    """The fastest way that is exact for this model, or None; the reason for a refusal is logged."""
    from plaudit.rollout.llama import LlamaForward, looks_like_llama

    ways: list[Any] = [LlamaForward, ModelForward] if looks_like_llama(model) else [ModelForward]
    for way in ways:
        try:
            # In full precision, where a fault cannot hide in the rounding.
            with computing(precision="fp32"):
                check(model, way(model))
        except CannotDecode as refusal:
            logger.info("%s: %s is not used: %s", type(model).__name__, way.__name__, refusal)
        except PlauditError:
            raise
        except Exception as error:
            # Whatever an unknown model does with a strange cache, the sampler must still work.
            logger.warning("%s: %s is not used: %r", type(model).__name__, way.__name__, error)
        else:
            return way
    return None
