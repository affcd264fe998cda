"""Hooks that cast the input of an attention part or MLP to bf16 once instead of once per projection.

Norms return fp32 under autocast, so q, k and v projections (or gate and up) would each cast the same states.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

PARTS = re.compile(r"(?:.*\.)?(?:layers|h|layer)\.\d+\.(?:self_attn|attn|attention|mlp)")


def cast_once(inner: nn.Module) -> None:
    """Install the hooks, once per model; they do nothing outside autocast."""
    if getattr(inner, "_plaudit_casts", False):
        return
    for name, part in inner.named_modules():
        if PARTS.fullmatch(name):
            part.register_forward_pre_hook(_cast, with_kwargs=True)
    inner._plaudit_casts = True  # type: ignore[assignment]


def _cast(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # Only the states: a mask or a rotation stays what it is.
    states = kwargs.get("hidden_states", args[0] if args else None)
    if not isinstance(states, Tensor) or states.dtype != torch.float32:
        return None
    device = states.device.type
    if not torch.is_autocast_enabled(device):
        return None
    low = states.to(torch.get_autocast_dtype(device))
    if "hidden_states" in kwargs:
        return args, {**kwargs, "hidden_states": low}
    return (low, *args[1:]), kwargs
