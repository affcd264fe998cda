"""Chooses the fastest forward of a model whose logits equal its plain forward, by a test on a few tiny rows."""

from __future__ import annotations

import logging
from typing import Any

import torch

from plaudit.errors import PlauditError
from plaudit.models.compute import kernels_in_use
from plaudit.rollout.cache import RowCache
from plaudit.rollout.forward import CannotDecode, Forward, ModelForward
from plaudit.rollout.llama import LlamaForward, looks_like_llama
from plaudit.rollout.protocol import not_finite
from plaudit.runtime import use_compute

logger = logging.getLogger(__name__)

# Prompt lengths and steps of the check below.
_CHECK_PROMPTS, _CHECK_STEPS = (7, 4, 4, 1), 4


def check(model: Any, forward: Forward) -> None:
    """Compare teacher-forced logits with the model's plain forward; raise ``CannotDecode``.

    A few tiny rows of different lengths, one of them dropped on the way. Windows longer than these
    rows are taken from the config on trust. Raises ``NotFiniteError`` where the plain forward itself is
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
        raise not_finite()
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
    fused = kernels_in_use().fused and looks_like_llama(model)
    ways: list[Any] = [LlamaForward, ModelForward] if fused else [ModelForward]
    for way in ways:
        try:
            # In full precision, where a fault cannot hide in the rounding.
            with use_compute(precision="fp32"):
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
