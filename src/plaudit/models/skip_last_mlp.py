"""Skips the last layer's MLP at slots whose hidden state is not read.

Its output at a slot affects no other slot, so prompt tokens do not need it in the last layer. With long prompts and
short answers this saves most of one MLP in training and scoring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# With more slots than this share the MLP is computed at all of them: selecting costs copies.
MOST = 0.85


@contextmanager
def last_mlp_only_at(inner: Any, slots: Tensor | None, total: int) -> Iterator[None]:
    """Within the block the last MLP of ``inner`` is computed only at ``slots`` [n] of ``total``.

    States at other slots are then meaningless. No effect for None, for models without such an MLP, and under
    activation checkpointing.
    """
    part = None if slots is None else _part(inner)
    if part is None or slots is None or len(chosen := slots.unique()) > MOST * total:
        yield
        return
    with _narrowed(part, chosen):
        yield


@contextmanager
def _narrowed(part: nn.Module, slots: Tensor) -> Iterator[None]:
    shapes: list[torch.Size] = []

    def take(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *more = given
        shapes.append(hidden.shape)
        return (hidden.reshape(-1, hidden.shape[-1]).index_select(0, slots)[None], *more)

    def put(_: nn.Module, __: tuple[Any, ...], result: Tensor) -> Tensor:
        shape = (*shapes.pop()[:-1], result.shape[-1])
        spread = result.new_zeros(shape).view(-1, shape[-1])
        return spread.index_copy(0, slots, result[0]).view(shape)

    hooks = part.register_forward_pre_hook(take), part.register_forward_hook(put)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _part(inner: Any) -> nn.Module | None:
    """The last layer's MLP, if computing it at some slots gives the same there; tried once per model."""
    if not hasattr(inner, "_plaudit_last"):
        found = _last_mlp(inner)
        # The name, not the module: as an attribute the module would be registered a second time.
        inner._plaudit_last = (
            found if found is not None and _same(inner, inner.get_submodule(found)) else None
        )
    name = inner._plaudit_last
    if name is None or getattr(
        inner.get_submodule(name.removesuffix(".mlp")), "gradient_checkpointing", False
    ):
        return None
    return inner.get_submodule(name)


def _last_mlp(inner: nn.Module) -> str | None:
    numbered = [
        (int(match[1]), name)
        for name, _ in inner.named_modules()
        if (match := re.fullmatch(r"(?:layers|h)\.(\d+)\.mlp", name))
    ]
    return max(numbered)[1] if numbered else None


@torch.no_grad()
def _same(inner: Any, part: nn.Module) -> bool:
    training = inner.training
    inner.eval()
    device = next(inner.parameters()).device
    ids = torch.tensor([[21, 22, 23], [24, 25, 26]], device=device)
    slots = torch.tensor([1, 3, 5], device=device)
    try:
        with torch.autocast(device.type, enabled=False):
            expected = inner(input_ids=ids).last_hidden_state.flatten(0, 1)[slots].float()
            with _narrowed(part, slots):
                got = inner(input_ids=ids).last_hidden_state.flatten(0, 1)[slots].float()
    except Exception:
        # A part with another way of being called: whatever it raises, it is then computed in full.
        return False
    finally:
        inner.train(training)
    fine = (
        1e-5 if expected.dtype == torch.float32 and next(inner.parameters()).dtype == torch.float32 else 3e-2
    )
    return bool((got - expected).abs().max() <= fine * expected.abs().max())
